"""Which zones should use which endpoints, where a Service wants that by its annotation (KEP-2433). Pure.

Each zone gets as many endpoints as it has of all CPUs, its own first. There are no hints where a zone could not get enough.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from navarch.api.core.servicerules import TOPOLOGY_AWARE_HINTS, TOPOLOGY_MODE
from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from navarch.controllers.nodezones import ZONE_LABEL

OVERLOAD_THRESHOLD = 0.2
"""By how much more than its part an endpoint may have to serve."""
_EXCLUDED = frozenset({"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"})
_NO_NODE_INFORMATION = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
_NO_ZONE = "One or more endpoints do not have a zone specified"
_TOO_FEW = "Insufficient number of endpoints"
_OVERLOADED = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
_NOTHING_ALLOCATED = "No hints allocated for zones"


@dataclass(frozen=True, slots=True)
class Allocation:
    """How many endpoints a zone gets."""

    minimum: int
    maximum: int
    desired: float


@dataclass(slots=True)
class Hints:
    """Slices with hints, or without any if there is a problem."""

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    problem: str = ""


def are_wanted(service: Object) -> bool:
    annotations = meta.annotations(service)
    return annotations.get(TOPOLOGY_AWARE_HINTS, annotations.get(TOPOLOGY_MODE)) in ("Auto", "auto")


def weight(node: Object | None) -> tuple[str, float] | None:
    """A node's zone and how many CPUs it adds to it; None if it does not count."""
    if node is None or not _EXCLUDED.isdisjoint(meta.labels(node)) or not meta.is_condition_true(node, "Ready"):
        return None
    cpus = meta.get_path(node, "status", "allocatable", "cpu") or "0"
    return meta.labels(node).get(ZONE_LABEL, ""), float(quantity.parse(cpus))


def cpu_ratios(nodes: Iterable[Object]) -> dict[str, float]:
    """Zone -> its part of all CPUs of nodes that are ready; empty where that cannot be told, or there is but one zone."""
    by_zone: dict[str, float] = {}
    for node in nodes:
        weighed = weight(node)
        if weighed is None:
            continue
        zone, cpus = weighed
        if not zone or not cpus:
            return {}
        by_zone[zone] = by_zone.get(zone, 0.0) + cpus
    total = sum(by_zone.values())
    return {zone: cpus / total for zone, cpus in sorted(by_zone.items())} if len(by_zone) > 1 else {}


def allocations(ratios: Mapping[str, float], endpoints: int) -> tuple[dict[str, Allocation], str]:
    """(what each zone gets, why there can be no hints)."""
    if not ratios:
        return {}, _NO_NODE_INFORMATION
    numbers = f"({endpoints} endpoints, {len(ratios)} zones)"
    if len(ratios) > endpoints:
        return {}, f"{_TOO_FEW} {numbers}"
    desired = {zone: ratio * endpoints for zone, ratio in ratios.items()}
    minimum = {zone: math.ceil(number / (1 + OVERLOAD_THRESHOLD)) for zone, number in desired.items()}
    spare = endpoints - sum(minimum.values())
    if spare < 0:
        return {}, f"{_OVERLOADED} {numbers}"
    found = {
        zone: Allocation(minimum[zone], minimum[zone] + spare, max(number, minimum[zone])) for zone, number in desired.items()
    }
    return found, ""


def assign(
    create: Sequence[Object], update: Sequence[Object], unchanged: Sequence[Object], ratios: Mapping[str, float]
) -> Hints:
    """Hints for all slices of a Service and an address type; of `unchanged` ones those are updated whose hints do not do."""
    everything = [*create, *update, *unchanged]
    zones, problem = allocations(ratios, sum(_is_ready(endpoint) for item in everything for endpoint in _endpoints(item)))
    if problem:
        return _without(create, update, unchanged, problem)
    allocated: Counter[str] = Counter()
    stale = []
    for item in unchanged:
        hinted = _hinted(item, allocated, zones)
        if hinted is None:
            stale.append(item)
        else:
            allocated.update(hinted)
    changing = [*create, *update, *stale]
    ready = [endpoint for item in changing for endpoint in _endpoints(item) if _is_ready(endpoint)]
    if not all(endpoint.get("zone") for endpoint in ready):
        return _without(create, update, unchanged, _NO_ZONE)
    allocated.update(endpoint["zone"] for endpoint in ready)
    if not allocated:
        return _without(create, update, unchanged, _NOTHING_ALLOCATED)
    giving, receiving = _exchange(zones, allocated)
    hinted_slices = []
    for item in changing:
        endpoints = [_with_hint(endpoint, giving, receiving) for endpoint in _endpoints(item)]
        hinted_slices.append({**item, "endpoints": endpoints})
    return Hints(hinted_slices[: len(create)], hinted_slices[len(create) :])


def _endpoints(item: Object) -> Sequence[Object]:
    return item.get("endpoints") or ()


def _is_ready(endpoint: Object) -> bool:
    return bool(endpoint["conditions"].get("ready"))


def without_hints(endpoints: Iterable[Object]) -> list[Object]:
    return [{name: value for name, value in endpoint.items() if name != "hints"} for endpoint in endpoints]


def _without(create: Iterable[Object], update: Iterable[Object], unchanged: Iterable[Object], problem: str) -> Hints:
    hinted = [item for item in unchanged if any("hints" in endpoint for endpoint in _endpoints(item))]
    bare = [
        [{**item, "endpoints": without_hints(_endpoints(item))} for item in slices] for slices in (create, [*update, *hinted])
    ]
    return Hints(bare[0], bare[1], problem)


def _hinted(item: Object, allocated: Mapping[str, int], zones: Mapping[str, Allocation]) -> Counter[str] | None:
    """How many endpoints of an unchanged slice each zone has; None if they are to be distributed anew."""
    found: Counter[str] = Counter()
    for endpoint in _endpoints(item):
        if _is_ready(endpoint):
            hints = [hint["name"] for hint in (endpoint.get("hints") or {}).get("forZones") or ()]
            if not hints or not zones.keys() >= set(hints):
                return None
            found.update(hints)
    if any(number + allocated.get(zone, 0) > zones[zone].maximum for zone, number in found.items()):
        return None
    return found


def _exchange(zones: Mapping[str, Allocation], allocated: Mapping[str, int]) -> tuple[Counter[str], Counter[str]]:
    """How many endpoints each zone (gives to others, gets from others)."""
    surplus = {zone: allocated.get(zone, 0) - allocation.desired for zone, allocation in zones.items()}
    giving: Counter[str] = Counter()
    receiving: Counter[str] = Counter()
    while True:
        giver, receiver = max(surplus, key=lambda zone: surplus[zone]), min(surplus, key=lambda zone: surplus[zone])
        spare, need = surplus[giver], -surplus[receiver]
        if (spare < 1 and need < 1) or spare < 0.5 or need < 0.5:
            return giving, receiving
        for zone, numbers, step in ((giver, giving, -1), (receiver, receiving, 1)):
            numbers[zone] += 1
            surplus[zone] += step


def _with_hint(endpoint: Object, giving: Counter[str], receiving: Counter[str]) -> Object:
    """An endpoint for its own zone, or for another if that one has to give; then it has given."""
    if not _is_ready(endpoint):
        return without_hints([endpoint])[0]
    zone = endpoint["zone"]
    if giving[zone] > 0:
        receiver = next((name for name in sorted(receiving) if receiving[name] > 0), None)
        if receiver is not None:
            giving[zone] -= 1
            receiving[receiver] -= 1
            zone = receiver
    return {**endpoint, "hints": {"forZones": [{"name": zone}]}}
