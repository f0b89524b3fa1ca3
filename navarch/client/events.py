"""Record Events about objects: what a component did or why it could not.

These are core/v1's, as controllers and the kubelet write them: equal events about one object are counted on one Event object
instead of repeated, and a component that floods one object is held to a budget (client-go's tools/record: burst 25, then one
in five minutes). What the scheduler writes is in `eventseries`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.client.eventsending import Outbox, Reference, reference
from navarch.component import clock

KNOWN_EVENTS_LIMIT = 4096
BURST_PER_OBJECT = 25
REFILL_PER_SECOND = 1 / 300
MESSAGE_LIMIT_CHARACTERS = 1024


class Noted(NamedTuple):
    """What is to be said of an object."""

    about: Reference
    type: str
    reason: str
    message: str
    time: str
    """As `metav1.Time`."""
    name: str
    """Of the Event, if it is a new one."""


class EventRecorder:
    """Writes Events in the background; never blocks and never fails its caller."""

    def __init__(self, client: Client, component: str, host: str = "") -> None:
        self._client = client
        self._component = component
        self._host = host
        self._outbox = Outbox(f"events-{component}", self._write)
        self._known: OrderedDict[tuple[str, ...], Object] = OrderedDict()
        self._budgets: OrderedDict[tuple[str, ...], tuple[float, float]] = OrderedDict()
        self.flush = self._outbox.flush
        self.stop = self._outbox.stop

    def event(self, obj: Object, type_: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Note that something happened to `obj`.

        `type_` is Normal or Warning; `reason` a CamelCase word; `field_path` the part of the object, such as
        ``spec.containers{name}``.
        """
        if not self._outbox.has_room():
            return
        about = reference(obj, field_path)
        if self._within_budget(about[:4]):
            self._outbox.put(Noted(about, type_, reason, message, clock.timestamp(), self._outbox.new_name(about)))

    def _event(self, noted: Noted) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": noted.name, "namespace": noted.about.namespace or "default"},
            "involvedObject": noted.about.to_object(),
            "reason": noted.reason,
            "message": noted.message[:MESSAGE_LIMIT_CHARACTERS],
            "type": noted.type,
            "source": {"component": self._component} | ({"host": self._host} if self._host else {}),
            "firstTimestamp": noted.time,
            "lastTimestamp": noted.time,
            "count": 1,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }

    def _within_budget(self, key: tuple[str, ...]) -> bool:
        now = clock.monotonic()
        tokens, since = self._budgets.pop(key, (float(BURST_PER_OBJECT), now))
        tokens = min(BURST_PER_OBJECT, tokens + (now - since) * REFILL_PER_SECOND)
        allowed = tokens >= 1
        self._budgets[key] = (tokens - 1 if allowed else tokens, now)
        if len(self._budgets) > KNOWN_EVENTS_LIMIT:
            self._budgets.popitem(last=False)
        return allowed

    async def _write(self, noted: Noted) -> None:
        about = noted.about
        event = self._event(noted)
        key = (*about[:4], about.field_path, noted.type, noted.reason, event["message"])
        known = self._known.get(key)
        if known is not None:
            again = {"count": known["count"] + 1, "lastTimestamp": noted.time}
            metadata = known["metadata"]
            try:
                self._known[key] = await self._client.patch("events", metadata["name"], again, metadata["namespace"])
                self._known.move_to_end(key)
                return
            except StatusError as error:
                if not error.is_not_found:
                    raise
        self._known[key] = await self._outbox.create(self._client, "events", event, about)
        if len(self._known) > KNOWN_EVENTS_LIMIT:
            self._known.popitem(last=False)
