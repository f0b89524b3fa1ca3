"""An HTTP/1.1 server: httptools parses, one protocol object per connection answers in order.

Bodies of requests are read whole, up to a limit; bodies of responses are bytes, parts of them, or an async iterator (sent
chunked). A response of status 101 hands the connection over as a `ByteStream`. A connection on which nobody asks anything is
closed after a while; one whose peer has vanished is found by TCP's own probes.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cached_property
from http import HTTPStatus
from typing import Any, cast

import httptools

from navarch.component import clock
from navarch.component.bytestream import ByteStream
from navarch.component.tls import BACKLOG, TLSListener

logger = logging.getLogger(__name__)

# Of headers so named the values may hold commas.
KEPT_APART = "impersonate-"
BODY_LIMIT_BYTES = 3 * 1024 * 1024
HEADERS_LIMIT_BYTES = 64 * 1024
PIPELINE_LIMIT = 16
PIECE_BYTES = 256 * 1024
WRITE_BUFFER_HIGH_BYTES = 256 * 1024
SHUTDOWN_GRACE_SECONDS = 2.0
IDLE_TIMEOUT_SECONDS = 90.0
IDLE_CHECK_SECONDS = 15.0
READ_BUFFER_BYTES = 64 * 1024
# The first probe after that much silence, more at these intervals; after so many without an answer the peer is gone.
PROBE_IDLE_SECONDS, PROBE_INTERVAL_SECONDS, PROBES = 30, 15, 4

_BREAKS = re.compile(r"[\r\n]")
_WITHOUT_BODY = (HTTPStatus.NO_CONTENT.value, HTTPStatus.NOT_MODIFIED.value)
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


_date: tuple[int, bytes] = (-1, b"")


def http_date() -> bytes:
    """The current second as the header Date has it (RFC 9110)."""
    global _date
    second = int(clock.time_seconds())
    if _date[0] != second:
        _date = (second, formatdate(second, usegmt=True).encode())
    return _date[1]


@dataclass(slots=True)
class Request:
    """One request, body included."""

    method: str
    path: str
    """As sent, still percent-encoded."""
    query: str
    """As sent, without the question mark."""
    headers: Mapping[str, str]
    """Names in lower case; repeated ones joined by ", ", those that are `KEPT_APART` by a newline."""
    body: bytes = b""
    peer_certificate: Mapping[str, Any] | None = None
    """`ssl.SSLSocket.getpeercert()` of a verified client certificate."""
    remote_address: str = ""
    body_too_large: bool = False
    """The body was over the limit and thrown away."""
    head: bytes = b""
    """The headers as they were sent, where the connection has seen the same ones before."""

    @property
    def wants_upgrade(self) -> bool:
        return "upgrade" in self.headers.get("connection", "").lower()


@dataclass(slots=True)
class Response:
    """One answer."""

    status: int = 200
    headers: Collection[tuple[str, str]] = ()
    """Without Content-Length, Transfer-Encoding and Date, which the server writes."""
    body: bytes | Parts | AsyncIterator[bytes] = b""
    takeover: Callable[[ByteStream], Awaitable[None]] | None = None
    """With status 101: what goes on on the connection."""
    whole: bytes = b""
    """All of it as it is sent, where that is known; only for a request with a `head`."""

    def has(self, header: str) -> bool:
        """Whether there is a header of that name, given in lower case."""
        return header in [name.lower() for name, _ in self.headers]


class Parts:
    """A body in the parts that it is made of, which are others' too: it is put together only as it is sent."""

    def __init__(self, parts: Sequence[bytes], separator: bytes = b"") -> None:
        self._parts, self._separator = parts, separator
        self._size = sum(map(len, parts)) + max(len(parts) - 1, 0) * len(separator)

    def __len__(self) -> int:
        """In bytes."""
        return self._size

    def __bytes__(self) -> bytes:
        return self._separator.join(self._parts)

    def __iter__(self) -> Iterator[bytes]:
        """In pieces of about PIECE_BYTES."""
        waiting, size, separator = [], 0, self._separator
        for part in self._parts:
            if size >= PIECE_BYTES:
                # With what separates it from the next.
                waiting.append(b"")
                yield separator.join(waiting)
                waiting, size = [], 0
            waiting.append(part)
            size += len(part)
        yield separator.join(waiting)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


