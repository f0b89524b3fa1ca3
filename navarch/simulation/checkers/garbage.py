"""Deletion reaches what depends on it: no object outlives all its owners, its namespace, or (a pod) its node.

An owner that is deleted in the foreground goes only after those that block it.
"""

from __future__ import annotations

from collections.abc import Iterator

from navarch.api import registry
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.simulation.checkers.checker import Checker, Report, State
from navarch.simulation.observer import Seen

FOREGROUND = "foregroundDeletion"
# What vanishes by itself, and nobody looks after.
EXEMPT = ("events", "events.events.k8s.io")


class Garbage(Checker):
    """Knows who depends on whom while it is there."""

    name = "garbage"

    def __init__(self, state: State, report: Report) -> None:
        super().__init__(state, report)
        self._blocked: dict[str, set[str]] = {}
        """By an owner's uid: names of dependants that block its deletion."""
        self._foreground: set[str] = set()
        """Uids of owners that are deleted in the foreground."""

    def changed(self, seen: Seen) -> None:
        metadata = seen.object["metadata"]
        for reference in metadata.get("ownerReferences") or ():
            if reference.get("blockOwnerDeletion"):
                blocked = self._blocked.setdefault(reference["uid"], set())
                (blocked.discard if seen.type == "DELETED" else blocked.add)(seen.name)
        uid = metadata.get("uid", "")
        if seen.type == "DELETED":
            if uid in self._foreground and self._blocked.get(uid):
                left = sorted(self._blocked[uid])[0]
                self.report(seen.name, f"it is gone before {left}, which blocks its deletion")
            self._foreground.discard(uid)
            self._blocked.pop(uid, None)
        elif "deletionTimestamp" in metadata and FOREGROUND in (metadata.get("finalizers") or ()):
            self._foreground.add(uid)

    def settled(self) -> None:
        objects = list(_objects(self.state))
        uids = {meta.uid(obj) for _, obj in objects}
        namespaces = {meta.name(obj) for resource, obj in objects if resource == "namespaces"}
        nodes = {meta.name(obj) for resource, obj in objects if resource == "nodes"}
        for resource, obj in objects:
            name = f"{obj['kind']} {meta.key(obj)}"
            owners = obj["metadata"].get("ownerReferences") or ()
            if owners and not any(owner["uid"] in uids for owner in owners):
                self.report(name, f"its owner, {owners[0]['kind']} {owners[0]['name']}, is gone")
            if meta.namespace(obj) and meta.namespace(obj) not in namespaces:
                self.report(name, "its namespace is gone")
            if resource == "pods" and obj["spec"].get("nodeName") and obj["spec"]["nodeName"] not in nodes:
                self.report(name, f"its node, {obj['spec']['nodeName']}, is gone")


def _objects(state: State) -> Iterator[tuple[str, Object]]:
    """Everything that is stored, with its resource, each once."""
    seen = set()
    for kind in registry.kinds():
        if kind.key_prefix not in seen and kind.resource not in EXEMPT:
            seen.add(kind.key_prefix)
            for obj in state.objects(kind.resource):
                yield kind.resource, obj
