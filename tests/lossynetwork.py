"""A stretch of network that loses what it is told to lose: a TCP relay inside the test's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class LossyNetwork:
    """Connections to `endpoint` go on to `target`."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.endpoint = ""
        self.loses_requests = False
        self.loses_answers = False

    async def open(self) -> None:
        """Take connections, at the same place as before."""
        host, _, port = self.endpoint.rpartition(":")
        self._server = await asyncio.start_server(self._accept, host or "127.0.0.1", int(port or 0))
        self.endpoint = "{}:{}".format(*self._server.sockets[0].getsockname()[:2])

    async def close(self) -> None:
        """Refuse connections, and break those that there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """Break all connections; lose nothing any more."""
        for writer in self._writers:
            writer.transport.abort()
        # Each ends by itself: what is cancelled while it connects would leave a connection behind.
        await asyncio.gather(*self._relays)
        self.loses_requests = self.loses_answers = False

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._relay(reader, writer))
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._target.rpartition(":")
        writers = {writer}
        self._writers |= writers
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            writers.add(far_writer)
            self._writers |= writers
            if not writer.transport.is_closing():
                ways = [self._copy(reader, far_writer, requests=True), self._copy(far_reader, writer, requests=False)]
                await asyncio.wait([asyncio.ensure_future(way) for way in ways], return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass
        finally:
            for one in writers:
                one.transport.abort()
            self._writers -= writers

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, requests: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if not (self.loses_requests if requests else self.loses_answers):
                    writer.write(data)
                    await writer.drain()


@asynccontextmanager
async def lossy_network(target: str) -> AsyncIterator[LossyNetwork]:
    network = LossyNetwork(target)
    await network.open()
    try:
        yield network
    finally:
        await network.close()
