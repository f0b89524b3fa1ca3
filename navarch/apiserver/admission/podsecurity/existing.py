"""Which of a namespace's pods would not be allowed under a level that it is about to enforce.

Nothing happens to them; whoever sets the level is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.podsecurity.configuration import PodSecurityConfiguration
from navarch.apiserver.admission.podsecurity.evaluation import evaluate
from navarch.apiserver.admission.podsecurity.levels import LevelVersion
from navarch.component import clock
from navarch.storage.changes import Record

PODS_LIMIT = 3000
TIME_LIMIT_SECONDS = 1.0
TURN = 10
"""So many pods are looked at before others have their turn."""


@dataclass(slots=True)
class _Alike:
    """Pods with the same reasons."""

    name: str
    """The first in alphabetical order."""
    count: int = 1

    def add(self, name: str) -> None:
        self.name, self.count = min(self.name, name), self.count + 1

    def __str__(self) -> str:
        others = self.count - 1
        return f"{self.name} (and {others} other {'pod' if others == 1 else 'pods'})" if others else self.name


async def warnings(
    namespace: str, records: Sequence[Record], asked: LevelVersion, configuration: PodSecurityConfiguration
) -> list[str]:
    """What to tell of a namespace with these pods; of more than `PODS_LIMIT`, not all are looked at."""
    if configuration.exempt_runtime_classes:
        records = [record for record in records if not configuration.exempts_spec(record.object().get("spec") or {})]
    found: dict[str, _Alike] = {}
    checked, until = 0, clock.monotonic() + TIME_LIMIT_SECONDS
    for pod in _unlike_first(records):
        verdict = evaluate(asked, pod)
        if not verdict.allows:
            alike = found.get(verdict.reason)
            if alike is None:
                found[verdict.reason] = _Alike(meta.name(pod))
            else:
                alike.add(meta.name(pod))
        checked += 1
        if checked == PODS_LIMIT or clock.monotonic() > until:
            break
        if checked % TURN == 0:
            await asyncio.sleep(0)
    told = []
    if checked < len(records):
        told.append(f"new PodSecurity enforce level only checked against the first {checked} of {len(records)} existing pods")
    if found:
        told.append(f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{asked}"')
    return [*told, *sorted(f"{alike}: {reason}" for reason, alike in found.items())]


def _unlike_first(records: Sequence[Record]) -> Iterator[Object]:
    """One pod of every controller and all without, then the others. Few are decoded at a time."""
    controllers: set[str] = set()
    others: list[Record] = []
    for record in records:
        pod = record.object()
        controller = meta.controller_of(pod)
        uid = controller.get("uid", "") if controller is not None else None
        if uid in controllers:
            others.append(record)
            continue
        if uid is not None:
            controllers.add(uid)
        yield pod
    yield from (record.object() for record in others)
