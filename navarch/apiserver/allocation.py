"""ClusterIPs and node ports: handed out when a Service is stored, given back when it goes.

An address is taken as long as there is an IPAddress of its name or a Service that has it. A Service and the IPAddresses of
its addresses change in one commit, so nothing between them can be lost; whoever changes one by hand is answered by
`addressrepair`. A node port, that of a health check included, is taken as long as a Service has it; the claim that is written
with the Service (a key of the store below ``/registry/ranges/servicenodeports/``, no object of the API) keeps two servers from
giving it out at once. What Services have follows the store's own changes; nothing runs between choosing something and staging
what claims it.
"""

from __future__ import annotations

import ipaddress

from navarch.api.core import service as services
from navarch.api.core.servicerules import is_checked
from navarch.api.networking import ipaddress as addresses
from navarch.api.networking import servicecidr
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.bootstrap import complete
from navarch.apiserver.nodeports import NodePorts
from navarch.apiserver.resources import versioned
from navarch.component import clock
from navarch.storage.changes import Change, Write
from navarch.storage.store import Store

MANAGER = "ipallocator.k8s.io"
PORT_CLAIMS = "/registry/ranges/"
# The first addresses of a network are left for those who ask for a particular one (KEP-3070).
STATIC_BAND_MIN, STATIC_BAND_MAX = 16, 256
ATTEMPTS = 64


def address_of(service: Object, address: str) -> Object:
    """The IPAddress that says that a Service has an address."""
    parent = {"resource": "services", "namespace": meta.namespace(service), "name": meta.name(service)}
    family = "IPv6" if ":" in address else "IPv4"
    labels = {addresses.FAMILY_LABEL: family, addresses.MANAGED_BY_LABEL: MANAGER}
    return {"metadata": {"name": address, "labels": labels}, "spec": {"parentRef": parent}}


def cluster_ips(service: Object) -> list[str]:
    """The addresses a Service has."""
    return [address for address in service["spec"].get("clusterIPs") or () if address != "None"]


