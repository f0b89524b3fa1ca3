"""SPDY/3.1 framing without IO: bytes in, events out, and bytes to be sent; for the client's and the server's end.

It is spoken in the Kubernetes way (exec, attach and port-forward after an HTTP upgrade): headers name the streams, either end
may open some, and nobody keeps flow-control windows: WINDOW_UPDATE is accepted and means nothing, the connection under it is
what holds a fast sender back. Layouts are those of the SPDY protocol, draft 3.1, sections 2.2 to 2.6.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

VERSION = 3
FRAME_LIMIT_BYTES = 1024 * 1024
HEADERS_LIMIT_BYTES = 64 * 1024
DATA_CHUNK_BYTES = 32 * 1024
STREAMS_LIMIT = 1024

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FLAG_FIN = 0x01
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL = 1, 2, 3, 5

_CONTROL = struct.Struct("!HHI")
_DATA = struct.Struct("!II")
_U32 = struct.Struct("!I")
_SYN_STREAM_HEAD = struct.Struct("!IIBB")
_STREAM_MASK = 0x7FFFFFFF
_DICTIONARY_ADLER32 = 0xE3C6A7C2

# The dictionary: words with their length in front (four bytes), then text as it is (draft 3, section 2.6.10.1).
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length content-location "
    "content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match "
    "if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range "
    "referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get "
    "status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin"
)
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,public"
    "privatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    words = (word.replace("_", " ").encode() for word in _WORDS.split())
    made = b"".join(_U32.pack(len(word)) + word for word in words) + _TEXT.encode()
    assert zlib.adler32(made) == _DICTIONARY_ADLER32
    return made


class SPDYError(Exception):
    """The peer does not speak SPDY/3.1, or goes over a limit; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream; it wants a `reply` or a `reset`."""

    stream: int
    headers: Mapping[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class StreamAccepted:
    """The peer replied to a stream of ours."""

    stream: int
    headers: Mapping[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Bytes of a stream; `fin`: the last ones."""

    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The peer gave a stream up, in both directions."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class PingAnswered:
    """Our ping came back."""

    id: int


@dataclass(frozen=True, slots=True)
class GoneAway:
    """The peer takes no new streams."""

    status: int


Event = StreamOpened | StreamAccepted | DataReceived | StreamReset | PingAnswered | GoneAway


