"""What the packet filter must hold for one Service: a pure function of the Service, its EndpointSlices and the node.

Rules (Kubernetes API reference, Service and EndpointSlice; KEP-1669 for terminating endpoints):

- A connection goes to a ready endpoint; when none is ready, to one that is terminating but still serving.
- With policy Local only endpoints of this node count. None of them: packets are dropped, as nobody may say "closed" for the
  others. No endpoint at all: refused.
- An endpoint's place in the kernel's map is a number 0 … n-1, and places are kept from one plan to the next, so that a
  change of one endpoint changes two or three map elements, whatever the size of the Service.
- Services without an IPv4 ClusterIP (headless, ExternalName) and those of another proxy have no rules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from navarch.apimachinery.errors import Object

TABLE = "navarch"
MASQUERADE_MARK = 0x4000
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
# A chosen endpoint's number stands for a moment in the connection's mark, the one thing that a rule can compute and a map can
# have in its key; the high byte tells it from marks of others. It is cleared when the packet leaves.
PLACES = 0x6E000000
# Where the places of all endpoints begin in a map that also holds the local ones (policy Local).
EVERYWHERE_PLACES = PLACES + 0x10000
PLACES_LAST = PLACES + 0x1FFFF
ENDPOINTS_LIMIT = 0xFFFF
DEFAULT_AFFINITY_SECONDS = 10800

SERVICE_IPS = "service-ips"
NODE_PORTS = "node-ports"
ENDPOINTS = "endpoints"
NODE_PORT_ENDPOINTS = "node-port-endpoints"
STICKY = "sticky"
NODE_PORT_STICKY = "node-port-sticky"
CLIENTS = "clients"
UNSERVED_IPS = "unserved-ips"
UNSERVED_PORTS = "unserved-ports"
CLUSTER_IPS = "cluster-ips"
HAIRPINS = "hairpins"
NODE_IPS = "node-ips"

REFUSE = "goto refuse"
DROP = "drop"

ElementKey = tuple[str, str]
"""(set or map, key as nft writes it)."""


@dataclass(frozen=True, slots=True)
class Node:
    """What the rules need to know of the node they are for."""

    name: str
    cluster_cidr: str
    """Where pods have their addresses, on all nodes."""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address and port that serves a Service's port."""

    ip: str
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    local: bool = False
    hint_zones: tuple[str, ...] = ()
    hint_nodes: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """As nft writes it in a map's data."""
        return f"{self.ip} . {self.port}"


@dataclass(slots=True)
class Fragment:
    """The part of the table that one owner asks for."""

    elements: dict[ElementKey, str] = field(default_factory=dict)
    """Exclusively its own: key to value ("" in a set)."""
    shared: set[ElementKey] = field(default_factory=set)
    """Elements of sets that others may ask for as well."""
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Name to rules; of several owners who ask for a name, all ask for the same rules."""


@dataclass(slots=True)
class Plan:
    """A Service's fragment, and what the next plan for it starts from."""

    fragment: Fragment = field(default_factory=Fragment)
    places: dict[str, list[str]] = field(default_factory=dict)
    """Per list of endpoints, who has which place."""
    numbers: dict[str, dict[str, int]] = field(default_factory=dict)
    """Per port with session affinity, the number by which clients are bound to an endpoint as long as it lives."""
    datagrams: dict[tuple[str, int], frozenset[tuple[str, int]]] = field(default_factory=dict)
    """UDP only: (address, or "" for every address of the node; port) to where connections may go."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Which endpoints of one port may be used."""

    everywhere: list[Endpoint]
    local: list[Endpoint]

    @property
    def any(self) -> bool:
        return bool(self.everywhere or self.local)


# Endpoints


def endpoints_of(slices: Iterable[Object], port_name: str, protocol: str, node: Node) -> list[Endpoint]:
    """The endpoints of one port, each address once."""
    found: dict[tuple[str, int], Endpoint] = {}
    for endpoint_slice in slices:
        if endpoint_slice.get("addressType") != "IPv4":
            continue
        number = _port_number(endpoint_slice, port_name, protocol)
        if number is None:
            continue
        for entry in endpoint_slice.get("endpoints") or ():
            addresses = entry.get("addresses")
            if not addresses:
                continue
            endpoint = _endpoint(entry, addresses[0], number, node)
            key = (endpoint.ip, endpoint.port)
            # While an endpoint moves from one slice to another it is in both: the ready one is the truth.
            if key not in found or (endpoint.ready and not found[key].ready):
                found[key] = endpoint
    return sorted(found.values(), key=lambda endpoint: (endpoint.ip, endpoint.port))[:ENDPOINTS_LIMIT]


def _port_number(endpoint_slice: Object, port_name: str, protocol: str) -> int | None:
    for port in endpoint_slice.get("ports") or ():
        if (port.get("name") or "") == port_name and port.get("protocol", "TCP") == protocol:
            number = port.get("port")
            return int(number) if number else None
    return None


