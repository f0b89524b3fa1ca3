"""The connection below etcd's calls: against gRPC's own server, and against a peer that says exactly what a test wants."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio

from navarch.storage.etcd import connection as etcd_connection
from navarch.storage.etcd import hpack
from navarch.storage.etcd.connection import ACK, END_HEADERS, END_STREAM, PADDED, PREFACE, CallError, Connection, Frame, connect
from tests.storage.stores import run

TIMEOUT = 10.0
RESPONSE = hpack.encode([(":status", "200"), ("content-type", "application/grpc")])
OK = hpack.encode([("grpc-status", "0"), ("grpc-message", "")])
PATH = "/test.Test/Echo"


def frame(kind: int, flags: int, number: int, payload: bytes = b"") -> bytes:
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, number) + payload


def setting(name: int, value: int) -> bytes:
    return struct.pack(">HI", name, value)


def message(data: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(data)) + data


class Peer:
    """The other side of one connection, frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def next(self, *kinds: int) -> tuple[int, int, int, bytes]:
        """The next frame of one of these kinds: kind, flags, stream, payload."""
        while True:
            head, flags, number = struct.unpack(">IBI", await self._reader.readexactly(9))
            payload = await self._reader.readexactly(head >> 8)
            if head & 0xFF in kinds:
                return head & 0xFF, flags, number, payload

    async def begin(self, *settings: bytes) -> None:
        assert await self._reader.readexactly(len(PREFACE)) == PREFACE
        self.send(frame(Frame.SETTINGS, 0, 0, b"".join(settings)))

    async def request(self) -> tuple[int, bytes]:
        """A whole one: its stream, and its message."""
        number = (await self.next(Frame.HEADERS))[2]
        data, flags = b"", 0
        while not flags & END_STREAM:
            _, flags, _, part = await self.next(Frame.DATA)
            data += part
        return number, data[5:]

    def answer(self, number: int, data: bytes) -> None:
        self.send(
            frame(Frame.HEADERS, END_HEADERS, number, RESPONSE),
            frame(Frame.DATA, 0, number, message(data)),
            frame(Frame.HEADERS, END_HEADERS | END_STREAM, number, OK),
        )


