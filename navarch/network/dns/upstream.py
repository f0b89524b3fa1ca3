"""Questions that are not the cluster's own go to the resolvers of the machine; answers are kept for a short while.

Every question goes out from a socket of its own, with a random number, so that an answer is hard to forge. Resolvers are tried
in turn; the one that failed last is tried last for a while.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from navarch.component import clock
from navarch.network.dns import wire
from navarch.network.dns.wire import Query, WireError

logger = logging.getLogger(__name__)

TRY_TIMEOUT_SECONDS = 2.0
TOTAL_TIMEOUT_SECONDS = 4.5
"""Below the 5 s after which a stub resolver asks again."""
IN_FLIGHT_LIMIT = 1000
CACHE_LIMIT = 2000
CACHE_SECONDS = 30.0
UPSTREAMS_LIMIT = 3
RESOLV_CONF_CHECK_SECONDS = 10.0
DNS_PORT = 53

RESOLV_CONF = Path("/etc/resolv.conf")
# What systemd-resolved itself asks: its stub at 127.0.0.53 can't be reached from another network namespace.
RESOLVED_CONF = Path("/run/systemd/resolve/resolv.conf")

_NOT_KEPT = frozenset((wire.SERVFAIL, wire.REFUSED, wire.FORMERR, wire.NOTIMP))

Address = tuple[str, int]


def nameservers(text: str) -> list[str]:
    """The IPv4 name servers of a resolv.conf."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver" and ":" not in words[1]:
            found.append(words[1])
    return found[:UPSTREAMS_LIMIT]


def machine_nameservers(resolv_conf: Path = RESOLV_CONF, resolved_conf: Path = RESOLVED_CONF) -> list[str]:
    """The name servers of this machine, reachable also from another network namespace if there are such."""
    found: list[str] = []
    for path in (resolv_conf, resolved_conf):
        try:
            found = nameservers(path.read_text()) or found
        except OSError:
            continue
        if any(not address.startswith("127.") for address in found):
            break
    return [address for address in found if not address.startswith("127.")] or found


@dataclass(slots=True)
class _Kept:
    message: bytes
    until: float
    since: float
    ttl_positions: list[tuple[int, int]]


class Upstream:
    """Forwards questions. `upstreams` None means those of the machine, as they change."""

    def __init__(self, upstreams: Sequence[Address] | None = None, *, own: Sequence[Address] = ()) -> None:
        self._fixed = upstreams
        self._own = frozenset(own)
        self._addresses: list[Address] = list(upstreams or ())
        self._checked = float("-inf")
        self._modified: object = None
        self._in_flight = 0
        self._cache: OrderedDict[tuple[str, int, int, bool], _Kept] = OrderedDict()

    async def ask(self, query: Query, *, tcp: bool = False) -> bytes:
        """The answer to `query` as a whole message. Raises OSError or TimeoutError if no resolver has any."""
        key = (query.name, query.type, query.class_, query.has_edns)
        kept = self._cache.get(key)
        now = clock.monotonic()
        if kept is not None:
            if now < kept.until and not (tcp and kept.message[2] & 0x02):
                return _fresh(kept, query, now)
            del self._cache[key]
        if self._in_flight >= IN_FLIGHT_LIMIT:
            raise OSError("too many questions wait for upstream resolvers")
        self._in_flight += 1
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_SECONDS):
                message = await self._ask_each(query, tcp)
        finally:
            self._in_flight -= 1
        self._keep(key, message)
        return message

    async def _ask_each(self, query: Query, tcp: bool) -> bytes:
        addresses = self._current()
        last: Exception | None = None
        for address in list(addresses):
            try:
                async with asyncio.timeout(TRY_TIMEOUT_SECONDS):
                    return await (_ask_tcp(query, address) if tcp else _ask_udp(query, address))
            except (OSError, TimeoutError, WireError) as error:
                last = error
                if len(addresses) > 1 and address in addresses:
                    addresses.remove(address)
                    addresses.append(address)
        raise OSError(f"no upstream resolver answers: {last or 'there is none'}")

    def _current(self) -> list[Address]:
        now = clock.monotonic()
        if self._fixed is None and now - self._checked >= RESOLV_CONF_CHECK_SECONDS:
            self._checked = now
            try:
                modified: object = RESOLV_CONF.stat().st_mtime_ns
            except OSError:
                modified = None
            if modified != self._modified or not self._addresses:
                self._modified = modified
                found = [(address, DNS_PORT) for address in machine_nameservers()]
                self._addresses = [address for address in found if address not in self._own]
        return self._addresses

    def _keep(self, key: tuple[str, int, int, bool], message: bytes) -> None:
        try:
            rcode, _, positions, _ = wire.ttl_positions(message)
        except WireError:
            return
        if rcode in _NOT_KEPT or not positions:
            return
        now = clock.monotonic()
        seconds = min(CACHE_SECONDS, *(ttl for _, ttl in positions))
        if seconds <= 0:
            return
        self._cache[key] = _Kept(message, now + seconds, now, positions)
        if len(self._cache) > CACHE_LIMIT:
            self._cache.popitem(last=False)


