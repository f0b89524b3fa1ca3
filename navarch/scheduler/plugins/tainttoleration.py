"""TaintToleration: tainted nodes take only pods that tolerate all their taints; soft taints are avoided."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from navarch.scheduler.events import ClusterEvent
from navarch.scheduler.framework import Plugin, Rejection, normalized
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import BoolArray, FloatArray, Snapshot, TaintSet

SOFT = "PreferNoSchedule"


def has_untolerated(pod: PodInfo, taints: TaintSet) -> bool:
    """Whether a NoSchedule or NoExecute taint is not tolerated."""
    return any(
        effect != SOFT and not any(toleration.tolerates(key, value, effect) for toleration in pod.tolerations)
        for key, value, effect in taints
    )


def count_untolerated_soft(pod: PodInfo, taints: TaintSet) -> int:
    tolerations = [toleration for toleration in pod.tolerations if toleration.effect in ("", SOFT)]
    return sum(
        effect == SOFT and not any(toleration.tolerates(key, value, effect) for toleration in tolerations)
        for key, value, effect in taints
    )


class TaintToleration(Plugin):
    name = "TaintToleration"
    weight = 3
    events = frozenset({ClusterEvent.NODE_ADD, ClusterEvent.NODE_TAINT})

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Iterable[Rejection]:
        untolerated = snapshot.taint_table(lambda taints: has_untolerated(pod, taints)).astype(np.bool_)
        yield Rejection(untolerated, "node(s) had untolerated taint(s)", is_resolvable=False)

    def score(self, pod: PodInfo, snapshot: Snapshot, feasible: BoolArray) -> FloatArray | None:
        if not any(effect == SOFT for taints in snapshot.taint_sets for _, _, effect in taints):
            return None
        counts = snapshot.taint_table(lambda taints: count_untolerated_soft(pod, taints))
        return normalized(counts.astype(np.float64), feasible, reverse=True)
