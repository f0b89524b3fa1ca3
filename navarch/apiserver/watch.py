"""Watches: a bounded queue between the store's commits and one client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from navarch.api.kind import Kind
from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object
from navarch.apiserver.selection import Selection
from navarch.component import clock
from navarch.storage.batch import Batch
from navarch.storage.changes import Change, Record
from navarch.storage.mvcc import CompactedError
from navarch.storage.store import Store
from navarch.storage.watchers import Watcher

# What may wait for a client beyond what its watch began with, which is as much as there is or as the window holds.
QUEUE_LIMIT_EVENTS = 20_000
QUEUE_LIMIT_BYTES = 256 * 1024 * 1024
# What is encoded for one client at a time, however much waits for it.
BATCH_LIMIT_EVENTS = 256
BATCH_LIMIT_BYTES = 1024 * 1024
BOOKMARK_INTERVAL_SECONDS = 60.0
BOOKMARK_BEFORE_END_SECONDS = 2.0
TIMEOUT_MIN_SECONDS = 1800
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Event(NamedTuple):
    """One event as its client sees it; the change is None for bookmarks, errors and objects that were there at the start."""

    type: str
    record: Record | None
    change: Change | None = None
    other: Object | None = None
    """What a bookmark or an error says."""
    object: Object | None = None
    """The stored object, where it is at hand."""

    def served(self, kind: Kind) -> Object:
        """Decoded and shared, as `kind` serves it."""
        return self.other if self.other is not None else kind.from_stored(self._object())

    def _object(self) -> Object:
        if self.object is not None:
            return self.object
        if self.change is not None:
            return self.change.object
        assert self.record is not None
        return self.record.object()


Events = Batch[Event]


def _size(event: Event) -> int:
    """In bytes, of what is stored."""
    return len(event.record.data) if event.record is not None else 0


def _parts(events: Events) -> int | list[tuple[Events, int]]:
    """Events as they are encoded at a time, and how many bytes they are; only that where all of them are."""
    if len(events) == 1:
        return _size(events[0])
    parts, part, size = [], Events(), 0
    for event in events:
        more = _size(event)
        if part and (len(part) == BATCH_LIMIT_EVENTS or size + more > BATCH_LIMIT_BYTES):
            parts.append((part, size))
            part, size = Events(), 0
        part.append(event)
        size += more
    return [*parts, (part, size)] if parts else size


class Watch:
    """One client's watch. Iterate over batches of events; `close` when done."""

    def __init__(
        self, store: Store, kind: Kind, under: str, selection: Selection, *, bookmarks: bool, timeout_seconds: float | None
    ) -> None:
        self._store = store
        self._kind = kind
        self._under = under
        self._selection = selection
        self._bookmarks = bookmarks
        self._deadline = clock.monotonic() + (
            timeout_seconds if timeout_seconds is not None else clock.jitter(TIMEOUT_MIN_SECONDS, 1.0)
        )
        self._next_bookmark = self._bookmark_after(clock.monotonic())
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        """When the timer goes off, if there is one."""
        self._pending: deque[tuple[Events, int]] = deque()
        """None of them with more than is encoded at a time, and how many bytes they are."""
        self._waiting, self._waiting_bytes = 0, 0
        """How many events are pending."""
        self._begun_with, self._begun_with_bytes = 0, 0
        """How many events the watch began with: a client cannot have read any of them too slowly."""
        self._wakeup = asyncio.Event()
        self._ended = False
        """Nothing comes after what is pending."""
        self._after = 0
        """Changes up to this revision are not told."""
        self._closed = False
        self._watcher: Watcher | None = None
        self.convert: Callable[[list[Event]], Awaitable[list[Event]]] | None = None
        """What makes of events those that the client sees, where others must be asked for that."""
        self.holds_objects = False
        """Whether the client wants them decoded: so it need not be done anew for one who comes late."""

    def begin(self, since: int | None, *, initial_events: bool) -> None:
        """Start after revision `since`, or (None) now; `initial_events` first delivers what is there.

        Where the revision is no longer retained the watch is one event that says so: by then it has begun, for its client.
        """
        store, prefix = self._store, self._kind.key_prefix
        start = store.revision if since is None or initial_events else since
        self._after = start
        if initial_events:
            found = self._selection.choose(store.collection(prefix).range(self._under, labels=self._selection.encoded_labels))
            self._queue(Events([Event("ADDED", record) for record in found]))
        under, chosen = self._under, self._selection
        if chosen.name and (under != prefix or not self._kind.namespaced):
            # One object, by its key.
            under += chosen.name
        try:
            self._watcher = store.watch(prefix, under, start, self._deliver, lambda: self._expire(start), chosen.term)
        except CompactedError:
            self._expire(start)
        self._begun_with, self._begun_with_bytes = self._waiting, self._waiting_bytes
        if self._pending:
            self._wakeup.set()

    def _expire(self, since: int) -> None:
        """Changes after `since` are not known, or not any more: the client must list again."""
        expired = errors.expired(f"too old resource version: {since} ({self._store.compacted})")
        self._queue(Events([Event("ERROR", None, None, expired.status)]))
        self._ended = True
        self._wakeup.set()

    def bookmark_initial_end(self) -> None:
        """Tell the client that the initial events are complete."""
        self._queue(Events([self._bookmark({INITIAL_EVENTS_END: "true"})]))
        self._wakeup.set()

    def end(self) -> None:
        """Nothing more is told than what is pending."""
        self._ended = True
        self._wakeup.set()

    def close(self) -> None:
        """Stop receiving."""
        self._closed = True
        self._wakeup.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_due = None, 0.0
        if self._watcher is not None:
            self._store.unwatch(self._kind.key_prefix, self._watcher)
            self._watcher = None

    async def batches(self) -> AsyncIterator[Events]:
        """Events as they come, several at once where several wait. Ends at the timeout, or when the client is too slow."""
        try:
            while (batch := await self.next()) is not None:
                yield batch
        finally:
            self.close()

    async def next(self) -> Events | None:
        """The next of `batches`, None at the end."""
        while not self._closed:
            if self._pending:
                self._wakeup.clear()
                batch = self._unqueue()
                if self.convert is None:
                    return batch
                batch = Events(await self.convert(batch))
                if batch and batch[-1].type == "ERROR":
                    self._drop()
                    self._ended = True
                if batch:
                    return batch
                continue
            if self._ended:
                break
            now = clock.monotonic()
            if now >= self._deadline:
                break
            if self._bookmarks and now >= self._next_bookmark:
                self._next_bookmark = self._bookmark_after(now)
                return Events([self._bookmark({})])
            self._wake_at(min(self._deadline, self._next_bookmark) if self._bookmarks else self._deadline, now)
            await self._wakeup.wait()
            self._wakeup.clear()
        return None

    def _queue(self, events: Events) -> None:
        """What many are told of is taken apart for all of them."""
        parts = events.form(_parts.__name__, _parts) if len(events) > 1 else _parts(events)
        for part, size in [(events, parts)] if isinstance(parts, int) else parts:
            self._pending.append((part, size))
            self._waiting += len(part)
            self._waiting_bytes += size

    def _unqueue(self) -> Events:
        """As many as are encoded at a time."""
        batch, size = self._pending.popleft()
        while self._pending and len(batch) + len(self._pending[0][0]) <= BATCH_LIMIT_EVENTS:
            if size + self._pending[0][1] > BATCH_LIMIT_BYTES:
                break
            following, more = self._pending.popleft()
            batch, size = Events(batch + following), size + more
        self._waiting -= len(batch)
        self._waiting_bytes -= size
        return batch

    def _drop(self) -> None:
        self._pending.clear()
        self._waiting, self._waiting_bytes = 0, 0

    def _is_too_slow(self) -> bool:
        return (
            self._waiting > self._begun_with + QUEUE_LIMIT_EVENTS
            or self._waiting_bytes > self._begun_with_bytes + QUEUE_LIMIT_BYTES
        )

    def _wake_at(self, due: float, now: float) -> None:
        """Let it go on at that time, if nothing comes before. One timer does for all the events until then."""
        if self._timer_due == due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(due - now, self._wake)
        self._timer_due = due

    def _wake(self) -> None:
        self._timer, self._timer_due = None, 0.0
        self._wakeup.set()

    def _bookmark_after(self, now: float) -> float:
        """In a while, and once shortly before the end: so the next watch need not go over again what this one has seen."""
        last = self._deadline - BOOKMARK_BEFORE_END_SECONDS
        if now >= last:
            return float("inf")
        return min(now + BOOKMARK_INTERVAL_SECONDS, last)

    def _bookmark(self, annotations: dict[str, str]) -> Event:
        metadata: Object = {"resourceVersion": str(max(self._store.revision, self._after))}
        if annotations:
            metadata["annotations"] = annotations
        kind = self._kind
        return Event("BOOKMARK", None, None, {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata})

    def _deliver(self, changes: list[Change]) -> None:
        if self._ended:
            return
        try:
            self._take(changes)
        except Exception:
            # What it was to be told is lost: it ends, and its client lists again.
            self._drop()
            self._ended = True
            self._wakeup.set()
            raise

    def _take(self, changes: list[Change]) -> None:
        if changes[0].revision <= self._after:
            changes = [change for change in changes if change.revision > self._after]
        if self._selection.is_everything:
            form = _decoded if self.holds_objects else _encoded
            # Made once for all who are told of the same commit.
            told = changes.form(form.__name__, form) if isinstance(changes, Batch) else form(changes)
        else:
            told = Events()
            for change in changes:
                if (type_ := self._select(change)) is not None:
                    told.append(Event(type_, change.record, change, None, change.object if self.holds_objects else None))
        if told:
            self._queue(told)
        if self._watcher is not None and self._is_too_slow():
            # The client reads too slowly: it must list again. Nobody else waits for it.
            self._drop()
            self._ended = True
        if self._pending or self._ended:
            self._wakeup.set()

    def _select(self, change: Change) -> str | None:
        """The event's type as seen through the selection: an object that begins or ceases to match is added or deleted."""
        selection, previous = self._selection, change.previous
        now = not change.deleted and selection.may_match(change.record) and selection.matches(change.object)
        before = previous is not None and selection.selects(previous)
        if now:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else None


def _encoded(changes: list[Change]) -> Events:
    return Events([Event(change.type, change.record, change) for change in changes])


def _decoded(changes: list[Change]) -> Events:
    return Events([Event(change.type, change.record, change, None, change.object) for change in changes])