@asynccontextmanager
async def facing(behave: Callable[[Peer], Awaitable[None]]) -> AsyncIterator[Connection]:
    """A connection to a peer that behaves so."""
    peers: list[asyncio.Future[None]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(asyncio.ensure_future(behave(Peer(reader, writer))))
        try:
            await asyncio.wait(peers)
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    connection = await connect("{}:{}".format(*server.sockets[0].getsockname()), None, TIMEOUT)
    try:
        yield connection
    finally:
        connection.close()
        await connection.wait_closed()
        server.close()
        for peer in peers:
            peer.cancel()
        for result in await asyncio.gather(*peers, return_exceptions=True):
            if isinstance(result, AssertionError):
                raise result


# Against gRPC's server


class Service(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Sends back what it gets; a message ``code:text`` makes it fail so."""

    def service(self, handler_call_details: Any) -> Any:
        if handler_call_details.method == PATH:
            return grpc.unary_unary_rpc_method_handler(self.echo)
        if handler_call_details.method == "/test.Test/Count":
            return grpc.stream_stream_rpc_method_handler(self.count)
        return None

    async def echo(self, request: bytes, context: Any) -> bytes:
        if request.startswith(b"fail:"):
            await context.abort(grpc.StatusCode.OUT_OF_RANGE, request.decode())
        if request == b"hang":
            await asyncio.Event().wait()
        return request

    async def count(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            size, count = map(int, request.split())
            for number in range(count):
                yield b"%d " % number + b"x" * size
            return


@asynccontextmanager
async def served() -> AsyncIterator[Connection]:
    server = aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((Service(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    connection = await connect(f"127.0.0.1:{port}", None, TIMEOUT)
    try:
        yield connection
    finally:
        connection.close()
        await connection.wait_closed()
        await server.stop(None)


def test_many_calls_at_once_have_their_own_answers() -> None:
    async def test() -> None:
        async with served() as connection:
            sent = [b"%d" % number * (number * 7 % 5000) for number in range(300)]
            assert await asyncio.gather(*(connection.unary(PATH, data, TIMEOUT) for data in sent)) == sent

    run(test)


@pytest.mark.parametrize("size", [0, 16_379, 16_380, 65_530, 65_531, 5 << 20, 40 << 20])
def test_messages_may_have_any_size(size: int) -> None:
    async def test() -> None:
        async with served() as connection:
            for _ in range(2):
                assert await connection.unary(PATH, b"x" * size, 60.0) == b"x" * size

    run(test)


def test_failures_are_told_with_their_code_and_text() -> None:
    async def test() -> None:
        async with served() as connection:
            for text in ("fail: 100% of it", "fail: ümläut\n", "fail: " + "long " * 500):
                with pytest.raises(CallError) as caught:
                    await connection.unary(PATH, text.encode(), TIMEOUT)
                assert (caught.value.code, caught.value.details, caught.value.reached) == ("OUT_OF_RANGE", text, True)
            with pytest.raises(CallError) as caught:
                await connection.unary("/test.Test/None", b"", TIMEOUT)
            assert caught.value.code == "UNIMPLEMENTED"
            assert await connection.unary(PATH, b"still there", TIMEOUT) == b"still there"

    run(test)


def test_a_call_without_an_answer_ends_at_its_deadline_and_disturbs_no_other() -> None:
    async def test() -> None:
        async with served() as connection:
            hanging = asyncio.ensure_future(connection.unary(PATH, b"hang", 0.05))
            given_up = asyncio.ensure_future(connection.unary(PATH, b"hang", TIMEOUT))
            assert await connection.unary(PATH, b"a", TIMEOUT) == b"a"
            given_up.cancel()
            with pytest.raises(CallError) as caught:
                await hanging
            assert (caught.value.code, caught.value.reached) == ("DEADLINE_EXCEEDED", True)
            with pytest.raises(asyncio.CancelledError):
                await given_up
            assert await connection.unary(PATH, b"b", TIMEOUT) == b"b"
            assert not connection._calls and not connection._timed

    run(test)


@pytest.mark.parametrize(("size", "count"), [(10, 5_000), (100_000, 300), (9 << 20, 3)])
def test_a_stream_brings_all_messages_in_order_however_slowly_they_are_taken(size: int, count: int) -> None:
    async def test() -> None:
        async with served() as connection:
            seen = 0
            async for messages in connection.stream("/test.Test/Count", b"%d %d" % (size, count), ()):
                for one in messages:
                    assert one.startswith(b"%d " % seen) and len(one) == size + len(str(seen)) + 1
                    seen += 1
                # Others go on while this one takes its time.
                assert await connection.unary(PATH, b"a", TIMEOUT) == b"a"
            assert seen == count

    run(test)


# Against a peer of our own


def test_windows_and_frame_sizes_of_the_peer_are_kept() -> None:
    async def behave(peer: Peer) -> None:
        await peer.begin(setting(4, 10))
        number = (await peer.next(Frame.HEADERS))[2]
        got = b""
        for step in (10, 7, 1):
            _, flags, _, data = await peer.next(Frame.DATA)
            assert len(data) == step and not flags & END_STREAM
            got += data
            grant = {10: 7, 7: 1, 1: 1000}[step]
            peer.send(frame(Frame.WINDOW_UPDATE, 0, number, struct.pack(">I", grant)))
        _, flags, _, data = await peer.next(Frame.DATA)
        assert flags & END_STREAM and got + data == message(b"y" * 100)
        peer.answer(number, b"done")
        # A smaller one meets streams that are open, and may leave them less than nothing.
        peer.send(frame(Frame.SETTINGS, 0, 0, setting(4, 1 << 20)))
        number, data = await peer.request()
        # The connection's own window had 65,535, of which 105 are used.
        peer.answer(number, b"%d" % len(data))

    async def test() -> None:
        async with facing(behave) as connection:
            assert await connection.unary(PATH, b"y" * 100, TIMEOUT) == b"done"
            assert await connection.unary(PATH, b"z" * 60_000, TIMEOUT) == b"60000"

    run(test)


def test_no_more_calls_at_once_than_the_peer_wants() -> None:
    async def behave(peer: Peer) -> None:
        await peer.begin(setting(3, 2))
        for _ in range(3):
            calls = [await peer.request() for _ in range(2)]
            for number, data in reversed(calls):
                peer.answer(number, data)

    async def test() -> None:
        async with facing(behave) as connection:
            sent = [b"%d" % number for number in range(6)]
            assert await asyncio.gather(*(connection.unary(PATH, data, TIMEOUT) for data in sent)) == sent

    run(test)


def test_headers_in_pieces_padding_and_pings_are_understood() -> None:
    async def behave(peer: Peer) -> None:
        await peer.begin()
        number, _ = await peer.request()
        peer.send(frame(Frame.PING, 0, 0, b"12345678"), frame(99, 0, 0, b"unknown"))
        assert (await peer.next(Frame.PING))[1::2] == (ACK, b"12345678")
        whole = b"".join(
            (
                frame(Frame.HEADERS, PADDED, number, b"\3" + RESPONSE[:5] + bytes(3)),
                frame(Frame.CONTINUATION, 0, number, RESPONSE[5:8]),
                frame(Frame.CONTINUATION, END_HEADERS, number, RESPONSE[8:]),
                frame(Frame.DATA, PADDED, number, b"\2" + message(b"yes")[:4] + bytes(2)),
                frame(Frame.DATA, 0, number, message(b"yes")[4:]),
                frame(Frame.HEADERS, END_HEADERS | END_STREAM | 0x20, number, bytes(5) + OK),
            )
        )
        # Whatever the network makes of it.
        for byte in whole:
            peer.send(bytes((byte,)))
            await peer.writer.drain()

    async def test() -> None:
        async with facing(behave) as connection:
            assert await connection.unary(PATH, b"", TIMEOUT) == b"yes"

    run(test)


def test_of_a_peer_that_goes_away_calls_it_has_not_looked_at_can_be_made_elsewhere() -> None:
    async def behave(peer: Peer) -> None:
        await peer.begin()
        first, _ = await peer.request()
        await peer.request()
        peer.send(frame(Frame.GOAWAY, 0, 0, struct.pack(">II", first, 0) + b"maintenance"))
        peer.answer(first, b"in time")

    async def test() -> None:
        async with facing(behave) as connection:
            first = asyncio.ensure_future(connection.unary(PATH, b"1", TIMEOUT))
            second = asyncio.ensure_future(connection.unary(PATH, b"2", TIMEOUT))
            assert await first == b"in time"
            for call in (second, connection.unary(PATH, b"3", TIMEOUT)):
                with pytest.raises(CallError, match="maintenance") as caught:
                    await call
                assert (caught.value.code, caught.value.reached) == ("UNAVAILABLE", False)
            await connection.closed

    run(test)


@pytest.mark.parametrize(
    ("frames", "code", "reached"),
    [
        (lambda number: frame(Frame.RST_STREAM, 0, number, struct.pack(">I", 7)), "UNAVAILABLE", False),
        (lambda number: frame(Frame.RST_STREAM, 0, number, struct.pack(">I", 8)), "CANCELLED", True),
        (lambda number: frame(Frame.RST_STREAM, 0, number, struct.pack(">I", 2)), "INTERNAL", True),
        (lambda number: frame(Frame.HEADERS, 5, number, hpack.encode([(":status", "503")])), "UNAVAILABLE", True),
        (lambda number: frame(Frame.HEADERS, 5, number, hpack.encode([(":status", "404")])), "UNIMPLEMENTED", True),
        (lambda number: frame(Frame.HEADERS, 5, number, RESPONSE + OK), "INTERNAL", True),
        (lambda number: frame(Frame.HEADERS, 4, number, RESPONSE) + frame(Frame.DATA, 1, number), "INTERNAL", True),
        (lambda number: frame(Frame.HEADERS, 4, number, b"\xbe"), "UNAVAILABLE", True),
        (lambda number: frame(Frame.DATA, 0, number, b"\1" + bytes(4)), "UNAVAILABLE", True),
        (lambda number: frame(Frame.PUSH_PROMISE, 4, number, bytes(4)), "UNAVAILABLE", True),
        (lambda number: frame(Frame.HEADERS, 0, number, RESPONSE) + frame(Frame.DATA, 0, number), "UNAVAILABLE", True),
        (lambda number: frame(Frame.CONTINUATION, 4, number), "UNAVAILABLE", True),
        (lambda number: frame(Frame.WINDOW_UPDATE, 0, number), "UNAVAILABLE", True),
    ],
)
def test_every_other_end_of_a_call_is_an_error(frames: Callable[[int], bytes], code: str, reached: bool) -> None:
    async def behave(peer: Peer) -> None:
        await peer.begin()
        number, _ = await peer.request()
        peer.send(frames(number))
        await peer.next(-1)

    async def test() -> None:
        async with facing(behave) as connection:
            with pytest.raises(CallError) as caught:
                await connection.unary(PATH, b"", TIMEOUT)
            assert (caught.value.code, caught.value.reached) == (code, reached)

    run(test)


def test_a_connection_that_is_lost_may_have_brought_what_was_sent() -> None:
    async def behave(peer: Peer) -> None:
        await peer.begin(setting(3, 1))
        await peer.request()
        peer.writer.transport.abort()

    async def test() -> None:
        async with facing(behave) as connection:
            calls = [connection.unary(PATH, b"", TIMEOUT) for _ in range(2)]
            sent, waited = await asyncio.gather(*calls, return_exceptions=True)
            assert isinstance(sent, CallError) and sent.reached and sent.code == "UNAVAILABLE"
            assert isinstance(waited, CallError) and not waited.reached and waited.code == "UNAVAILABLE"

    run(test)


def test_a_peer_that_is_silent_is_asked_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_connection, "KEEPALIVE_SECONDS", 0.02)
    monkeypatch.setattr(etcd_connection, "KEEPALIVE_TIMEOUT_SECONDS", 0.02)
    pings = 0

    async def behave(peer: Peer) -> None:
        nonlocal pings
        await peer.begin()
        while pings < 3:
            payload = (await peer.next(Frame.PING))[3]
            pings += 1
            if pings < 3:
                peer.send(frame(Frame.PING, ACK, 0, payload))
        await asyncio.Event().wait()

    async def test() -> None:
        async with facing(behave) as connection:
            with pytest.raises(CallError, match="pings"):
                await connection.unary(PATH, b"", TIMEOUT)

    run(test)
    assert pings == 3


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x46", frame(Frame.PING, 0, 0, bytes(8)), b""]
)
def test_what_speaks_no_http2_is_told_and_has_been_reached_by_nothing(said: bytes) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        writer.close()

    async def test() -> None:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        with pytest.raises(CallError) as caught:
            await connect("{}:{}".format(*server.sockets[0].getsockname()), None, TIMEOUT)
        assert not caught.value.reached and caught.value.code == "UNAVAILABLE"
        server.close()

    run(test)


def test_a_connection_has_an_end_of_its_numbers() -> None:
    async def behave(peer: Peer) -> None:
        await peer.begin()
        number, data = await peer.request()
        peer.answer(number, data)

    async def test() -> None:
        async with facing(behave) as connection:
            connection._next = etcd_connection.LAST_STREAM
            assert await connection.unary(PATH, b"last", TIMEOUT) == b"last"
            with pytest.raises(CallError) as caught:
                await connection.unary(PATH, b"one more", TIMEOUT)
            assert not caught.value.reached

    run(test)