def _endpoint(entry: Object, ip: str, port: int, node: Node) -> Endpoint:
    conditions = entry.get("conditions") or {}
    ready = conditions.get("ready")
    ready = True if ready is None else bool(ready)
    serving = conditions.get("serving")
    hints = entry.get("hints") or {}
    return Endpoint(
        ip=ip,
        port=port,
        ready=ready,
        serving=ready if serving is None else bool(serving),
        terminating=bool(conditions.get("terminating")),
        local=entry.get("nodeName") == node.name,
        hint_zones=tuple(hint["name"] for hint in hints.get("forZones") or ()),
        hint_nodes=tuple(hint["name"] for hint in hints.get("forNodes") or ()),
    )


def usable(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """The ready ones, or else those that terminate and still serve (KEP-1669)."""
    endpoints = list(endpoints)
    return [e for e in endpoints if e.ready] or [e for e in endpoints if e.serving and e.terminating]


def reach(endpoints: Sequence[Endpoint], node: Node) -> Reach:
    """The endpoints for policy Cluster (near ones only, where hints say so) and for policy Local."""
    return Reach(near(usable(endpoints), node), usable(e for e in endpoints if e.local))


def near(endpoints: list[Endpoint], node: Node) -> list[Endpoint]:
    """Those that hints give to this node or its zone; all, unless every endpoint has hints and one is for here."""
    if endpoints and all(e.hint_nodes for e in endpoints):
        chosen = [e for e in endpoints if node.name in e.hint_nodes]
        if chosen:
            return chosen
    if endpoints and node.zone and all(e.hint_zones for e in endpoints):
        return [e for e in endpoints if node.zone in e.hint_zones] or endpoints
    return endpoints


def place(previous: Sequence[str], wanted: Iterable[str]) -> list[str]:
    """`wanted` in an order that moves as few as can be from where `previous` had them."""
    missing = dict.fromkeys(wanted)
    size = len(missing)
    placed: list[str | None] = []
    for target in previous[:size]:
        keep = target in missing
        placed.append(target if keep else None)
        if keep:
            del missing[target]
    placed += [None] * (size - len(placed))
    rest = iter(missing)
    return [target if target is not None else next(rest) for target in placed]


# The plan for one Service


def plan(service: Object, slices: Sequence[Object], node: Node, previous: Plan | None = None) -> Plan:
    """Everything the table must hold for `service`."""
    result = Plan()
    spec = service["spec"]
    if not is_proxied(service):
        return result
    previous = previous or Plan()
    name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
    result.fragment.shared.add((CLUSTER_IPS, spec["clusterIP"]))
    for port in spec.get("ports") or ():
        _PortPlan(result, previous, name, spec, service.get("status") or {}, port, slices, node).make()
    return result


def is_proxied(service: Object) -> bool:
    """Whether the Service has rules at all."""
    spec = service["spec"]
    ip = spec.get("clusterIP")
    if spec.get("type") == "ExternalName" or not ip or ip == "None" or ":" in ip:
        return False
    return PROXY_NAME_LABEL not in (service["metadata"].get("labels") or {})


class _PortPlan:
    """Adds one port of a Service to a plan."""

    def __init__(
        self,
        result: Plan,
        previous: Plan,
        service: str,
        spec: Object,
        status: Object,
        port: Object,
        slices: Sequence[Object],
        node: Node,
    ) -> None:
        self.plan, self.previous, self.spec, self.status, self.port, self.node = result, previous, spec, status, port, node
        self.fragment = result.fragment
        name = port.get("name") or ""
        self.protocol: str = port.get("protocol", "TCP")
        self.name = f"{service}:{name}:{self.protocol}"
        self.number = int(port["port"])
        self.reach = reach(endpoints_of(slices, name, self.protocol, node), node)
        self.affinity_seconds = _affinity_seconds(spec)
        self.internal_local = spec.get("internalTrafficPolicy") == "Local"
        self.external_local = spec.get("externalTrafficPolicy") == "Local"

    def make(self) -> None:
        internal = self.reach.local if self.internal_local else self.reach.everywhere
        self._address(self.spec["clusterIP"], "cluster", internal)
        for ip in self._external_ips():
            self._external_address(ip, ())
        ranges = tuple(r.strip() for r in self.spec.get("loadBalancerSourceRanges") or () if ":" not in r)
        for ip in self._load_balancer_ips():
            self._external_address(ip, ranges)
        node_port = self.port.get("nodePort")
        if node_port and self.spec.get("type") in ("NodePort", "LoadBalancer"):
            self._node_port(int(node_port))
        for endpoint in {e.ip: e for e in (*self.reach.everywhere, *self.reach.local) if e.local}.values():
            self.fragment.shared.add((HAIRPINS, f"{endpoint.ip} . {endpoint.ip}"))

    def _external_ips(self) -> list[str]:
        return [ip for ip in self.spec.get("externalIPs") or () if ":" not in ip]

    def _load_balancer_ips(self) -> list[str]:
        if self.spec.get("type") != "LoadBalancer":
            return []
        ingress = (self.status.get("loadBalancer") or {}).get("ingress") or ()
        return [i["ip"] for i in ingress if i.get("ip") and ":" not in i["ip"] and i.get("ipMode", "VIP") == "VIP"]

    def _external_address(self, ip: str, source_ranges: tuple[str, ...]) -> None:
        if self.external_local:
            self._address(ip, "external-local", self.reach.local, source_ranges)
        else:
            self._address(ip, "external", self.reach.everywhere, source_ranges)

    def _address(self, ip: str, way: Way, chosen: list[Endpoint], source_ranges: tuple[str, ...] = ()) -> None:
        key = f"{ip} . {self.protocol.lower()} . {self.number}"
        self._datagrams((ip, self.number), way, chosen)
        if not self._is_served(way, chosen):
            self.fragment.elements[UNSERVED_IPS, key] = DROP if self.reach.any else REFUSE
            return
        verdict = self._verdict(key, ENDPOINTS, way, chosen)
        if source_ranges:
            chain = f"source-{_digest(self.name, ip)}"
            self.fragment.chains[chain] = (f"ip saddr {{ {', '.join(source_ranges)} }} {verdict}", "drop")
            verdict = f"goto {chain}"
        self.fragment.elements[SERVICE_IPS, key] = verdict

    def _node_port(self, node_port: int) -> None:
        key = f"{self.protocol.lower()} . {node_port}"
        way: Way = "external-local" if self.external_local else "external"
        chosen = self.reach.local if self.external_local else self.reach.everywhere
        self._datagrams(("", node_port), way, chosen)
        if self._is_served(way, chosen):
            self.fragment.elements[NODE_PORTS, key] = self._verdict(key, NODE_PORT_ENDPOINTS, way, chosen)
        else:
            self.fragment.elements[UNSERVED_PORTS, key] = DROP if self.reach.any else REFUSE

    def _is_served(self, way: Way, chosen: list[Endpoint]) -> bool:
        return bool(chosen) or (way == "external-local" and bool(self.reach.everywhere))

    def _datagrams(self, address: tuple[str, int], way: Way, chosen: list[Endpoint]) -> None:
        if self.protocol != "UDP":
            return
        every = [*chosen, *self.reach.everywhere] if way == "external-local" else chosen
        self.plan.datagrams[address] = frozenset((e.ip, e.port) for e in every)

    def _verdict(self, key: str, endpoint_map: str, way: Way, chosen: list[Endpoint]) -> str:
        local = way == "external-local" or (way == "cluster" and self.internal_local)
        lists = [(PLACES, self._place("local" if local else "all", chosen))]
        if way == "external-local":
            lists.append((EVERYWHERE_PLACES, self._place("all", self.reach.everywhere)))
        if self.affinity_seconds:
            self._bind(key, endpoint_map, lists)
        else:
            for first, placed in lists:
                for index, target in enumerate(placed):
                    self.fragment.elements[endpoint_map, f"{key} . {first + index:#x}"] = target
        counts = [len(placed) for _, placed in lists]
        chain, rules = balance_chain(way, endpoint_map, counts, self.node.cluster_cidr, self.affinity_seconds)
        self.fragment.chains[chain] = rules
        return f"goto {chain}"

    def _bind(self, key: str, endpoint_map: str, lists: list[tuple[int, list[str]]]) -> None:
        """With session affinity a place stands for a number that an endpoint keeps, and only that for the endpoint."""
        sticky = NODE_PORT_STICKY if endpoint_map == NODE_PORT_ENDPOINTS else STICKY
        numbers = self.plan.numbers.setdefault(self.name, {})
        wanted = {target for _, placed in lists for target in placed}
        numbers.update(number(self.previous.numbers.get(self.name, {}) | numbers, wanted))
        for first, placed in lists:
            for index, target in enumerate(placed):
                mark = f"{PLACES + numbers[target]:#x}"
                self.fragment.elements[sticky, f"{key} . {first + index:#x}"] = mark
                self.fragment.elements[endpoint_map, f"{key} . {mark}"] = target

    def _place(self, which: str, chosen: list[Endpoint]) -> list[str]:
        label = f"{self.name}:{which}"
        present = self.plan.places.get(label)
        if present is None:
            present = place(self.previous.places.get(label, ()), (e.target for e in chosen))
            self.plan.places[label] = present
        return present


Way = Literal["cluster", "external", "external-local"]
"""How a connection came: to the ClusterIP; from outside; from outside where only local endpoints may answer."""

_MARK = f"meta mark set meta mark or {MASQUERADE_MARK:#x}"


_OURS = f"ct mark {PLACES:#x}-{PLACES_LAST:#x}"
_CLIENT = "ip saddr . ip daddr . meta l4proto . th dport"


def balance_chain(
    way: Way, endpoint_map: str, counts: Sequence[int], cluster_cidr: str, affinity_seconds: int = 0
) -> tuple[str, tuple[str, ...]]:
    """Name and rules of the chain, shared by all Services, that translates to one of so many endpoints.

    `counts` is the number of endpoints; for external-local that of the local ones and of all.
    """
    kind = "port" if endpoint_map == NODE_PORT_ENDPOINTS else "ip"
    name = "-".join([way, kind, *map(str, counts), *([str(affinity_seconds)] if affinity_seconds else [])])
    here = "" if endpoint_map == NODE_PORT_ENDPOINTS else "ip daddr . "
    key = f"{here}meta l4proto . th dport . ct mark"
    translate = f"meta l4proto {{ tcp, udp, sctp }} dnat ip to {key} map @{endpoint_map}"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = (translate,)
    if affinity_seconds:
        remember = f"update @{CLIENTS} {{ {_CLIENT} timeout {affinity_seconds}s : ct mark }}"
        sticky = NODE_PORT_STICKY if endpoint_map == NODE_PORT_ENDPOINTS else STICKY
        # Whoever is bound to an endpoint that is gone is forgotten and bound anew.
        before = (
            f"ct mark set {_CLIENT} map @{CLIENTS}",
            f"{_OURS} {remember}",
            f"{_OURS} {translate}",
            f"{_OURS} delete @{CLIENTS} {{ {_CLIENT} : ct mark }}",
        )
        after = (f"ct mark set {key} map @{sticky}", remember, translate)
    first = f"ct mark set numgen random mod {counts[0]} offset {PLACES:#x}" if counts[0] else "drop"
    if way == "cluster":
        return name, (f"ip saddr != {cluster_cidr} {_MARK}", *before, first, *after)
    if way == "external":
        return name, (_MARK, *before, first, *after)
    everywhere = f"ct mark set numgen random mod {counts[1]} offset {EVERYWHERE_PLACES:#x}" if counts[1] else "drop"
    # The cluster itself need not be sent to this node's endpoints: it isn't traffic from outside.
    here_first = (
        f"fib saddr type local {_MARK}",
        *before,
        f"fib saddr type local {everywhere}",
        f"ip saddr {cluster_cidr} {everywhere}",
        f"ct mark < {EVERYWHERE_PLACES:#x} {first}",
    )
    return name, (*here_first, *after)


def number(previous: Mapping[str, int], wanted: Iterable[str]) -> dict[str, int]:
    """A number for each of `wanted`: its previous one, or else the lowest that is free."""
    wanted = sorted(wanted)
    numbers = {target: previous[target] for target in wanted if target in previous}
    taken = set(numbers.values())
    free = (candidate for candidate in count() if candidate not in taken)
    return {target: numbers[target] if target in numbers else next(free) for target in wanted}


def _affinity_seconds(spec: Object) -> int:
    """0 without affinity."""
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(config.get("timeoutSeconds") or DEFAULT_AFFINITY_SECONDS)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


# Stale connections


@dataclass(frozen=True, slots=True)
class Flow:
    """A tracked UDP connection: where it was sent, and who answers it."""

    destination: str
    port: int
    answered_by: str
    answered_from_port: int


def is_stale(
    flow: Flow,
    changed: dict[tuple[str, int], frozenset[tuple[str, int]]],
    node_ips: frozenset[str],
) -> bool:
    """Whether the kernel would go on sending `flow` to where its Service no longer is.

    `changed` holds the addresses whose endpoints changed, with those they have now. UDP has no end that would make the kernel
    look at the rules again, so such flows must be forgotten.
    """
    allowed = changed.get((flow.destination, flow.port))
    if allowed is None and flow.destination in node_ips:
        allowed = changed.get(("", flow.port))
    return allowed is not None and (flow.answered_by, flow.answered_from_port) not in allowed


def changed_datagrams(old: Plan, new: Plan) -> dict[tuple[str, int], frozenset[tuple[str, int]]]:
    """The UDP addresses from which an endpoint has gone, or which had none and now have: what `is_stale` needs.

    An address that went away altogether is there with no endpoint.
    """
    found: dict[tuple[str, int], frozenset[tuple[str, int]]] = {}
    for address, before in old.datagrams.items():
        after = new.datagrams.get(address, frozenset())
        if before - after or (not before and after):
            found[address] = after
    for address, after in new.datagrams.items():
        if address not in old.datagrams and after:
            found[address] = after
    return found
