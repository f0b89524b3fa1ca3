"""Revisions only grow, also over a restart; an object is added when it was not there; what is stored stays stored.

Renewals of Leases may be lost in a crash (decision 0002).
"""

from __future__ import annotations

from navarch.apimachinery import meta
from navarch.simulation.checkers.checker import Checker, Report, State
from navarch.simulation.observer import Seen

LEASES = "leases.coordination.k8s.io"


class Revisions(Checker):
    """Remembers the newest revision of each resource, and which objects there are.

    Of one commit, changes of different resources are told one resource after the other: order is promised within each.
    """

    name = "revisions"

    def __init__(self, state: State, report: Report) -> None:
        super().__init__(state, report)
        self._newest: dict[str, int] = {}
        self._there: dict[str, dict[str, int]] = {}
        """Revisions by resource and key, of what came to be while somebody was looking."""

    def changed(self, seen: Seen) -> None:
        newest = self._newest.get(seen.resource, 0)
        if seen.revision <= newest:
            self.report(seen.name, f"revision {seen.revision} comes after {newest}")
        self._newest[seen.resource] = max(newest, seen.revision)
        said = meta.resource_version(seen.object)
        if said != seen.revision:
            self.report(seen.name, f"revision {seen.revision} says of itself that it is {said}")
        there = self._there.setdefault(seen.resource, {})
        if seen.type == "DELETED":
            there.pop(seen.key, None)
            return
        if seen.type == "ADDED" and seen.key in there:
            self.report(seen.name, "it was added, and was there already")
        there[seen.key] = seen.revision

    def settled(self) -> None:
        for resource, there in self._there.items():
            stored = self.state.versions(resource)
            if resource == LEASES or stored is None:
                continue
            for key, revision in there.items():
                if stored.get(key, 0) < revision:
                    self.report(
                        f"{resource} {key}", f"it was stored with revision {revision}, and now {stored.get(key)} is there"
                    )