class ServiceAllocator:
    """Addresses and ports of Services."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._networks: list[ipaddress.IPv4Network] = []
        self._owners: dict[str, str] = {}
        self._ports: dict[int, str] = {}
        prefix = services.KIND.key_prefix
        for record in store.collection(prefix).records.values():
            self._take(record.object())
        store.watch(prefix, prefix, store.revision, self._follow)
        prefix = servicecidr.KIND.key_prefix
        self._look_at_networks([])
        store.watch(prefix, prefix, store.revision, self._look_at_networks)

    # What is in use.

    def _follow(self, changes: list[Change]) -> None:
        for change in changes:
            if change.previous is not None:
                self._release(change.previous.object())
            if not change.deleted:
                self._take(change.object)

    def _look_at_networks(self, changes: list[Change]) -> None:
        records = self._store.collection(servicecidr.KIND.key_prefix).records.values()
        found = {
            network
            for service_cidr in (record.object() for record in records)
            if servicecidr.gives_addresses(service_cidr)
            for network in servicecidr.networks(service_cidr)
            if isinstance(network, ipaddress.IPv4Network)
        }
        self._networks = sorted(found)

    def _take(self, service: Object) -> None:
        owner = meta.key(service)
        for address in cluster_ips(service):
            self._owners[address] = owner
        for port in _ports(service):
            self._ports[port] = owner

    def _release(self, service: Object) -> None:
        owner = meta.key(service)
        for address in cluster_ips(service):
            if self._owners.get(address) == owner:
                del self._owners[address]
        for port in _ports(service):
            if self._ports.get(port) == owner:
                del self._ports[port]

    def owner(self, address: str) -> str:
        """The key of the Service that has an address, or ""."""
        return self._owners.get(address, "")

    def _is_free(self, address: str) -> bool:
        kind = addresses.KIND
        return address not in self._owners and self._store.latest(kind.key_prefix, kind.key("", address)) is None

    def _is_free_port(self, port: int) -> bool:
        # A claim that is only staged is that of a Service that will have it; one without a Service has been left behind.
        key = _claim_key(port)
        return port not in self._ports and self._store.latest(PORT_CLAIMS, key) is self._store.get(PORT_CLAIMS, key)

    # Handing out.

    def allocate(self, new: Object, old: Object | None) -> Object:
        """`new` with the addresses and ports it needs. Raises 422 for those that are taken or out of range."""
        spec = dict(new["spec"])
        if services.has_cluster_ip(spec):
            if not spec.get("clusterIP"):
                spec["clusterIP"] = self._free_address()
                spec["clusterIPs"] = [spec["clusterIP"]]
            elif old is None or spec["clusterIP"] not in cluster_ips(old):
                self._check_address(new, spec["clusterIP"])
        if services.may_have_node_ports(spec):
            kept = services.node_ports(old["spec"]) if old is not None else None
            spec["ports"] = NodePorts(self._is_free_port, new, kept).allocate()
        if is_checked(spec) and (old is None or not is_checked(old["spec"])):
            given = services.node_ports(spec)
            spec["healthCheckNodePort"] = NodePorts(self._is_free_port, new, given).health(spec.get("healthCheckNodePort", 0))
        return {**new, "spec": spec}

    def beside(self, new: Object | None, old: Object | None) -> list[Write]:
        """The IPAddresses and the claims of node ports that come and go with a change of a Service."""
        return [*self._addresses_beside(new, old), *self._claims_beside(new, old)]

    def _claims_beside(self, new: Object | None, old: Object | None) -> list[Write]:
        now = _ports(new) if new is not None else set()
        before = _ports(old) if old is not None else set()
        writes = []
        for port in sorted(now):
            if port not in before:
                assert new is not None
                key = _claim_key(port)
                claim: Object = {"metadata": {"name": key.rpartition("/")[2]}, "service": meta.key(new)}
                writes.append(Write(PORT_CLAIMS, key, versioned(claim), self._store.latest(PORT_CLAIMS, key), claim))
        for port in sorted(before):
            record = self._store.latest(PORT_CLAIMS, _claim_key(port))
            if port not in now and record is not None:
                writes.append(Write(PORT_CLAIMS, record.key, versioned(record.object()), record, deletes=True))
        return writes

    def _addresses_beside(self, new: Object | None, old: Object | None) -> list[Write]:
        now = cluster_ips(new) if new is not None else []
        before = cluster_ips(old) if old is not None else []
        kind, writes = addresses.KIND, []
        for address in now:
            if address not in before:
                assert new is not None
                made = complete(kind, address_of(new, address))
                writes.append(Write(kind.key_prefix, kind.key("", address), versioned(made), None, made))
        for address in before:
            if address not in now:
                assert old is not None
                writes += self._removal(old, address)
        return writes

    def _removal(self, service: Object, address: str) -> list[Write]:
        kind = addresses.KIND
        record = self._store.latest(kind.key_prefix, kind.key("", address))
        if record is None:
            return []
        present = record.object()
        if present["spec"]["parentRef"] != address_of(service, address)["spec"]["parentRef"]:
            return []
        # Somebody may want to see to something first.
        held = bool(present["metadata"].get("finalizers"))
        if held:
            present["metadata"].setdefault("deletionTimestamp", clock.timestamp())
            present["metadata"].setdefault("deletionGracePeriodSeconds", 0)
        return [Write(kind.key_prefix, record.key, versioned(present), record, present, deletes=not held)]

    def _free_address(self) -> str:
        for network in self._networks:
            found = self._free_in(network)
            if found:
                return found
        raise errors.internal_error("failed to allocate a serviceIP: range is full")

    def _free_in(self, network: ipaddress.IPv4Network) -> str:
        """A free address of a network, or ""."""
        first, count = int(network.network_address) + 1, network.num_addresses - 2
        band = _static_band(network.num_addresses)
        for low, high in ((band, count), (0, band)):
            if low >= high:
                continue
            for _ in range(ATTEMPTS):
                address = _text(first + clock.random().randrange(low, high))
                if self._is_free(address):
                    return address
            for number in range(first + low, first + high):
                if self._is_free(address := _text(number)):
                    return address
        return ""

    def _check_address(self, service: Object, address: str) -> None:
        parsed = ipaddress.ip_address(address)
        problem = ""
        if not any(_contains(network, parsed) for network in self._networks):
            problem = f"failed to allocate IP {address}: the provided network does not match the current range"
        elif not self._is_free(address):
            problem = f"failed to allocate IP {address}: provided IP is already allocated"
        if problem:
            invalid = errors.invalid_value("spec.clusterIPs", [address], problem)
            raise errors.invalid("", "Service", meta.name(service), [invalid])


def _contains(network: ipaddress.IPv4Network, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether a network can give an address: it keeps its first and last one."""
    return address in network and address not in (network.network_address, network.broadcast_address)


def _static_band(size: int) -> int:
    return 0 if size <= STATIC_BAND_MIN else min(max(STATIC_BAND_MIN, size // 16), STATIC_BAND_MAX)


def _text(number: int) -> str:
    return str(ipaddress.IPv4Address(number))


def _claim_key(number: int) -> str:
    return f"{PORT_CLAIMS}servicenodeports/{number}"


def _ports(service: Object) -> set[int]:
    """The node ports of a Service, that of its health check included."""
    health = service["spec"].get("healthCheckNodePort")
    return {*services.node_ports(service["spec"]), *([health] if health else ())}
