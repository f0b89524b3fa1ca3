"""Which devices there are, and which of them each node can use (ResourceSlices, KEP-4381).

A pool is the slices of one driver and one pool name that have the highest generation. While some of them are missing, or where
two devices have one name, nothing of it is given away. Pure. What evaluates expressions is loaded when the first one comes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from navarch.api.resource import deviceselector
from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from navarch.scheduler.podinfo import NodeTerm, node_term

if TYPE_CHECKING:
    from navarch.apimachinery.cel.environment import Program

DeviceID = tuple[str, str, str]
"""(driver, pool, device)"""
PoolID = tuple[str, str]
NAME_FIELD = "metadata.name"
PROGRAMS_LIMIT = 256
"""Compiled expressions that are kept."""


class SelectorError(Exception):
    """An expression that chooses devices cannot be compiled or evaluated."""


class _Domains(dict[str, dict[str, Any]]):
    """What is known by domain; of a domain of which nothing is known, nothing."""

    def __missing__(self, domain: str) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Place:
    """On which nodes something can be used."""

    node_name: str = ""
    is_everywhere: bool = False
    terms: tuple[NodeTerm, ...] | None = None

    def includes(self, name: str, labels: Mapping[str, str]) -> bool:
        if self.node_name:
            return self.node_name == name
        return self.is_everywhere or (self.terms is not None and any(term_matches(term, name, labels) for term in self.terms))


def place_of(spec: Object) -> Place:
    selector = spec.get("nodeSelector")
    terms = None if selector is None else tuple(map(node_term, selector.get("nodeSelectorTerms") or ()))
    return Place(spec.get("nodeName") or "", bool(spec.get("allNodes")), terms)


def term_matches(term: NodeTerm, name: str, labels: Mapping[str, str]) -> bool:
    """Whether a node meets all of a term's conditions; an empty term matches none."""
    fields = {NAME_FIELD: name}
    return (
        not term.is_empty
        and all(requirement.matches(labels) for requirement in term.labels)
        and all(requirement.key in fields and requirement.matches(fields) for requirement in term.names)
    )


@dataclass(frozen=True, eq=False)
class Device:
    """One device of a slice."""

    id: DeviceID
    device: Object
    slice_place: Place | None
    """Where its slice is; None: each of its devices says so itself."""
    chosen_by: dict[str, bool] = field(default_factory=dict)
    """What expressions have said of it; claims of a kind all ask the same."""

    @cached_property
    def place(self) -> Place:
        return self.slice_place if self.slice_place is not None else place_of(self.device)

    @property
    def node_selector(self) -> Object | None:
        selector: Object | None = self.device.get("nodeSelector")
        return selector

    @property
    def is_shared(self) -> bool:
        """Whether several claims may have it, each a part of its capacity."""
        return bool(self.device.get("allowMultipleAllocations"))

    @cached_property
    def capacity(self) -> Mapping[str, Fraction]:
        return {name: quantity.parse(entry["value"]) for name, entry in (self.device.get("capacity") or {}).items()}

    @cached_property
    def counters(self) -> Mapping[tuple[str, str], Fraction]:
        """(counter set, counter) -> how much of it the device takes."""
        return {
            (consumption["counterSet"], name): quantity.parse(counter["value"])
            for consumption in self.device.get("consumesCounters") or ()
            for name, counter in (consumption.get("counters") or {}).items()
        }

    @cached_property
    def view(self) -> Mapping[str, Any]:
        """As expressions see it."""
        from navarch.apimachinery.cel.libraries import quantities

        driver = self.id[0]
        attributes, capacity = _Domains(), _Domains()
        for name, attribute in (self.device.get("attributes") or {}).items():
            domain, identifier = _qualified(name, driver)
            attributes.setdefault(domain, {})[identifier] = attribute_value(attribute)
        for name, entry in (self.device.get("capacity") or {}).items():
            domain, identifier = _qualified(name, driver)
            capacity.setdefault(domain, {})[identifier] = quantities.parse(str(entry["value"]))
        return {
            "driver": driver,
            "attributes": attributes,
            "capacity": capacity,
            "allowMultipleAllocations": self.is_shared,
        }

    def attribute(self, name: str) -> Any:
        """By its fully qualified name; those without a domain are the driver's. None if it has none."""
        attributes = self.device.get("attributes") or meta.EMPTY
        found = attributes.get(name)
        if found is None:
            domain, _, identifier = name.partition("/")
            found = attributes.get(identifier) if domain == self.id[0] else None
        return None if found is None else next(((kind, value) for kind, value in found.items() if value is not None), None)


