"""NodeResourcesBalancedAllocation: prefer nodes where the pod makes resources be used to a more even degree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from navarch.apimachinery.errors import Object
from navarch.scheduler.events import EventHint
from navarch.scheduler.framework import MAX_NODE_SCORE, SKIP, CycleState, Handle, IntArray, Plugin, Reuse, Status
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.plugins.noderesourcesfit import CPU_AND_MEMORY, asked_and_capacity
from navarch.scheduler.podinfo import PodInfo

FloatArray = NDArray[np.float64]
HALF = MAX_NODE_SCORE // 2


class NodeResourcesBalancedAllocation(Plugin):
    """The degree of a resource is what is requested of it, in parts of what there is, at most 1; how uneven degrees are is
    their standard deviation. A node where nothing changes has 75 points."""

    name = "NodeResourcesBalancedAllocation"
    args_defaults: ClassVar[Object] = {"resources": CPU_AND_MEMORY}

    def __init__(self, args: Object, handle: Handle) -> None:
        super().__init__(args, handle)
        self._resources = [item["name"] for item in args.get("resources") or CPU_AND_MEMORY]

    def events_to_register(self) -> Sequence[EventHint]:
        return ()

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.NODE_AND_PODS

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        # A pod that asks for nothing unbalances nothing.
        return None if any(pod.requests.get(resource) for resource in self._resources) else SKIP

    def score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> IntArray:
        after = self._evenness(pod, nodes, with_pod=True)
        before = self._evenness(pod, nodes, with_pod=False)
        return HALF + (HALF + after - before) // 2

    def _evenness(self, pod: PodInfo, nodes: Nodes, *, with_pod: bool) -> IntArray:
        columns = []
        for resource in self._resources:
            found = asked_and_capacity(pod, nodes, resource, floored=False, with_pod=with_pod)
            if found is not None:
                columns.append(found)
        if len(columns) == 2:
            return _evenness_of_two(*columns[0], *columns[1])
        if not columns:
            return np.full(nodes.size, MAX_NODE_SCORE, np.int64)
        requested = np.stack([column for column, _ in columns]).astype(np.float64)
        capacity = np.stack([column for _, column in columns])
        has = capacity > 0
        degrees = np.where(has, np.minimum(requested / np.maximum(capacity, 1), 1.0), 0.0)
        kinds = has.sum(axis=0)
        mean = degrees.sum(axis=0) / np.maximum(kinds, 1)
        squares = np.where(has, (degrees - mean) ** 2, 0.0).sum(axis=0)
        pair = np.abs(np.where(has, degrees, 0.0).max(axis=0) - np.where(has, degrees, 1.0).min(axis=0)) / 2
        deviation = np.where(kinds > 2, np.sqrt(squares / np.maximum(kinds, 1)), np.where(kinds == 2, pair, 0.0))
        return ((1 - deviation) * MAX_NODE_SCORE).astype(np.int64)


def _evenness_of_two(asked: IntArray, capacity: IntArray, other_asked: IntArray, other_capacity: IntArray) -> IntArray:
    """The standard deviation of two numbers is half their distance."""
    one = np.minimum(asked / np.maximum(capacity, 1), 1.0)
    other = np.minimum(other_asked / np.maximum(other_capacity, 1), 1.0)
    deviation = np.where((capacity > 0) & (other_capacity > 0), np.abs((one - other) / 2), 0.0)
    return ((1 - deviation) * MAX_NODE_SCORE).astype(np.int64)
