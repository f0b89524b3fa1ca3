"""Carrying exec, attach and port-forward between a client and the runtime's streaming server.

The runtime speaks SPDY/3.1. A client that does too is joined to it byte for byte. One that speaks WebSocket is translated:

- ``v5.channel.k8s.io`` and ``v4.channel.k8s.io``: the first byte of a message is the channel (0 standard input, 1 output,
  2 error output, 3 the result as a Status, 4 terminal size as JSON); in v5 the byte 255 and a channel end that channel.
- ``SPDY/3.1+portforward.k8s.io``: messages hold the bytes of a SPDY connection.
- ``v4.channel.k8s.io`` of a port-forward: two channels for each port, data and error, that begin with the port's number.

Exit codes and errors are what the runtime says; nothing is made up unless it goes away without a word.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from navarch.component.bytestream import ByteStream
from navarch.component.httpclient import Answer, HTTPClient
from navarch.component.spdy import DataReceived, Session, SPDYError, StreamReset
from navarch.component.websocket import INTERNAL_ERROR, NORMAL_CLOSURE, WebSocket

logger = logging.getLogger(__name__)

STDIN, STDOUT, STDERR, ERROR, RESIZE = 0, 1, 2, 3, 4
CLOSE_CHANNEL = 255

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
COMMAND_PROTOCOLS = (V5, V4)
PORT_FORWARD_TUNNEL = "SPDY/3.1+portforward.k8s.io"
PORT_FORWARD_PROTOCOLS = (PORT_FORWARD_TUNNEL, V4)
SPDY_PORT_FORWARD = "portforward.k8s.io"
# Of SPDY clients; what runtimes understand, best first.
SPDY_COMMAND_PROTOCOLS = (V4, "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")

SPDY_UPGRADE = "SPDY/3.1"
PROTOCOL_HEADER = "X-Stream-Protocol-Version"
MESSAGE_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Which streams a client wants."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


@dataclass(slots=True)
class RuntimeConnection:
    """An upgraded connection to the runtime's streaming server."""

    client: HTTPClient
    stream: ByteStream
    headers: Mapping[str, str]

    def close(self) -> None:
        self.stream.close()
        self.client.close()


async def connect_runtime(url: str, protocol: str) -> RuntimeConnection | Answer:
    """Upgrade to SPDY at the URL that the runtime gave; its answer, if it will not. Raises OSError."""
    parts = urlsplit(url)
    client = HTTPClient(url)
    headers = {"Connection": "Upgrade", "Upgrade": SPDY_UPGRADE}
    if protocol:
        headers[PROTOCOL_HEADER] = protocol
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        result = await client.upgrade("POST", target, headers=headers)
    except BaseException:
        client.close()
        raise
    if isinstance(result, Answer):
        client.close()
        return result
    answered, stream = result
    return RuntimeConnection(client, stream, answered)


# exec and attach


async def carry_command(websocket: WebSocket, runtime: RuntimeConnection, options: StreamOptions, protocol: str) -> None:
    """Join a WebSocket that speaks `protocol` to the runtime's SPDY connection, until either has ended."""
    command = _Command(websocket, runtime.stream, options, protocol)
    try:
        await command.open()
        await _first_of(command.from_client(), command.from_runtime())
    except (ConnectionError, SPDYError) as error:
        logger.debug("a remote command ended: %s", error)
    finally:
        runtime.close()