def _qualified(name: str, driver: str) -> tuple[str, str]:
    domain, slash, identifier = name.partition("/")
    return (domain, identifier) if slash else (driver, name)


def attribute_value(attribute: Object) -> Any:
    from navarch.apimachinery.cel.libraries import semver

    if attribute.get("version") is not None:
        return semver.parse(attribute["version"])
    return next((attribute[kind] for kind in ("string", "int", "bool") if attribute.get(kind) is not None), None)


def matches(expression: str, device: Device) -> bool:
    """Whether an expression chooses a device. Raises SelectorError."""
    from navarch.apimachinery.cel.errors import CompileError, EvaluationError

    found = device.chosen_by.get(expression)
    if found is None:
        try:
            answer = _program(expression).evaluate({"device": device.view}, deviceselector.COST_LIMIT)
        except CompileError as error:
            raise SelectorError(f"CEL compile error: {error}") from error
        except EvaluationError as error:
            raise SelectorError(f"on device {'/'.join(device.id)}: CEL runtime error: {error}") from error
        found = device.chosen_by[expression] = answer is True
    return found


@lru_cache(maxsize=PROGRAMS_LIMIT)
def _program(expression: str) -> Program:
    return deviceselector.environment().compile(expression)


@dataclass(eq=False)
class Pool:
    """The devices of a pool."""

    id: PoolID
    devices: list[Device] = field(default_factory=list)
    is_complete: bool = True
    is_valid: bool = True
    counters: dict[tuple[str, str], Fraction] = field(default_factory=dict)
    """(counter set, counter) -> how much there is for all devices that share it."""

    @cached_property
    def has_conditions(self) -> bool:
        return any(device.device.get("bindingConditions") for device in self.devices)

    @cached_property
    def nodes(self) -> frozenset[str] | None:
        """The nodes that can use any of it, if each device is one node's."""
        names = {device.place.node_name for device in self.devices}
        return None if "" in names else frozenset(names)


class Pools:
    """All pools, and which of them each node can reach."""

    def __init__(self, slices: Iterable[Object]) -> None:
        self.pools: dict[PoolID, Pool] = {}
        self._local: dict[str, list[Pool]] = defaultdict(list)
        self._shared: list[Pool] = []
        by_pool: dict[PoolID, list[Object]] = defaultdict(list)
        for item in slices:
            by_pool[item["spec"]["driver"], item["spec"]["pool"]["name"]].append(item)
        for pool_id in sorted(by_pool):
            pool = self.pools[pool_id] = _pool(pool_id, by_pool[pool_id])
            if pool.nodes is None:
                self._shared.append(pool)
            for name in pool.nodes or ():
                self._local[name].append(pool)

    @property
    def has_shared(self) -> bool:
        return bool(self._shared)

    def has_local(self, node_name: str) -> bool:
        return node_name in self._local

    def of_node(self, name: str, labels: Mapping[str, str]) -> Iterator[tuple[Pool, list[Device]]]:
        """Pools with what of them a node can use; those last whose devices must be made ready first."""
        found = [*self._local.get(name, ()), *self._shared]
        for pool in sorted(found, key=lambda pool: (pool.has_conditions, pool.id)):
            devices = [device for device in pool.devices if device.place.includes(name, labels)]
            if devices:
                yield pool, devices


def _pool(pool_id: PoolID, slices: list[Object]) -> Pool:
    newest = max(item["spec"]["pool"].get("generation") or 0 for item in slices)
    current = [item for item in slices if (item["spec"]["pool"].get("generation") or 0) == newest]
    found = Pool(pool_id, is_complete=len(current) == current[0]["spec"]["pool"].get("resourceSliceCount"))
    for item in sorted(current, key=meta.name):
        spec = item["spec"]
        place = None if spec.get("perDeviceNodeSelection") else place_of(spec)
        for device in spec.get("devices") or ():
            entry = device
            if place is not None and spec.get("nodeSelector") is not None:
                entry = {**device, "nodeSelector": spec["nodeSelector"]}
            found.devices.append(Device((*pool_id, device["name"]), entry, place))
        for counter_set in spec.get("sharedCounters") or ():
            for name, counter in (counter_set.get("counters") or {}).items():
                found.counters[counter_set["name"], name] = quantity.parse(counter["value"])
    found.is_valid = len({device.id for device in found.devices}) == len(found.devices)
    return found
