from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.network.dns import upstream, wire
from navarch.network.dns.server import DNSServer
from navarch.network.dns.upstream import nameservers
from navarch.network.dns.wire import A, Answer, Record
from tests.network.laboratory import SERVICES_PATH, SLICES_PATH, FakeAPI, endpoint, endpoint_slice, service


def query(name: str, type_: int = A, *, size: int = 0) -> bytes:
    head = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00" + (b"\x01" if size else b"\x00")
    edns = b"\0\0\x29" + size.to_bytes(2, "big") + b"\0\0\0\0\0\0" if size else b""
    return head + wire.encode_name(name) + type_.to_bytes(2, "big") + b"\0\x01" + edns


async def ask(server: DNSServer, data: bytes, *, tcp: bool = False) -> bytes:
    if tcp:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(len(data).to_bytes(2, "big") + data)
        answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        writer.close()
        return answer
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((server.host, server.port))
        await loop.sock_sendall(client, data)
        return await asyncio.wait_for(loop.sock_recv(client, 65535), 6)


def read(message: bytes) -> tuple[int, list[str]]:
    rcode, _, _, records = wire.ttl_positions(message)
    return rcode, [socket.inet_ntoa(r.data) for r in records if r.type == A]


class FakeResolver(asyncio.DatagramProtocol):
    """Answers every name with 192.0.2.7 and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.DatagramTransport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        parsed = wire.parse_query(data)
        self.asked.append(parsed.name)
        record = Record(parsed.name, A, 60, wire.a_data("192.0.2.7"))
        # Answers to other numbers are to be ignored.
        forged = wire.parse_query(b"\0\0" + data[2:])
        self.transport.sendto(
            wire.response(forged, wire.encode(parsed.name, Answer(answers=[Record(parsed.name, A, 60, b"\0\0\0\0")])), 512),
            address,
        )
        self.transport.sendto(wire.response(parsed, wire.encode(parsed.name, Answer(answers=[record])), 512), address)


def with_server(
    api: FakeAPI, scenario: Callable[[DNSServer, FakeResolver], Awaitable[None]], *, upstreams: bool = True, synced: bool = True
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        resolver = FakeResolver()
        transport, _ = await loop.create_datagram_endpoint(lambda: resolver, local_addr=("127.0.0.1", 0))
        addresses = [transport.get_extra_info("sockname")] if upstreams else []
        informers = Informers(Client(api))
        server = DNSServer(informers, host="127.0.0.1", port=0, upstreams=addresses, networks=["10.96.0.0/16"])
        await server.start()
        if synced:
            await informers.wait_synced()
        try:
            await scenario(server, resolver)
        finally:
            await server.stop()
            await informers.stop()
            transport.close()

    asyncio.run(main())


def test_names_of_the_cluster_are_answered_over_udp_and_tcp(api: FakeAPI) -> None:
    api.put(SERVICES_PATH, service())

    async def scenario(server: DNSServer, resolver: FakeResolver) -> None:
        for tcp in (False, True):
            assert read(await ask(server, query("web.shop.svc.cluster.local"), tcp=tcp)) == (0, ["10.96.0.20"])
        assert read(await ask(server, query("no.shop.svc.cluster.local"))) == (wire.NXDOMAIN, [])
        assert resolver.asked == []

    with_server(api, scenario)


def test_an_answer_changes_with_the_service(api: FakeAPI) -> None:
    api.put(SERVICES_PATH, service("db", "None"))
    api.put(SLICES_PATH, endpoint_slice(endpoint("10.244.0.2"), service="db"))

    async def scenario(server: DNSServer, resolver: FakeResolver) -> None:
        name = query("db.shop.svc.cluster.local")
        assert read(await ask(server, name)) == (0, ["10.244.0.2"])
        api.put(SLICES_PATH, endpoint_slice(endpoint("10.244.0.3"), service="db"))
        async with asyncio.timeout(5):
            while read(await ask(server, name)) != (0, ["10.244.0.3"]):
                await asyncio.sleep(0)

    with_server(api, scenario)


def test_large_answers_are_cut_over_udp_and_whole_over_tcp(api: FakeAPI) -> None:
    api.put(SERVICES_PATH, service("db", "None"))
    api.put(SLICES_PATH, endpoint_slice(*(endpoint(f"10.244.0.{n}") for n in range(2, 202)), service="db"))

    async def scenario(server: DNSServer, resolver: FakeResolver) -> None:
        short = await ask(server, query("db.shop.svc.cluster.local"))
        assert len(short) <= 512
        assert short[2] & 0x02
        medium = await ask(server, query("db.shop.svc.cluster.local", size=4096))
        assert 512 < len(medium) <= 1232
        assert len(read(await ask(server, query("db.shop.svc.cluster.local"), tcp=True))[1]) == 200

    with_server(api, scenario)


def test_other_names_go_upstream_once_while_the_answer_is_fresh(api: FakeAPI) -> None:
    async def scenario(server: DNSServer, resolver: FakeResolver) -> None:
        for _ in range(3):
            message = await ask(server, query("Example.test"))
            assert message[:2] == b"\x12\x34"
            assert read(message) == (0, ["192.0.2.7"])
        assert resolver.asked == ["example.test"]

    with_server(api, scenario)


def test_an_external_name_is_followed_upstream(api: FakeAPI) -> None:
    api.put(SERVICES_PATH, service("far", "", type="ExternalName", externalName="example.test", ports=[]))
    api.put(SERVICES_PATH, service("loop", "", type="ExternalName", externalName="loop.shop.svc.cluster.local", ports=[]))
    api.put(SERVICES_PATH, service("near", "", type="ExternalName", externalName="web.shop.svc.cluster.local", ports=[]))
    api.put(SERVICES_PATH, service())

    async def scenario(server: DNSServer, resolver: FakeResolver) -> None:
        assert read(await ask(server, query("far.shop.svc.cluster.local"))) == (0, ["192.0.2.7"])
        assert read(await ask(server, query("near.shop.svc.cluster.local"))) == (0, ["10.96.0.20"])
        assert read(await ask(server, query("loop.shop.svc.cluster.local")))[1] == []

    with_server(api, scenario)


def test_without_an_upstream_other_names_fail_at_once(api: FakeAPI) -> None:
    async def scenario(server: DNSServer, resolver: FakeResolver) -> None:
        assert read(await ask(server, query("example.test"))) == (wire.SERVFAIL, [])

    with_server(api, scenario, upstreams=False)


def test_what_is_not_understood_is_told_so(api: FakeAPI) -> None:
    async def scenario(server: DNSServer, resolver: FakeResolver) -> None:
        assert (await ask(server, b"\x12\x34" + b"\0" * 10))[3] & 0xF == wire.FORMERR
        assert (await ask(server, b"\x12\x34\x28\x00" + query("a")[4:]))[3] & 0xF == wire.NOTIMP
        newer = query("web.shop.svc.cluster.local", size=512)
        newer = newer[:-5] + b"\x01" + newer[-4:]
        answer = await ask(server, newer)
        assert answer.endswith(b"\0\0\x29\x04\xd0\x01\x00\x00\x00\x00\x00")

    with_server(api, scenario)


def test_before_the_services_are_known_the_zone_fails_and_does_not_deny() -> None:
    class Deaf(FakeAPI):
        async def request(self, *_: object, **__: object) -> dict[str, object]:
            raise ConnectionError

    async def scenario(server: DNSServer, resolver: FakeResolver) -> None:
        assert read(await ask(server, query("web.shop.svc.cluster.local"))) == (wire.SERVFAIL, [])
        assert read(await ask(server, query("example.test"))) == (0, ["192.0.2.7"])

    with_server(Deaf(), scenario, synced=False)


def test_name_servers_of_the_machine(tmp_path: Path) -> None:
    assert nameservers("# x\nnameserver 10.0.0.1\nnameserver fe80::1\nsearch a\nnameserver 10.0.0.2 \n") == [
        "10.0.0.1",
        "10.0.0.2",
    ]
    stub, real = tmp_path / "resolv.conf", tmp_path / "real.conf"
    stub.write_text("nameserver 127.0.0.53\n")
    assert upstream.machine_nameservers(stub, real) == ["127.0.0.53"]
    real.write_text("nameserver 10.0.0.9\n")
    assert upstream.machine_nameservers(stub, real) == ["10.0.0.9"]
    assert upstream.machine_nameservers(tmp_path / "none", tmp_path / "neither") == []


def test_a_kept_answer_counts_its_time_to_live_down() -> None:
    parsed = wire.parse_query(query("example.test"))
    encoded = wire.encode("example.test", Answer(answers=[Record("example.test", A, 25, b"\0\0\0\0")]))
    resolver = upstream.Upstream([])
    resolver._keep(("example.test", A, 1, False), wire.response(parsed, encoded, 512))
    (kept,) = resolver._cache.values()
    message = upstream._fresh(kept, parsed, kept.since + 10)
    assert [ttl for _, ttl in wire.ttl_positions(message)[2]] == [15]


@pytest.mark.parametrize("answer", [b"", b"\0\0\x80\0", query("other.test"), b"\x12\x34\x80\0" + query("other.test")[4:]])
def test_an_answer_to_something_else_is_ignored(answer: bytes) -> None:
    assert upstream._incoming(answer, wire.parse_query(query("example.test")), 0x1234) is None


def test_a_resolver_that_does_not_answer_is_passed_over(api: FakeAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "TRY_TIMEOUT_SECONDS", 0.05)

    async def scenario(server: DNSServer, resolver: FakeResolver) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            addresses = server._upstream._addresses
            addresses.insert(0, silent.getsockname())
            assert read(await ask(server, query("example.test"))) == (0, ["192.0.2.7"])
            # It is asked last from now on.
            assert addresses[-1] == silent.getsockname()

    with_server(api, scenario)


def test_a_question_over_tcp_goes_upstream_over_tcp(api: FakeAPI) -> None:
    async def scenario(server: DNSServer, resolver: FakeResolver) -> None:
        asked: list[str] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            parsed = wire.parse_query(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))
            asked.append(parsed.name)
            records = [Record(parsed.name, A, 60, bytes((192, 0, 2, n))) for n in range(200)]
            message = wire.response(parsed, wire.encode(parsed.name, Answer(answers=records)), 65535)
            writer.write(len(message).to_bytes(2, "big") + message)
            await writer.drain()
            writer.close()

        listener = await asyncio.start_server(answer, "127.0.0.1", 0)
        server._upstream._addresses[:] = [listener.sockets[0].getsockname()]
        assert len(read(await ask(server, query("big.test"), tcp=True))[1]) == 200
        # What is kept is too large for UDP: the client is told to come back.
        message = await ask(server, query("big.test"))
        assert message[2] & 0x02
        assert asked == ["big.test"]
        listener.close()

    with_server(api, scenario)


def test_too_many_questions_for_upstream_fail_at_once(api: FakeAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "IN_FLIGHT_LIMIT", 0)

    async def scenario(server: DNSServer, resolver: FakeResolver) -> None:
        assert read(await ask(server, query("example.test"))) == (wire.SERVFAIL, [])

    with_server(api, scenario)
