"""TaintToleration: tainted nodes take only pods that tolerate all their taints; soft taints are avoided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from navarch.apimachinery.errors import Object
from navarch.scheduler.events import NODE, POD, Action, EventHint, Hint, on
from navarch.scheduler.framework import CycleState, IntArray, Plugin, Rejection, Reuse, normalized
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import TaintSet, node_taints

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

    def events_to_register(self) -> Sequence[EventHint]:
        return on(NODE, Action.ADD | Action.NODE_TAINT, _became_tolerable), on(POD, Action.POD_TOLERATION)

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.NODE

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        untolerated = nodes.taint_table(lambda taints: has_untolerated(pod, taints)).astype(np.bool_)
        yield Rejection(untolerated, "node(s) had untolerated taint(s)", is_resolvable=False)

    def score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> IntArray:
        return nodes.taint_table(lambda taints: count_untolerated_soft(pod, taints))

    def normalize_score(self, state: CycleState, pod: PodInfo, scores: IntArray, nodes: Nodes) -> IntArray:
        return normalized(scores, reverse=True)


def _became_tolerable(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    was = old is not None and not has_untolerated(pod, node_taints(old))
    now = new is not None and not has_untolerated(pod, node_taints(new))
    return Hint.QUEUE if now and not was else Hint.SKIP
