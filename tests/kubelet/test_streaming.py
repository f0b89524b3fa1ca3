"""Between a WebSocket client and a runtime that speaks SPDY, both in this process."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from navarch.component import httpserver
from navarch.component.bytestream import ByteStream
from navarch.component.httpclient import HTTPClient
from navarch.component.httpserver import Request, Response
from navarch.component.spdy import DataReceived, Session, StreamOpened
from navarch.component.websocket import WebSocket, accept_headers
from navarch.kubelet import streaming
from navarch.kubelet.streaming import StreamOptions, carry_command, carry_ports, connect_runtime, spdy_protocol
from tests.component.wire import Wire

SUCCESS = {"metadata": {}, "status": "Success"}


class Runtime:
    """A streaming server whose command gives back what it was told once its input has ended."""

    def __init__(self) -> None:
        self.streams: dict[str, int] = {}
        self.input = b""
        self.sizes = b""
        self.silent_end = False
        self.result: dict[str, Any] = SUCCESS
        self.closed = asyncio.Event()
        self.protocol = ""

    async def handle(self, request: Request) -> Response:
        if request.path == "/refused":
            return Response(404, (), b"no such token")
        self.protocol = request.headers.get("x-stream-protocol-version", "")
        headers = (("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1"), ("X-Stream-Protocol-Version", self.protocol))
        return Response(101, headers, takeover=self.serve)

    async def serve(self, stream: ByteStream) -> None:
        session = Session(client=False)
        try:
            while data := await stream.read():
                for event in session.receive(data):
                    if isinstance(event, StreamOpened):
                        session.reply(event.stream)
                        name = event.headers["streamtype"] + event.headers.get("port", "")
                        self.streams[name] = event.stream
                    elif isinstance(event, DataReceived):
                        self._take(session, event)
                await stream.write(session.data_to_send())
                if self.silent_end:
                    return
        finally:
            self.closed.set()

    def _take(self, session: Session, event: DataReceived) -> None:
        if event.stream == self.streams.get("resize"):
            self.sizes += event.data
        elif event.stream == self.streams.get("stdin"):
            self.input += event.data
            if event.fin or self.input.endswith(b"exit\n"):
                session.send_data(self.streams["stdout"], self.input, fin=True)
                if "stderr" in self.streams:
                    session.send_data(self.streams["stderr"], b"", fin=True)
                session.send_data(self.streams["error"], json.dumps(self.result).encode(), fin=True)
        elif event.stream in self.streams.values() and event.data:
            session.send_data(event.stream, b"from the port: " + event.data, fin=True)
            for name, stream in self.streams.items():
                if name.startswith("error"):
                    session.send_data(stream, b"", fin=True)


Carry = Callable[[WebSocket, streaming.RuntimeConnection], Awaitable[None]]


def with_both(carry: Carry, client: Callable[[ClientConnection, Runtime], Awaitable[None]]) -> None:
    async def main() -> None:
        runtime = Runtime()
        backend = await httpserver.serve(runtime.handle, "127.0.0.1", 0)

        async def handler(request: Request) -> Response:
            connection = await connect_runtime(f"http://127.0.0.1:{backend.port}/exec/token", streaming.V4)
            assert isinstance(connection, streaming.RuntimeConnection)

            async def takeover(stream: ByteStream) -> None:
                await carry(WebSocket(stream), connection)

            return Response(101, accept_headers(request.headers, ""), takeover=takeover)

        front = await httpserver.serve(handler, "127.0.0.1", 0)
        try:
            async with asyncio.timeout(10), connect(f"ws://127.0.0.1:{front.port}/", compression=None) as connection:
                await client(connection, runtime)
            await asyncio.wait_for(runtime.closed.wait(), 5)
        finally:
            await front.close()
            await backend.close()

    asyncio.run(main())


def command(protocol: str = streaming.V5, **streams: bool) -> Carry:
    options = StreamOptions(**{"stdin": True, "stdout": True, "stderr": True, "tty": False, **streams})

    async def carry(websocket: WebSocket, runtime: streaming.RuntimeConnection) -> None:
        await carry_command(websocket, runtime, options, protocol)

    return carry


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def gather(connection: ClientConnection) -> dict[int, bytes]:
    output: dict[int, bytes] = {}
    async for message in connection:
        assert isinstance(message, bytes)
        output[message[0]] = output.get(message[0], b"") + message[1:]
    return output


def test_input_output_and_result_are_carried_on_their_channels() -> None:
    async def client(connection: ClientConnection, runtime: Runtime) -> None:
        await connection.send(b"\0one ")
        await connection.send(b"\0two")
        await connection.send(bytes((255, 0)))
        output = await gather(connection)
        assert output[1] == b"one two"
        assert json.loads(output[3]) == SUCCESS
        assert list(runtime.streams) == ["error", "stdin", "stdout", "stderr"]

    with_both(command(), client)


def test_in_v4_the_byte_255_closes_nothing() -> None:
    async def client(connection: ClientConnection, runtime: Runtime) -> None:
        await connection.send(bytes((255, 0)))
        await connection.send(b"\0exit\n")
        assert (await gather(connection))[1] == b"exit\n"

    with_both(command(streaming.V4), client)


def test_a_terminal_has_sizes_and_no_error_output() -> None:
    async def client(connection: ClientConnection, runtime: Runtime) -> None:
        await connection.send(b'\4{"Width":80,"Height":24}')
        await connection.send(b"\0exit\n")
        await gather(connection)
        assert runtime.sizes == b'{"Width":80,"Height":24}'
        assert "stderr" not in runtime.streams

    with_both(command(tty=True), client)


def test_a_runtime_that_goes_without_a_word_is_a_failure() -> None:
    async def client(connection: ClientConnection, runtime: Runtime) -> None:
        runtime.silent_end = True
        await connection.send(b"\0x")
        assert json.loads((await gather(connection))[3])["status"] == "Failure"

    with_both(command(), client)


def test_what_the_runtime_said_before_it_went_reaches_the_client() -> None:
    async def test() -> None:
        session, streams, client, wire = Session(client=False), {}, Wire(), Wire()
        runtime = streaming.RuntimeConnection(HTTPClient("http://runtime"), ByteStream(wire), {})
        options = StreamOptions(stdin=False, stdout=True, stderr=False, tty=False)
        carrying = asyncio.ensure_future(carry_command(WebSocket(ByteStream(client)), runtime, options, streaming.V5))
        while not wire.written:
            await asyncio.sleep(0)
        for event in session.receive(b"".join(wire.written)):
            if isinstance(event, StreamOpened):
                streams[event.headers["streamtype"]] = event.stream
        # It asks whether anybody is there, and does not wait for the answer; the rest of what it said is read later.
        runtime.stream.feed_data(struct.pack("!HHII", 0x8003, 6, 4, 2))
        wire.closed = True
        for _ in range(5):
            await asyncio.sleep(0)
        session.send_data(streams["stdout"], b"output", fin=True)
        session.send_data(streams["error"], json.dumps(SUCCESS).encode(), fin=True)
        runtime.stream.feed_data(session.data_to_send())
        runtime.stream.feed_eof()
        await asyncio.wait_for(carrying, 5)
        said = b"".join(client.written)
        assert b"\1output" in said and json.dumps(SUCCESS).encode() in said
        assert said.endswith(struct.pack("!BBH", 0x88, 2, 1000))

    asyncio.run(test())


def test_a_client_that_goes_ends_the_runtimes_connection() -> None:
    async def client(connection: ClientConnection, runtime: Runtime) -> None:
        await connection.recv()
        await connection.close()

    with_both(command(), client)


def test_what_nobody_asked_for_is_ignored() -> None:
    async def client(connection: ClientConnection, runtime: Runtime) -> None:
        for message in (b"", b"\1to output", b"\7nowhere", bytes((255,)), bytes((255, 9))):
            await connection.send(message)
        await connection.send(b"\0exit\n")
        assert (await gather(connection))[1] == b"exit\n"

    with_both(command(), client)


@pytest.mark.parametrize("protocol", [streaming.V4_BASE64, streaming.V1_BASE64])
def test_channels_may_be_text(protocol: str) -> None:
    async def client(connection: ClientConnection, runtime: Runtime) -> None:
        await connection.send("4" + b64(b'{"Width":80,"Height":24}'))
        await connection.send("0" + b64(b"\xff exit\n"))
        output = [str(message) async for message in connection]
        assert output[:2] == ["1", "1" + b64(b"\xff exit\n")]
        results = [json.loads(base64.b64decode(message[1:])) for message in output[2:]]
        assert results == ([SUCCESS] if protocol == streaming.V4_BASE64 else [])
        assert runtime.sizes == b'{"Width":80,"Height":24}'

    with_both(command(protocol, tty=True), client)


def test_text_that_is_no_base64_ends_the_command() -> None:
    async def client(connection: ClientConnection, runtime: Runtime) -> None:
        await connection.send("0ä")
        await asyncio.wait_for(runtime.closed.wait(), 5)

    with_both(command(streaming.V4_BASE64), client)


@pytest.mark.parametrize("protocol", [streaming.V1, streaming.NO_PROTOCOL])
def test_clients_of_the_first_protocol_are_told_only_of_failures(protocol: str) -> None:
    async def client(connection: ClientConnection, runtime: Runtime) -> None:
        runtime.result = {"metadata": {}, "status": "Failure", "message": "command terminated with exit code 3"}
        await connection.send(b"\0exit\n")
        assert await gather(connection) == {1: b"exit\n", 3: b"command terminated with exit code 3"}

    async def glad(connection: ClientConnection, runtime: Runtime) -> None:
        await connection.send(b"\0exit\n")
        assert await gather(connection) == {1: b"exit\n"}

    with_both(command(protocol), client)
    with_both(command(protocol), glad)


def test_ports_are_forwarded_as_text_too() -> None:
    async def carry(websocket: WebSocket, runtime: streaming.RuntimeConnection) -> None:
        await carry_ports(websocket, runtime, [8080], streaming.V4_BASE64)

    async def client(connection: ClientConnection, runtime: Runtime) -> None:
        assert [await connection.recv() for _ in range(2)] == ["0" + b64(b"\x90\x1f"), "1" + b64(b"\x90\x1f")]
        await connection.send("0" + b64(b"hello"))
        assert await connection.recv() == "0" + b64(b"from the port: hello")

    with_both(carry, client)


def test_ports_have_two_channels_each_that_begin_with_their_number() -> None:
    async def carry(websocket: WebSocket, runtime: streaming.RuntimeConnection) -> None:
        await carry_ports(websocket, runtime, [80, 8080])

    async def client(connection: ClientConnection, runtime: Runtime) -> None:
        heads = [await connection.recv() for _ in range(4)]
        assert heads == [b"\0\x50\0", b"\1\x50\0", b"\2\x90\x1f", b"\3\x90\x1f"]
        await connection.send(b"\2hello")
        assert await connection.recv() == b"\2from the port: hello"
        await connection.send(b"\0hi")
        assert await gather(connection) == {0: b"from the port: hi"}

    with_both(carry, client)


def test_a_refusal_of_the_runtime_is_handed_on() -> None:
    async def main() -> None:
        backend = await httpserver.serve(Runtime().handle, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{backend.port}"
        answer: Any = await connect_runtime(f"{url}/refused", streaming.V4)
        assert (answer.status, answer.body) == (404, b"no such token")
        await backend.close()
        with pytest.raises(OSError):
            await connect_runtime(f"{url}/exec", streaming.V4)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ("v5.channel.k8s.io, v4.channel.k8s.io, v3.channel.k8s.io", "v4.channel.k8s.io"),
        ("channel.k8s.io", "channel.k8s.io"),
        ("", ""),
        ("v9.channel.k8s.io", ""),
    ],
)
def test_of_a_spdy_clients_protocols_the_best_that_runtimes_speak(offered: str, expected: str) -> None:
    assert spdy_protocol({"x-stream-protocol-version": offered}) == expected
