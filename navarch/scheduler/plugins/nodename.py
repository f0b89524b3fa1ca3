"""NodeName: a pod that names its node goes there or nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.scheduler.events import NODE, Action, EventHint, Hint, on
from navarch.scheduler.framework import CycleState, Plugin, Rejection, Reuse
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo


class NodeName(Plugin):
    name = "NodeName"

    def events_to_register(self) -> Sequence[EventHint]:
        return (on(NODE, Action.ADD, _is_the_one),)

    def reuse(self, pod: PodInfo) -> Reuse:
        # Templates leave out where a pod is.
        return Reuse.NEVER if pod.node_name else Reuse.NODE

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        if pod.node_name:
            others = np.ones(nodes.size, np.bool_)
            position = nodes.position(pod.node_name)
            if position is not None:
                others[position] = False
            yield Rejection(others, "node(s) didn't match the requested node name", is_resolvable=False)


def _is_the_one(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    return Hint.QUEUE if new is not None and meta.name(new) == pod.node_name else Hint.SKIP
