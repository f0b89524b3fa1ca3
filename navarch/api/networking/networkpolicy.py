"""NetworkPolicy: who may speak with some pods."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import labelselector, printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import ipforms, names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, not_supported, required

PROTOCOLS = ("TCP", "UDP", "SCTP")
POLICY_TYPES = ("Ingress", "Egress")
_PEERS = {"ingress": "from", "egress": "to"}


def default(policy: Object) -> Object:
    spec = policy.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for direction in _PEERS:
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    return policy


def validate(policy: Object) -> Iterator[FieldError]:
    spec = policy["spec"]
    yield from labelselector.validate(spec["podSelector"], "spec.podSelector")
    for direction, peers in _PEERS.items():
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for position, port in enumerate(rule.get("ports") or ()):
                yield from _port(port, f"{path}.ports[{position}]")
            for position, peer in enumerate(rule.get(peers) or ()):
                yield from _peer(peer, f"{path}.{peers}[{position}]")
    types = spec["policyTypes"]
    if len(types) > len(POLICY_TYPES):
        yield invalid_value("spec.policyTypes", types, "may not specify more than two policyTypes")
        return
    for index, type_ in enumerate(types):
        if type_ not in POLICY_TYPES:
            yield not_supported(f"spec.policyTypes[{index}]", type_, POLICY_TYPES)


def _port(item: Object, path: str) -> Iterator[FieldError]:
    port, end = item.get("port"), item.get("endPort")
    if item["protocol"] not in PROTOCOLS:
        yield not_supported(f"{path}.protocol", item["protocol"], PROTOCOLS)
    if isinstance(port, int):
        yield from (invalid_value(f"{path}.port", port, text) for text in names.port_number(port))
        if end is not None:
            if end < port:
                yield invalid_value(f"{path}.endPort", end, "must be greater than or equal to `port`")
            yield from (invalid_value(f"{path}.endPort", end, text) for text in names.port_number(end))
    elif port is not None:
        if end is not None:
            yield invalid_value(f"{path}.endPort", end, "may not be specified when `port` is non-numeric")
        yield from (invalid_value(f"{path}.port", port, text) for text in names.port_name(port))
    elif end is not None:
        yield invalid_value(f"{path}.endPort", end, "may not be specified when `port` is not specified")


def _peer(peer: Object, path: str) -> Iterator[FieldError]:
    kinds = [field for field in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(field) is not None]
    for field in kinds:
        if field == "ipBlock":
            yield from _block(peer["ipBlock"], f"{path}.ipBlock")
        else:
            yield from labelselector.validate(peer[field], f"{path}.{field}")
    if not kinds:
        yield required(path, "must specify a peer")
    elif len(kinds) > 1 and "ipBlock" in kinds:
        yield forbidden_field(path, "may not specify both ipBlock and another peer")


def _block(block: Object, path: str) -> Iterator[FieldError]:
    cidr = block.get("cidr", "")
    if not cidr:
        yield required(f"{path}.cidr")
        return
    yield from (invalid_value(f"{path}.cidr", cidr, text) for text in names.cidr(cidr))
    network = names.lenient_network(cidr)
    if network is None:
        return
    for index, excepted in enumerate(block.get("except") or ()):
        where, inner = f"{path}.except[{index}]", names.lenient_network(excepted)
        yield from (invalid_value(where, excepted, text) for text in names.cidr(excepted))
        if inner is not None and not _is_strictly_inside(inner, network):
            yield invalid_value(where, excepted, "must be a strict subset of `cidr`")


def _is_strictly_inside(inner: Any, outer: Any) -> bool:
    return bool(inner.version == outer.version and inner.prefixlen > outer.prefixlen and inner.subnet_of(outer))


def row(policy: Object, now: datetime) -> list[Any]:
    selector = printing.selector(policy["spec"].get("podSelector") or {})
    return [policy["metadata"]["name"], selector, printing.age(policy, now)]


def warnings(policy: Object, old: Object | None) -> Iterator[str]:
    for direction, side in _PEERS.items():
        for index, rule in enumerate(policy["spec"].get(direction) or ()):
            for position, peer in enumerate(rule.get(side) or ()):
                block, path = peer.get("ipBlock"), f"spec.{direction}[{index}].{side}[{position}].ipBlock"
                if block is not None:
                    yield from ipforms.network_warnings(block.get("cidr", ""), f"{path}.cidr")
                    for number, cidr in enumerate(block.get("except") or ()):
                        yield from ipforms.network_warnings(cidr, f"{path}.except[{number}]")


KIND = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="NetworkPolicy",
    plural="networkpolicies",
    short_names=("netpol",),
    default=default,
    validate=validate,
    warnings=warnings,
    has_generation=True,
    columns=(NAME, Column("Pod-Selector"), AGE),
    row=row,
)
