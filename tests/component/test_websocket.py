from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from navarch.component import httpserver, websocket
from navarch.component.bytestream import ByteStream
from navarch.component.httpserver import Request, Response
from navarch.component.websocket import WebSocket


def with_server(serve: Callable[[WebSocket], Awaitable[None]], client: Callable[[ClientConnection], Awaitable[None]]) -> None:
    async def handler(request: Request) -> Response:
        assert websocket.is_websocket(request.headers)
        protocol = websocket.negotiate(request.headers, ["b", "a"])
        assert protocol is not None

        async def takeover(stream: ByteStream) -> None:
            await serve(WebSocket(stream))

        return Response(101, websocket.accept_headers(request.headers, protocol), takeover=takeover)

    async def main() -> None:
        server = await httpserver.serve(handler, "127.0.0.1", 0)
        try:
            async with asyncio.timeout(10), connect(f"ws://127.0.0.1:{server.port}/", subprotocols=["a", "b"]) as connection:  # type: ignore[list-item]
                assert connection.subprotocol == "a"
                await client(connection)
        finally:
            await server.close()

    asyncio.run(main())


async def echo(socket: WebSocket) -> None:
    while (message := await socket.receive()) is not None:
        await socket.send(message)


def test_messages_go_both_ways_whole() -> None:
    async def client(connection: ClientConnection) -> None:
        for message in (b"", b"x", b"y" * 300_000):
            await connection.send(message)
            assert await connection.recv() == message

    with_server(echo, client)


def test_fragments_are_put_together() -> None:
    async def client(connection: ClientConnection) -> None:
        await connection.send([b"one ", b"two ", b"three"])
        assert await connection.recv() == b"one two three"

    with_server(echo, client)


def test_pings_are_answered() -> None:
    async def client(connection: ClientConnection) -> None:
        await (await connection.ping())

    with_server(echo, client)


def test_receiving_ends_when_the_client_closes() -> None:
    ended = asyncio.Event()

    async def serve(socket: WebSocket) -> None:
        assert await socket.receive() is None
        with pytest.raises(ConnectionError):
            await socket.send(b"late")
        ended.set()

    async def client(connection: ClientConnection) -> None:
        await connection.close()
        await ended.wait()

    with_server(serve, client)


def test_closing_tells_the_client_why() -> None:
    async def serve(socket: WebSocket) -> None:
        await socket.close(websocket.INTERNAL_ERROR, "broken")

    async def client(connection: ClientConnection) -> None:
        with pytest.raises(ConnectionClosedError) as error:
            await connection.recv()
        assert error.value.rcvd is not None
        assert (error.value.rcvd.code, error.value.rcvd.reason) == (1011, "broken")

    with_server(serve, client)


def test_a_message_over_the_limit_ends_the_connection() -> None:
    async def client(connection: ClientConnection) -> None:
        await connection.send(b"x" * (websocket.MESSAGE_LIMIT_BYTES + 1))
        with pytest.raises(ConnectionClosedError):
            await connection.recv()

    with_server(echo, client)


def test_the_first_common_subprotocol_is_taken() -> None:
    assert websocket.negotiate({"sec-websocket-protocol": "x, v5, v4"}, ["v4", "v5"]) == "v5"
    assert websocket.negotiate({"sec-websocket-protocol": "x"}, ["v4"]) is None
    assert websocket.negotiate({}, ["v4"]) is None


@pytest.mark.parametrize("headers", [{}, {"sec-websocket-key": "x", "sec-websocket-version": "8"}])
def test_a_poor_handshake_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="handshake"):
        websocket.accept_headers(headers, "a")


def test_the_answer_is_that_of_the_rfc() -> None:
    headers = dict(websocket.accept_headers({"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}, ""))
    assert headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
