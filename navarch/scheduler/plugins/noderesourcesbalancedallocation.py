"""NodeResourcesBalancedAllocation: prefer nodes where the pod makes resources be used to a more even degree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from navarch.apimachinery.errors import Object
from navarch.scheduler.events import EventHint
from navarch.scheduler.framework import MAX_NODE_SCORE, SKIP, CycleState, Handle, Plugin, Reuse, Status
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.plugins.noderesourcesfit import CPU_AND_MEMORY, Amounts, ScoredResources
from navarch.scheduler.podinfo import PodInfo

HALF = MAX_NODE_SCORE // 2


class NodeResourcesBalancedAllocation(Plugin):
    """The degree of a resource is what is requested of it, in parts of what there is, at most 1; how uneven degrees are is
    their standard deviation. A node where nothing changes has 75 points."""

    name = "NodeResourcesBalancedAllocation"
    scalar = True
    amounts_only = True
    args_defaults: ClassVar[Object] = {"resources": CPU_AND_MEMORY}

    def __init__(self, args: Object, handle: Handle) -> None:
        super().__init__(args, handle)
        self._resources = [item["name"] for item in args.get("resources") or CPU_AND_MEMORY]
        self._scored = ScoredResources(self._resources, handle)

    def events_to_register(self) -> Sequence[EventHint]:
        return ()

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.NEVER if self._scored.depend_on_devices(pod) else Reuse.NODE_AND_PODS

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        # A pod that asks for nothing unbalances nothing.
        return None if any(pod.requests.get(resource) for resource in self._resources) else SKIP

    def score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Amounts:
        before, after = [], []
        for resource in self._resources:
            found = self._scored.of(pod, nodes, resource, floored=False)
            if found is not None:
                requested, own, capacity = found
                before.append(_degree(requested, capacity))
                after.append(_degree(requested + own, capacity))
        return HALF + (HALF + _evenness(after) - _evenness(before)) // 2


Degree = tuple[Amounts, Amounts]
"""(whether there is any of a resource, what is requested of it in parts of what there is)"""


def _degree(requested: Amounts, capacity: Amounts) -> Degree:
    has = capacity > 0
    degree = requested / (capacity + (capacity == 0))
    is_less = degree < 1
    return has, has * (is_less * degree + (1 - is_less))


def _evenness(degrees: list[Degree]) -> Amounts:
    """100 where all degrees are equal."""
    return as_integers((1 - _deviation(degrees)) * MAX_NODE_SCORE)


def _deviation(degrees: list[Degree]) -> Amounts:
    """The standard deviation of those degrees of which there is any capacity."""
    if len(degrees) == 2:
        # That of two numbers is half their distance.
        (has, one), (has_other, other) = degrees
        return has * has_other * abs((one - other) / 2)
    kinds: Amounts = sum(has for has, _ in degrees)
    divisor = kinds + (kinds == 0)
    mean = sum(degree for _, degree in degrees) / divisor
    variance = sum(has * (degree - mean) ** 2 for has, degree in degrees) / divisor
    return (kinds > 1) * variance**0.5


def as_integers(numbers: Amounts) -> Amounts:
    return numbers.astype(np.int64) if isinstance(numbers, np.ndarray) else int(numbers)