class Session:
    """One connection. Feed `receive`; send what `data_to_send` returns after any call."""

    def __init__(self, *, client: bool) -> None:
        dictionary = _dictionary()
        self._compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 8, zlib.Z_DEFAULT_STRATEGY, dictionary)
        self._decompressor = zlib.decompressobj(zlib.MAX_WBITS, dictionary)
        self._next_stream = 1 if client else 2
        self._next_ping = 1 if client else 2
        self._peer_parity = 0 if client else 1
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._streams: dict[int, tuple[bool, bool]] = {}
        """Number to (we may send, the peer may send)."""
        self.going_away = False

    # Sending

    def open_stream(self, headers: Mapping[str, str], *, fin: bool = False) -> int:
        """Open a stream; returns its number."""
        stream = self._next_stream
        self._next_stream += 2
        self._streams[stream] = (not fin, True)
        head = _SYN_STREAM_HEAD.pack(stream, 0, 0, 0)
        self._control(SYN_STREAM, FLAG_FIN if fin else 0, head + self._compress(headers))
        return stream

    def reply(self, stream: int, headers: Mapping[str, str] | None = None, *, fin: bool = False) -> None:
        """Accept a stream that the peer opened."""
        self._control(SYN_REPLY, FLAG_FIN if fin else 0, _U32.pack(stream) + self._compress(headers or {}))
        if fin:
            self._sent_fin(stream)

    def send_data(self, stream: int, data: bytes, *, fin: bool = False) -> None:
        """Send bytes; on a stream that is closed to us they are dropped, as the peer has said it doesn't want them."""
        if not self._streams.get(stream, (False, False))[0]:
            return
        for start in range(0, max(len(data), 1), DATA_CHUNK_BYTES):
            chunk = data[start : start + DATA_CHUNK_BYTES]
            last = start + DATA_CHUNK_BYTES >= len(data)
            if chunk or (fin and last):
                self._out.append(_DATA.pack(stream, (FLAG_FIN << 24 if fin and last else 0) | len(chunk)) + chunk)
        if fin:
            self._sent_fin(stream)

    def reset(self, stream: int, status: int = CANCEL) -> None:
        """Give a stream up."""
        self._streams.pop(stream, None)
        self._control(RST_STREAM, 0, _U32.pack(stream) + _U32.pack(status))

    def ping(self) -> int:
        """Ask the peer to answer; returns the ping's number."""
        number = self._next_ping
        self._next_ping += 2
        self._control(PING, 0, _U32.pack(number))
        return number

    def go_away(self, status: int = 0) -> None:
        """Say that no new streams are taken."""
        last = max((stream for stream in self._streams if stream % 2 == self._peer_parity), default=0)
        self._control(GOAWAY, 0, _U32.pack(last) + _U32.pack(status))

    def data_to_send(self) -> bytes:
        """What has to go out, once."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    @property
    def streams(self) -> Iterable[int]:
        """Those not closed in both directions."""
        return self._streams.keys()

    # Receiving

    def receive(self, data: bytes) -> list[Event]:
        """Take in bytes. Raises SPDYError."""
        self._buffer += data
        events: list[Event] = []
        position = 0
        while len(self._buffer) - position >= _CONTROL.size:
            first, second = _DATA.unpack_from(self._buffer, position)
            size = second & 0xFFFFFF
            if size > FRAME_LIMIT_BYTES:
                raise SPDYError(f"a frame of {size} bytes")
            end = position + _CONTROL.size + size
            if len(self._buffer) < end:
                break
            body = bytes(self._buffer[position + _CONTROL.size : end])
            flags = second >> 24
            if first & 0x80000000:
                if first >> 16 & 0x7FFF != VERSION:
                    raise SPDYError(f"version {first >> 16 & 0x7FFF}")
                event = self._receive_control(first & 0xFFFF, flags, body)
            else:
                event = self._receive_data(first, flags, body)
            if event is not None:
                events.append(event)
            position = end
        del self._buffer[:position]
        return events

    def _receive_data(self, stream: int, flags: int, body: bytes) -> Event | None:
        if stream not in self._streams:
            # Bytes that crossed our reset.
            return None
        fin = bool(flags & FLAG_FIN)
        if fin:
            self._received_fin(stream)
        return DataReceived(stream, body, fin)

    def _receive_control(self, kind: int, flags: int, body: bytes) -> Event | None:
        fin = bool(flags & FLAG_FIN)
        try:
            if kind == SYN_STREAM:
                return self._receive_open(_SYN_STREAM_HEAD.unpack_from(body)[0] & _STREAM_MASK, body, fin)
            if kind in (SYN_REPLY, HEADERS):
                stream = _U32.unpack_from(body)[0] & _STREAM_MASK
                headers = self._decompress(body[4:])
                if stream not in self._streams:
                    return None
                if fin:
                    self._received_fin(stream)
                if kind == HEADERS:
                    return DataReceived(stream, b"", fin) if fin else None
                return StreamAccepted(stream, headers, fin)
            if kind == RST_STREAM:
                stream, status = _DATA.unpack_from(body)
                known = self._streams.pop(stream & _STREAM_MASK, None)
                return StreamReset(stream & _STREAM_MASK, status) if known is not None else None
            if kind == PING:
                number = _U32.unpack_from(body)[0]
                if number % 2 == self._next_ping % 2:
                    return PingAnswered(number)
                self._control(PING, 0, body[:4])
                return None
            if kind == GOAWAY:
                self.going_away = True
                return GoneAway(_DATA.unpack_from(body)[1])
        except struct.error as error:
            raise SPDYError(f"a control frame of kind {kind} is cut off") from error
        # SETTINGS, WINDOW_UPDATE, CREDENTIAL and whatever else: nothing to do.
        return None

    def _receive_open(self, stream: int, body: bytes, fin: bool) -> Event | None:
        headers = self._decompress(body[_SYN_STREAM_HEAD.size :])
        if stream % 2 != self._peer_parity or stream in self._streams:
            raise SPDYError(f"stream {stream} is not the peer's to open")
        if len(self._streams) >= STREAMS_LIMIT:
            self.reset(stream, REFUSED_STREAM)
            return None
        self._streams[stream] = (True, not fin)
        return StreamOpened(stream, headers, fin)

    # State and bytes

    def _sent_fin(self, stream: int) -> None:
        _, peer_sends = self._streams.get(stream, (False, False))
        self._close(stream, False, peer_sends)

    def _received_fin(self, stream: int) -> None:
        we_send, _ = self._streams.get(stream, (False, False))
        self._close(stream, we_send, False)

    def _close(self, stream: int, we_send: bool, peer_sends: bool) -> None:
        if we_send or peer_sends:
            self._streams[stream] = (we_send, peer_sends)
        else:
            self._streams.pop(stream, None)

    def _control(self, kind: int, flags: int, body: bytes) -> None:
        self._out.append(_CONTROL.pack(0x8000 | VERSION, kind, flags << 24 | len(body)) + body)

    def _compress(self, headers: Mapping[str, str]) -> bytes:
        parts = [_U32.pack(len(headers))]
        for name, value in headers.items():
            for text in (name.lower(), value):
                raw = text.encode()
                parts.append(_U32.pack(len(raw)) + raw)
        # One compression goes on over the whole connection.
        return self._compressor.compress(b"".join(parts)) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def _decompress(self, data: bytes) -> dict[str, str]:
        try:
            plain = self._decompressor.decompress(data, HEADERS_LIMIT_BYTES)
        except zlib.error as error:
            raise SPDYError(f"headers cannot be unpacked: {error}") from error
        if self._decompressor.unconsumed_tail:
            raise SPDYError("headers are too long")
        headers: dict[str, str] = {}
        if not plain:
            return headers
        position = _U32.size
        for _ in range(_U32.unpack_from(plain)[0]):
            name, position = _string(plain, position)
            value, position = _string(plain, position)
            # Several values of one name are joined by NUL.
            headers[name.lower()] = value.replace("\0", ", ")
        return headers


def _string(data: bytes, position: int) -> tuple[str, int]:
    start = position + _U32.size
    end = start + _U32.unpack_from(data, position)[0]
    if end > len(data):
        raise SPDYError("a header is cut off")
    return data[start:end].decode("utf-8", "replace"), end
