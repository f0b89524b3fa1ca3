"""Find devices for claims on one node: the first combination that satisfies everything, as Kubernetes' allocator finds it.

Requests are taken in their order and devices in the order of their pools; whenever a later request finds nothing, the devices
of the one before are tried otherwise. Within a request the order of devices makes no difference, so no combination is tried
twice. Pure: what is taken already comes as `DeviceUsage`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from navarch.api.resource.allocation import RESULTS_LIMIT
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.scheduler import devicecapacity
from navarch.scheduler.devicepools import Device, DeviceID, Pool, SelectorError, matches
from navarch.scheduler.deviceusage import DeviceUsage

STEPS_LIMIT = 2_000
"""Devices that are tried for a pod on one node at most."""
FIRST_AVAILABLE_LIMIT = 8
"""Alternatives that a request may have."""
HARD_EFFECTS = ("NoSchedule", "NoExecute")


class AllocationError(Exception):
    """Something is wrong with a claim or a class."""


class OutOfSteps(Exception):
    """There may be a combination, but it takes too long to find."""


@dataclass(frozen=True, eq=False)
class Request:
    """One request, or one alternative of a request that has several."""

    parent: str
    """The request whose alternative it is, or ""."""
    spec: Object
    device_class: Object
    is_all: bool
    rank: int = 0
    """Among the alternatives, 0 the most wanted."""

    @property
    def name(self) -> str:
        name: str = self.spec.get("name", "")
        return f"{self.parent}/{name}" if self.parent else name

    @property
    def base(self) -> str:
        return self.parent or self.name

    @property
    def is_admin(self) -> bool:
        return bool(self.spec.get("adminAccess"))

    @property
    def capacity(self) -> Mapping[str, str]:
        return (self.spec.get("capacity") or meta.EMPTY).get("requests") or meta.EMPTY


def alternatives(request: Object, classes: Callable[[str], Object | None]) -> list[Request]:
    """Raises AllocationError for a class that is not there."""
    several = request.get("firstAvailable")
    specs = several or [{**(request.get("exactly") or {}), "name": request["name"]}]
    found = []
    for rank, spec in enumerate(specs):
        device_class = classes(spec.get("deviceClassName") or "")
        if device_class is None:
            raise AllocationError(f"request {request['name']}: device class {spec.get('deviceClassName')} does not exist")
        parent = request["name"] if several else ""
        found.append(Request(parent, spec, device_class, spec.get("allocationMode") == "All", rank))
    return found


@dataclass(slots=True)
class Chosen:
    """A device for a request."""

    request: Request
    device: Device
    consumed: dict[str, Fraction]
    """Of its capacity, where it is shared."""


@dataclass(slots=True)
class Constraint:
    """All devices of these requests must have (or none may share) the value of an attribute."""

    attribute: str
    is_distinct: bool
    requests: frozenset[str]

    def allows(self, device: Device, request: Request, others: Sequence[Chosen]) -> bool:
        if not self._concerns(request):
            return True
        value = device.attribute(self.attribute)
        if value is None:
            return False
        values = [chosen.device.attribute(self.attribute) for chosen in others if self._concerns(chosen.request)]
        return value not in values if self.is_distinct else all(value == other for other in values)

    def _concerns(self, request: Request) -> bool:
        return not self.requests or request.base in self.requests or request.name in self.requests


def constraints_of(claim: Object) -> list[Constraint]:
    found = []
    for item in (claim["spec"].get("devices") or meta.EMPTY).get("constraints") or ():
        matched, distinct = item.get("matchAttribute"), item.get("distinctAttribute")
        requests = frozenset(item.get("requests") or ())
        found.append(Constraint(matched or distinct or "", matched is None, requests))
    return found


@dataclass
class Search:
    """The search for the devices of several claims on one node."""

    claims: Sequence[Object]
    pools: Sequence[tuple[Pool, list[Device]]]
    usage: DeviceUsage
    classes: Callable[[str], Object | None]
    steps_limit: int | None = STEPS_LIMIT
    _requests: list[list[list[Request]]] = field(default_factory=list)
    _constraints: list[list[Constraint]] = field(default_factory=list)
    _chosen: list[list[Chosen]] = field(default_factory=list)
    _taken: defaultdict[DeviceID, set[int]] = field(default_factory=lambda: defaultdict(set))
    _consumed: dict[DeviceID, list[dict[str, Fraction]]] = field(default_factory=dict)
    _counters: dict[tuple[Any, ...], Fraction] = field(default_factory=dict)
    _steps: int = 0

    def find(self) -> list[list[Chosen]] | None:
        """Of each claim its devices; None if there is no combination. Raises AllocationError, OutOfSteps."""
        for claim in self.claims:
            asked = (claim["spec"].get("devices") or meta.EMPTY).get("requests") or ()
            self._requests.append([alternatives(request, self.classes) for request in asked])
            self._constraints.append(constraints_of(claim))
            self._chosen.append([])
        return self._chosen if self._place(0, 0) else None

    def _place(self, claim: int, request: int) -> bool:
        """Serve this request and all after it."""
        if claim == len(self.claims):
            return True
        if request == len(self._requests[claim]):
            return self._place(claim + 1, 0)
        return any(self._serve(claim, request, option) for option in self._requests[claim][request])

    def _serve(self, claim: int, number: int, request: Request) -> bool:
        if request.is_all:
            wanted = self._all_devices(claim, request)
            count = len(wanted)
            if not count:
                return False
        else:
            wanted = [
                (pool, device) for pool, devices in self.pools if pool.is_complete and pool.is_valid for device in devices
            ]
            count = request.spec.get("count") or 1
        if len(self._chosen[claim]) + count > RESULTS_LIMIT:
            return False
        return self._take(claim, number, request, wanted, 0, count)

    def _take(
        self, claim: int, number: int, request: Request, wanted: list[tuple[Pool, Device]], start: int, missing: int
    ) -> bool:
        """Take `missing` devices more for a request, none before `start`; then serve the next."""
        if not missing:
            return self._place(claim, number + 1)
        last = start + 1 if request.is_all else len(wanted)
        for position in range(start, last):
            pool, device = wanted[position]
            self._steps += 1
            if self.steps_limit is not None and self._steps > self.steps_limit:
                raise OutOfSteps
            consumed = self._usable(claim, request, pool, device)
            if consumed is None:
                continue
            self._add(claim, request, pool, device, consumed)
            if self._take(claim, number, request, wanted, position + 1, missing - 1):
                return True
            self._remove(claim, pool)
        return False

    def _all_devices(self, claim: int, request: Request) -> list[tuple[Pool, Device]]:
        found = []
        for pool, devices in self.pools:
            if not pool.is_complete or not pool.is_valid:
                state = "currently being updated" if not pool.is_complete else "currently invalid"
                raise AllocationError(
                    f"claim {meta.key(self.claims[claim])}, request {request.name}: asks for all devices, but resource pool "
                    f"{'/'.join(pool.id)} is {state}"
                )
            found += [(pool, device) for device in devices if self._is_selected(claim, request, device)]
        return found

    # One device.

    def _usable(self, claim: int, request: Request, pool: Pool, device: Device) -> dict[str, Fraction] | None:
        """What is taken of it, if the request can have it."""
        if self._is_in_use(claim, request, device) or not self._is_selected(claim, request, device):
            return None
        if _is_tainted(device, request):
            return None
        consumed = devicecapacity.wanted(device, request.capacity)
        if consumed is None or (device.is_shared and not self._has_left(device, consumed)):
            return None
        is_begun = device.is_shared and (self.usage.is_shared(device.id) or bool(self._consumed.get(device.id)))
        if device.counters and not is_begun and not self._has_counters(pool, device):
            return None
        if not all(c.allows(device, request, self._chosen[claim]) for c in self._constraints[claim]):
            return None
        return consumed

    def _is_in_use(self, claim: int, request: Request, device: Device) -> bool:
        taken = self._taken.get(device.id)
        if request.is_admin:
            return bool(taken) and claim in self._taken[device.id]
        return bool(taken) or self.usage.is_taken(device.id)

    def _is_selected(self, claim: int, request: Request, device: Device) -> bool:
        groups = ((request.device_class["spec"], f"class {meta.name(request.device_class)}"), (request.spec, ""))
        for source, name in groups:
            for index, selector in enumerate(source.get("selectors") or ()):
                try:
                    if not matches((selector.get("cel") or meta.EMPTY).get("expression") or "", device):
                        return False
                except SelectorError as error:
                    owner = name or f"claim {meta.key(self.claims[claim])}"
                    raise AllocationError(f"{owner}: selector #{index} {error}") from error
        return True

    def _has_left(self, device: Device, consumed: Mapping[str, Fraction]) -> bool:
        present = [self.usage.consumed(device.id), *self._consumed.get(device.id, ())]
        return all(
            amount + sum(other.get(name, 0) for other in present) <= device.capacity[name] for name, amount in consumed.items()
        )

    def _has_counters(self, pool: Pool, device: Device) -> bool:
        return all(
            amount + self._counters.get((pool.id, counter), 0) <= self._left_of(pool, counter)
            for counter, amount in device.counters.items()
        )

    def _left_of(self, pool: Pool, counter: tuple[str, str]) -> Fraction:
        """What devices that are allocated have left of a counter."""
        taken = (
            other.counters.get(counter, Fraction(0))
            for other in pool.devices
            if other.counters and (self.usage.is_taken(other.id) or self.usage.is_shared(other.id))
        )
        return pool.counters.get(counter, Fraction(0)) - sum(taken)

    def _add(self, claim: int, request: Request, pool: Pool, device: Device, consumed: dict[str, Fraction]) -> None:
        is_first = not self._consumed.get(device.id) and not self.usage.is_shared(device.id)
        if device.is_shared:
            self._consumed.setdefault(device.id, []).append(consumed)
        else:
            self._taken[device.id].add(claim)
        if not device.is_shared or is_first:
            self._count(pool, device, 1)
        self._chosen[claim].append(Chosen(request, device, consumed if device.is_shared else {}))

    def _remove(self, claim: int, pool: Pool) -> None:
        device = self._chosen[claim].pop().device
        if device.is_shared:
            self._consumed[device.id].pop()
            if not self._consumed[device.id] and not self.usage.is_shared(device.id):
                self._count(pool, device, -1)
        else:
            self._taken[device.id].discard(claim)
            self._count(pool, device, -1)

    def _count(self, pool: Pool, device: Device, sign: int) -> None:
        for counter, amount in device.counters.items():
            key = (pool.id, counter)
            self._counters[key] = self._counters.get(key, Fraction(0)) + sign * amount


def _is_tainted(device: Device, request: Request) -> bool:
    tolerations = request.spec.get("tolerations") or ()
    return any(
        taint.get("effect") in HARD_EFFECTS and not any(_tolerates(toleration, taint) for toleration in tolerations)
        for taint in device.device.get("taints") or ()
    )


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return (toleration.get("value") or "") == (taint.get("value") or "")


def score(chosen: Sequence[Sequence[Chosen]]) -> int:
    """The more, the earlier the alternatives that were taken stand."""
    total = 0
    for devices in chosen:
        for request in {id(one.request): one.request for one in devices if one.request.parent}.values():
            total += FIRST_AVAILABLE_LIMIT - request.rank
    return total


# What is written.


def results(claim: Object, chosen: Sequence[Chosen], node_name: str, new_id: Callable[[], str]) -> Object:
    """The claim's `status.allocation`."""
    found: Object = {"devices": {"results": [_result(one, new_id) for one in chosen]}}
    configuration = list(_configuration(claim, chosen))
    if configuration:
        found["devices"]["config"] = configuration
    selector = _node_selector(chosen, node_name)
    if selector is not None:
        found["nodeSelector"] = selector
    return found


