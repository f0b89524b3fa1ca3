"""NodeResourcesFit: nodes whose free resources hold the pod; those with most left are preferred."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from navarch.scheduler.events import ClusterEvent
from navarch.scheduler.framework import MAX_NODE_SCORE, Plugin, Rejection
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import PODS, BoolArray, FloatArray, Snapshot

CPU, MEMORY = 0, 1


class NodeResourcesFit(Plugin):
    name = "NodeResourcesFit"
    weight = 1
    events = frozenset({ClusterEvent.NODE_ADD, ClusterEvent.NODE_ALLOCATABLE, ClusterEvent.POD_DELETE})

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Iterable[Rejection]:
        column = snapshot.resources[PODS]
        full = snapshot.requested[:, column] + 1 > snapshot.allocatable[:, column]
        yield Rejection(full, "Too many pods")
        for resource, amount in pod.requests.items():
            if amount == 0:
                continue
            if resource not in snapshot.resources:
                yield Rejection(snapshot.valid, f"Insufficient {resource}", is_resolvable=False)
                continue
            column = snapshot.resources[resource]
            allocatable = snapshot.allocatable[:, column]
            short = amount > allocatable - snapshot.requested[:, column]
            never = amount > allocatable
            yield Rejection(short & ~never, f"Insufficient {resource}")
            # More than the whole node has: no pod's leaving helps.
            yield Rejection(never, f"Insufficient {resource}", is_resolvable=False)

    def score(self, pod: PodInfo, snapshot: Snapshot, feasible: BoolArray) -> FloatArray | None:
        """LeastAllocated: the mean of the shares of CPU and memory that stay free."""
        allocatable = snapshot.allocatable[:, (CPU, MEMORY)]
        requested = snapshot.non_zero_requested + np.asarray(pod.non_zero_requests, np.int64)
        present = allocatable > 0
        free = np.maximum(allocatable - requested, 0)
        shares = np.where(present, free * MAX_NODE_SCORE // np.where(present, allocatable, 1), 0)
        kinds = present.sum(axis=1)
        score: FloatArray = np.floor(shares.sum(axis=1) / np.maximum(kinds, 1))
        return score
