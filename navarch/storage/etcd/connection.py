"""A gRPC client's connection: HTTP/2 (RFC 9113) as far as calls need it, on the event loop and nowhere else.

With gRPC's own library a call costs four times as much: each, and each message of a watch, goes through a thread and several
tasks. Here the calls of one turn of the loop leave in one write, and what one read brings is taken apart at once.

Rules: a call ends with its answer or with a `CallError`, once. What the peer's windows have no room for waits, as do calls that
are more than it wants at a time. A peer that is silent for too long is asked whether it is there, then given up.
"""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
import struct
from collections import deque
from collections.abc import AsyncGenerator
from enum import IntEnum
from typing import cast
from urllib.parse import unquote

from navarch.storage.etcd import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_LIMIT_BYTES = 16_384
"""What a peer takes in one frame if it says nothing else; we say nothing else."""
DEFAULT_WINDOW_BYTES = 65_535
STREAM_WINDOW_BYTES, CONNECTION_WINDOW_BYTES = 4 << 20, 16 << 20
"""What etcd may send before we have taken it: of one call, and of all."""
LAST_STREAM = (1 << 31) - 1
HEADERS_LIMIT_BYTES = 64 * 1024
REMEMBERED_BLOCKS = 256
DEADLINE_CHECK_SECONDS = 0.05
CLOSE_TIMEOUT_SECONDS = 1.0
# etcd wants no more than one ping in 5 s.
KEEPALIVE_SECONDS, KEEPALIVE_TIMEOUT_SECONDS = 10.0, 5.0

_CODES = """
    OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED
    FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED
"""
CODES = _CODES.split()
"""gRPC's status names by their numbers."""

_FRAME = struct.Struct(">IBI")
_SETTING = struct.Struct(">HI")
_NUMBER = struct.Struct(">I")
_STREAM = 0x7FFF_FFFF


class Frame(IntEnum):
    """RFC 9113, 6. The others need nothing done."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


# As plain numbers, which is what frames are compared with.
_DATA, _HEADERS = int(Frame.DATA), int(Frame.HEADERS)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20


class Setting(IntEnum):
    """RFC 9113, 6.5.2."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5


class Reset(IntEnum):
    """RFC 9113, 7: those that say something."""

    NO_ERROR = 0
    REFUSED_STREAM = 7
    CANCEL = 8
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12


# What gRPC makes of them (its protocol's "HTTP2 Transport Mapping"); of all others INTERNAL.
_RESETS = {
    Reset.REFUSED_STREAM: "UNAVAILABLE",
    Reset.CANCEL: "CANCELLED",
    Reset.ENHANCE_YOUR_CALM: "RESOURCE_EXHAUSTED",
    Reset.INADEQUATE_SECURITY: "PERMISSION_DENIED",
}
_HTTP_CODES = {"400": "INTERNAL", "401": "UNAUTHENTICATED", "403": "PERMISSION_DENIED", "404": "UNIMPLEMENTED"}
_HTTP_CODES |= dict.fromkeys(("429", "502", "503", "504"), "UNAVAILABLE")


class CallError(Exception):
    """A call that failed. `code` is a gRPC status name."""

    def __init__(self, code: str, details: str, *, reached: bool = True) -> None:
        super().__init__(details)
        self.code = code
        self.details = details
        self.reached = reached
        """False: the server cannot have got it, or has not looked at it."""


class _ProtocolError(Exception):
    """The peer does not speak HTTP/2 as we do."""


class Call:
    """One request and what comes back."""

    def __init__(self, waiter: asyncio.Future[None], deadline: float | None, *, is_stream: bool) -> None:
        self.number = 0
        self.window = 0
        self.credit = 0
        """Bytes that are done with, of which the peer does not know yet."""
        self.held = 0
        """Bytes of messages that nobody has taken yet."""
        self.deadline = deadline
        self.is_stream = is_stream
        self.is_sent = False
        self.is_ended = False
        self.messages: list[bytes] = []
        self.status: str | None = None
        """HTTP's."""
        self.error: CallError | None = None
        self._buffer = bytearray()
        self._needed = 0
        """How long the buffer has to become for there to be a message in it."""
        self._waiter = waiter

    def take(self, data: bytes) -> None:
        """More of the messages. Raises _ProtocolError."""
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return
            data = bytes(self._buffer)
        at, size = 0, len(data)
        needed = 5
        while size - at >= 5:
            if data[at]:
                raise _ProtocolError("a message is compressed, which was not offered")
            end = at + 5 + int.from_bytes(data[at + 1 : at + 5])
            if end > size:
                needed = end - at
                break
            self.messages.append(data[at + 5 : end])
            at = end
        self._buffer, self._needed = bytearray(data[at:]), needed
        if self.messages and self.is_stream:
            self.wake()

    def end(self, error: CallError | None) -> None:
        self.is_ended = True
        self.error = error
        self.wake()

    def wake(self) -> None:
        if not self._waiter.done():
            self._waiter.set_result(None)

    async def ended(self) -> None:
        await self._waiter

    async def more(self) -> list[bytes]:
        """The messages that have come since, some at least; none at the end."""
        while not self.messages and not self.is_ended:
            await self._waiter
            self._waiter = self._waiter.get_loop().create_future()
        found, self.messages = self.messages, []
        return found


