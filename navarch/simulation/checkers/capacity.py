"""What the pods of a node ask for is never more than it has, where the scheduler has put them there."""

from __future__ import annotations

from navarch.api.core import podresources
from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from navarch.simulation.checkers.checker import Checker, Report, State
from navarch.simulation.observer import Seen

FINAL = ("Succeeded", "Failed")
RESOURCES = ("cpu", "memory")
Amounts = tuple[int, ...]
"""CPU in thousandths, memory in thousandths of a byte, and pods, one thousand each: all as `quantity.milli` has it."""


class Capacity(Checker):
    """Keeps the sums."""

    name = "capacity"
    resources = ("pods", "nodes")

    def __init__(self, state: State, report: Report) -> None:
        super().__init__(state, report)
        self._asked: dict[str, dict[str, Amounts]] = {}
        """By node, by the pod's uid."""
        self._sums: dict[str, list[int]] = {}
        self._has: dict[str, Amounts] = {}
        self._chosen: set[str] = set()
        """Uids of pods that came with a node: nobody looked whether they fit."""

    def changed(self, seen: Seen) -> None:
        if seen.resource == "nodes":
            self._node(seen)
            return
        pod, uid = seen.object, meta.uid(seen.object)
        node = pod["spec"].get("nodeName", "")
        if not node:
            return
        if seen.type == "ADDED":
            self._chosen.add(uid)
        pods = self._asked.setdefault(node, {})
        if seen.type == "DELETED" or (pod.get("status") or {}).get("phase") in FINAL:
            self._count(node, pods.pop(uid, None), -1)
            self._chosen.discard(uid)
        elif uid not in pods:
            pods[uid] = asked(pod)
            self._count(node, pods[uid], 1)
            has = self._has.get(node)
            if has is not None and uid not in self._chosen and any(s > h for s, h in zip(self._sums[node], has, strict=True)):
                self.report(seen.name, f"with it the pods of {node} ask for more than the node has")

    def _node(self, seen: Seen) -> None:
        name = meta.name(seen.object)
        if seen.type == "DELETED":
            self._has.pop(name, None)
            return
        there = (seen.object.get("status") or {}).get("allocatable") or {}
        self._has[name] = tuple(quantity.milli(there.get(resource, "0")) for resource in (*RESOURCES, "pods"))

    def _count(self, node: str, amounts: Amounts | None, sign: int) -> None:
        sums = self._sums.setdefault(node, [0] * (len(RESOURCES) + 1))
        for index, amount in enumerate(amounts or ()):
            sums[index] += sign * amount


def asked(pod: Object) -> Amounts:
    """What a pod asks of its node."""
    found = podresources.requests(pod)
    return (*(quantity.milli(found.get(resource, "0")) for resource in RESOURCES), 1000)
