"""Tell every node how long its kubelet may keep Secrets and ConfigMaps without asking: longer where there are more nodes.

A cluster that grows and shrinks a little about a boundary changes nothing: the steps overlap.
"""

from __future__ import annotations

from typing import NamedTuple

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers.controller import Cluster, Controller

ANNOTATION = "node.alpha.kubernetes.io/ttl"


class Step(NamedTuple):
    nodes_min: int
    nodes_max: float
    ttl_seconds: int


STEPS = (Step(0, 100, 0), Step(90, 500, 15), Step(450, 1000, 30), Step(900, 2000, 60), Step(1800, float("inf"), 300))


def next_step(step: int, nodes: int) -> int:
    """Which of the steps holds for so many nodes, where `step` did."""
    while nodes > STEPS[step].nodes_max:
        step += 1
    while nodes < STEPS[step].nodes_min:
        step -= 1
    return step


class NodeTTL:
    """Remembers which step holds."""

    def __init__(self) -> None:
        self._step = 0

    @property
    def _wanted(self) -> str:
        return str(STEPS[self._step].ttl_seconds)

    def relevant(self, old: Object | None, new: Object | None) -> bool:
        # After a step each node is looked at when it next changes: its kubelet sees to that.
        return new is None or meta.annotations(new).get(ANNOTATION) != self._wanted

    async def reconcile(self, node: Object, cluster: Cluster) -> None:
        await self.gone(meta.name(node), cluster)
        if self.relevant(None, node):
            await cluster.patch("nodes", node, {"metadata": {"annotations": {ANNOTATION: self._wanted}}})

    async def gone(self, name: str, cluster: Cluster) -> None:
        self._step = next_step(self._step, len(cluster.informer("nodes")))


def controller() -> Controller:
    found = NodeTTL()
    return Controller("ttl-controller", "nodes", found.reconcile, gone=found.gone, relevant=found.relevant)
