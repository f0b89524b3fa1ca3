"""A connection that has left HTTP behind (after 101 Switching Protocols): bytes both ways, with back-pressure."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

READ_BUFFER_LIMIT_BYTES = 256 * 1024
COPY_CHUNK_BYTES = 64 * 1024


class ByteStream:
    """Both directions of one connection. Its protocol feeds it; whoever took it over reads and writes it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._eof = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # For whoever uses the connection.

    async def read(self) -> bytes:
        """The bytes that have come, b"" at the end."""
        while not self._chunks:
            if self._eof:
                return b""
            self._readable.clear()
            await self._readable.wait()
        chunk = b"".join(self._chunks) if len(self._chunks) > 1 else self._chunks[0]
        self._chunks.clear()
        if self._buffered > READ_BUFFER_LIMIT_BYTES:
            self._transport.resume_reading()
        self._buffered = 0
        return chunk

    async def write(self, data: bytes) -> None:
        """Send `data`; waits while the peer does not read. Raises ConnectionResetError once it has gone."""
        if self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._transport.write(data)
        await self._writable.wait()

    def write_eof(self) -> None:
        """Say that nothing more comes, where the transport can (TLS can't)."""
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        self._transport.close()

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    # For the protocol that owns the transport.

    def feed_data(self, data: bytes) -> None:
        if not data:
            return
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > READ_BUFFER_LIMIT_BYTES:
            self._transport.pause_reading()
        self._readable.set()

    def feed_eof(self) -> None:
        self._eof = True
        self._readable.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()


async def splice(one: ByteStream, other: ByteStream) -> None:
    """Carry bytes both ways until either side ends and what it said has been carried, then close both."""

    async def carry(source: ByteStream, target: ByteStream) -> None:
        while data := await source.read():
            # Who has gone is told no more, but what it said before is still under way to the other side.
            with suppress(ConnectionError):
                await target.write(data)

    tasks = [asyncio.ensure_future(carry(one, other)), asyncio.ensure_future(carry(other, one))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        one.close()
        other.close()
