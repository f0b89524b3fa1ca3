"""ClusterIPs and node ports: handed out when a Service is stored, given back when it goes.

What is in use follows the store's own changes, so that it cannot drift from it; numbers just handed out are kept apart until
their Service is stored or refused.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from navarch.api.core import service as services
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.storage.mvcc import Change
from navarch.storage.store import Store

NODE_PORTS = range(30000, 32768)
RESERVATION_SECONDS = 30.0
# The first addresses of the range are left for those who ask for a particular one (KEP-3070).
STATIC_BAND_MIN, STATIC_BAND_MAX = 16, 256
ATTEMPTS = 64


class ServiceAllocator:
    """Addresses and ports of Services."""

    def __init__(self, store: Store, service_cidr: str) -> None:
        self._network = ipaddress.IPv4Network(service_cidr)
        self._addresses: dict[str, str] = {}
        self._ports: dict[tuple[str, int], str] = {}
        self._reserved: dict[object, float] = {}
        prefix = services.KIND.key_prefix
        for record in store.collection(prefix).records.values():
            self._take(record.object())
        store.watch(prefix, prefix, store.revision, self._follow)

    @property
    def first_address(self) -> str:
        """The address of the ``kubernetes`` Service."""
        return str(self._network.network_address + 1)

    def _follow(self, changes: list[Change]) -> None:
        for change in changes:
            if change.previous is not None:
                self._release(change.previous.object())
            if not change.deleted:
                self._take(change.object)

    def _take(self, service: Object) -> None:
        owner = meta.key(service)
        for address in _addresses(service):
            self._addresses[address] = owner
            self._reserved.pop(address, None)
        for port in _ports(service):
            self._ports[port] = owner
            self._reserved.pop(port, None)

    def _release(self, service: Object) -> None:
        owner = meta.key(service)
        for address in _addresses(service):
            if self._addresses.get(address) == owner:
                del self._addresses[address]
        for port in _ports(service):
            if self._ports.get(port) == owner:
                del self._ports[port]

    def _is_free(self, item: str | tuple[str, int]) -> bool:
        taken = item in self._addresses if isinstance(item, str) else item in self._ports
        return not taken and self._reserved.get(item, 0.0) < clock.monotonic()

    def _reserve(self, item: str | tuple[str, int]) -> None:
        self._reserved[item] = clock.monotonic() + RESERVATION_SECONDS

    def allocate(self, new: Object, old: Object | None) -> Object:
        """`new` with the addresses and ports it needs. Raises 422 for those that are taken or out of range."""
        before = set(self._reserved)
        try:
            return self._allocate(new, old)
        except errors.StatusError:
            # Nothing ran in between: what is reserved now and was not before was for this Service.
            for item in self._reserved.keys() - before:
                del self._reserved[item]
            raise

    def release(self, new: Object) -> None:
        """Give back what was handed out for a Service that was not stored."""
        for item in (*_addresses(new), *_ports(new)):
            self._reserved.pop(item, None)

    def _allocate(self, new: Object, old: Object | None) -> Object:
        spec = dict(new["spec"])
        kept_address = _addresses(old) if old is not None else []
        if services.has_cluster_ip(spec):
            if not spec.get("clusterIP"):
                spec["clusterIP"] = self._free_address()
                spec["clusterIPs"] = [spec["clusterIP"]]
            elif spec["clusterIP"] not in kept_address:
                self._claim_address(new, spec["clusterIP"])
        kept_ports = set(_ports(old)) if old is not None else set()
        if services.wants_node_ports(spec):
            spec["ports"] = [self._with_node_port(new, port, i, kept_ports) for i, port in enumerate(spec.get("ports") or ())]
        return {**new, "spec": spec}

    def _free_address(self) -> str:
        size = self._network.num_addresses - 2
        band = min(max(STATIC_BAND_MIN, size // 16), STATIC_BAND_MAX)
        for attempt in range(ATTEMPTS):
            low = band if attempt < ATTEMPTS // 2 else 0
            address = str(self._network.network_address + 1 + clock.random().randrange(low, size))
            if self._is_free(address):
                self._reserve(address)
                return address
        for host in self._network.hosts():
            if self._is_free(str(host)):
                self._reserve(str(host))
                return str(host)
        raise errors.internal_error("failed to allocate a serviceIP: range is full")

    def _claim_address(self, service: Object, address: str) -> None:
        problem = ""
        if ipaddress.ip_address(address) not in self._network:
            problem = f"failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. "
            problem += f"The range of valid IPs is {self._network}"
        elif not self._is_free(address):
            problem = f"failed to allocate IP {address}: provided IP is already allocated"
        if problem:
            invalid = errors.invalid_value("spec.clusterIPs", [address], problem)
            raise errors.invalid("", "Service", meta.name(service), [invalid])
        self._reserve(address)

    def _with_node_port(self, service: Object, port: Object, index: int, kept: set[tuple[str, int]]) -> Object:
        protocol, number = port["protocol"], port.get("nodePort")
        if not number:
            free = (protocol, self._free_port(protocol))
            self._reserve(free)
            return {**port, "nodePort": free[1]}
        if (protocol, number) not in kept:
            problem = ""
            if number not in NODE_PORTS:
                problem = "provided port is not in the valid range. The range of valid ports is 30000-32767"
            elif not self._is_free((protocol, number)):
                problem = "provided port is already allocated"
            if problem:
                invalid = errors.invalid_value(f"spec.ports[{index}].nodePort", number, problem)
                raise errors.invalid("", "Service", meta.name(service), [invalid])
            self._reserve((protocol, number))
        return port

    def _free_port(self, protocol: str) -> int:
        for _ in range(ATTEMPTS):
            number = clock.random().choice(NODE_PORTS)
            if self._is_free((protocol, number)):
                return number
        for number in NODE_PORTS:
            if self._is_free((protocol, number)):
                return number
        raise errors.internal_error("failed to allocate a nodePort: range is full")


def _addresses(service: Object) -> list[str]:
    return [address for address in service["spec"].get("clusterIPs") or () if address != "None"]


def _ports(service: Object) -> Iterator[tuple[str, int]]:
    for port in service["spec"].get("ports") or ():
        if port.get("nodePort"):
            yield port.get("protocol", "TCP"), port["nodePort"]
