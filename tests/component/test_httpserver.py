"""The HTTP server, spoken to byte by byte."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from navarch.component import clock, httpserver
from navarch.component.bytestream import ByteStream
from navarch.component.httpserver import PIECE_BYTES, Handler, Parts, Piece, Request, Response, Server

LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
Run = Callable[[Any], Any]


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, body: bool = True) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        status = int(head[0].split()[1])
        headers = {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in head[1:] if line}
        content = b""
        if not body:
            pass
        elif "content-length" in headers:
            content = await self.reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(await self.reader.readline(), 16):
                content += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        return status, headers, content

    async def get(self, path: str = "/") -> tuple[int, dict[str, str], bytes]:
        self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return await self.answer()


@asynccontextmanager
async def serving(handler: Handler, **options: Any) -> AsyncIterator[tuple[Server, Connection]]:
    server = await httpserver.serve(handler, "127.0.0.1", 0, **options)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        async with asyncio.timeout(10):
            yield server, Connection(reader, writer)
    finally:
        writer.close()
        await server.close()


async def echo(request: Request) -> Response:
    body = f"{request.method} {request.path} {request.query} {len(request.body)}".encode()
    return Response(200, (("X-A", request.headers.get("x-a", "")),), body)


def test_requests_are_taken_apart_and_answered_in_order() -> None:
    async def test() -> None:
        async with serving(echo) as (_, connection):
            connection.send(b"POST /a%20b?c=d%26e HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\n\r\nabc")
            connection.send(b"GET /second HTTP/1.1\r\n\r\nGET /third HTTP/1.1\r\n\r\n")
            status, headers, body = await connection.answer()
            assert (status, headers["x-a"], body) == (200, "1, 2", b"POST /a%20b c=d%26e 3")
            assert (await connection.answer())[2] == b"GET /second  0"
            assert (await connection.answer())[2] == b"GET /third  0"

    asyncio.run(test())


def test_values_that_may_hold_commas_are_kept_apart() -> None:
    async def whom(request: Request) -> Response:
        return Response(200, (), request.headers["impersonate-group"].encode())

    async def test() -> None:
        async with serving(whom) as (_, connection):
            connection.send(b"GET / HTTP/1.1\r\nImpersonate-Group: a, b\r\nimpersonate-group: c\r\n\r\n")
            assert (await connection.answer())[2] == b"a, b\nc"

    asyncio.run(test())


@LOOPS
def test_a_request_may_come_in_any_pieces(run: Run) -> None:
    async def test() -> None:
        async with serving(echo) as (_, connection):
            whole = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            for position in range(len(whole)):
                connection.send(whole[position : position + 1])
                await asyncio.sleep(0)
            assert (await connection.answer())[2] == b"POST /x  5"

    run(test())


@LOOPS
@given(
    st.lists(
        st.sampled_from(
            [
                b"GET /a?b HTTP/1.1\r\nX-A: 1\r\n\r\n",
                b"GET /c HTTP/1.1\r\nX-A: 1\r\n\r\n",
                b"GET /d HTTP/1.1\r\nX-A: 2\r\n\r\n",
                b"GET /e HTTP/1.1\r\n\r\n",
                b"HEAD /f HTTP/1.1\r\nX-A: 1\r\n\r\n",
                b"POST /g HTTP/1.1\r\nX-A: 1\r\n\r\n",
                b"GET /h HTTP/1.1\r\nX-A: 1\r\nContent-Length: 35\r\n\r\n",
                b"POST /i HTTP/1.1\r\nX-A: 1\r\nContent-Length: 35\r\n\r\n",
                b"GET /a?b HTTP/1.1\r\nX-A: 1\r\n\r\nGET /j HTTP/1.1\r\nX-A: 1\r\n\r\n",
                b"GET /k HTTP/1.1\r\nX-A",
                b": 1\r\n\r\n",
                b"\r\nGET /l HTTP/1.1\r\nX-A: 1\r\n\r\n",
                b"POST /m?n HTTP/1.1\r\nX-A: 1\r\nContent-Length: 2\r\nX-B: 2\r\n\r\nab",
                b"PUT /o HTTP/1.1\r\nX-A: 1\r\nContent-Length: 12\r\nX-B: 2\r\n\r\nabcd\r\n\r\nefgh",
                b"POST /p HTTP/1.1\r\nX-A: 1\r\nContent-Length: 0\r\nX-B: 2\r\n\r\n",
                b"POST /q HTTP/1.1\r\nX-A: 1\r\nContent-Length: 4\r\nX-B: 2\r\n\r\nab",
                b"cd",
                b"DELETE /r HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}",
                b"DELETE /s HTTP/1.1\r\ncontent-length: 1001\r\n\r\n" + 1001 * b"x",
                b"POST /t HTTP/1.1\r\nX-A: 1\r\nContent-Length: 2\r\nX-B: 2\r\nConnection: close\r\n\r\nab",
            ]
        ),
        max_size=8,
    )
)
def test_requests_are_the_same_however_they_are_cut(run: Run, pieces: list[bytes]) -> None:
    """Connections remember what they parsed last: none of it may show, whatever comes in one piece."""

    async def seen(pieces: list[bytes]) -> list[Any]:
        requests: list[Any] = []

        async def handler(request: Request) -> Response:
            # How much of it came before it was too much is nobody's business.
            body = b"" if request.body_too_large else request.body
            requests.append((request.method, request.path, request.query, dict(request.headers), body, request.body_too_large))
            return Response(200)

        connections: set[Any] = set()
        connection = httpserver._Connection(handler, lambda request: None, connections, 1000)
        connection.connection_made(_Transport())
        for piece in pieces:
            connection._receive(memoryview(piece))
            while connection._task is not None:
                await asyncio.sleep(0)
        return requests

    async def test() -> None:
        whole = b"".join(pieces)
        assert await seen(pieces) == await seen([whole[place : place + 1] for place in range(len(whole))])

    run(test())


class _Transport(asyncio.Transport):
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:
        pass

    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False


def test_a_body_over_the_limit_is_thrown_away_and_marked() -> None:
    async def handler(request: Request) -> Response:
        return Response(413 if request.body_too_large else 200, (), b"%d" % len(request.body))

    async def test() -> None:
        async with serving(handler, body_limit_bytes=1000) as (_, connection):
            for size, status in ((1000, 200), (1001, 413), (500_000, 413), (10, 200)):
                connection.send(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
                assert (await connection.answer())[0] == status

    asyncio.run(test())


def test_streamed_bodies_are_chunked_and_empty_chunks_skipped() -> None:
    shared = Piece(b"two")

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"one", b"", shared):
            yield chunk

    async def handler(request: Request) -> Response:
        return Response(200, (), chunks())

    async def test() -> None:
        async with serving(handler) as (_, connection):
            for _ in range(2):
                status, headers, body = await connection.get()
                assert (status, headers["transfer-encoding"], body) == (200, "chunked", b"onetwo")

    asyncio.run(test())


@LOOPS
def test_a_client_that_leaves_ends_its_stream(run: Run) -> None:
    async def test() -> None:
        ended = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x"
                    await asyncio.sleep(0.001)
            finally:
                ended.set()

        async def handler(request: Request) -> Response:
            return Response(200, (), endless())

        async with serving(handler) as (_, connection):
            connection.send(b"GET / HTTP/1.1\r\n\r\n")
            await connection.reader.readuntil(b"\r\n\r\n")
            connection.writer.close()
            await ended.wait()

    run(test())


@LOOPS
def test_a_client_that_does_not_read_holds_back_only_its_own_stream(run: Run) -> None:
    async def test() -> None:
        made = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal made
            while True:
                made += 1
                yield b"x" * 65536

        async def handler(request: Request) -> Response:
            return Response(200, (), endless()) if request.path == "/endless" else Response(200, (), b"ok")

        async with serving(handler) as (server, connection):
            connection.send(b"GET /endless HTTP/1.1\r\n\r\n")
            before = -1
            while before != made or made == 0:
                before = made
                await asyncio.sleep(0.05)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            assert (await Connection(reader, writer).get())[2] == b"ok"
            assert made < 1000
            writer.close()

    run(test())


@LOOPS
def test_large_bodies_arrive_whole_and_are_buffered_only_in_part(run: Run) -> None:
    body = bytes(range(256)) * 40_000

    async def test() -> None:
        async with serving(lambda request: _answer(Response(200, (), body))) as (server, connection):
            assert (await connection.get())[2] == body
            connection.send(b"GET / HTTP/1.1\r\n\r\n")
            await asyncio.sleep(0)
            (served,) = server.connections
            while served._transport.get_write_buffer_size() == 0:
                await asyncio.sleep(0)
            assert served._transport.get_write_buffer_size() < len(body) / 4
            assert (await connection.answer())[2] == body
            assert (await connection.get())[2] == body

    run(test())


def test_what_is_in_a_header_stays_in_it() -> None:
    async def test() -> None:
        headers = (("X-Text", "a\r\nX-Other: b\nc\rd"), ("X-Last", "e"))
        async with serving(lambda request: _answer(Response(200, headers, b"body"))) as (_, connection):
            status, found, body = await connection.get()
            assert (status, found["x-text"], found["x-last"], body) == (200, "a  X-Other: b c d", "e", b"body")
            assert "x-other" not in found

    asyncio.run(test())


@pytest.mark.parametrize(("method", "status"), [(b"GET", 204), (b"GET", 304), (b"HEAD", 200)])
def test_what_a_body_comes_from_is_let_go_where_none_is_sent(method: bytes, status: int) -> None:
    class Carried:
        ended = False

        def __aiter__(self) -> AsyncIterator[bytes]:
            raise AssertionError("nothing of it is sent")

        async def aclose(self) -> None:
            self.ended = True

    async def test() -> None:
        body = Carried()
        async with serving(lambda request: _answer(Response(status, (), body))) as (_, connection):  # type: ignore[arg-type]
            for _ in range(2):
                body.ended = False
                connection.send(b"%b / HTTP/1.1\r\n\r\n" % method)
                answered, headers, _ = await connection.answer(body=False)
                assert (answered, body.ended) == (status, True) and "content-length" not in headers

    asyncio.run(test())


@pytest.mark.parametrize("separator", [b"", b",", b"--"])
@pytest.mark.parametrize(
    "sizes", [[], [0], [3], [1, 0, 2], [PIECE_BYTES], [PIECE_BYTES + 1, 0, 5], [100_000] * 7 + [2 * PIECE_BYTES]]
)
def test_parts_make_up_a_body(sizes: list[int], separator: bytes) -> None:
    parts = [bytes([65 + index]) * size for index, size in enumerate(sizes)]
    body, whole = Parts(parts, separator), separator.join(parts)
    assert bytes(body) == b"".join(body) == whole and len(body) == len(whole)
    assert all(len(piece) <= PIECE_BYTES + max(sizes, default=0) + 2 * len(parts) for piece in body)

    async def test() -> None:
        assert b"".join([piece async for piece in body]) == whole
        async with serving(lambda request: _answer(Response(200, (), body))) as (_, connection):
            status, headers, answered = await connection.get()
            assert (status, headers["content-length"], answered) == (200, str(len(whole)), whole)
            connection.send(b"HEAD / HTTP/1.1\r\n\r\n")
            assert (await connection.answer(body=False))[1]["content-length"] == str(len(whole))
            assert (await connection.get())[2] == whole

    asyncio.run(test())


@LOOPS
def test_of_a_body_in_parts_only_a_part_is_buffered(run: Run) -> None:
    body = Parts([b"x" * 10_000] * 1000)

    async def test() -> None:
        async with serving(lambda request: _answer(Response(200, (), body))) as (server, connection):
            connection.send(b"GET / HTTP/1.1\r\n\r\n")
            await asyncio.sleep(0)
            (served,) = server.connections
            while served._transport.get_write_buffer_size() == 0:
                await asyncio.sleep(0)
            assert served._transport.get_write_buffer_size() < len(body) / 4
            assert (await connection.answer())[2] == bytes(body)

    run(test())


@LOOPS
@pytest.mark.parametrize("kind", [bytes, Piece])
def test_large_pieces_of_a_stream_are_buffered_only_in_part(run: Run, kind: type[bytes]) -> None:
    piece = kind(bytes(range(256)) * 40_000)

    async def pieces() -> AsyncIterator[bytes]:
        yield piece
        yield b"last"

    async def handler(request: Request) -> Response:
        return Response(200, (), pieces())

    async def test() -> None:
        async with serving(handler) as (server, connection):
            connection.send(b"GET / HTTP/1.1\r\n\r\n")
            await asyncio.sleep(0)
            (served,) = server.connections
            while served._transport.get_write_buffer_size() == 0:
                await asyncio.sleep(0)
            assert served._transport.get_write_buffer_size() < len(piece) / 4
            assert (await connection.answer())[2] == piece + b"last"

    run(test())


async def _answer(response: Response) -> Response:
    return response


@pytest.mark.parametrize("status", [204, 304])
def test_what_has_no_body_has_no_length_either(status: int) -> None:
    async def answer(request: Request) -> Response:
        return Response(status if request.path == "/" else 200, (("ETag", '"a"'),), b"" if request.path == "/" else b"b")

    async def test() -> None:
        async with serving(answer) as (_, connection):
            found, headers, _ = await connection.get("/")
            assert (found, headers["etag"]) == (status, '"a"')
            assert not {"content-length", "transfer-encoding"} & headers.keys()
            assert (await connection.get("/other"))[2] == b"b"

    asyncio.run(test())


def test_answers_say_when_they_were_made_unless_another_server_has_said_so() -> None:
    async def answer(request: Request) -> Response:
        return Response(200, (("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),) if request.path == "/said" else (), b"")

    async def test() -> None:
        async with serving(answer) as (_, connection):
            now = parsedate_to_datetime((await connection.get("/"))[1]["date"])
            assert abs(now - clock.now()) < timedelta(seconds=60)
            assert (await connection.get("/said"))[1]["date"] == "Sun, 06 Nov 1994 08:49:37 GMT"

    asyncio.run(test())


def test_head_has_the_headers_of_get_and_no_body() -> None:
    async def test() -> None:
        async with serving(echo) as (_, connection):
            connection.send(b"HEAD /x HTTP/1.1\r\n\r\n")
            status, headers, _ = await connection.answer(body=False)
            assert (status, headers["content-length"]) == (200, str(len(b"HEAD /x  0")))
            assert (await connection.get("/y"))[2] == b"GET /y  0"

    asyncio.run(test())


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"])
def test_a_connection_is_closed_where_the_client_asks(sent: bytes) -> None:
    async def test() -> None:
        async with serving(echo) as (_, connection):
            connection.send(sent)
            status, headers, _ = await connection.answer()
            assert (status, headers["connection"]) == (200, "close")
            assert await connection.reader.read() == b""

    asyncio.run(test())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * (httpserver.HEADERS_LIMIT_BYTES + 1) + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * (httpserver.HEADERS_LIMIT_BYTES + 1) + b" HTTP/1.1\r\n\r\n", 431),
    ],
)
def test_what_is_not_http_is_refused_and_the_connection_closed(sent: bytes, status: int) -> None:
    async def test() -> None:
        async with serving(echo) as (server, connection):
            connection.send(sent)
            assert (await connection.answer())[0] == status
            assert await connection.reader.read() == b""
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            assert (await Connection(reader, writer).get())[0] == 200
            writer.close()

    asyncio.run(test())


def test_a_handler_that_fails_drops_only_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: Request) -> Response:
        if request.path == "/bad":
            raise ZeroDivisionError
        return Response(200, (), b"ok")

    async def test() -> None:
        async with serving(handler) as (server, connection):
            connection.send(b"GET /bad HTTP/1.1\r\n\r\n")
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await connection.answer()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            assert (await Connection(reader, writer).get())[0] == 200
            writer.close()

    asyncio.run(test())
    assert "could not be answered" in caplog.text


@LOOPS
def test_an_upgrade_hands_the_connection_over_with_what_came_early(run: Run) -> None:
    async def take(stream: ByteStream) -> None:
        while data := await stream.read():
            await stream.write(data.upper())

    async def handler(request: Request) -> Response:
        assert request.wants_upgrade
        return Response(101, (("Upgrade", "test"), ("Connection", "Upgrade")), b"", take)

    async def test() -> None:
        async with serving(handler) as (_, connection):
            connection.send(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\nearly")
            status, headers, _ = await connection.answer()
            assert (status, headers["upgrade"]) == (101, "test")
            assert await connection.reader.readexactly(5) == b"EARLY"
            connection.send(b"late" * 100_000)
            assert await connection.reader.readexactly(400_000) == b"LATE" * 100_000

    run(test())


@LOOPS
@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
def test_after_an_upgrade_that_is_not_made_the_connection_is_of_use_or_closed(run: Run, upgrade: bytes) -> None:
    async def test() -> None:
        async with serving(echo) as (_, connection):
            connection.send(b"GET /first HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n" % upgrade)
            status, headers, body = await connection.answer()
            assert (status, body) == (200, b"GET /first  0")
            if headers.get("connection") == "close":
                assert await connection.reader.read() == b""
            else:
                assert (await connection.get("/second"))[2] == b"GET /second  0"

    run(test())


def test_a_client_may_wait_for_the_servers_consent_to_send() -> None:
    async def test() -> None:
        async with serving(echo) as (_, connection):
            connection.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.send(b"ok")
            assert (await connection.answer())[2] == b"POST /  2"

    asyncio.run(test())


@LOOPS
def test_closing_ends_what_is_endless_and_what_is_idle(run: Run) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    async def handler(request: Request) -> Response:
        return Response(200, (), endless() if request.path == "/endless" else b"ok")

    async def test() -> None:
        async with serving(handler) as (server, connection):
            await connection.get()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /endless HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            async with asyncio.timeout(httpserver.SHUTDOWN_GRACE_SECONDS / 2):
                await server.close()
            assert not server.connections
            assert await connection.reader.read() == b""
            writer.close()

    run(test())


def test_a_unix_socket_serves_too(tmp_path: Any) -> None:
    async def test() -> None:
        server = await httpserver.serve(echo, path=str(tmp_path / "s"))
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        assert (await Connection(reader, writer).get("/u"))[2] == b"GET /u  0"
        writer.close()
        await server.close()

    asyncio.run(test())


async def _never(request: Request) -> Response:
    await asyncio.Event().wait()
    raise AssertionError


def test_more_pipelined_requests_than_allowed_end_the_connection() -> None:
    handler: Callable[[Request], Awaitable[Response]] = _never

    async def test() -> None:
        async with serving(handler) as (_, connection):
            connection.send(b"GET / HTTP/1.1\r\n\r\n" * (httpserver.PIPELINE_LIMIT + 5))
            assert await connection.reader.read() == b""

    asyncio.run(test())


@LOOPS
def test_idle_connections_are_closed_and_busy_ones_are_not(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpserver, "IDLE_TIMEOUT_SECONDS", 0.0)
    release, entered = None, None

    async def slow(request: Request) -> Response:
        assert release is not None and entered is not None
        entered.set()
        await release.wait()
        return Response(200, (), b"late")

    async def test() -> None:
        nonlocal release, entered
        release, entered = asyncio.Event(), asyncio.Event()
        async with serving(slow) as (server, connection):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            # Half a request is none.
            writer.write(b"GET / HTTP/1.1\r\nHo")
            connection.send(b"GET / HTTP/1.1\r\n\r\n")
            await entered.wait()
            while len(server.connections) < 2:
                await asyncio.sleep(0)
            while not reader.at_eof():
                server.close_idle()
                await asyncio.sleep(0)
            writer.close()
            release.set()
            assert (await connection.answer())[2] == b"late"

    run(test())


@LOOPS
def test_a_peer_that_vanishes_is_asked_for(run: Run) -> None:
    async def test() -> None:
        async with serving(echo) as (server, connection):
            await connection.get()
            (served,) = server.connections
            sock = served._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == httpserver.PROBE_IDLE_SECONDS

    run(test())