class _Command:
    def __init__(self, websocket: WebSocket, runtime: ByteStream, options: StreamOptions, protocol: str) -> None:
        self._websocket, self._runtime, self._options = websocket, runtime, options
        self._closes_channels = protocol == V5
        self._session = Session(client=True)
        self._stream_of: dict[int, int] = {}
        self._channel_of: dict[int, int] = {}
        self._has_result = False

    async def open(self) -> None:
        """Open the streams, in the order in which Kubernetes' clients do."""
        wanted = [(ERROR, "error", True), (STDIN, "stdin", self._options.stdin), (STDOUT, "stdout", self._options.stdout)]
        wanted.append((STDERR, "stderr", self._options.stderr and not self._options.tty))
        wanted.append((RESIZE, "resize", self._options.tty))
        for channel, name, is_wanted in wanted:
            if is_wanted:
                stream = self._session.open_stream({"streamtype": name})
                self._stream_of[channel], self._channel_of[stream] = stream, channel
        await self._flush()
        # Clients take the first message as a sign that all is open.
        first = next(channel for channel in (STDOUT, STDERR, ERROR) if channel in self._stream_of)
        await self._websocket.send(bytes((first,)))

    async def from_client(self) -> None:
        while (message := await self._websocket.receive()) is not None:
            if not message:
                continue
            channel = message[0]
            if channel == CLOSE_CHANNEL and self._closes_channels:
                closed = self._stream_of.get(message[1]) if len(message) > 1 else None
                if closed is not None:
                    self._session.send_data(closed, b"", fin=True)
            elif channel in (STDIN, RESIZE) and channel in self._stream_of:
                self._session.send_data(self._stream_of[channel], message[1:])
            await self._flush()

    async def from_runtime(self) -> None:
        open_outputs = {self._stream_of[channel] for channel in (STDOUT, STDERR, ERROR) if channel in self._stream_of}
        while open_outputs:
            data = await self._runtime.read()
            if not data:
                break
            for event in self._session.receive(data):
                if isinstance(event, DataReceived):
                    await self._to_client(self._channel_of.get(event.stream, CLOSE_CHANNEL), event.data)
                    if event.fin:
                        open_outputs.discard(event.stream)
                elif isinstance(event, StreamReset):
                    open_outputs.discard(event.stream)
            await self._flush()
        if not self._has_result:
            await self._to_client(ERROR, _failure("the container runtime closed the connection"))
        await self._websocket.close(NORMAL_CLOSURE)

    async def _to_client(self, channel: int, data: bytes) -> None:
        if channel not in (STDOUT, STDERR, ERROR) or not data:
            return
        if channel == ERROR:
            self._has_result = True
        head = bytes((channel,))
        for start in range(0, len(data), MESSAGE_BYTES):
            await self._websocket.send(head + data[start : start + MESSAGE_BYTES])

    async def _flush(self) -> None:
        if data := self._session.data_to_send():
            await _tell(self._runtime, data)


# port-forward


async def carry_tunnel(websocket: WebSocket, runtime: RuntimeConnection) -> None:
    """Join the SPDY connection inside a WebSocket's messages to the runtime's."""

    async def from_client() -> None:
        while (message := await websocket.receive()) is not None:
            await runtime.stream.write(message)

    async def from_runtime() -> None:
        while data := await runtime.stream.read():
            for start in range(0, len(data), MESSAGE_BYTES):
                await websocket.send(data[start : start + MESSAGE_BYTES])
        await websocket.close(NORMAL_CLOSURE)

    try:
        await _first_of(from_client(), from_runtime())
    except ConnectionError as error:
        logger.debug("a port-forward ended: %s", error)
    finally:
        runtime.close()


async def carry_ports(websocket: WebSocket, runtime: RuntimeConnection, ports: Sequence[int]) -> None:
    """Join a WebSocket with two channels for each port to the runtime: one connection per port."""
    session = Session(client=True)
    channels: dict[int, int] = {}
    data_streams: list[int] = []

    async def flush() -> None:
        if data := session.data_to_send():
            await _tell(runtime.stream, data)

    async def from_client() -> None:
        while (message := await websocket.receive()) is not None:
            # Even channels are data; the client has nothing to say on the odd ones.
            if message and message[0] % 2 == 0 and message[0] // 2 < len(data_streams):
                session.send_data(data_streams[message[0] // 2], message[1:])
                await flush()

    async def from_runtime() -> None:
        while channels and (data := await runtime.stream.read()):
            for event in session.receive(data):
                if isinstance(event, DataReceived) and event.stream in channels:
                    if event.data:
                        await websocket.send(bytes((channels[event.stream],)) + event.data)
                    if event.fin:
                        del channels[event.stream]
                elif isinstance(event, StreamReset):
                    channels.pop(event.stream, None)
            await flush()
        await websocket.close(NORMAL_CLOSURE)

    try:
        for index, port in enumerate(ports):
            about = {"port": str(port), "requestid": str(index)}
            error = session.open_stream({"streamtype": "error", **about})
            session.send_data(error, b"", fin=True)
            data = session.open_stream({"streamtype": "data", **about})
            channels |= {data: 2 * index, error: 2 * index + 1}
            data_streams.append(data)
            for channel in (2 * index, 2 * index + 1):
                await websocket.send(bytes((channel,)) + port.to_bytes(2, "little"))
        await flush()
        await _first_of(from_client(), from_runtime())
    except (ConnectionError, SPDYError) as error:
        logger.debug("a port-forward ended: %s", error)
        await websocket.close(INTERNAL_ERROR)
    finally:
        runtime.close()


async def _tell(runtime: ByteStream, data: bytes) -> None:
    # Once it has gone it is told no more, but what it said before is still to be carried to the client: its end is seen then.
    with suppress(ConnectionError):
        await runtime.write(data)


def spdy_protocol(headers: Mapping[str, str]) -> str:
    """Of the protocols a SPDY client offers, the best that runtimes speak; "" if it names none."""
    offered = [name.strip() for name in headers.get(PROTOCOL_HEADER.lower(), "").split(",")]
    return next((name for name in SPDY_COMMAND_PROTOCOLS if name in offered), "")


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until the first ends or fails; then the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def _failure(message: str) -> bytes:
    return orjson.dumps({"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500})