class Connection(asyncio.Protocol):
    """To one server. `connect` makes one."""

    def __init__(self, authority: str, *, tls: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._authority = authority
        self._scheme = "https" if tls else "http"
        self._transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[None] = self._loop.create_future()
        """Done when the server has said how it wants to be spoken to, or why not."""
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.problem: CallError | None = None
        """Why no call can be made here any more."""
        self._calls: dict[int, Call] = {}
        self._timed: dict[Call, None] = {}
        """Those with a deadline."""
        self._queued: deque[tuple[Call, bytes, bytes]] = deque()
        """More than the server wants at once."""
        self._unsent: deque[tuple[Call, memoryview]] = deque()
        """What windows have had no room for yet."""
        self._next = 1
        self._limit = _STREAM
        self._window = self._stream_window = DEFAULT_WINDOW_BYTES
        self._frame_limit = FRAME_LIMIT_BYTES
        self._credit = 0
        self._out: list[bytes | memoryview] = []
        self._rest = b""
        self._block: tuple[int, int, bytes] | None = None
        """A header block that goes on in the next frame: its stream, its flags, and what there is."""
        self._decoded: dict[bytes, dict[str, str]] = {}
        self._heads: dict[tuple[str, str, tuple[tuple[str, str], ...]], bytes] = {}
        self._deadlines: asyncio.TimerHandle | None = None
        self._keepalive: asyncio.TimerHandle | None = None
        self._heard = True
        self._is_asked = False

    # Calls

    async def unary(self, path: str, message: bytes, timeout_seconds: float) -> bytes:
        """One message for one message. Raises CallError."""
        deadline = self._loop.time() + timeout_seconds
        call = Call(self._loop.create_future(), deadline, is_stream=False)
        # In tenths of a second: few different ones, so that they are remembered.
        self._begin(call, self._head(path, f"{int(timeout_seconds * 10) + 1}00m", ()), message)
        self._timed[call] = None
        if self._deadlines is None:
            self._deadlines = self._loop.call_later(DEADLINE_CHECK_SECONDS, self._check_deadlines)
        try:
            await call.ended()
        finally:
            self._timed.pop(call, None)
            if not call.is_ended:
                self._cancel(call)
        if call.error is not None:
            raise call.error
        if len(call.messages) != 1:
            raise CallError("INTERNAL", f"{len(call.messages)} messages instead of one")
        return call.messages[0]

    async def stream(
        self, path: str, message: bytes, headers: tuple[tuple[str, str], ...]
    ) -> AsyncGenerator[list[bytes], None]:
        """One message for many: all that have come since, each time. The request stays open. Raises CallError."""
        call = Call(self._loop.create_future(), None, is_stream=True)
        self._begin(call, self._head(path, "", headers), message)
        try:
            while messages := await call.more():
                self._give_credit(call)
                yield messages
            if call.error is not None:
                raise call.error
        finally:
            if not call.is_ended:
                self._cancel(call)

    def _head(self, path: str, timeout: str, headers: tuple[tuple[str, str], ...]) -> bytes:
        found = self._heads.get((path, timeout, headers))
        if found is None:
            fields = [(":method", "POST"), (":scheme", self._scheme), (":path", path), (":authority", self._authority)]
            fields += [("te", "trailers"), ("content-type", "application/grpc"), ("user-agent", "navarch"), *headers]
            if timeout:
                fields.append(("grpc-timeout", timeout))
            if len(self._heads) >= REMEMBERED_BLOCKS:
                self._heads.clear()
            found = self._heads[path, timeout, headers] = hpack.encode(fields)
        return found

    def _begin(self, call: Call, head: bytes, message: bytes) -> None:
        if self.problem is not None:
            raise CallError(self.problem.code, self.problem.details, reached=False)
        body = b"\0%b%b" % (_NUMBER.pack(len(message)), message)
        if len(self._calls) >= self._limit:
            self._queued.append((call, head, body))
        else:
            self._send_request(call, head, body)

    def _send_request(self, call: Call, head: bytes, body: bytes) -> None:
        number = call.number = self._next
        self._next += 2
        self._calls[number] = call
        call.window = self._stream_window
        call.is_sent = True
        size = len(body)
        beginning = _FRAME.pack(len(head) << 8 | _HEADERS, END_HEADERS, number)
        if size <= self._frame_limit and size <= self._window and size <= call.window and not self._unsent:
            self._window -= size
            call.window -= size
            flags = 0 if call.is_stream else END_STREAM
            self._write(beginning + head + _FRAME.pack(size << 8 | _DATA, flags, number) + body)
        else:
            self._write(beginning + head)
            self._unsent.append((call, memoryview(body)))
            self._send_unsent()
        if self._next > LAST_STREAM:
            self._retire(CallError("UNAVAILABLE", "the connection has had as many calls as it can have"))

    def _send_unsent(self) -> None:
        for _ in range(len(self._unsent)):
            call, body = self._unsent.popleft()
            while body and not call.is_ended:
                size = min(len(body), self._frame_limit, self._window, call.window)
                if size <= 0:
                    break
                self._window -= size
                call.window -= size
                flags = END_STREAM if size == len(body) and not call.is_stream else 0
                self._write(_FRAME.pack(size << 8 | _DATA, flags, call.number))
                self._write(body[:size])
                body = body[size:]
            if body and not call.is_ended:
                self._unsent.append((call, body))

    def _cancel(self, call: Call) -> None:
        """Nobody waits for it any more."""
        call.end(None)
        self._reset(call)
        self._after(call)

    def _reset(self, call: Call) -> None:
        if call.number in self._calls:
            self._write(_FRAME.pack(4 << 8 | Frame.RST_STREAM, 0, call.number) + _NUMBER.pack(Reset.CANCEL))

    def _finish(self, call: Call, error: CallError | None) -> None:
        if not call.is_ended:
            call.end(error)
        self._after(call)

    def _after(self, call: Call) -> None:
        self._calls.pop(call.number, None)
        while self._queued and len(self._calls) < self._limit and self.problem is None:
            waiting, head, body = self._queued.popleft()
            if not waiting.is_ended:
                self._send_request(waiting, head, body)
        if self.problem is not None and not self._calls:
            self.close()

    def _check_deadlines(self) -> None:
        now = self._loop.time()
        for call in [call for call in self._timed if call.deadline is not None and call.deadline <= now]:
            self._reset(call)
            self._finish(call, CallError("DEADLINE_EXCEEDED", "Deadline Exceeded", reached=call.is_sent))
            del self._timed[call]
        again = bool(self._timed)
        self._deadlines = self._loop.call_later(DEADLINE_CHECK_SECONDS, self._check_deadlines) if again else None

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by its class.
        self._transport = cast(asyncio.Transport, transport)
        settings = {
            Setting.HEADER_TABLE_SIZE: 0,
            Setting.ENABLE_PUSH: 0,
            Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
        }
        payload = b"".join(_SETTING.pack(name, value) for name, value in settings.items())
        self._write(PREFACE + _FRAME.pack(len(payload) << 8 | Frame.SETTINGS, 0, 0) + payload)
        self._give_window(0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES)
        self._keepalive = self._loop.call_later(KEEPALIVE_SECONDS, self._check_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(CallError("UNAVAILABLE", _reason(exc) if exc is not None else "Socket closed"))
        if not self.closed.done():
            self.closed.set_result(None)

    def close(self) -> None:
        """Calls that are under way fail."""
        self._fail(CallError("UNAVAILABLE", "the connection was closed"))

    async def wait_closed(self) -> None:
        """For a while; then it is broken off."""
        await asyncio.wait((self.closed,), timeout=CLOSE_TIMEOUT_SECONDS)
        if self._transport is not None and not self.closed.done():
            self._transport.abort()

    def _retire(self, problem: CallError) -> None:
        """Take no more calls; those under way go on to their end. A queued call has not been sent."""
        self.problem = self.problem or problem
        self._fail_queued(problem)
        if not self._calls:
            self.close()

    def _fail(self, problem: CallError) -> None:
        """Everything ends here."""
        self.problem = self.problem or problem
        if not self.ready.done():
            self.ready.set_exception(CallError(problem.code, problem.details, reached=False))
            # Perhaps nobody waits any more.
            self.ready.exception()
        self._fail_queued(problem)
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.is_ended:
                call.end(CallError(problem.code, problem.details))
        for timer in (self._keepalive, self._deadlines):
            if timer is not None:
                timer.cancel()
        # A TLS transport of Debian 12's Python that is closed twice can't be broken off any more.
        if self._transport is not None and not self._transport.is_closing():
            self._flush()
            self._transport.close()

    def _fail_queued(self, problem: CallError) -> None:
        queued, self._queued = self._queued, deque()
        for call, _, _ in queued:
            if not call.is_ended:
                call.end(CallError(problem.code, problem.details, reached=False))

    def _write(self, data: bytes | memoryview) -> None:
        """Sent with everything else of this turn of the loop."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        if self._out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _check_alive(self) -> None:
        if self._heard:
            self._heard = self._is_asked = False
            self._keepalive = self._loop.call_later(KEEPALIVE_SECONDS, self._check_alive)
        elif not self._is_asked:
            self._is_asked = True
            self._write(_FRAME.pack(8 << 8 | Frame.PING, 0, 0) + bytes(8))
            self._keepalive = self._loop.call_later(KEEPALIVE_TIMEOUT_SECONDS, self._check_alive)
        else:
            self._fail(CallError("UNAVAILABLE", "it does not answer pings"))
            assert self._transport is not None
            self._transport.abort()

    # What comes

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        try:
            while size - at >= 9:
                head, flags, number = _FRAME.unpack_from(data, at)
                length = head >> 8
                if length > FRAME_LIMIT_BYTES:
                    raise _ProtocolError("a frame is too large, or this is no HTTP/2")
                end = at + 9 + length
                if end > size:
                    break
                self._take(head & 0xFF, flags, number & _STREAM, data[at + 9 : end])
                at = end
        except (_ProtocolError, hpack.HeaderError, struct.error, IndexError) as error:
            self._fail(CallError("UNAVAILABLE", f"not understood: {error}"))
            return
        self._rest = data[at:] if at < size else b""

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block is not None and (kind != Frame.CONTINUATION or number != self._block[0]):
            raise _ProtocolError("a header block does not go on")
        if kind == _DATA:
            self._take_data(number, flags, payload)
        elif kind == _HEADERS:
            if flags & (PADDED | PRIORITY):
                payload = _unpadded(payload, flags, priority_bytes=5 if flags & PRIORITY else 0)
            if flags & END_HEADERS:
                self._take_headers(number, flags, payload)
            else:
                self._block = (number, flags, payload)
        elif not self.ready.done() and kind != Frame.SETTINGS:
            raise _ProtocolError("this is no HTTP/2")
        elif kind == Frame.CONTINUATION:
            self._continue(flags, payload)
        elif kind == Frame.WINDOW_UPDATE:
            self._take_window(number, _NUMBER.unpack(payload)[0] & _STREAM)
        elif kind == Frame.PING:
            if not flags & ACK:
                self._write(_FRAME.pack(8 << 8 | Frame.PING, ACK, 0) + payload)
        elif kind == Frame.SETTINGS:
            if not flags & ACK:
                self._take_settings(payload)
        elif kind == Frame.RST_STREAM:
            call = self._calls.get(number)
            if call is not None:
                code = _NUMBER.unpack(payload)[0]
                text = f"the stream was reset ({code})"
                self._finish(call, CallError(_RESETS.get(code, "INTERNAL"), text, reached=code != Reset.REFUSED_STREAM))
        elif kind == Frame.GOAWAY:
            self._take_goaway(_NUMBER.unpack_from(payload)[0] & _STREAM, payload[8:])
        elif kind == Frame.PUSH_PROMISE:
            raise _ProtocolError("a push that was forbidden")

    def _continue(self, flags: int, payload: bytes) -> None:
        if self._block is None:
            raise _ProtocolError("a header block goes on that never began")
        number, first_flags, block = self._block
        block += payload
        if len(block) > HEADERS_LIMIT_BYTES:
            raise _ProtocolError("a header block is too large")
        self._block = None if flags & END_HEADERS else (number, first_flags, block)
        if self._block is None:
            self._take_headers(number, first_flags, block)

    def _take_data(self, number: int, flags: int, payload: bytes) -> None:
        size = len(payload)
        if flags & PADDED:
            payload = _unpadded(payload, flags)
        self._credit += size
        if self._credit >= CONNECTION_WINDOW_BYTES // 2:
            self._give_window(0, self._credit)
            self._credit = 0
        call = self._calls.get(number)
        if call is None:
            # It was given up.
            return
        call.held += size
        call.take(payload)
        # Of a stream, messages count until somebody takes them.
        if not (call.is_stream and call.messages):
            self._give_credit(call)
        if flags & END_STREAM:
            self._finish(call, CallError("INTERNAL", "the call has ended without a status"))

    def _give_credit(self, call: Call) -> None:
        call.credit += call.held
        call.held = 0
        if call.credit >= STREAM_WINDOW_BYTES // 2 and not call.is_ended:
            self._give_window(call.number, call.credit)
            call.credit = 0

    def _give_window(self, number: int, size: int) -> None:
        self._write(_FRAME.pack(4 << 8 | Frame.WINDOW_UPDATE, 0, number) + _NUMBER.pack(size))

    def _take_headers(self, number: int, flags: int, block: bytes) -> None:
        headers = self._decoded.get(block)
        if headers is None:
            headers = dict(hpack.decode(block))
            if len(self._decoded) >= REMEMBERED_BLOCKS:
                self._decoded.clear()
            self._decoded[block] = headers
        call = self._calls.get(number)
        if call is None:
            return
        if call.status is None and not headers.get(":status", "").startswith("1"):
            call.status = headers.get(":status", "")
        if flags & END_STREAM:
            self._finish(call, _outcome(call.status or "", headers))

    def _take_settings(self, payload: bytes) -> None:
        for name, value in _SETTING.iter_unpack(payload):
            if name == Setting.MAX_CONCURRENT_STREAMS:
                self._limit = value
            elif name == Setting.MAX_FRAME_SIZE:
                self._frame_limit = value
            elif name == Setting.INITIAL_WINDOW_SIZE:
                for call in self._calls.values():
                    call.window += value - self._stream_window
                self._stream_window = value
        self._write(_FRAME.pack(Frame.SETTINGS, ACK, 0))
        if not self.ready.done():
            self.ready.set_result(None)
        self._send_unsent()

    def _take_window(self, number: int, size: int) -> None:
        if number == 0:
            self._window += size
        elif (call := self._calls.get(number)) is not None:
            call.window += size
        if self._unsent:
            self._send_unsent()

    def _take_goaway(self, last: int, debug: bytes) -> None:
        text = "the server goes away" + (f": {debug.decode('utf-8', 'replace')}" if debug else "")
        problem = CallError("UNAVAILABLE", text)
        for call in [call for number, call in self._calls.items() if number > last]:
            del self._calls[call.number]
            call.end(CallError(problem.code, problem.details, reached=False))
        self._retire(problem)


def _unpadded(payload: bytes, flags: int, priority_bytes: int = 0) -> bytes:
    start, end = priority_bytes, len(payload)
    if flags & PADDED:
        start, end = start + 1, end - payload[0]
    if start > end:
        raise _ProtocolError("more padding than there is room for")
    return payload[start:end]


def _outcome(http_status: str, trailers: dict[str, str]) -> CallError | None:
    status = trailers.get("grpc-status")
    if status is None:
        return CallError(_HTTP_CODES.get(http_status, "UNKNOWN"), f"HTTP status {http_status or 'unknown'} instead of gRPC's")
    if status == "0":
        return None
    code = CODES[int(status)] if status.isdigit() and int(status) < len(CODES) else "UNKNOWN"
    return CallError(code, unquote(trailers.get("grpc-message", "")) or code)


def _reason(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
    if number is not None and number in errno.errorcode:
        # asyncio puts an address into the place of the text.
        return os.strerror(number)
    return str(error) or type(error).__name__


async def connect(endpoint: str, tls: ssl.SSLContext | None, timeout_seconds: float) -> Connection:
    """A connection that is ready for calls. Raises CallError, which says that nothing can have reached anybody."""
    host, _, port = endpoint.rpartition(":")
    host = host.strip("[]")
    loop = asyncio.get_running_loop()
    connection = Connection(endpoint, tls=tls is not None)
    try:
        async with asyncio.timeout(timeout_seconds):
            await loop.create_connection(lambda: connection, host, int(port), ssl=tls, server_hostname=host if tls else None)
            await connection.ready
    except TimeoutError:
        connection.close()
        raise CallError("UNAVAILABLE", "failed to connect: it does not answer", reached=False) from None
    except ssl.SSLError as error:
        text = getattr(error, "verify_message", "") or error.strerror or ""
        raise CallError("UNAVAILABLE", f"failed to connect: {error.reason}: {text}", reached=False) from None
    except OSError as error:
        raise CallError("UNAVAILABLE", f"failed to connect: {_reason(error)}", reached=False) from None
    except (CallError, asyncio.CancelledError):
        connection.close()
        raise
    return connection