class Piece(bytes):
    """A piece of a streamed body that goes to many clients."""

    @cached_property
    def chunk(self) -> bytes:
        """As it is sent to each of them, made once."""
        return _chunk(self)


def _header_lines(headers: Collection[tuple[str, str]]) -> bytes:
    """One line each, whatever is in the values: a break would begin a header of somebody else's."""
    lines = [f"{name}: {value}" for name, value in headers]
    text = "\r\n".join([*lines, ""])
    if not text.count("\r") == text.count("\n") == len(lines):
        text = "\r\n".join([*(_BREAKS.sub(" ", line) for line in lines), ""])
    return text.encode("latin-1", "replace")


async def _end(body: bytes | Parts | AsyncIterator[bytes]) -> None:
    """Of a body nothing more is wanted: what it comes from can be let go."""
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


Handler = Callable[[Request], Awaitable[Response]]
AtOnce = Callable[[Request], bytes | None]
"""Answers a GET whose `head` is known, the whole response as it is sent, if that needs no waiting."""


@dataclass(slots=True)
class Server:
    """A listening server; `close` ends it and every connection."""

    listener: asyncio.Server | TLSListener
    connections: set[_Connection] = field(default_factory=set)
    _timer: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        return int(self.listener.sockets[0].getsockname()[1])

    def close_idle(self) -> None:
        """Close connections that have been idle for too long, now and from now on."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_TIMEOUT_SECONDS
        for connection in list(self.connections):
            connection.close_if_idle(oldest)
        self._timer = loop.call_later(IDLE_CHECK_SECONDS, self.close_idle)

    async def close(self) -> None:
        """Stop listening, let answers under way finish for a moment, then drop the connections."""
        self.listener.close()
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self.connections):
            connection.shut_down()
        deadline = asyncio.get_running_loop().time() + SHUTDOWN_GRACE_SECONDS
        while self.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()


async def serve(
    handler: Handler,
    host: str | None = None,
    port: int = 0,
    *,
    path: str | None = None,
    sock: Any = None,
    tls: ssl.SSLContext | None = None,
    body_limit_bytes: int = BODY_LIMIT_BYTES,
    at_once: AtOnce = lambda request: None,
) -> Server:
    """Listen on host and port, a socket already bound, or the unix socket at `path`. Raises OSError if taken.

    `at_once` is tried before `handler`, which costs a task for each request.
    """
    loop = asyncio.get_running_loop()
    connections: set[_Connection] = set()

    def protocol() -> _Connection:
        return _Connection(handler, at_once, connections, body_limit_bytes)

    listener: asyncio.Server | TLSListener
    if path is not None:
        listener = await loop.create_unix_server(protocol, path, ssl=tls, backlog=BACKLOG)
    elif tls is not None:
        listener = TLSListener(sock or _bound(host or "::", port), tls, protocol)
    elif sock is not None:
        listener = await loop.create_server(protocol, sock=sock, backlog=BACKLOG)
    else:
        listener = await loop.create_server(protocol, host, port, backlog=BACKLOG, reuse_address=True)
    server = Server(listener, connections)
    server.close_idle()
    return server


def _bound(host: str, port: int) -> socket.socket:
    """A listening socket; one on every address of IPv6 is on every address of IPv4 too."""
    has_both = host == "::" and socket.has_dualstack_ipv6()
    if host == "::" and not has_both:
        host = "0.0.0.0"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=has_both)


def _probe(sock: socket.socket) -> None:
    """Have TCP ask whether the peer is still there."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", PROBE_IDLE_SECONDS),
        ("TCP_KEEPINTVL", PROBE_INTERVAL_SECONDS),
        ("TCP_KEEPCNT", PROBES),
    ):
        # Not every system has them under these names.
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


