"""NodeResourcesFit: nodes whose free resources hold the pod; which of them are preferred is up to the scoring strategy.

An extended resource that a device class gives is DynamicResources' affair on nodes that do not offer it by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from navarch.api.core.resourcenames import is_extended
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.scheduler import devices, extendedresources
from navarch.scheduler.devicecounts import DeviceCounts
from navarch.scheduler.events import ASSIGNED_POD, NODE, POD, UPDATES, Action, EventHint, Hint, on
from navarch.scheduler.extendedresources import CLASSES, IMPLICIT_PREFIX
from navarch.scheduler.framework import (
    MAX_NODE_SCORE,
    CycleState,
    Handle,
    Plugin,
    Rejection,
    Reuse,
)
from navarch.scheduler.nodes import Nodes, OneNode
from navarch.scheduler.podinfo import PodInfo, resource_amount
from navarch.scheduler.snapshot import PODS

NATIVE_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})
CPU_AND_MEMORY: list[Object] = [{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}]
MAX_CUSTOM_SCORE = 10
"""What a shape's scores go up to."""
SHARE_PER_CENT = 100

Amounts = Any
"""An IntArray, or (of a `OneNode`) an int. What is computed of amounts is written with operators that do the same to both."""


class ScoredResources:
    """The resources that a scoring plugin compares: what is requested of them on nodes, and what there is of them."""

    def __init__(self, names: Iterable[str], handle: Handle) -> None:
        self._claimed = extendedresources.shared(handle)
        self._names = [name for name in names if is_extended(name) or name.startswith(IMPLICIT_PREFIX)]
        """Those that devices may give."""
        self._counts = DeviceCounts(handle.snapshot, devices.shared(handle)) if self._names else None

    def depend_on_devices(self, pod: PodInfo) -> bool:
        """Whether for a pod it matters which devices are taken."""
        return any(pod.requests.get(name) and name in self._claimed for name in self._names)

    def of(self, pod: PodInfo, nodes: Nodes, resource: str, *, floored: bool) -> tuple[Amounts, int, Amounts] | None:
        """What is requested of a resource on each node, what the pod would add to that, and what there is of it.

        `floored`: containers that ask for no CPU or memory count with a floor. None: the resource does not matter to the pod.
        """
        column = nodes.resource_column(resource)
        if column is not None and column < 2 and floored:
            return nodes.non_zero_of(column), pod.non_zero_requests[column], nodes.allocatable_of(column)
        own = pod.requests.get(resource, 0)
        if own == 0 and resource not in NATIVE_RESOURCES:
            return None
        if self._counts is not None and resource in self._claimed:
            there, taken = self._counts.of(self._claimed[resource], nodes)
            if column is None:
                return taken, own, there
            offered = nodes.allocatable_of(column)
            return np.where(offered > 0, nodes.requested_of(column), taken), own, np.where(offered > 0, offered, there)
        return None if column is None else (nodes.requested_of(column), own, nodes.allocatable_of(column))


def least_allocated(requested: Amounts, capacity: Amounts) -> Amounts:
    """The share that stays free, in per cent; 0 where there is not enough."""
    return (capacity > requested) * (capacity - requested) * MAX_NODE_SCORE // (capacity + (capacity == 0))


def most_allocated(requested: Amounts, capacity: Amounts) -> Amounts:
    """The share that is used, in per cent."""
    is_less = requested < capacity
    return (is_less * requested + (1 - is_less) * capacity) * MAX_NODE_SCORE // (capacity + (capacity == 0))


