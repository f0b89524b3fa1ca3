"""NodePorts: no two pods take the same host port of a node."""

from __future__ import annotations

from collections.abc import Iterable

from navarch.scheduler.events import ClusterEvent
from navarch.scheduler.framework import Plugin, Rejection
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import Snapshot


class NodePorts(Plugin):
    name = "NodePorts"
    events = frozenset({ClusterEvent.NODE_ADD, ClusterEvent.POD_DELETE})

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Iterable[Rejection]:
        if pod.host_ports:
            taken = snapshot.port_conflicts(pod.host_ports)
            yield Rejection(taken, "node(s) didn't have free ports for the requested pod ports")
