"""TLS connections, spoken to by asyncio's own TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from navarch.component import tls
from navarch.component.pki import PKI, Leaf
from navarch.component.tls import TLSListener, TLSTransport

Run = Callable[[Any], Any]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
LARGE = bytes(range(256)) * 20_000


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def bounded(coroutine: Any) -> Any:
        async def main() -> Any:
            async with asyncio.timeout(20):
                return await coroutine

        return request.param(main())

    return bounded


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    made = PKI(tmp_path_factory.mktemp("tls") / "pki")
    made.ensure([Leaf("server", "server", names=("localhost", "127.0.0.1")), Leaf("client", "alice", ("people",))])
    return made


class Recorder(asyncio.BufferedProtocol):
    """Notes what happens to it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.events: list[str] = []
        self.changed = asyncio.Event()
        self.transport: TLSTransport
        self._buffer = memoryview(bytearray(64 * 1024))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TLSTransport)
        self.transport = transport
        self._note("made")

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self._buffer[:nbytes]
        self.changed.set()

    def eof_received(self) -> bool:
        self._note("eof")
        return False

    def pause_writing(self) -> None:
        self._note("paused")

    def resume_writing(self) -> None:
        self._note("resumed")

    def connection_lost(self, error: Exception | None) -> None:
        self._note("lost" if error is None else f"lost: {type(error).__name__}")

    def _note(self, event: str) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()


class Listening:
    """A listener and whoever has connected."""

    def __init__(self, pki: PKI) -> None:
        self.protocols: list[Recorder] = []
        self.connected = asyncio.Event()
        context = tls.server_context(pki.certificate("server"), pki.key("server"), pki.certificate("ca"))
        self.client = ssl.create_default_context(cafile=str(pki.certificate("ca")))
        self.client.load_cert_chain(pki.certificate("client"), pki.key("client"))
        self.listener = TLSListener(socket.create_server(("127.0.0.1", 0)), context, self._made)
        self.port = int(self.listener.sockets[0].getsockname()[1])

    def _made(self) -> Recorder:
        self.protocols.append(Recorder())
        self.connected.set()
        return self.protocols[-1]

    def read_all(self) -> bytes:
        """What a client, who insists on a goodbye, is sent. Blocks."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        with self.client.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as sock:
            return b"".join(iter(lambda: sock.recv(1 << 20), b""))

    def reset(self) -> None:
        """Connect, and break the connection off. Blocks."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.wrap_socket(plain, server_hostname="localhost").close()

    async def connect(self) -> tuple[Recorder, Streams]:
        self.connected.clear()
        streams = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.client, server_hostname="localhost")
        await self.connected.wait()
        return self.protocols[-1], streams


@asynccontextmanager
async def listening(pki: PKI) -> AsyncIterator[Listening]:
    found = Listening(pki)
    try:
        yield found
    finally:
        found.listener.close()
        for protocol in found.protocols:
            protocol.transport.abort()
            await protocol.until(lambda protocol=protocol: protocol.events[-1].startswith("lost"))


def test_bytes_arrive_whole_both_ways(run: Run, pki: PKI) -> None:
    async def test() -> None:
        async with listening(pki) as found:
            protocol, (reader, writer) = await found.connect()
            for data in (b"x", b"y" * 16_384, b"z" * 16_385, LARGE):
                protocol.received.clear()
                writer.write(data)
                await protocol.until(lambda data=data: len(protocol.received) >= len(data))
                assert protocol.received == data
                protocol.transport.write(data)
                assert await reader.readexactly(len(data)) == data
            writer.close()

    run(test())


def test_the_client_certificate_and_addresses_are_known(run: Run, pki: PKI) -> None:
    async def test() -> None:
        async with listening(pki) as found:
            protocol, (_, writer) = await found.connect()
            info = protocol.transport.get_extra_info
            assert ((("commonName", "alice"),)) in info("ssl_object").getpeercert()["subject"]
            assert info("peername") == writer.get_extra_info("sockname") and info("sockname")[1] == found.port
            assert info("nothing", 7) == 7
            writer.close()

    run(test())


def test_no_session_tickets_are_made(run: Run, pki: PKI) -> None:
    async def test() -> None:
        async with listening(pki) as found:
            protocol, (reader, writer) = await found.connect()
            protocol.transport.write(b"x")
            await reader.readexactly(1)
            # Tickets come before anything else that the server sends.
            assert not writer.get_extra_info("ssl_object").session.has_ticket
            writer.close()

    run(test())


