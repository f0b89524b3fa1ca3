"""Revisions only grow, also over a restart; an object is added when it was not there, and else was."""

from __future__ import annotations

from navarch.apimachinery import meta
from navarch.simulation.checkers.checker import Checker, Report, State
from navarch.simulation.observer import Seen


class Revisions(Checker):
    """Remembers the newest revision of each resource, and which objects there are.

    Of one commit, changes of different resources are told one resource after the other: order is promised within each.
    """

    name = "revisions"

    def __init__(self, state: State, report: Report) -> None:
        super().__init__(state, report)
        self._newest: dict[str, int] = {}
        self._there: set[tuple[str, str]] = set()
        """Of what came to be while somebody was looking."""

    def changed(self, seen: Seen) -> None:
        newest = self._newest.get(seen.resource, 0)
        if seen.revision <= newest:
            self.report(seen.name, f"revision {seen.revision} comes after {newest}")
        self._newest[seen.resource] = max(newest, seen.revision)
        said = meta.resource_version(seen.object)
        if said != seen.revision:
            self.report(seen.name, f"revision {seen.revision} says of itself that it is {said}")
        place = (seen.resource, seen.key)
        if seen.type == "DELETED":
            self._there.discard(place)
        elif seen.type == "ADDED":
            if place in self._there:
                self.report(seen.name, "it was added, and was there already")
            self._there.add(place)
