"""Record Events of events.k8s.io/v1, as kube-scheduler does (client-go's tools/events).

What they have that those of `events` have not: an action, the object that had to do with it, the time to the microsecond.
Events that differ in nothing but their note and their time are one Event with a series. Of a series the server is told when it
begins, every half hour, and when for six minutes nothing was added; in between it is only counted. There is no budget.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.client.eventsending import Outbox, Reference, reference
from navarch.component import clock

EVENTS = "events.events.k8s.io"
NOTE_LIMIT_BYTES = 1024
CUT = " ..."
SERIES_LIMIT = 10_000
"""Of Events that are remembered; client-go forgets none before its time, whatever that takes."""
FINISH_SECONDS = 360.0
REFRESH_TURNS = 5
"""How often series are finished before those that go on are written: every half hour."""


class Noted(NamedTuple):
    """The first of what may become a series."""

    regarding: Reference
    related: Reference | None
    type: str
    reason: str
    action: str
    note: str
    time: float
    """Seconds since the epoch."""
    name: str
    """Of the Event."""


@dataclass(slots=True, eq=False)
class Series:
    """An Event and how often it has happened again."""

    first: Noted
    seen: float
    """When last; seconds since the epoch."""
    count: int = 1
    written: int = 0
    """The count that the server has confirmed."""
    is_asked_for: bool = False
    """Whether the server was asked to make the Event; its answer may have been lost."""


class EventSeriesRecorder:
    """Writes Events in the background; never blocks and never fails its caller."""

    def __init__(self, client: Client, controller: str, host: str = "", *, action: str) -> None:
        """`action` is what the controller does where nothing else is said."""
        self._client = client
        self._controller = controller
        self._instance = f"{controller}-{host}" if host else controller
        self._action = action
        self._outbox = Outbox(f"events-{controller}", self._write)
        self._known: OrderedDict[tuple[object, ...], Series] = OrderedDict()
        self._keeper: asyncio.Task[None] | None = None
        self.flush = self._outbox.flush
        self.stop = self._outbox.stop

    def event(
        self,
        obj: Object,
        type_: str,
        reason: str,
        message: str,
        *,
        action: str = "",
        related: Object | None = None,
        field_path: str = "",
    ) -> None:
        """Note that something happened to `obj`.

        `type_` is Normal or Warning; `reason` a CamelCase word, why `action` was taken (the recorder's, if none is given);
        `related` another object that had to do with it; `field_path` the part of `obj`.
        """
        about = reference(obj, field_path)
        other = reference(related) if related is not None else None
        key = (about, other, type_, reason, action or self._action)
        now = clock.time_seconds()
        known = self._known.get(key)
        if known is not None:
            known.count += 1
            known.seen = now
            self._known.move_to_end(key)
            if known.count == 2:
                self._tell(known)
        elif self._outbox.has_room():
            first = Noted(*key, shortened(message), now, self._outbox.new_name(about))
            self._known[key] = series = Series(first, now)
            self._outbox.put(series)
            if len(self._known) > SERIES_LIMIT:
                self._tell(self._known.popitem(last=False)[1])
            if self._keeper is None or self._keeper.done():
                self._keeper = self._outbox.tasks.start(self._keep(), name="series")

    def _tell(self, series: Series) -> bool:
        """Have the server told of what it does not know, if that can wait its turn."""
        if series.count == series.written or series.count == 1:
            return True
        if not self._outbox.has_room():
            return False
        self._outbox.put(series)
        return True

    async def _keep(self) -> None:
        """Write series that go on, and forget what does not happen any more; as long as there is anything to keep."""
        turn = 0
        while self._known:
            await clock.sleep(FINISH_SECONDS)
            turn += 1
            before = clock.time_seconds() - FINISH_SECONDS
            for key, series in list(self._known.items()):
                if series.seen < before:
                    if self._tell(series):
                        del self._known[key]
                elif turn % REFRESH_TURNS == 0:
                    self._tell(series)

    async def _write(self, series: Series) -> None:
        count = series.count
        if count == series.written:
            return  # It has been written since it began to wait.
        event = self._event(series)
        if series.is_asked_for and count > 1:
            metadata = event["metadata"]
            try:
                patch = {"series": event["series"]}
                await self._client.patch(EVENTS, metadata["name"], patch, metadata["namespace"], patch_type="strategic")
                series.written = count
                return
            except StatusError as error:
                if not error.is_not_found:
                    raise
        series.is_asked_for = True
        created = await self._outbox.create(self._client, EVENTS, event, series.first.regarding)
        series.first = series.first._replace(name=created["metadata"]["name"])
        series.written = count

    def _event(self, series: Series) -> Object:
        first = series.first
        event: Object = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": first.name, "namespace": first.regarding.namespace or "default"},
            "eventTime": clock.micro_timestamp(first.time),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
            "action": first.action,
            "reason": first.reason,
            "regarding": first.regarding.to_object(),
            "note": first.note,
            "type": first.type,
        }
        if first.related is not None:
            event["related"] = first.related.to_object()
        if series.count > 1:
            event["series"] = {"count": series.count, "lastObservedTime": clock.micro_timestamp(series.seen)}
        return event


def shortened(note: str) -> str:
    """As much of it as an Event may carry."""
    encoded = note.encode()
    if len(encoded) <= NOTE_LIMIT_BYTES:
        return note
    return encoded[: NOTE_LIMIT_BYTES - len(CUT)].decode(errors="ignore") + CUT
