"""NodeName: a pod that names its node goes there or nowhere."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from navarch.scheduler.events import ClusterEvent
from navarch.scheduler.framework import Plugin, Rejection
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import Snapshot


class NodeName(Plugin):
    name = "NodeName"
    events = frozenset({ClusterEvent.NODE_ADD})

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Iterable[Rejection]:
        if pod.node_name:
            others = np.ones(snapshot.size, np.bool_)
            row = snapshot.rows.get(pod.node_name)
            if row is not None:
                others[row] = False
            yield Rejection(others, "node(s) didn't match the requested node name", is_resolvable=False)
