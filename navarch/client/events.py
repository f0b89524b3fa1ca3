"""Record Events about objects: what a component did or why it could not.

Equal events about one object are counted on one Event object instead of repeated, and a component that floods one object is
held to a budget (client-go's tools/record: burst 25, then one in five minutes).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import NamedTuple

from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.component import clock
from navarch.component.tasks import Tasks

logger = logging.getLogger(__name__)

KNOWN_EVENTS_LIMIT = 4096
QUEUE_LIMIT = 10_000
"""Of Events that wait to be sent. They are small while they wait, and a burst of pods is longer than client-go's 1000."""
BURST_PER_OBJECT = 25
REFILL_PER_SECOND = 1 / 300
MESSAGE_LIMIT_CHARACTERS = 1024
SEND_ATTEMPTS = 5
SEND_RETRY_SECONDS = 2.0


class Noted(NamedTuple):
    """What is to be said of an object; not the object itself, which may be replaced before its turn comes."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    type: str
    reason: str
    message: str
    field_path: str
    time: str
    """As `metav1.Time`."""
    stamp: int
    """See `EventRecorder._next_stamp`."""


class EventRecorder:
    """Writes Events in the background; never blocks and never fails its caller."""

    def __init__(self, client: Client, component: str, host: str = "") -> None:
        self._client = client
        self._component = component
        self._host = host
        self._queue: asyncio.Queue[Noted] = asyncio.Queue(QUEUE_LIMIT)
        self._known: OrderedDict[tuple[str, ...], Object] = OrderedDict()
        self._budgets: OrderedDict[tuple[str, ...], tuple[float, float]] = OrderedDict()
        self._tasks = Tasks(f"events-{component}")
        self._started = False
        self._stamp = 0
        self._dropped = 0

    def event(self, obj: Object, type_: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Note that something happened to `obj`.

        `type_` is Normal or Warning; `reason` a CamelCase word; `field_path` the part of the object, such as
        ``spec.containers{name}``.
        """
        if self._queue.full():
            # As in client-go, what cannot be sent as fast as it happens is dropped.
            self._dropped += 1
            return
        metadata = obj["metadata"]
        kind, namespace, name, uid = obj["kind"], metadata.get("namespace", ""), metadata["name"], metadata.get("uid", "")
        if not self._within_budget((kind, namespace, name, uid)):
            return
        if not self._started:
            self._started = True
            self._tasks.run_forever(self._send_all, name="sender")
        who = (obj["apiVersion"], kind, namespace, name, uid, metadata.get("resourceVersion", ""))
        self._queue.put_nowait(Noted(*who, type_, reason, message, field_path, clock.timestamp(), self._next_stamp()))

    def _event(self, noted: Noted) -> Object:
        involved: Object = {
            "kind": noted.kind,
            "namespace": noted.namespace,
            "name": noted.name,
            "uid": noted.uid,
            "apiVersion": noted.api_version,
            "resourceVersion": noted.resource_version,
            "fieldPath": noted.field_path,
        }
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{noted.name}.{noted.stamp:016x}", "namespace": noted.namespace or "default"},
            "involvedObject": {field: value for field, value in involved.items() if value},
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

    def _next_stamp(self) -> int:
        """Nanoseconds since the epoch, each only once: events that are listed by name are then listed in their order."""
        self._stamp = max(int(clock.time_seconds() * 1e9), self._stamp + 1)
        return self._stamp

    async def flush(self) -> None:
        """Until everything recorded so far has been sent or given up."""
        await self._queue.join()

    async def stop(self) -> None:
        await self._tasks.stop()

    def _within_budget(self, key: tuple[str, ...]) -> bool:
        now = clock.monotonic()
        tokens, since = self._budgets.pop(key, (float(BURST_PER_OBJECT), now))
        tokens = min(BURST_PER_OBJECT, tokens + (now - since) * REFILL_PER_SECOND)
        allowed = tokens >= 1
        self._budgets[key] = (tokens - 1 if allowed else tokens, now)
        if len(self._budgets) > KNOWN_EVENTS_LIMIT:
            self._budgets.popitem(last=False)
        return allowed

    async def _send_all(self) -> None:
        while True:
            noted = await self._queue.get()
            if self._dropped and self._queue.qsize() < QUEUE_LIMIT // 2:
                logger.warning("too many events waited to be sent, %d dropped", self._dropped)
                self._dropped = 0
            try:
                await self._send(self._event(noted))
            finally:
                self._queue.task_done()

    async def _send(self, event: Object) -> None:
        for attempt in range(SEND_ATTEMPTS):
            try:
                await self._write(event)
                return
            except StatusError as error:
                # The server's last word; for instance the namespace is going away.
                logger.debug("event refused: %s", error.message)
                return
            except OSError as error:
                logger.debug("cannot send an event (attempt %d): %s", attempt + 1, error)
                await clock.sleep(SEND_RETRY_SECONDS)

    async def _write(self, event: Object) -> None:
        involved = event["involvedObject"]
        key = (
            *(str(involved.get(field, "")) for field in ("kind", "namespace", "name", "uid", "fieldPath")),
            event["type"],
            event["reason"],
            event["message"],
        )
        known = self._known.get(key)
        if known is not None:
            again = {"count": known["count"] + 1, "lastTimestamp": event["lastTimestamp"]}
            metadata = known["metadata"]
            try:
                self._known[key] = await self._client.patch("events", metadata["name"], again, metadata["namespace"])
                self._known.move_to_end(key)
                return
            except StatusError as error:
                if not error.is_not_found:
                    raise
        self._known[key] = await self._client.create("events", event)
        if len(self._known) > KNOWN_EVENTS_LIMIT:
            self._known.popitem(last=False)