def test_a_peer_that_does_not_read_makes_the_protocol_wait(run: Run, pki: PKI) -> None:
    async def test() -> None:
        async with listening(pki) as found:
            protocol, (reader, writer) = await found.connect()
            transport = protocol.transport
            transport.set_write_buffer_limits(high=100_000)
            sent = 0
            while "paused" not in protocol.events:
                transport.write(LARGE)
                sent += len(LARGE)
                assert sent < 100 * len(LARGE)
            assert transport.get_write_buffer_size() > 100_000
            received = bytearray()
            while len(received) < sent:
                received += await reader.read(1 << 20)
            assert received == LARGE * (sent // len(LARGE))
            await protocol.until(lambda: protocol.events[-1] == "resumed")
            assert protocol.events == ["made", "paused", "resumed"] and transport.get_write_buffer_size() == 0
            writer.close()

    run(test())


def test_small_writes_behind_a_full_buffer_stay_in_order(run: Run, pki: PKI) -> None:
    async def test() -> None:
        async with listening(pki) as found:
            protocol, (reader, writer) = await found.connect()
            expected = bytearray()
            number = 0
            while protocol.transport.get_write_buffer_size() < 300_000:
                piece = b"%07d" % number * 50
                protocol.transport.write(piece)
                expected += piece
                number += 1
            assert await reader.readexactly(len(expected)) == expected
            writer.close()

    run(test())


def test_a_protocol_that_pauses_is_given_nothing(run: Run, pki: PKI) -> None:
    async def test() -> None:
        async with listening(pki) as found:
            protocol, (_, writer) = await found.connect()
            protocol.transport.pause_reading()
            assert not protocol.transport.is_reading()
            writer.write(b"later")
            await writer.drain()
            # The other connection's bytes are received after those would have been.
            other, (_, more) = await found.connect()
            more.write(b"now")
            await other.until(lambda: bool(other.received))
            assert not protocol.received
            protocol.transport.resume_reading()
            await protocol.until(lambda: bool(protocol.received))
            assert protocol.received == b"later"
            writer.close()
            more.close()

    run(test())


def test_closing_sends_what_was_written_and_says_goodbye(run: Run, pki: PKI) -> None:
    async def test() -> None:
        async with listening(pki) as found:
            client = asyncio.create_task(asyncio.to_thread(found.read_all))
            await found.connected.wait()
            protocol = found.protocols[0]
            protocol.transport.write(LARGE)
            protocol.transport.close()
            protocol.transport.write(b"too late")
            assert protocol.transport.is_closing()
            assert await client == LARGE
            await protocol.until(lambda: "lost" in protocol.events)
            assert protocol.events[-1] == "lost" and protocol.events.count("lost") == 1

    run(test())


def test_a_peer_that_says_goodbye_is_one_that_has_ended(run: Run, pki: PKI) -> None:
    async def test() -> None:
        async with listening(pki) as found:
            protocol, (_, writer) = await found.connect()
            writer.close()
            await protocol.until(lambda: protocol.events[-1] == "lost")
            assert protocol.events == ["made", "eof", "lost"]

    run(test())


def test_a_peer_that_breaks_its_connection_off_has_ended_it(run: Run, pki: PKI) -> None:
    async def test() -> None:
        async with listening(pki) as found:
            client = asyncio.create_task(asyncio.to_thread(found.reset))
            await found.connected.wait()
            await client
            protocol = found.protocols[0]
            await protocol.until(lambda: protocol.events[-1].startswith("lost"))
            assert protocol.transport.is_closing()

    run(test())


def test_a_protocol_that_fails_loses_its_connection(run: Run, pki: PKI, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with listening(pki) as found:
            protocol, (reader, writer) = await found.connect()
            protocol.buffer_updated = lambda nbytes: 1 // 0  # type: ignore[assignment]
            writer.write(b"hello")
            assert await reader.read(-1) == b""
            assert "ZeroDivisionError" in caplog.text
            writer.close()

    run(test())


def test_who_does_not_speak_tls_disturbs_nobody(run: Run, pki: PKI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_TIMEOUT_SECONDS", 0.2)

    async def test() -> None:
        async with listening(pki) as found:
            rude, silent = (socket.create_connection(("127.0.0.1", found.port), timeout=5) for _ in range(2))
            rude.sendall(b"GET / HTTP/1.1\r\n\r\n")
            protocol, (_, writer) = await found.connect()
            assert await asyncio.to_thread(silent.recv, 100) == b"", "it is not waited for without end"
            writer.write(b"hello")
            await protocol.until(lambda: bool(protocol.received))
            assert len(found.protocols) == 1
            for closed in (writer, rude, silent):
                closed.close()

    run(test())


def test_who_speaks_plain_http_is_told(run: Run, pki: PKI) -> None:
    async def test() -> None:
        async with listening(pki) as found:
            reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
            writer.write(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await reader.read() == tls.PLAIN_ANSWER
            writer.close()

    run(test())


def test_a_closed_listener_lets_connections_be_and_ends_handshakes(run: Run, pki: PKI) -> None:
    async def test() -> None:
        async with listening(pki) as found:
            protocol, (reader, writer) = await found.connect()
            half = socket.create_connection(("127.0.0.1", found.port), timeout=5)
            # It is accepted once the one after it is.
            _, (_, other) = await found.connect()
            found.listener.close()
            assert await asyncio.to_thread(half.recv, 100) == b""
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", found.port)
            protocol.transport.write(b"still here")
            assert await reader.readexactly(10) == b"still here"
            for closed in (half, other, writer):
                closed.close()

    run(test())


def test_a_process_out_of_file_descriptors_accepts_again_later(
    run: Run, pki: PKI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tls, "ACCEPT_RETRY_SECONDS", 0.05)

    class Exhausted:
        """The listening socket of a process that has no descriptor left, the first time."""

        def __init__(self, sock: socket.socket) -> None:
            self._socket, self._failures = sock, 1

        def accept(self) -> Any:
            if self._failures:
                self._failures -= 1
                raise OSError(24, "Too many open files")
            return self._socket.accept()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._socket, name)

    async def test() -> None:
        async with listening(pki) as found:
            found.listener.sockets = (Exhausted(found.listener.sockets[0]),)  # type: ignore[assignment]
            _, (_, writer) = await found.connect()
            assert "cannot accept a connection" in caplog.text
            writer.close()

    run(test())