def broken_line(shape: Sequence[Object]) -> Callable[[Amounts, Amounts], Amounts]:
    """The function that joins a shape's points by straight lines; integer division goes towards zero, as Go's does."""
    factor = MAX_NODE_SCORE // MAX_CUSTOM_SCORE
    points = [(int(point.get("utilization", 0)), int(point.get("score", 0)) * factor) for point in shape]
    table = np.fromiter((_on_line(points, share) for share in range(SHARE_PER_CENT + 1)), np.int64, SHARE_PER_CENT + 1)

    def score(requested: Amounts, capacity: Amounts) -> Amounts:
        is_less = (requested <= capacity) & (capacity > 0)
        share = is_less * (requested * SHARE_PER_CENT // (capacity + (capacity == 0))) + (1 - is_less) * SHARE_PER_CENT
        return table[share]

    return score


def _on_line(points: Sequence[tuple[int, int]], share: int) -> int:
    for number, (at, height) in enumerate(points):
        if share <= at:
            if number == 0:
                return height
            before_at, before = points[number - 1]
            return before + int(Fraction((height - before) * (share - before_at), at - before_at))
    return points[-1][1]


class NodeResourcesFit(Plugin):
    name = "NodeResourcesFit"
    scalar = True
    amounts_only = True
    args_defaults: ClassVar[Object] = {
        "ignoredResources": [],
        "ignoredResourceGroups": [],
        "scoringStrategy": {"type": "LeastAllocated", "resources": CPU_AND_MEMORY},
    }

    def __init__(self, args: Object, handle: Handle) -> None:
        super().__init__(args, handle)
        self._claimed = extendedresources.shared(handle)
        self._ignored = frozenset(args.get("ignoredResources") or ())
        self._ignored_groups = frozenset(args.get("ignoredResourceGroups") or ())
        strategy = args.get("scoringStrategy") or self.args_defaults["scoringStrategy"]
        self._weights = [(item["name"], int(item.get("weight") or 1)) for item in strategy.get("resources") or CPU_AND_MEMORY]
        self._resources = ScoredResources((name for name, _ in self._weights), handle)
        self._is_ratio = strategy["type"] == "RequestedToCapacityRatio"
        if self._is_ratio:
            self._scorer = broken_line(strategy["requestedToCapacityRatio"]["shape"])
        else:
            self._scorer = {"LeastAllocated": least_allocated, "MostAllocated": most_allocated}[strategy["type"]]

    def events_to_register(self) -> Sequence[EventHint]:
        return (
            on(ASSIGNED_POD, Action.DELETE | Action.POD_SCALE_DOWN, _frees_something),
            on(NODE, Action.ADD | Action.NODE_ALLOCATABLE, self._could_hold),
            on(POD, Action.POD_SCALE_DOWN),
            on(CLASSES, Action.ADD | UPDATES, _gives_something),
        )

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.NEVER if self._resources.depend_on_devices(pod) else Reuse.NODE_AND_PODS

    def is_ignored(self, resource: str) -> bool:
        is_named = resource in self._ignored or resource.partition("/")[0] in self._ignored_groups
        return is_named and is_extended(resource)

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        if isinstance(nodes, OneNode) and nodes.holds(pod.requests):
            return
        column = nodes.snapshot.resources[PODS]
        yield Rejection(nodes.requested_of(column) >= nodes.allocatable_of(column), "Too many pods")
        for resource, amount in pod.requests.items():
            if amount == 0 or self.is_ignored(resource):
                continue
            found, is_claimed = nodes.resource_column(resource), resource in self._claimed
            if found is None:
                if not is_claimed:
                    yield Rejection(nodes.valid, f"Insufficient {resource}", is_resolvable=False)
                continue
            allocatable = nodes.allocatable_of(found)
            never = amount > allocatable
            short = (amount > allocatable - nodes.requested_of(found)) & (never ^ True)
            if is_claimed:
                never = never & (allocatable > 0)
            yield Rejection(short, f"Insufficient {resource}")
            # More than the whole node has: no pod's leaving helps.
            yield Rejection(never, f"Insufficient {resource}", is_resolvable=False)

    def score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Amounts:
        total: Amounts = 0
        weights: Amounts = 0
        for resource, weight in self._weights:
            found = self._resources.of(pod, nodes, resource, floored=True)
            if found is None:
                continue
            requested, own, capacity = found
            scores = self._scorer(requested + own, capacity)
            counts = (capacity > 0) & (scores > 0) if self._is_ratio else capacity > 0
            total = total + counts * scores * weight
            weights = weights + counts * weight
        divisor = weights + (weights == 0)
        # The ratio's mean is rounded, the others' is cut.
        return (2 * total + divisor) // (2 * divisor) if self._is_ratio else total // divisor

    def _could_hold(self, pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
        """Whether the node, were it empty, has room now and more than before."""
        if new is None:
            return Hint.SKIP
        now = (new.get("status") or meta.EMPTY).get("allocatable") or meta.EMPTY
        if not self._holds(pod, now):
            return Hint.SKIP
        if old is None:
            return Hint.QUEUE
        was = (old.get("status") or meta.EMPTY).get("allocatable") or meta.EMPTY
        grew = any(
            _amount(now, resource) > _amount(was, resource) or (resource in self._claimed and not _amount(now, resource))
            for resource in (*pod.requests, PODS)
        )
        return Hint.QUEUE if grew else Hint.SKIP

    def _holds(self, pod: PodInfo, allocatable: Mapping[str, str]) -> bool:
        return _amount(allocatable, PODS) >= 1 and all(
            amount <= _amount(allocatable, resource) or (resource in self._claimed and not _amount(allocatable, resource))
            for resource, amount in pod.requests.items()
            if not self.is_ignored(resource)
        )


def _amount(amounts: Mapping[str, str], resource: str) -> int:
    return resource_amount(resource, amounts[resource]) if resource in amounts else 0


def _frees_something(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    """A pod that leaves makes room for one more; a smaller one, if there is less of what this one asks for."""
    if new is None or old is None:
        return Hint.QUEUE
    before, after = PodInfo(old).requests, PodInfo(new).requests
    less = any(after.get(resource, 0) < before.get(resource, 0) for resource in pod.requests)
    return Hint.QUEUE if less else Hint.SKIP


def _gives_something(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    """Whether a class has come to give a resource that the pod asks for."""
    given = () if new is None else extendedresources.names_of(new)
    before = () if old is None else extendedresources.names_of(old)
    return Hint.QUEUE if any(pod.requests.get(resource) for resource in given if resource not in before) else Hint.SKIP
