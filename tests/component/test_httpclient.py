"""The HTTP client against the server, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from navarch.component import httpclient, httpserver
from navarch.component.bytestream import ByteStream
from navarch.component.httpclient import Answer, HTTPClient
from navarch.component.httpserver import Handler, Request, Response, Server
from navarch.component.pki import PKI, Leaf
from navarch.component.tls import server_context

LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
Run = Callable[[Any], Any]
ROUNDS = 5


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[tuple[Server, HTTPClient]]:
    server = await httpserver.serve(handler, "127.0.0.1", 0)
    client = HTTPClient(f"http://127.0.0.1:{server.port}", headers={"X-Always": "1"})
    try:
        async with asyncio.timeout(10):
            yield server, client
    finally:
        client.close()
        await server.close()


@asynccontextmanager
async def pretending(answer: bytes, *, close: bool = True) -> AsyncIterator[HTTPClient]:
    """A client of a server that says just this to everything."""

    talking = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal talking
        talking += 1
        while await reader.read(65536):
            writer.write(answer)
            if close:
                break
        writer.close()
        await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])
        talking -= 1

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    client = HTTPClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        async with asyncio.timeout(10):
            yield client
    finally:
        client.close()
        server.close()
        while talking:
            await asyncio.sleep(0.001)


async def echo(request: Request) -> Response:
    if request.path == "/none":
        return Response(204)
    return Response(200, (("X-Path", request.path),), request.body or request.headers.get("x-always", "").encode())


@LOOPS
def test_requests_are_answered_over_one_kept_connection(run: Run) -> None:
    async def test() -> None:
        async with serving(echo) as (server, client):
            for body in (b"", b"x", b"y" * 1_000_000):
                answer = await client.request("POST", "/p?q=1", body=body)
                assert (answer.status, answer.headers["x-path"], answer.body) == (200, "/p", body or b"1")
            assert (await client.request("GET", "/none")).status == 204
            assert (await client.request("HEAD", "/h")).body == b""
            assert (await client.request("GET", "/g")).body == b"1"
            assert len(server.connections) <= 2

    run(test())


@LOOPS
def test_many_requests_at_once_use_many_connections_and_keep_few(run: Run) -> None:
    async def test() -> None:
        waiting = asyncio.Event()

        async def slow(request: Request) -> Response:
            await waiting.wait()
            return Response(200, (), request.path.encode())

        async with serving(slow) as (server, client):
            tasks = [asyncio.ensure_future(client.request("GET", f"/{i}")) for i in range(40)]
            while len(server.connections) < 40:
                await asyncio.sleep(0.001)
            waiting.set()
            assert [answer.body for answer in await asyncio.gather(*tasks)] == [b"/%d" % i for i in range(40)]
            while len(server.connections) > httpclient.IDLE_CONNECTIONS_LIMIT:
                await asyncio.sleep(0.001)

    run(test())


def test_a_kept_connection_that_was_closed_is_replaced() -> None:
    async def test() -> None:
        async with serving(echo) as (server, client):
            await client.request("GET", "/")
            for connection in list(server.connections):
                connection.abort()
            assert (await client.request("GET", "/")).status == 200

    asyncio.run(test())


@pytest.mark.parametrize(("method", "arrivals"), [("GET", 2), ("POST", 1)])
def test_what_a_dying_connection_may_have_delivered_is_not_posted_again(method: str, arrivals: int) -> None:
    arrived: list[str] = []

    async def test() -> None:
        async def handler(request: Request) -> Response:
            if request.path == "/fatal":
                arrived.append(request.method)
                if len(arrived) == 1:
                    for connection in list(server.connections):
                        connection.abort()
            return Response(200)

        async with serving(handler) as (server, client):
            await client.request("GET", "/")
            try:
                await client.request(method, "/fatal")
            except ConnectionError:
                assert method == "POST"

    asyncio.run(test())
    assert arrived == [method] * arrivals


@LOOPS
def test_a_streamed_answer_is_read_as_it_comes_with_back_pressure(run: Run) -> None:
    made = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(200):
            made += 1
            yield b"x" * 65536

    async def handler(request: Request) -> Response:
        return Response(200, (), chunks())

    async def test() -> None:
        async with serving(handler) as (_, client):
            answer = await client.stream("GET", "/")
            before = -1
            while before != made:
                before = made
                await asyncio.sleep(0.05)
            assert made < 200, "what is not read is not sent"
            assert len(await answer.read()) == 200 * 65536
            answer.close()

    run(test())


@LOOPS
def test_what_was_sent_over_tls_before_the_end_is_read_to_the_end(run: Run, tmp_path: Path) -> None:
    pki = PKI(tmp_path / "pki")
    pki.ensure([Leaf("server", "server", names=("127.0.0.1",))])
    context = server_context(pki.certificate("server"), pki.key("server"), None)
    sent = bytes(range(256)) * 4096

    def serve(listener: socket.socket) -> None:
        for _ in range(ROUNDS):
            with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + sent)
                connection.setblocking(False)
                with suppress(OSError):
                    connection.unwrap()

    async def test(port: int) -> None:
        client = HTTPClient(f"https://127.0.0.1:{port}", tls=ssl.create_default_context(cafile=str(pki.certificate("ca"))))
        async with asyncio.timeout(20):
            for _ in range(ROUNDS):
                result = await client.upgrade("GET", "/", headers={"Connection": "Upgrade", "Upgrade": "x"})
                assert not isinstance(result, Answer)
                # Whoever is busy finds that all has come at once, and the end right behind it.
                time.sleep(0.02)  # noqa: ASYNC251
                found = b""
                while data := await result[1].read():
                    found += data
                    await asyncio.sleep(0.002)
                assert len(found) == len(sent) and found == sent
        client.close()
        await client.wait_closed()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve, args=(listener,), daemon=True)
        serving.start()
        run(test(listener.getsockname()[1]))
        serving.join()


@LOOPS
def test_a_server_whose_certificate_is_anothers_is_refused(run: Run, tmp_path: Path) -> None:
    pki = PKI(tmp_path / "pki")
    pki.ensure([Leaf("server", "server", names=("elsewhere",))])

    async def test() -> None:
        server = await httpserver.serve(
            echo, "127.0.0.1", 0, tls=server_context(pki.certificate("server"), pki.key("server"), None)
        )
        trusting = ssl.create_default_context(cafile=str(pki.certificate("ca")))
        client = HTTPClient(f"https://127.0.0.1:{server.port}", tls=trusting)
        named = HTTPClient(f"https://127.0.0.1:{server.port}", tls=trusting, server_name="elsewhere")
        try:
            async with asyncio.timeout(20):
                with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
                    await client.request("GET", "/")
                assert (await named.request("GET", "/there")).headers["x-path"] == "/there"
        finally:
            client.close()
            named.close()
            await server.close()

    run(test())


@LOOPS
def test_an_upgrade_gives_the_raw_connection_or_the_refusal(run: Run) -> None:
    async def take(stream: ByteStream) -> None:
        await stream.write(b"hello")
        while data := await stream.read():
            await stream.write(data[::-1])

    async def handler(request: Request) -> Response:
        if request.path == "/no":
            return Response(403, (), b"no")
        return Response(101, (("Connection", "Upgrade"), ("Upgrade", "x")), b"", take)

    async def test() -> None:
        async with serving(handler) as (_, client):
            headers = {"Connection": "Upgrade", "Upgrade": "x"}
            refused = await client.upgrade("GET", "/no", headers=headers)
            assert isinstance(refused, Answer) and (refused.status, refused.body) == (403, b"no")
            made = await client.upgrade("GET", "/yes", headers=headers)
            assert not isinstance(made, Answer)
            answered, stream = made
            assert answered["upgrade"] == "x" and await stream.read() == b"hello"
            await stream.write(b"abc")
            assert await stream.read() == b"cba"
            stream.close()

    run(test())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
    ],
)
def test_answers_that_are_broken_off_or_no_http_are_connection_errors(answer: bytes) -> None:
    async def test() -> None:
        async with pretending(answer) as client:
            with pytest.raises(ConnectionError):
                await client.request("GET", "/")

    asyncio.run(test())


def test_header_lines_may_end_in_a_line_feed_alone() -> None:
    async def test() -> None:
        async with pretending(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\nX-A: b\n\nall of it") as client:
            answer = await client.request("GET", "/")
            assert (answer.headers["x-a"], answer.body) == ("b", b"all of it")

    asyncio.run(test())


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async def test() -> None:
        async with pretending(b"HTTP/1.0 200 OK\r\n\r\nall of it") as client:
            assert (await client.request("GET", "/")).body == b"all of it"

    asyncio.run(test())


def test_an_answer_that_does_not_come_times_out() -> None:
    async def test() -> None:
        async with pretending(b"", close=False) as client:
            with pytest.raises(TimeoutError):
                await client.request("GET", "/", timeout_seconds=0.05)

    asyncio.run(test())


def test_after_a_timeout_no_kept_connection_is_trusted() -> None:
    """They go the same way as the one that swallowed a request: a cut cable says nothing on any of them."""
    cut = asyncio.Event()

    async def until_cut(request: Request) -> Response:
        if cut.is_set() and request.path == "/old":
            await asyncio.Event().wait()
        return Response(200, (), b"fine")

    async def test() -> None:
        async with serving(until_cut) as (server, client):
            await asyncio.gather(*(client.request("GET", "/") for _ in range(3)))
            kept = set(server.connections)
            cut.set()
            with pytest.raises(TimeoutError):
                await client.request("GET", "/old", timeout_seconds=0.05)
            assert (await client.request("GET", "/")).body == b"fine"
            assert len(kept) == 3 and not kept & set(server.connections)

    asyncio.run(test())


def test_a_server_that_is_not_there_refuses() -> None:
    async def test() -> None:
        client = HTTPClient("http://127.0.0.1:1")
        with pytest.raises(OSError, match="Connect"):
            await client.request("GET", "/")

    asyncio.run(test())


def test_closing_the_client_ends_what_waits() -> None:
    async def never(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def test() -> None:
        async with serving(never) as (server, client):
            task = asyncio.ensure_future(client.request("GET", "/"))
            while not server.connections:
                await asyncio.sleep(0.001)
            client.close()
            with pytest.raises(ConnectionError):
                await task

    asyncio.run(test())
