"""NodeUnschedulable: cordoned nodes take only pods that tolerate it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.scheduler.events import NODE, POD, Action, EventHint, Hint, on
from navarch.scheduler.framework import CycleState, Plugin, Rejection, Reuse
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo

TAINT = ("node.kubernetes.io/unschedulable", "", "NoSchedule")


class NodeUnschedulable(Plugin):
    name = "NodeUnschedulable"

    def events_to_register(self) -> Sequence[EventHint]:
        return on(NODE, Action.ADD | Action.NODE_TAINT, _is_uncordoned), on(POD, Action.POD_TOLERATION)

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.NODE

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        if not _tolerates(pod):
            yield Rejection(nodes.unschedulable, "node(s) were unschedulable", is_resolvable=False)


def _tolerates(pod: PodInfo) -> bool:
    return any(toleration.tolerates(*TAINT) for toleration in pod.tolerations)


def _is_uncordoned(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    is_open = new is not None and not (new.get("spec") or meta.EMPTY).get("unschedulable")
    was_open = old is not None and not (old.get("spec") or meta.EMPTY).get("unschedulable")
    return Hint.QUEUE if is_open and not was_open else Hint.SKIP
