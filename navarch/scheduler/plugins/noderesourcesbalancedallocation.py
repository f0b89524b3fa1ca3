"""NodeResourcesBalancedAllocation: prefer nodes where CPU and memory would be used to a like degree."""

from __future__ import annotations

import numpy as np

from navarch.scheduler.framework import MAX_NODE_SCORE, Plugin
from navarch.scheduler.plugins.noderesourcesfit import CPU, MEMORY
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import BoolArray, FloatArray, Snapshot


class NodeResourcesBalancedAllocation(Plugin):
    name = "NodeResourcesBalancedAllocation"
    weight = 1

    def score(self, pod: PodInfo, snapshot: Snapshot, feasible: BoolArray) -> FloatArray | None:
        asked = np.asarray((pod.requests.get("cpu", 0), pod.requests.get("memory", 0)), np.int64)
        if not asked.any():
            return None  # A pod that asks for nothing unbalances nothing.
        allocatable = snapshot.allocatable[:, (CPU, MEMORY)]
        requested = snapshot.requested[:, (CPU, MEMORY)] + asked
        fractions = np.minimum(requested / np.maximum(allocatable, 1), 1.0)
        # The standard deviation of two numbers is half their distance.
        deviation = np.where((allocatable > 0).all(axis=1), np.abs(fractions[:, 0] - fractions[:, 1]) / 2, 0.0)
        score: FloatArray = np.floor((1 - deviation) * MAX_NODE_SCORE)
        return score
