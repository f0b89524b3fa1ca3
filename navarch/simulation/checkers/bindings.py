"""A pod is bound once, to one node, and its containers run nowhere else."""

from __future__ import annotations

from navarch.apimachinery import meta
from navarch.simulation.checkers.checker import Checker, Report, State
from navarch.simulation.observer import Seen


class Bindings(Checker):
    """Remembers where each pod is bound, and looks whether another node has it too."""

    name = "bindings"
    resources = ("pods",)

    def __init__(self, state: State, report: Report) -> None:
        super().__init__(state, report)
        self._bound: dict[str, str] = {}
        """Node by the pod's uid."""

    def changed(self, seen: Seen) -> None:
        uid, node = meta.uid(seen.object), seen.object["spec"].get("nodeName", "")
        if seen.type == "DELETED":
            self._bound.pop(uid, None)
            return
        before = self._bound.get(uid, "")
        if before and before != node:
            self.report(seen.name, f"it was bound to {before}, and then to {node or 'none'}")
        if node:
            self._bound[uid] = node

    def settled(self) -> None:
        running: dict[str, str] = {}
        for name, node in self.state.cluster.nodes.items():
            for uid, pod in node.pods.items():
                if pod.is_running and running.setdefault(uid, name) != name:
                    self.report(f"Pod {meta.key(pod.pod)}", f"it runs on {running[uid]} and on {name}")
                elif pod.is_running and node.state == "running" and uid not in self._bound:
                    self.report(f"Pod {meta.key(pod.pod)}", f"it runs on {name}, and the API knows nothing of it")
