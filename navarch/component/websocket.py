"""The server's end of a WebSocket (RFC 6455) on a connection that has been taken over from HTTP.

Framing is the sans-IO layer of `websockets`, imported when first needed. Messages are whole and limited; pings are answered.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from navarch.component.bytestream import ByteStream

if TYPE_CHECKING:
    from websockets.server import ServerProtocol

MESSAGE_LIMIT_BYTES = 1024 * 1024
NORMAL_CLOSURE, PROTOCOL_ERROR, INTERNAL_ERROR = 1000, 1002, 1011

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def is_websocket(headers: Mapping[str, str]) -> bool:
    """Whether a request (names in lower case) asks for a WebSocket."""
    return headers.get("upgrade", "").lower() == "websocket" and "upgrade" in headers.get("connection", "").lower()


def offered(headers: Mapping[str, str]) -> list[str]:
    """The subprotocols a client would speak, best first."""
    return [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",") if name.strip()]


def negotiate(headers: Mapping[str, str], supported: Sequence[str]) -> str | None:
    """The first of the client's subprotocols that is `supported`; None if there is none."""
    return next((name for name in offered(headers) if name in supported), None)


def accept_headers(headers: Mapping[str, str], protocol: str) -> list[tuple[str, str]]:
    """Headers of the 101 answer. Raises ValueError for a request that isn't a proper handshake."""
    key = headers.get("sec-websocket-key", "")
    if not key or headers.get("sec-websocket-version", "13") != "13":
        raise ValueError("not a WebSocket handshake of version 13")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
    found = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)]
    if protocol:
        found.append(("Sec-WebSocket-Protocol", protocol))
    return found


class WebSocket:
    """An open WebSocket; messages come as bytes, whichever kind they are. One task may receive while others send."""

    def __init__(self, stream: ByteStream) -> None:
        from websockets.protocol import OPEN
        from websockets.server import ServerProtocol

        self._stream = stream
        self._protocol: ServerProtocol = ServerProtocol(state=OPEN, max_size=MESSAGE_LIMIT_BYTES)
        self._parts: list[bytes] = []
        self._size = 0
        self._messages: list[bytes] = []
        self._ended = False

    async def receive(self) -> bytes | None:
        """The next message; None once the client has closed or gone."""
        while not self._messages:
            if self._ended:
                return None
            data = await self._stream.read()
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
                self._ended = True
            self._take_events()
            await self._flush()
        return self._messages.pop(0)

    async def send(self, message: bytes, *, text: bool = False) -> None:
        """Send a message, binary or (UTF-8) text; waits while the client does not read.

        Raises ConnectionError once it has gone.
        """
        from websockets.protocol import OPEN

        if self._protocol.state is not OPEN:
            raise ConnectionResetError("the WebSocket is closed")
        if text:
            self._protocol.send_text(message)
        else:
            self._protocol.send_binary(message)
        await self._flush()

    async def close(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Say goodbye; the connection itself is left to its owner."""
        from websockets.protocol import OPEN

        if self._protocol.state is OPEN:
            self._protocol.send_close(code, reason)
            try:
                await self._flush()
            except ConnectionError:
                self._ended = True

    def _take_events(self) -> None:
        from websockets.frames import Frame, Opcode

        for event in self._protocol.events_received():
            if not isinstance(event, Frame):
                continue
            if event.opcode is Opcode.CLOSE:
                self._ended = True
            elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._parts.append(bytes(event.data))
                if event.fin:
                    self._messages.append(b"".join(self._parts))
                    self._parts.clear()
        if self._protocol.parser_exc is not None:
            # The protocol has already put its reason into a close frame.
            self._ended = True

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            # An empty one stands for the end of what is sent; the owner closes.
            if data and not self._stream.is_closing:
                await self._stream.write(data)
