"""No two pods of one StatefulSet ordinal are alive at once: not where the API has one, and an older one still runs on a node.

Only a node that has been taken away for good, or an object deleted by force, sets a name free before its containers have ended.
"""

from __future__ import annotations

from navarch.apimachinery import meta
from navarch.simulation.checkers.checker import Checker, Report, State
from navarch.simulation.observer import Seen

RUNNING = "Running"


class Identities(Checker):
    """Remembers where each name has run."""

    name = "identities"
    resources = ("pods",)

    def __init__(self, state: State, report: Report) -> None:
        super().__init__(state, report)
        self._ran: dict[str, dict[str, str]] = {}
        """By the pod's key: node by uid."""

    def changed(self, seen: Seen) -> None:
        owner = meta.controller_of(seen.object)
        if owner is None or owner["kind"] != "StatefulSet" or seen.type == "DELETED":
            return
        if (seen.object.get("status") or {}).get("phase") != RUNNING:
            return
        uid, node = meta.uid(seen.object), seen.object["spec"].get("nodeName", "")
        ran = self._ran.setdefault(seen.key, {})
        if uid in ran:
            return
        for other, where in list(ran.items()):
            there = self.state.cluster.nodes.get(where)
            pod = there.pods.get(other) if there is not None else None
            if pod is not None and pod.is_running:
                self.report(seen.name, f"it runs on {node} while the one before it still runs on {where}")
            else:
                del ran[other]
        ran[uid] = node