_URL = re.compile(rb"/[!\"$-~]*")
_VERSION = b" HTTP/1.1"
_LINE = re.compile(rb"(POST|PUT|PATCH|DELETE) (/[!\"$-~]*) HTTP/1\.1")
_LENGTH = re.compile(rb"(?:\A|\r\n)content-length: (\d{1,9})(?=\r\n|\Z)", re.IGNORECASE)
# Headers that say something about the message or the connection.
_SPECIAL = frozenset({"connection", "content-length", "expect", "keep-alive", "te", "transfer-encoding", "upgrade"})
# What a connection receives is used up before another one receives: one buffer serves all of a process's event loop. A
# protocol without a buffer is given bytes, for each of which uvloop's TLS allocates, and returns, 256 KiB of fresh memory.
_BUFFER = memoryview(bytearray(READ_BUFFER_BYTES))


class _Connection(asyncio.BufferedProtocol):
    """One client. Requests of a pipeline wait in `_requests`; one task answers them in order."""

    def __init__(self, handler: Handler, at_once: AtOnce, connections: set[_Connection], body_limit_bytes: int) -> None:
        self._handler = handler
        self._at_once = at_once
        self._connections = connections
        self._body_limit = body_limit_bytes
        self._parser = httptools.HttpRequestParser(self)
        self._requests: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._stream: ByteStream | None = None
        self._awaiting_upgrade = False
        self._early: list[bytes] = []
        self._closing = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._loop = asyncio.get_running_loop()
        self._active = self._loop.time()
        """When something was last received or answered."""
        self._begun = self._completed = 0
        """How many messages the parser has seen begin and end."""
        self._known: dict[str, str] = {}
        self._known_end = self._known_start = b""
        """Headers that were parsed before, and what followed the path of their request, up to its end. With a body: what was
        before the value of Content-Length, and after it."""
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._headers_size = 0
        self._body: list[bytes] = []
        self._body_size = 0

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface without the base class.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_HIGH_BYTES)
        self._connections.add(self)
        tls = transport.get_extra_info("ssl_object")
        self._certificate = tls.getpeercert() if tls is not None else None
        peer = transport.get_extra_info("peername")
        self._remote = str(peer[0]) if isinstance(peer, tuple) else ""
        if isinstance(peer, tuple):
            _probe(transport.get_extra_info("socket"))

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        self._closing = True
        self._writable.set()
        if self._stream is not None:
            self._stream.feed_eof()
        elif self._task is not None:
            self._task.cancel()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self._receive(_BUFFER[:nbytes])

    def _receive(self, data: memoryview) -> None:
        if self._stream is not None:
            self._stream.feed_data(bytes(data))
            return
        self._active = self._loop.time()
        if self._awaiting_upgrade:
            self._early.append(bytes(data))
            return
        count, between = self._completed, self._begun == self._completed
        if between and self._known and self._take_known(bytes(data)):
            return
        try:
            self._parser.feed_data(data)
            if between and self._begun == self._completed == count + 1:
                self._remember(bytes(data))
        except httptools.HttpParserUpgrade as upgrade:
            self._awaiting_upgrade = True
            self._early.append(bytes(data[upgrade.args[0] :]))
        except httptools.HttpParserError as error:
            self._refuse(400, f"malformed HTTP request: {error}")

    def _take_known(self, data: bytes) -> bool:
        """Take a request whose headers are those of the last one, as a client's mostly are: it need not be parsed again."""
        if self._requests or self._closing:
            return False
        return self._take_with_body(data) if self._known_start else self._take_get(data)

    def _take_get(self, data: bytes) -> bool:
        if not data.endswith(self._known_end) or not data.startswith(b"GET /"):
            return False
        url = data[4 : -len(self._known_end)]
        if not _URL.fullmatch(url):
            return False
        path, _, query = url.decode("latin-1").partition("?")
        request = Request("GET", path, query, self._known, b"", self._certificate, self._remote, False, self._known_end)
        if self._task is None and self._writable.is_set():
            answer = self._at_once(request)
            if answer is not None:
                self._transport.write(answer)
                return True
        self._queue(request, keep_alive=True)
        return True

    def _take_with_body(self, data: bytes) -> bool:
        end = data.find(b"\r\n\r\n")
        line, _, headers = data[:end].partition(b"\r\n")
        found = _LINE.fullmatch(line)
        if found is None or not headers.startswith(self._known_start) or not headers.endswith(self._known_end):
            return False
        length = headers[len(self._known_start) : len(headers) - len(self._known_end)]
        if not length.isdigit() or end + 4 + int(length) != len(data) or int(length) > self._body_limit:
            return False
        path, _, query = found[2].decode("latin-1").partition("?")
        known = {**self._known, "content-length": length.decode()}
        method = found[1].decode()
        self._queue(Request(method, path, query, known, data[end + 4 :], self._certificate, self._remote), keep_alive=True)
        return True

    def _remember(self, data: bytes) -> None:
        """The headers of the one request that was in `data`, if it was whole and nothing comes of them but what they say."""
        line, _, rest = data.partition(b"\r\n")
        special = _SPECIAL & self._headers.keys()
        if line.startswith(b"GET /") and line.endswith(_VERSION) and not special and data.endswith(b"\r\n\r\n"):
            self._known_start, self._known_end, self._known = b"", b"%b\r\n%b" % (_VERSION, rest), self._headers
        elif special == {"content-length"} and _LINE.fullmatch(line):
            headers = rest[: rest.find(b"\r\n\r\n")]
            lengths = list(_LENGTH.finditer(headers))
            if len(lengths) == 1:
                start, end = lengths[0].span(1)
                self._known_start, self._known_end, self._known = headers[:start], headers[end:], self._headers

    def eof_received(self) -> bool:
        if self._stream is not None:
            self._stream.feed_eof()
            # TLS has no half-open connections.
            return self._transport.get_extra_info("ssl_object") is None
        return False

    def pause_writing(self) -> None:
        self._writable.clear()
        if self._stream is not None:
            self._stream.pause_writing()

    def resume_writing(self) -> None:
        self._writable.set()
        if self._stream is not None:
            self._stream.resume_writing()

    # httptools' callbacks

    def on_message_begin(self) -> None:
        self._begun += 1
        self._reset()

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count_headers(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_headers(len(name) + len(value))
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        present = self._headers.get(key)
        if present is not None:
            text = f"{present}\n{text}" if key.startswith(KEPT_APART) else f"{present}, {text}"
        self._headers[key] = text

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_size += len(body)
        if self._body_size <= self._body_limit:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._completed += 1
        self._take(self._parser.get_method().decode("latin-1"), keep_alive=self._parser.should_keep_alive())

    def _take(self, method: str, *, keep_alive: bool) -> None:
        path, _, query = self._url.decode("latin-1").partition("?")
        request = Request(
            method,
            path,
            query,
            self._headers,
            b"".join(self._body) if len(self._body) != 1 else self._body[0],
            self._certificate,
            self._remote,
            self._body_size > self._body_limit,
        )
        self._queue(request, keep_alive=keep_alive)

    def _queue(self, request: Request, *, keep_alive: bool) -> None:
        if self._closing or len(self._requests) >= PIPELINE_LIMIT:
            self._transport.close()
            return
        self._requests.append((request, keep_alive))
        if self._task is None:
            self._task = self._loop.create_task(self._answer_all())

    def _count_headers(self, size: int) -> None:
        self._headers_size += size
        if self._headers_size > HEADERS_LIMIT_BYTES:
            self._refuse(431, "request header fields too large")

    # Answers

    def _refuse(self, status: int, message: str) -> None:
        if not self._closing:
            self._closing = True
            body = message.encode()
            head = b"Content-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            self._transport.write(_STATUS_LINES[status] + head + body)
            self._transport.close()

    async def _answer_all(self) -> None:
        try:
            while self._requests:
                request, keep_alive = self._requests.popleft()
                response = await self._handler(request)
                if response.takeover is not None:
                    await self._hand_over(response)
                    return
                await self._send(request, response, keep_alive)
                if not keep_alive or self._closing:
                    self._transport.close()
                    return
                if self._awaiting_upgrade and not self._requests:
                    self._stay_with_http()
        except ConnectionError:
            self._transport.abort()
        except Exception:
            logger.exception("a request could not be answered")
            self._transport.abort()
        finally:
            self._task = None
            self._active = self._loop.time()

    def _stay_with_http(self) -> None:
        """The upgrade that a request asked for was not made: what came after it is HTTP."""
        self._awaiting_upgrade = False
        self._parser = httptools.HttpRequestParser(self)
        early, self._early = self._early, []
        for data in early:
            self._receive(memoryview(data))

    async def _send(self, request: Request, response: Response, keep_alive: bool) -> None:
        if response.whole:
            self._transport.write(response.whole)
            if not self._writable.is_set():
                await self._writable.wait()
            return
        head = [_STATUS_LINES.get(response.status) or b"HTTP/1.1 %d \r\n" % response.status]
        head.append(_header_lines(response.headers))
        if not response.has("date"):
            head.append(b"Date: %b\r\n" % http_date())
        if not keep_alive:
            head.append(b"Connection: close\r\n")
        body = response.body
        if response.status in _WITHOUT_BODY:
            # A length would be that of the body which the client has already.
            head.append(b"\r\n")
            self._transport.write(b"".join(head))
            await _end(body)
            return
        if isinstance(body, bytes | Parts):
            head.append(b"Content-Length: %d\r\n\r\n" % len(body))
            if request.method == "HEAD":
                body = b""
            if isinstance(body, Parts):
                self._transport.write(b"".join(head))
                for piece in body:
                    if self._transport.is_closing():
                        return
                    await self._send_large(piece)
            elif len(body) <= PIECE_BYTES:
                head.append(body)
                self._transport.write(b"".join(head))
                if not self._writable.is_set():
                    await self._writable.wait()
            else:
                self._transport.write(b"".join(head))
                await self._send_large(body)
            return
        head.append(b"Transfer-Encoding: chunked\r\n\r\n")
        self._transport.write(b"".join(head))
        try:
            if request.method == "HEAD":
                return
            async for piece in body:
                if piece:
                    if self._transport.is_closing():
                        return
                    chunk = piece.chunk if type(piece) is Piece else _chunk(piece)
                    if len(chunk) > PIECE_BYTES:
                        await self._send_large(chunk)
                        continue
                    self._transport.write(chunk)
                    if not self._writable.is_set():
                        await self._writable.wait()
            self._transport.write(b"0\r\n\r\n")
        finally:
            await _end(body)

    async def _send_large(self, body: bytes) -> None:
        """A piece at a time, as the client takes it: what is encrypted and buffered stays as small as a piece."""
        view = memoryview(body)
        for start in range(0, len(body), PIECE_BYTES):
            if self._transport.is_closing():
                return
            self._transport.write(view[start : start + PIECE_BYTES])
            if not self._writable.is_set():
                await self._writable.wait()

    async def _hand_over(self, response: Response) -> None:
        assert response.takeover is not None
        head = [_STATUS_LINES[101], _header_lines(response.headers)]
        self._transport.write(b"".join(head) + b"\r\n")
        self._stream = stream = ByteStream(self._transport)
        if not self._writable.is_set():
            stream.pause_writing()
        for data in self._early:
            stream.feed_data(data)
        self._early.clear()
        try:
            await response.takeover(stream)
        finally:
            stream.close()

    # Shutdown

    def close_if_idle(self, since: float) -> None:
        """Close if nothing has been asked, and no part of a request received, since then (of the loop's time)."""
        if self._task is None and self._stream is None and self._active < since:
            self._transport.close()

    def shut_down(self) -> None:
        """Close when nothing is being answered; otherwise stop what is endless."""
        self._closing = True
        if self._task is None:
            self._transport.close()
        else:
            self._task.cancel()
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()
