"""NodeUnschedulable: cordoned nodes take only pods that tolerate it."""

from __future__ import annotations

from collections.abc import Iterable

from navarch.scheduler.events import ClusterEvent
from navarch.scheduler.framework import Plugin, Rejection
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import Snapshot

TAINT = ("node.kubernetes.io/unschedulable", "", "NoSchedule")


class NodeUnschedulable(Plugin):
    name = "NodeUnschedulable"
    events = frozenset({ClusterEvent.NODE_ADD, ClusterEvent.NODE_TAINT})

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Iterable[Rejection]:
        if not any(toleration.tolerates(*TAINT) for toleration in pod.tolerations):
            yield Rejection(snapshot.unschedulable, "node(s) were unschedulable", is_resolvable=False)