def _fresh(kept: _Kept, query: Query, now: float) -> bytes:
    """A kept answer for this question, its times to live counted down."""
    message = bytearray(kept.message)
    message[0:2] = query.id.to_bytes(2, "big")
    message[wire.HEADER.size : wire.HEADER.size + len(query.question)] = query.question
    passed = int(now - kept.since)
    if passed:
        for position, ttl in kept.ttl_positions:
            struct.pack_into("!I", message, position, max(0, ttl - passed))
    return bytes(message)


def _outgoing(query: Query, id_: int) -> bytes:
    edns = b""
    if query.has_edns:
        edns = b"\0" + struct.pack("!HHIH", wire.OPT, wire.UDP_SIZE_LIMIT, 0, 0)
    head = wire.HEADER.pack(id_, wire.RD | query.flags & 0x0010, 1, 0, 0, 1 if edns else 0)
    return head + query.question + edns


def _incoming(data: bytes, query: Query, id_: int) -> bytes | None:
    """The answer with the asker's own number, or None if it answers something else."""
    if len(data) < wire.HEADER.size or int.from_bytes(data[:2], "big") != id_ or not data[2] & 0x80:
        return None
    try:
        name, end = wire.read_name(data, wire.HEADER.size)
    except WireError:
        return None
    if name != query.name or data[end : end + 4] != query.question[-4:]:
        return None
    question_end = wire.HEADER.size + len(query.question)
    if end + 4 != question_end:
        return None
    return query.id.to_bytes(2, "big") + data[2 : wire.HEADER.size] + query.question + data[question_end:]


class _Asking(asyncio.DatagramProtocol):
    def __init__(self, query: Query, id_: int) -> None:
        self._query, self._id = query, id_
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, _: object) -> None:
        answer = _incoming(data, self._query, self._id)
        if answer is not None and not self.answer.done():
            self.answer.set_result(answer)

    def error_received(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


async def _ask_udp(query: Query, address: Address) -> bytes:
    loop = asyncio.get_running_loop()
    id_ = clock.random().getrandbits(16)
    transport, asking = await loop.create_datagram_endpoint(lambda: _Asking(query, id_), remote_addr=address)
    try:
        transport.sendto(_outgoing(query, id_))
        return await asking.answer
    finally:
        asking.answer.cancel()
        transport.close()


async def _ask_tcp(query: Query, address: Address) -> bytes:
    id_ = clock.random().getrandbits(16)
    reader, writer = await asyncio.open_connection(*address)
    try:
        message = _outgoing(query, id_)
        writer.write(len(message).to_bytes(2, "big") + message)
        while True:
            size = int.from_bytes(await reader.readexactly(2), "big")
            answer = _incoming(await reader.readexactly(size), query, id_)
            if answer is not None:
                return answer
    except EOFError as error:
        raise ConnectionResetError("the resolver closed the connection") from error
    finally:
        writer.close()
