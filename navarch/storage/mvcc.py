"""The index over the log, in memory and pure: revisions, conflicts, snapshots, watch windows, compaction.

Every change of any object takes the next revision of one global counter. A change is *staged* (it has a revision and later
writes build on it), then *published* once its backend says it is durable: only then do reads and watchers see it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from navarch.apimachinery.errors import Object
from navarch.storage.author import writing
from navarch.storage.batch import Batch
from navarch.storage.changes import Change, Dropped, Record, Write
from navarch.storage.collection import Collection, collection_prefix
from navarch.storage.watchers import Term, Watcher

logger = logging.getLogger(__name__)

HISTORY_EVENTS_LIMIT = 100_000
HISTORY_BYTES_LIMIT = 64 * 1024 * 1024
HISTORY_AGE_SECONDS = 300.0
# How far the window may grow beyond its limits until somebody compacts out of turn.
HISTORY_SLACK = 1.25
# Forgetting a version takes as long as dropping so many changes.
CREATIONS_PER_VERSION = 5
# Changes so new that watchers still take them, and that writes build on: their decoded and wire forms are kept. A scheduler
# that decides 128 pods in a turn binds one some 300 changes after it was made.
RECENT_CHANGES = 512


class ConflictError(Exception):
    """The object's revision is not the one the write was based on."""


class CompactedError(Exception):
    """The revision asked for is older than what is retained."""


class FutureRevisionError(Exception):
    """The revision asked for does not exist yet."""


