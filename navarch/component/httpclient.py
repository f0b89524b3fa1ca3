"""An HTTP/1.1 client with kept connections, streamed bodies and upgrades; httptools parses.

Small on purpose: what navarch's components need to reach the API server, kubelets and webhooks, without the CPU and memory of a
general client.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httptools

from navarch.component import tls
from navarch.component.bytestream import ByteStream

CONNECT_TIMEOUT_SECONDS = 10.0
REQUEST_TIMEOUT_SECONDS = 60.0
IDLE_CONNECTIONS_LIMIT = 16
CLOSING_TURNS_LIMIT = 1000
UNREAD_LIMIT_BYTES = 1024 * 1024
READ_BUFFER_BYTES = 64 * 1024


class AnswerTooLargeError(ConnectionError):
    """The body of an answer is over the caller's limit."""


@dataclass(slots=True)
class Answer:
    """An answer whose body has been read."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class StreamedAnswer:
    """An answer whose body is read as it comes. Use as an async iterator of bytes; `close` when done early."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._connection.body()

    async def read(self) -> bytes:
        """All that is left of the body."""
        return b"".join([chunk async for chunk in self])

    def close(self) -> None:
        self._connection.close()


class HTTPClient:
    """Requests to one server. Raises OSError (ConnectionError, ssl.SSLError, TimeoutError) when it cannot be reached."""

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
        unix_socket: str | None = None,
        server_name: str | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.secure = parts.scheme == "https"
        self.host = parts.hostname or "localhost"
        self.port = parts.port or (443 if self.secure else 80)
        self._tls = tls
        self._headers = dict(headers or {})
        self._unix_socket = unix_socket
        self._server_name = server_name
        self._idle: deque[_Connection] = deque()
        self._open: set[_Connection] = set()

    async def request(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_seconds: float | None = REQUEST_TIMEOUT_SECONDS,
        limit_bytes: int | None = None,
    ) -> Answer:
        """One request, its answer read whole, if it is within the limit.

        `target` is path and query; a header that is sent several times has its values parted by newlines.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                connection = await self._send(method, target, headers, body)
                try:
                    content = await _whole(connection, limit_bytes)
                except BaseException:
                    connection.close()
                    raise
        except TimeoutError:
            # What swallowed this request has swallowed the kept connections too: the next one begins anew.
            while self._idle:
                self._idle.pop().abort()
            raise
        self._keep(connection)
        return Answer(connection.status, connection.headers, content)

    async def stream(
        self, method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> StreamedAnswer:
        """One request; returns when the answer's headers have come. The connection is not used again."""
        return StreamedAnswer(await self._send(method, target, headers, body))

    async def upgrade(
        self, method: str, target: str, *, headers: Mapping[str, str]
    ) -> tuple[Mapping[str, str], ByteStream] | Answer:
        """Ask to leave HTTP (`headers` hold Connection and Upgrade). Returns the answer's headers and the raw
        connection, or the answer if the server will not switch."""
        connection = await self._send(method, target, headers, b"", fresh=True)
        if connection.stream is not None:
            return connection.headers, connection.stream
        content = b"".join([chunk async for chunk in connection.body()])
        connection.close()
        return Answer(connection.status, connection.headers, content)

    @property
    def keeps_connections(self) -> bool:
        """Whether the next request goes over a connection that was used before."""
        return bool(self._idle)

    def drop_kept(self) -> None:
        """Close the connections over which nothing is asked at the moment."""
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """Drop every connection."""
        for connection in list(self._open):
            connection.abort()
        self._idle.clear()

    async def wait_closed(self) -> None:
        """After `close`: until the event loop has let go of every connection, as it must before it ends itself."""
        turns = 0
        while self._open and turns < CLOSING_TURNS_LIMIT:
            turns += 1
            await asyncio.sleep(0)

    async def _send(
        self, method: str, target: str, headers: Mapping[str, str] | None, body: bytes, *, fresh: bool = False
    ) -> _Connection:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        sent = {**self._headers, **(headers or {})}
        lines += [f"{name}: {value}" for name, values in sent.items() for value in values.split("\n")]
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        while True:
            connection, reused = await self._connection(fresh)
            try:
                await connection.send(head + body, method)
                return connection
            except ConnectionError:
                connection.close()
                # The server may have closed a kept connection just as it was used. Whether it took the request first can't be
                # told, so what must not happen twice is left to the caller.
                if not reused or method == "POST":
                    raise
            except BaseException:
                connection.close()
                raise

    async def _connection(self, fresh: bool) -> tuple[_Connection, bool]:
        while self._idle and not fresh:
            connection = self._idle.pop()
            if not connection.is_closing:
                return connection, True
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            if self._unix_socket is not None:
                _, connection = await loop.create_unix_connection(lambda: _Connection(self._open), self._unix_socket)
            elif self.secure:
                assert self._tls is not None, "who speaks to https has a context for it"
                name = self._server_name or self.host
                connection = await tls.connect(self.host, self.port, self._tls, name, lambda: _Connection(self._open))
            else:
                _, connection = await loop.create_connection(lambda: _Connection(self._open), self.host, self.port)
        return connection, False

    def _keep(self, connection: _Connection) -> None:
        if connection.keep_alive and not connection.is_closing and len(self._idle) < IDLE_CONNECTIONS_LIMIT:
            self._idle.append(connection)
        else:
            connection.close()


