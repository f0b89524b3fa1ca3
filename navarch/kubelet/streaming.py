"""Carrying exec, attach and port-forward between a client and the runtime's streaming server.

The runtime speaks SPDY/3.1. A client that does too is joined to it byte for byte. One that speaks WebSocket is translated:

- ``v5.channel.k8s.io`` and ``v4.channel.k8s.io``: the first byte of a message is the channel (0 standard input, 1 output,
  2 error output, 3 the result as a Status, 4 terminal size as JSON); in v5 the byte 255 and a channel end that channel.
- ``channel.k8s.io``, or none at all: the same, but of the result only the message of a failure is told.
- ``v4.base64.channel.k8s.io`` and ``base64.channel.k8s.io``: the same as text, a digit for the channel before data in base64.
- ``SPDY/3.1+portforward.k8s.io``: messages hold the bytes of a SPDY connection.
- ``v4.channel.k8s.io`` and ``v4.base64.channel.k8s.io`` of a port-forward: two channels for each port, data and error, that
  begin with the port's number.

Exit codes and errors are what the runtime says; nothing is made up unless it goes away without a word.
"""

from __future__ import annotations

import asyncio
import base64
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

V5, V4, V4_BASE64 = "v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"
V1, V1_BASE64 = "channel.k8s.io", "base64.channel.k8s.io"
NO_PROTOCOL = ""
COMMAND_PROTOCOLS = (V5, V4, V4_BASE64, V1, V1_BASE64, NO_PROTOCOL)
PORT_FORWARD_TUNNEL = "SPDY/3.1+portforward.k8s.io"
PORT_FORWARD_PROTOCOLS = (PORT_FORWARD_TUNNEL, V4, V4_BASE64)
_AS_TEXT = (V4_BASE64, V1_BASE64)
_WITHOUT_STATUS = (V1, V1_BASE64, NO_PROTOCOL)
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


class Channels:
    """The numbered channels in the messages of a WebSocket."""

    def __init__(self, websocket: WebSocket, protocol: str) -> None:
        self._websocket = websocket
        self._as_text = protocol in _AS_TEXT

    async def send(self, channel: int, data: bytes) -> None:
        """Raises ConnectionError once the client has gone."""
        if self._as_text:
            await self._websocket.send(b"%d%b" % (channel, base64.b64encode(data)), text=True)
        else:
            await self._websocket.send(bytes((channel,)) + data)

    async def receive(self) -> tuple[int, bytes] | None:
        """Channel and data of the next message; None once the client has closed or gone, or sends what is no such message."""
        while (message := await self._websocket.receive()) is not None:
            if not message:
                continue
            if not self._as_text:
                return message[0], message[1:]
            try:
                return message[0] - ord("0"), base64.b64decode(message[1:], validate=True)
            except ValueError:
                return None
        return None

    async def close(self, code: int = NORMAL_CLOSURE) -> None:
        await self._websocket.close(code)


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
        self._channels, self._runtime, self._options = Channels(websocket, protocol), runtime, options
        self._closes_channels = protocol == V5
        self._tells_status = protocol not in _WITHOUT_STATUS
        self._result = b""
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
        await self._channels.send(first, b"")

    async def from_client(self) -> None:
        while (message := await self._channels.receive()) is not None:
            channel, data = message
            if channel == CLOSE_CHANNEL and self._closes_channels:
                closed = self._stream_of.get(data[0]) if data else None
                if closed is not None:
                    self._session.send_data(closed, b"", fin=True)
            elif channel in (STDIN, RESIZE) and channel in self._stream_of:
                self._session.send_data(self._stream_of[channel], data)
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
        if not self._tells_status and (message := _message_of(self._result)):
            await self._channels.send(ERROR, message)
        await self._channels.close()

    async def _to_client(self, channel: int, data: bytes) -> None:
        if channel not in (STDOUT, STDERR, ERROR) or not data:
            return
        if channel == ERROR:
            self._has_result = True
            if not self._tells_status:
                self._result += data
                return
        for start in range(0, len(data), MESSAGE_BYTES):
            await self._channels.send(channel, data[start : start + MESSAGE_BYTES])

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


async def carry_ports(websocket: WebSocket, runtime: RuntimeConnection, ports: Sequence[int], protocol: str = V4) -> None:
    """Join a WebSocket with two channels for each port to the runtime: one connection per port."""
    client = Channels(websocket, protocol)
    session = Session(client=True)
    channels: dict[int, int] = {}
    data_streams: list[int] = []

    async def flush() -> None:
        if data := session.data_to_send():
            await _tell(runtime.stream, data)

    async def from_client() -> None:
        while (message := await client.receive()) is not None:
            channel, data = message
            # Even channels are data; the client has nothing to say on the odd ones.
            if channel % 2 == 0 and 0 <= channel // 2 < len(data_streams):
                session.send_data(data_streams[channel // 2], data)
                await flush()

    async def from_runtime() -> None:
        while channels and (data := await runtime.stream.read()):
            for event in session.receive(data):
                if isinstance(event, DataReceived) and event.stream in channels:
                    if event.data:
                        await client.send(channels[event.stream], event.data)
                    if event.fin:
                        del channels[event.stream]
                elif isinstance(event, StreamReset):
                    channels.pop(event.stream, None)
            await flush()
        await client.close()

    try:
        for index, port in enumerate(ports):
            about = {"port": str(port), "requestid": str(index)}
            error = session.open_stream({"streamtype": "error", **about})
            session.send_data(error, b"", fin=True)
            data = session.open_stream({"streamtype": "data", **about})
            channels |= {data: 2 * index, error: 2 * index + 1}
            data_streams.append(data)
            for channel in (2 * index, 2 * index + 1):
                await client.send(channel, port.to_bytes(2, "little"))
        await flush()
        await _first_of(from_client(), from_runtime())
    except (ConnectionError, SPDYError) as error:
        logger.debug("a port-forward ended: %s", error)
        await client.close(INTERNAL_ERROR)
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


def _message_of(status: bytes) -> bytes:
    """What a Status says of a failure; empty for a success."""
    if not status:
        return b""
    try:
        found = orjson.loads(status)
    except orjson.JSONDecodeError:
        return status
    return b"" if found.get("status") == "Success" else str(found.get("message", "")).encode()


def _failure(message: str) -> bytes:
    return orjson.dumps({"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500})