def _result(chosen: Chosen, new_id: Callable[[], str]) -> Object:
    driver, pool, name = chosen.device.id
    found: Object = {"request": chosen.request.name, "driver": driver, "pool": pool, "device": name}
    if chosen.request.is_admin:
        found["adminAccess"] = True
    if chosen.request.spec.get("tolerations"):
        found["tolerations"] = chosen.request.spec["tolerations"]
    if chosen.device.is_shared:
        found["shareID"] = new_id()
        if chosen.consumed:
            found["consumedCapacity"] = {name: _amount(value) for name, value in chosen.consumed.items()}
    for conditions in ("bindingConditions", "bindingFailureConditions"):
        if chosen.device.device.get(conditions):
            found[conditions] = chosen.device.device[conditions]
    return found


def _amount(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{-(-value * 1000 // 1)}m"


def _configuration(claim: Object, chosen: Sequence[Chosen]) -> Iterator[Object]:
    """That of classes, each once, then the claim's own as far as it concerns what was chosen."""
    names: dict[str, Request] = {one.request.name: one.request for one in chosen}
    asked = (claim["spec"].get("devices") or meta.EMPTY).get("requests") or ()
    by_class: dict[str, list[Request]] = {}
    for request in names.values():
        by_class.setdefault(meta.name(request.device_class), []).append(request)
    for requests in by_class.values():
        concerned = [request.name for request in requests]
        for entry in requests[0].device_class["spec"].get("config") or ():
            yield _concerning({**entry, "source": "FromClass"}, concerned if len(concerned) < len(asked) else [])
    for entry in (claim["spec"].get("devices") or meta.EMPTY).get("config") or ():
        wanted = entry.get("requests") or []
        if not wanted or any(request.name in wanted or request.base in wanted for request in names.values()):
            yield _concerning({**entry, "source": "FromClaim"}, wanted if len(wanted) != len(asked) else [])


def _concerning(entry: Object, requests: Sequence[str]) -> Object:
    """Without requests: all."""
    kept = {key: value for key, value in entry.items() if key != "requests"}
    return {**kept, "requests": list(requests)} if requests else kept


def _node_selector(chosen: Sequence[Chosen], node_name: str) -> Object | None:
    """Where the claim can be used from now on; None: everywhere."""
    term: dict[str, list[Object]] = {"matchFields": [], "matchExpressions": []}
    for one in chosen:
        if one.device.place.node_name or one.device.device.get("bindsToNode"):
            field_term = {"key": "metadata.name", "operator": "In", "values": [node_name]}
            return {"nodeSelectorTerms": [{"matchFields": [field_term]}]}
        selector = one.device.node_selector
        for own in ((selector or meta.EMPTY).get("nodeSelectorTerms") or ())[:1]:
            for kind, conditions in term.items():
                conditions += [item for item in own.get(kind) or () if item not in conditions]
    kept = {kind: conditions for kind, conditions in term.items() if conditions}
    return {"nodeSelectorTerms": [kept]} if kept else None
