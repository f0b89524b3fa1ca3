"""The DNS server of a node: the cluster's zone from informers, everything else from the machine's resolvers, over UDP and TCP.

Answers of the zone are kept encoded until any Service or EndpointSlice changes. While the informers have not synced the zone's
names get SERVFAIL, for NXDOMAIN would be believed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.client.informer import NAMESPACE_INDEX, Informer, Informers
from navarch.component import clock
from navarch.component.tasks import Tasks
from navarch.network.dns import wire
from navarch.network.dns.upstream import Address, Upstream
from navarch.network.dns.wire import Answer, Encoded, Query, Record, WireError
from navarch.network.dns.zone import REVERSE_SUFFIX, Zone
from navarch.network.proxy import BY_SERVICE, SERVICES, SLICES, service_of_slice

logger = logging.getLogger(__name__)

PORT = 10053
CACHE_LIMIT = 5000
CNAME_DEPTH_LIMIT = 8
TCP_CONNECTIONS_LIMIT = 256
TCP_IDLE_SECONDS = 10.0
TCP_MESSAGE_LIMIT_BYTES = 4096
TCP_SIZE_LIMIT = 65535
BIND_RETRY_SECONDS = 0.5

BY_IP = "ip"


def _ip_of_service(service: Object) -> Iterable[str]:
    ip = service["spec"].get("clusterIP")
    return (ip,) if ip and ip != "None" else ()


def _ips_of_slice(endpoint_slice: Object) -> Iterable[str]:
    return {entry["addresses"][0] for entry in endpoint_slice.get("endpoints") or () if entry.get("addresses")}


class InformerDirectory:
    """What the zone looks up, in informers."""

    def __init__(self, services: Informer, slices: Informer) -> None:
        self._services, self._slices = services, slices

    def service(self, key: str) -> Object | None:
        return self._services.get(key)

    def slices(self, key: str) -> Sequence[Object]:
        return self._slices.by_index(BY_SERVICE, key)

    def has_namespace(self, namespace: str) -> bool:
        return bool(self._services.by_index(NAMESPACE_INDEX, namespace))

    def services_by_ip(self, ip: str) -> Sequence[Object]:
        return sorted(self._services.by_index(BY_IP, ip), key=meta.key)

    def slices_by_ip(self, ip: str) -> Sequence[Object]:
        return sorted(self._slices.by_index(BY_IP, ip), key=meta.key)


# Records of an alias' target that can be copied from one message to another.
_PLAIN_TYPES = (wire.A, wire.AAAA, wire.CNAME, wire.TXT)


class DNSServer:
    """Call `start`, then `stop`; or `run` as a task until cancelled."""

    def __init__(
        self,
        informers: Informers,
        *,
        host: str,
        port: int = PORT,
        domain: str = "cluster.local",
        networks: Iterable[str] = (),
        upstreams: Sequence[Address] | None = None,
    ) -> None:
        self.host, self.port = host, port
        self._services = informers.get(SERVICES, **{BY_IP: _ip_of_service})
        self._slices = informers.get(SLICES, **{BY_SERVICE: service_of_slice, BY_IP: _ips_of_slice})
        self.zone = Zone(domain, InformerDirectory(self._services, self._slices), networks=networks)
        self._upstream = Upstream(upstreams, own=[(host, port)])
        self._cache: dict[tuple[str, int], Encoded] = {}
        self._turn = 0
        self._tasks = Tasks("dns")
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._tcp_connections = 0
        self._services.add_handler(self._changed)
        self._slices.add_handler(self._changed)

    async def start(self) -> None:
        """Listen. Raises OSError if the address is taken."""
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._accept_tcp, self.host, self.port)
        self.port = int(self._tcp.sockets[0].getsockname()[1])
        try:
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _UDP(self), local_addr=(self.host, self.port))
        except OSError:
            self._tcp.close()
            raise

    async def run(self) -> None:
        """Serve until cancelled; an address that is not there yet is waited for."""
        while True:
            try:
                await self.start()
                break
            except OSError as error:
                logger.warning("cannot listen on %s:%d: %s", self.host, self.port, error)
                await clock.sleep(BIND_RETRY_SECONDS)
        logger.info("DNS on %s:%d", self.host, self.port)
        try:
            await asyncio.Event().wait()
        finally:
            await self.stop()

    async def stop(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        await self._tasks.stop()

    def _changed(self, old: Object | None, new: Object | None) -> None:
        self._cache.clear()

    # Answers

    def answer_now(self, data: bytes, *, tcp: bool = False) -> bytes | Query:
        """The answer, if it needs nobody else; otherwise the question. b"" is no answer at all."""
        try:
            query = wire.parse_query(data)
        except WireError:
            return wire.error(data, wire.FORMERR)
        if query.flags & wire.OPCODE_MASK:
            return wire.error(data, wire.NOTIMP)
        if query.edns_version:
            return wire.bad_version(query)
        encoded = self._cache.get((query.name, query.type))
        if encoded is None:
            encoded = self._look_up(query)
            if encoded is None:
                return query
        self._turn += 1
        return wire.response(query, encoded, _size_limit(query, tcp), self._turn)

    def _look_up(self, query: Query) -> Encoded | None:
        if query.class_ not in (wire.IN, wire.ANY):
            return Encoded(wire.REFUSED, 0)
        if not (self._services.has_synced and self._slices.has_synced):
            ours = query.name == self.zone.domain or query.name.endswith(("." + self.zone.domain, REVERSE_SUFFIX))
            return Encoded(wire.SERVFAIL, 0) if ours else None
        answer = self.zone.resolve(query.name, query.type)
        if answer is None or answer.chase:
            return None
        encoded = wire.encode(query.name, answer)
        if len(self._cache) >= CACHE_LIMIT:
            self._cache.clear()
        self._cache[query.name, query.type] = encoded
        return encoded

    async def answer_later(self, query: Query, *, tcp: bool = False) -> bytes:
        """The answer to a question that others must help with."""
        size_limit = _size_limit(query, tcp)
        try:
            answer = self.zone.resolve(query.name, query.type) if self._services.has_synced else None
            if answer is not None:
                encoded = wire.encode(query.name, await self._chased(query, answer))
                return wire.response(query, encoded, size_limit)
            message = await self._upstream.ask(query, tcp=tcp)
        except (OSError, TimeoutError, WireError) as error:
            logger.debug("no answer about %s: %s", query.name, error)
            return wire.response(query, Encoded(wire.SERVFAIL, 0), size_limit)
        if len(message) > size_limit:
            return wire.response(query, Encoded(wire.NOERROR, wire.TC), size_limit)
        return message

    async def _chased(self, query: Query, answer: Answer) -> Answer:
        """`answer` with the records that its alias leads to."""
        records: list[Record] = list(answer.answers)
        target = answer.chase
        for _ in range(CNAME_DEPTH_LIMIT):
            if not target:
                break
            found = self.zone.resolve(target, query.type)
            if found is None:
                asked = Query(query.id, wire.RD, target, query.type, query.class_, _question(target, query))
                rcode, flags, _, more = wire.ttl_positions(await self._upstream.ask(asked))
                if flags & wire.TC:
                    rcode, _, _, more = wire.ttl_positions(await self._upstream.ask(asked, tcp=True))
                more = [record for record in more if record.type in _PLAIN_TYPES]
                return Answer(rcode, (*records, *more), authoritative=False)
            records += found.answers
            if not found.answers:
                return Answer(found.rcode, records, found.authorities)
            target = found.chase
        return Answer(answer.rcode, records)

    # Transports

    def serve_udp(self, data: bytes, address: Address) -> None:
        found = self.answer_now(data)
        if isinstance(found, Query):
            self._tasks.start(self._serve_udp_later(found, address), name="question")
        elif found and self._udp is not None:
            self._udp.sendto(found, address)

    async def _serve_udp_later(self, query: Query, address: Address) -> None:
        message = await self.answer_later(query)
        if self._udp is not None and not self._udp.is_closing():
            self._udp.sendto(message, address)

    def _accept_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._tcp_connections >= TCP_CONNECTIONS_LIMIT:
            writer.close()
            return
        self._tasks.start(self._serve_tcp(reader, writer), name="connection")

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tcp_connections += 1
        try:
            while True:
                async with asyncio.timeout(TCP_IDLE_SECONDS):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    if size > TCP_MESSAGE_LIMIT_BYTES:
                        return
                    data = await reader.readexactly(size)
                found = self.answer_now(data, tcp=True)
                if isinstance(found, Query):
                    found = await self.answer_later(found, tcp=True)
                if not found:
                    return
                writer.write(len(found).to_bytes(2, "big") + found)
                await writer.drain()
        except (OSError, EOFError, TimeoutError):
            return
        finally:
            self._tcp_connections -= 1
            writer.close()


class _UDP(asyncio.DatagramProtocol):
    def __init__(self, server: DNSServer) -> None:
        self._server = server

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self._server.serve_udp(data, address)


def _size_limit(query: Query, tcp: bool) -> int:
    return TCP_SIZE_LIMIT if tcp else min(query.udp_size, wire.UDP_SIZE_LIMIT)


def _question(name: str, query: Query) -> bytes:
    return wire.encode_name(name) + query.type.to_bytes(2, "big") + query.class_.to_bytes(2, "big")
