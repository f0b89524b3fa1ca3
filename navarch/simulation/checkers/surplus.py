"""A controller that sees its own writes makes no pod too many: what one owner has at once is never more than it has asked for.

Where an answer was lost after the write took effect nobody can know of the pod that it made: from then on this is not held
against anybody.
"""

from __future__ import annotations

from navarch.apimachinery import meta
from navarch.simulation.checkers.checker import Checker, Report, State
from navarch.simulation.observer import Seen

SETS = ("replicasets.apps", "statefulsets.apps", "replicationcontrollers")
FINAL = ("Succeeded", "Failed")
# A scale that has just been made smaller may not have been seen yet.
GRACE_SECONDS = 120.0


class Surplus(Checker):
    """Counts the pods of every owner."""

    name = "surplus"
    resources = ("pods", *SETS)

    def __init__(self, state: State, report: Report) -> None:
        super().__init__(state, report)
        self._wanted: dict[str, list[tuple[float, int]]] = {}
        """By the owner's uid: until when (or for ever) so many were wanted, newest last."""
        self._active: dict[str, set[str]] = {}

    def changed(self, seen: Seen) -> None:
        if seen.resource != "pods":
            self._scale(seen)
            return
        owner = meta.controller_of(seen.object)
        if owner is None or owner["uid"] not in self._wanted:
            return
        active, uid = self._active.setdefault(owner["uid"], set()), meta.uid(seen.object)
        phase = (seen.object.get("status") or {}).get("phase")
        if seen.type == "DELETED" or meta.being_deleted(seen.object) or phase in FINAL:
            active.discard(uid)
            return
        is_new = uid not in active
        active.add(uid)
        wanted = max(count for until, count in self._wanted[owner["uid"]] if until >= seen.at)
        if is_new and len(active) > wanted and not self.state.cluster.network.has_lost_answers:
            self.report(seen.name, f"{owner['kind']} {owner['name']} asks for {wanted}, and has {len(active)} with it")

    def _scale(self, seen: Seen) -> None:
        uid = meta.uid(seen.object)
        if seen.type == "DELETED":
            self._wanted.pop(uid, None)
            self._active.pop(uid, None)
            return
        count = (seen.object.get("spec") or {}).get("replicas", 1)
        history = [entry for entry in self._wanted.get(uid, ()) if entry[0] >= seen.at]
        if history and history[-1][1] == count:
            return
        if history:
            history[-1] = (seen.at + GRACE_SECONDS, history[-1][1])
        self._wanted[uid] = [*history, (float("inf"), count)]