class MVCC:
    """All collections, the staged writes, and the window of changes that watches can start from."""

    def __init__(self) -> None:
        self.collections: dict[str, Collection] = {}
        self.revision = 0
        """The newest published revision."""
        self.next_revision = 1
        self.compacted = 0
        """Watches and snapshots at revisions before this one are not possible."""
        self._known_since = 0
        """What was compacted when the log was loaded: deletions up to there have left no trace in it."""
        self._staged: dict[str, Change] = {}
        self._history: deque[Change] = deque()
        self._history_bytes = 0
        self._recent: dict[int, Change] = {}
        """By revision, in order: those that are still decoded."""
        self.followers: list[Callable[[list[Change]], None]] = []
        """Are told of everything that is published."""

    def collection(self, prefix: str) -> Collection:
        """The collection of a prefix that ends in a slash, such as ``/registry/pods/``."""
        found = self.collections.get(prefix)
        if found is None:
            found = self.collections[prefix] = Collection(prefix, self._known_since)
        return found

    # Reads

    def get(self, prefix: str, key: str) -> Record | None:
        """The published version of an object."""
        found = self.collections.get(prefix)
        return found.records.get(key) if found is not None else None

    def decoded(self, record: Record) -> Object:
        """The object, shared: it must not be mutated."""
        change = self._recent.get(record.revision)
        return change.object if change is not None and change.record is record else record.object()

    def latest(self, prefix: str, key: str) -> Record | None:
        """The newest version, staged ones included: what a write must build on."""
        staged = self._staged.get(key)
        if staged is not None:
            return None if staged.deleted else staged.record
        found = self.collections.get(prefix)
        return found.records.get(key) if found is not None else None

    def snapshot(self, prefix: str, under: str, revision: int, after: str = "", labels: Sequence[bytes] = ()) -> list[Record]:
        """Records under `under` as they were at `revision`, in key order; those without the `labels` may be left out.

        Raises CompactedError, FutureRevisionError.
        """
        collection = self.collection(prefix)
        if revision > self.revision:
            raise FutureRevisionError
        # Also where nothing has changed since: what a revision is good for must not depend on who wrote what.
        if revision < self.compacted:
            raise CompactedError
        if revision >= collection.revision:
            return collection.range(under, after, labels)
        return self._rewound(collection, under, revision, after)

    def kept_since(self, prefix: str, under: str, revision: int, after: str = "") -> list[Record]:
        """Of what was there when the window began, what was there at an earlier `revision` already."""
        found = self._rewound(self.collection(prefix), under, self.compacted, after)
        return [record for record in found if record.revision <= revision]

    def revisions(self, prefix: str, key: str) -> list[int]:
        """Of an object's versions that are still in the log."""
        found = {change.revision for change in self._history if change.record.key == key}
        found |= {change.previous.revision for change in self._history if change.record.key == key and change.previous}
        newest = self.get(prefix, key)
        return sorted(found | ({newest.revision} if newest is not None else set()))

    def _rewound(self, collection: Collection, under: str, revision: int, after: str) -> list[Record]:
        past: dict[str, Record | None] = {}
        for change in reversed(self._history):
            if change.revision <= revision:
                break
            key = change.record.key
            if key.startswith(under) and key > after:
                past[key] = change.previous
        records = {record.key: record for record in collection.range(under, after)}
        for key, record in past.items():
            if record is None:
                records.pop(key, None)
            else:
                records[key] = record
        return [records[key] for key in sorted(records)]

    # Writes

    def stage(self, writes: Sequence[Write]) -> list[Change]:
        """Take the next revisions for changes of different objects: all of them, or none.

        Raises ConflictError unless each `base` is the newest version.
        """
        assert len(writes) == 1 or len({write.key for write in writes}) == len(writes), "one change of each object"
        for write in writes:
            if self.latest(write.prefix, write.key) is not write.base:
                raise ConflictError(write.key)
        author, revision = writing.get(), self.next_revision
        changes = []
        for write in writes:
            base = write.base
            record = Record(write.key, write.data(revision), revision, revision if base is None else base.created)
            changes.append(Change(record, base, write.deletes, write.obj, author))
            revision += 1
        self.next_revision = revision
        for change in changes:
            self._staged[change.record.key] = change
        return changes

    def unstage(self, changes: Iterable[Change]) -> None:
        """Forget staged changes whose commit failed; their revisions stay unused."""
        for change in changes:
            if self._staged.get(change.record.key) is change:
                del self._staged[change.record.key]

    def publish(self, changes: list[Change], now_seconds: float) -> None:
        """Make durable changes visible, in order, and tell the watchers."""
        staged = self._staged
        for change in changes:
            key = change.record.key
            if staged.get(key) is change:
                del staged[key]
        by_prefix = _by_collection(changes)
        for prefix, batch in by_prefix.items():
            self._apply(self.collection(prefix), batch)
        self._remember(changes, now_seconds)
        told = [pair for prefix, batch in by_prefix.items() for pair in self.collection(prefix).watchers.concerned(batch)]
        for tell in self.followers:
            tell(changes)
        for watcher, mine in told:
            self._deliver(watcher, mine)
        # Not before they have had it, however many there are at once.
        self._forget_decoded()

    def _deliver(self, watcher: Watcher, changes: list[Change]) -> None:
        try:
            watcher.deliver(changes)
        except Exception:
            # What is durable is published to everybody else, whatever one of them makes of it.
            logger.exception("a watcher of %s failed", watcher.prefix)

    def _apply(self, collection: Collection, changes: Iterable[Change]) -> None:
        newest, put, remove = 0, collection.put, collection.remove
        for change in changes:
            if change.deleted:
                remove(change.record.key)
            else:
                put(change.record)
            if change.revision > newest:
                newest = change.revision
        collection.revision = max(collection.revision, newest)
        self.revision = max(self.revision, newest)

    def _remember(self, changes: Sequence[Change], now_seconds: float) -> None:
        size, recent = 0, self._recent
        for change in changes:
            change.published_seconds = now_seconds
            change.keep_decoded()
            size += len(change.record.data)
            recent[change.revision] = change
        self._history.extend(changes)
        self._history_bytes += size

    def _forget_decoded(self) -> None:
        recent = self._recent
        if len(recent) > RECENT_CHANGES:
            # Those to go at once: to find the first of a dict takes the longer the more before it have gone.
            for revision in list(islice(recent, len(recent) - RECENT_CHANGES)):
                recent.pop(revision).forget_decoded()

    # Watches

    def watch(
        self,
        prefix: str,
        under: str,
        since: int,
        deliver: Callable[[list[Change]], None],
        expire: Callable[[], None] | None = None,
        term: Term | None = None,
    ) -> Watcher:
        """Tell `deliver` of every change under `under` after revision `since`, retained ones first, then as they come.

        `under` is the prefix, a namespace in it, or one object's key. What has not the `term`, nor had it before the change,
        may be left out. Raises CompactedError.
        """
        if since < self.compacted:
            raise CompactedError
        watcher = Watcher(under, deliver, expire, term)
        watchers = self.collection(prefix).watchers
        backlog = watchers.backlog(watcher, since, reversed(self._history))
        if backlog:
            deliver(backlog)
        watchers.add(watcher)
        return watcher

    def unwatch(self, prefix: str, watcher: Watcher) -> None:
        self.collection(prefix).watchers.remove(watcher)

    # Loading and compaction

    def load(self, versions: Iterable[tuple[Record, bool]], compacted: int, reserved: int, now_seconds: float) -> None:
        """Take in the log of a backend, oldest first, with whether each is a deletion; it is complete after `compacted`.

        Revisions go on after `reserved`.
        """
        self.compacted = self._known_since = compacted
        prefix, collection = "", Collection("", 0)
        for record, deleted in versions:
            key = record.key
            # Mostly of the same collection as the one before; no prefix is the beginning of another.
            if not prefix or not key.startswith(prefix):
                prefix = collection_prefix(key)
                collection = self.collection(prefix)
            if record.revision > compacted:
                self._remember((Change(record, collection.records.get(key), deleted),), now_seconds)
                self._forget_decoded()
            if deleted:
                collection.remove(key)
            else:
                collection.put(record)
            collection.revision = self.revision = record.revision
        self.revision = max(self.revision, reserved)
        self.next_revision = self.revision + 1

    def advance(self, revision: int) -> None:
        """Nothing of what is here has changed up to `revision`."""
        self.revision = max(self.revision, revision)

    def replace(self, records: Iterable[Record], revision: int, now_seconds: float) -> None:
        """Take in what there is at `revision`, without what led there: changes have been missed.

        Watchers that can expire do, the others are told of the differences.
        """
        found: dict[str, list[Record]] = {prefix: [] for prefix in self.collections}
        for record in records:
            found.setdefault(collection_prefix(record.key), []).append(record)
        self._history.clear()
        self._history_bytes = 0
        self._recent.clear()
        for collection in self.collections.values():
            collection.watchers.forget_everything()
        self.compacted = self._known_since = revision
        # It may have gone back, where what is stored was restored from a backup.
        self.revision = revision
        differences = [(self.collection(prefix), self._differences(prefix, now, revision)) for prefix, now in found.items()]
        for collection, changes in differences:
            self._apply(collection, changes)
            collection.revision = revision
        for collection, changes in differences:
            for watcher in list(collection.watchers):
                self._tell_of_replacement(collection, watcher, changes)

    def _differences(self, prefix: str, now: list[Record], revision: int) -> list[Change]:
        """Changes that lead from what a collection has to `now`; what is gone went at `revision`, as far as is known."""
        before = dict(self.collection(prefix).records)
        gone, made = [], []
        for record in now:
            old = before.pop(record.key, None)
            if old is not None and old.created != record.created:
                gone.append(_deletion(old, revision))
                old = None
            if old is None or old.revision != record.revision:
                made.append(Change(record, old, False))
        gone += [_deletion(old, revision) for old in before.values()]
        return gone + sorted(made, key=lambda change: change.revision)

    def _tell_of_replacement(self, collection: Collection, watcher: Watcher, changes: list[Change]) -> None:
        if watcher.expire is not None:
            collection.watchers.remove(watcher)
            watcher.expire()
            return
        mine = [change for change in changes if change.record.key.startswith(watcher.prefix)]
        if mine:
            self._deliver(watcher, mine)

    @property
    def is_overfull(self) -> bool:
        """Whether compaction should not wait."""
        return (
            self._history_bytes > HISTORY_BYTES_LIMIT * HISTORY_SLACK
            or len(self._history) > HISTORY_EVENTS_LIMIT * HISTORY_SLACK
        )

    def compact(
        self, now_seconds: float, limit: int, before: int | None = None, *, everything: bool = False
    ) -> list[Dropped] | None:
        """Drop changes (older than revision `before`, if given) that have left the window, or any: a step of about `limit`.

        Returns the versions no longer needed for anything; None means that nothing has left it. Creations leave none, and are
        dropped so much faster: a step holds more of them.
        """

        history, size = self._history, self._history_bytes
        retained_after = now_seconds - HISTORY_AGE_SECONDS
        gone: list[Change] = []
        dropped: list[Dropped] = []
        while history and len(gone) < limit * CREATIONS_PER_VERSION and len(dropped) < limit:
            change = history[0]
            is_retained = (
                change.published_seconds > retained_after
                and size <= HISTORY_BYTES_LIMIT
                and len(history) <= HISTORY_EVENTS_LIMIT
            )
            if (is_retained and not everything) or (before is not None and change.revision >= before):
                break
            history.popleft()
            size -= len(change.record.data)
            gone.append(change)
            if change.previous is not None:
                dropped.append((change.previous.revision, change.revision))
            if change.deleted:
                dropped.append((change.revision, change.revision))
        if not gone:
            return None
        self._history_bytes, self.compacted = size, gone[-1].revision
        for prefix, changes in _by_collection(gone).items():
            self.collection(prefix).watchers.forget(changes)
        return dropped


def _by_collection(changes: Iterable[Change]) -> dict[str, Batch[Change]]:
    """The same changes in the same order, by the prefix of their collection."""
    by_prefix: dict[str, Batch[Change]] = {}
    prefix, found = "", Batch[Change]()
    for change in changes:
        key = change.record.key
        # Mostly of the same collection as the one before; no prefix is the beginning of another.
        if not prefix or not key.startswith(prefix):
            prefix = collection_prefix(key)
            found = by_prefix.setdefault(prefix, Batch())
        found.append(change)
    return by_prefix


def _deletion(old: Record, revision: int) -> Change:
    return Change(Record(old.key, old.data, revision, old.created), old, True)