async def _whole(connection: _Connection, limit_bytes: int | None) -> bytes:
    """Raises AnswerTooLargeError."""
    chunks, size = [], 0
    async for chunk in connection.body():
        size += len(chunk)
        if limit_bytes is not None and size > limit_bytes:
            raise AnswerTooLargeError(f"the answer is larger than {limit_bytes} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


# What a connection receives is used up before another one receives.
_BUFFER = memoryview(bytearray(READ_BUFFER_BYTES))


class _Connection(asyncio.BufferedProtocol):
    """One connection to the server, one request at a time."""

    def __init__(self, registry: set[_Connection]) -> None:
        self._registry = registry
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self.stream: ByteStream | None = None
        self.keep_alive = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self._chunks: deque[bytes] = deque()
        self._unread = 0
        self._complete = True
        self._error: Exception | None = None
        self._head: asyncio.Future[None] | None = None
        self._wakeup = asyncio.Event()
        self._head_request = False

    @property
    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        """Close without a farewell: no waiting for the peer's."""
        self._transport.abort()

    async def send(self, data: bytes, method: str) -> None:
        """Send a request and wait for the answer's headers."""
        self._parser = httptools.HttpResponseParser(self)
        # As Go's client: simple servers end their header lines in a line feed alone.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
        self.status, self.headers, self.keep_alive = 0, {}, False
        self._chunks.clear()
        self._unread, self._complete = 0, False
        self._head_request = method == "HEAD"
        self._head = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        await self._head

    async def body(self) -> AsyncIterator[bytes]:
        """Chunks as they come; raises ConnectionError if the body ends too early."""
        while True:
            if self._chunks:
                chunk = self._chunks.popleft()
                if self._unread > UNREAD_LIMIT_BYTES >= self._unread - len(chunk):
                    self._transport.resume_reading()
                self._unread -= len(chunk)
                yield chunk
            elif self._complete:
                return
            elif self._error is not None:
                raise self._error
            else:
                self._wakeup.clear()
                await self._wakeup.wait()

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface without the base class.
        self._transport = cast(asyncio.Transport, transport)
        self._registry.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._registry.discard(self)
        if self.stream is not None:
            self.stream.feed_eof()
            return
        self._fail(ConnectionResetError(f"the connection was closed: {error}" if error else "the connection was closed"))

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(_BUFFER[:nbytes])
        if self.stream is not None:
            self.stream.feed_data(data)
            return
        if self._head is None:
            self._transport.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.stream = ByteStream(self._transport)
            self.stream.feed_data(data[upgrade.args[0] :])
            self._have_head()
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"malformed HTTP answer: {error}"))
            self._transport.close()

    def eof_received(self) -> bool:
        if self.stream is not None:
            self.stream.feed_eof()
            # TLS has no half-open connections.
            return self._transport.get_extra_info("ssl_object") is None
        if "content-length" not in self.headers and "transfer-encoding" not in self.headers and self.status:
            # A body without a length ends with the connection.
            self._complete = True
            self._wakeup.set()
        return False

    def pause_writing(self) -> None:
        if self.stream is not None:
            self.stream.pause_writing()

    def resume_writing(self) -> None:
        if self.stream is not None:
            self.stream.resume_writing()

    # httptools' callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        present = self.headers.get(key)
        self.headers[key] = text if present is None else f"{present}, {text}"

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status == 100:
            return
        if self.status != 101:
            self._have_head()
        if self._head_request:
            self._complete = True

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._unread += len(body)
        if self._unread > UNREAD_LIMIT_BYTES:
            self._transport.pause_reading()
        self._wakeup.set()

    def on_message_complete(self) -> None:
        if self.status in (100, 101):
            return
        self.keep_alive = self._parser.should_keep_alive()
        self._complete = True
        self._wakeup.set()

    def _have_head(self) -> None:
        if self._head is not None and not self._head.done():
            self._head.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._error = error
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
        self._wakeup.set()
