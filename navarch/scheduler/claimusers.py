"""Which pods on nodes use which claims and cloud disks, kept up to date from the snapshot's log.

Pods that are only about to be bound count too. What is merely supposed (see `Snapshot.supposing`) is not in the log, and so
not here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import Snapshot
from navarch.scheduler.volumes import claim_references, inline_disks


@dataclass(slots=True)
class Changed:
    """What has happened to users of volumes."""

    came: list[tuple[int, PodInfo]] = field(default_factory=list)
    """(row, pod) of those that are new and still there."""
    rows: set[int] = field(default_factory=set)
    """Rows where something else has happened, or may have."""


class ClaimUsers:
    """Volumes in use, and rows with pods that use any."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._position = -1
        self._layout = -1
        self._rows: dict[int, dict[str, tuple[str, ...]]] = {}
        """Row -> pod's uid -> `volume_keys`."""
        self._uses: dict[str, dict[str, int]] = {}
        """Key of a volume -> uid of a pod that uses it -> row."""

    def rows_of(self, claim: str) -> frozenset[int]:
        """Rows with pods that use that claim."""
        return frozenset(self._uses.get(claim, {}).values())

    def is_used(self, claim: str) -> bool:
        return bool(self._uses.get(claim))

    def rows(self) -> list[int]:
        """Rows with pods that use volumes."""
        return list(self._rows)

    def users_on(self, row: int) -> list[str]:
        """Uids of such pods on a row."""
        return list(self._rows.get(row, ()))

    def catch_up(self) -> Changed | None:
        """Take in what has changed, and tell it; None: perhaps all."""
        snapshot = self._snapshot
        changes = snapshot.changes_since(self._position) if self._layout == snapshot.layout else None
        self._position, self._layout = snapshot.position, snapshot.layout
        if changes is None:
            self._begin()
            return None
        found = Changed()
        for change in changes:
            if change.info is None or not change.sign:
                continue
            keys = volume_keys(change.info)
            if keys and change.sign > 0 and change.info.uid not in self._rows.get(change.row, ()):
                found.came.append((change.row, change.info))
                self._note(change.info.uid, change.row, keys)
            elif keys:
                found.rows.add(change.row)
                self._forget(change.info.uid, change.row)
                if change.sign > 0:
                    self._note(change.info.uid, change.row, keys)
        return found

    def _begin(self) -> None:
        self._rows.clear()
        self._uses.clear()
        for row, pods in enumerate(self._snapshot.pods):
            for uid, placed in pods.items():
                keys = volume_keys(placed.info)
                if keys:
                    self._note(uid, row, keys)

    def _note(self, uid: str, row: int, keys: tuple[str, ...]) -> None:
        self._rows.setdefault(row, {})[uid] = keys
        for key in keys:
            self._uses.setdefault(key, {})[uid] = row

    def _forget(self, uid: str, row: int) -> None:
        pods = self._rows.get(row, {})
        for key in pods.pop(uid, ()):
            users = self._uses.get(key, {})
            users.pop(uid, None)
            if not users:
                self._uses.pop(key, None)
        if not pods:
            self._rows.pop(row, None)


def volume_keys(pod: PodInfo) -> tuple[str, ...]:
    """Of its claims, and of disks that it names itself (no claim is called so)."""
    if not pod.template.uses_claims and not pod.template.own_volumes:
        return ()
    claims = [f"{pod.namespace}/{reference.name}" for reference in claim_references(pod)]
    return (*claims, *(f"{disk.driver}//{disk.handle}" for disk in inline_disks(pod)))
