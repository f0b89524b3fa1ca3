"""What the recorders of Events have in common: whom an Event is about, and how it gets to the server.

Events wait in a bounded queue and are sent in the background, in order. Who records them never waits for that and never
fails; what cannot be sent as fast as it happens is dropped, and so is what the server refuses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from navarch.apimachinery import names
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.component import clock
from navarch.component.tasks import Tasks

T = TypeVar("T")

logger = logging.getLogger(__name__)

QUEUE_LIMIT = 10_000
"""Of Events that wait to be sent. They are small while they wait, and a burst of pods is longer than client-go's 1000."""
SEND_ATTEMPTS = 5
SEND_RETRY_SECONDS = 2.0
NAME_ATTEMPTS = 10
REPORTER = ("reportingComponent", "reportingController", "reportingInstance")


class Reference(NamedTuple):
    """An object that something is said of; not the object itself, which may be replaced before its turn comes."""

    kind: str
    namespace: str
    name: str
    uid: str
    api_version: str
    resource_version: str
    field_path: str

    def to_object(self) -> Object:
        """As `ObjectReference`."""
        found: Object = {
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "apiVersion": self.api_version,
            "resourceVersion": self.resource_version,
            "fieldPath": self.field_path,
        }
        return {field: value for field, value in found.items() if value}


def reference(obj: Object, field_path: str = "") -> Reference:
    """`field_path` is the part of the object, such as ``spec.containers{name}``."""
    metadata = obj["metadata"]
    return Reference(
        obj["kind"],
        metadata.get("namespace", ""),
        metadata["name"],
        metadata.get("uid", ""),
        obj["apiVersion"],
        metadata.get("resourceVersion", ""),
        field_path,
    )


class Outbox(Generic[T]):
    """What waits to be sent by `write`, which may raise StatusError (the end of it) or OSError (it is called again)."""

    def __init__(self, name: str, write: Callable[[T], Awaitable[None]]) -> None:
        self.tasks = Tasks(name)
        self._write = write
        self._queue: asyncio.Queue[T] = asyncio.Queue(QUEUE_LIMIT)
        self._started = False
        self._stamp = 0
        self._dropped = 0

    def has_room(self) -> bool:
        """Whether one more may wait; if not, the caller's is counted as dropped."""
        if self._queue.full():
            self._dropped += 1
            return False
        return True

    def put(self, item: T) -> None:
        """Have it sent; there must be room."""
        if not self._started:
            self._started = True
            self.tasks.run_forever(self._send_all, name="sender")
        self._queue.put_nowait(item)

    def new_name(self, about: Reference) -> str:
        """For an Event. It ends in the time, each used only once: listed by name, an object's Events are in their order."""
        self._stamp = max(int(clock.time_seconds() * 1e9), self._stamp + 1)
        name = f"{about.name}.{self._stamp:016x}"
        return name if len(name) <= names.DNS1123_SUBDOMAIN_LIMIT else clock.uid()

    async def create(self, client: Client, resource: str, event: Object, about: Reference) -> Object:
        """Create an Event, under another name where somebody else's of that moment has its own. Raises StatusError, OSError."""
        for _ in range(NAME_ATTEMPTS):
            metadata = event["metadata"]
            try:
                return await client.create(resource, event)
            except StatusError as error:
                if not error.is_already_exists:
                    raise
            try:
                there = await client.get(resource, metadata["name"], metadata["namespace"])
            except StatusError as error:
                # One that is only about to be there is somebody else's.
                if not error.is_not_found:
                    raise
                there = {}
            if there and all(there.get(field) == event.get(field) for field in REPORTER):
                # It is its own, and the answer was lost.
                return there
            event = {**event, "metadata": {**metadata, "name": self.new_name(about)}}
        return await client.create(resource, event)

    async def flush(self) -> None:
        """Until everything put so far has been sent or given up."""
        await self._queue.join()

    async def stop(self) -> None:
        await self.tasks.stop()

    async def _send_all(self) -> None:
        while True:
            item = await self._queue.get()
            if self._dropped and self._queue.qsize() < QUEUE_LIMIT // 2:
                logger.warning("too many events waited to be sent, %d dropped", self._dropped)
                self._dropped = 0
            try:
                await self._send(item)
            finally:
                self._queue.task_done()

    async def _send(self, item: T) -> None:
        for attempt in range(SEND_ATTEMPTS):
            try:
                await self._write(item)
                return
            except StatusError as error:
                # The server's last word; for instance the namespace is going away.
                logger.debug("event refused: %s", error.message)
                return
            except OSError as error:
                logger.debug("cannot send an event (attempt %d): %s", attempt + 1, error)
                await clock.sleep(SEND_RETRY_SECONDS)
