"""What a store is, whatever keeps it; and the store of a server of its own: the index over a backend, with group commit.

Writers stage a change and wait; one committer takes all that is staged, makes it durable with a single sync, publishes it and
wakes the writers. Changes marked `lazy` (a Lease whose only change is its renewal) are published at once and become durable
with the next commit or after LAZY_FLUSH_SECONDS, whichever is first: a crash may lose them, never anything else.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

from navarch.apimachinery.errors import Object
from navarch.component import clock, garbage
from navarch.component.tasks import Tasks
from navarch.component.worker import Worker
from navarch.storage.backend import Backend, StorageError, Version
from navarch.storage.changes import Change, Dropped, Record, Write
from navarch.storage.collection import Collection
from navarch.storage.encryption.transformers import Transformers
from navarch.storage.indexed import IndexedStore
from navarch.storage.mvcc import CompactedError
from navarch.storage.watchers import Term, Watcher

logger = logging.getLogger(__name__)

BATCH_LIMIT = 1000
LAZY_FLUSH_SECONDS = 60.0
REVISIONS_RESERVED = 10_000
COMPACTION_INTERVAL_SECONDS = 30.0
# What a commit may have to wait for; and what a commit may hold while there is too much to forget: more goes then than comes.
COMPACTION_STEP = 100
COMPACTION_BATCH_LIMIT = 64
# Commits that take less, on average, are done on the event loop: handing one to a thread and back costs a fifth of the rate.
INLINE_COMMIT_SECONDS = 0.001
# How long the event loop may hold Python's lock while a commit in a thread waits for it, which it does after each statement.
SWITCH_SECONDS = 0.0005
# So many objects are kept from the garbage collector's sight: they hold no cycles, and looking at them takes it milliseconds.
FROZEN_OBJECTS_MIN = 5000


Argument = TypeVar("Argument")
Result = TypeVar("Result")

_Staged = tuple[list[Change], asyncio.Future[None]]
"""Changes that go into one commit, and who waits for it."""


class Store(Protocol):
    """All state of the API: a revisioned log, and an index of it in memory that reads and watches are served from.

    Where several servers share what is stored, the index may lag behind it: `fresh` and `reach` wait until it does not.
    A write is made on the version that it was based on, or not at all, however old the index is.
    """

    is_shared: bool
    """Whether other servers may use it too."""

    @property
    def problem(self) -> str:
        """Why the store cannot do its work at the moment, or ""."""

    @property
    def size_bytes(self) -> int:
        """How much it takes of this machine's disk; 0 if it has nothing there."""

    async def load(self) -> None:
        """Fill the index. Raises StorageError."""

    async def write_first(self, writes: Sequence[Write]) -> None:
        """Make changes between `load` and `start`. Raises ConflictError, StorageError."""

    def start(self) -> None:
        """Do from now on what is to be done beside reading and writing."""

    async def compact(self) -> None:
        """Forget what is too old for watches; `start` has it done from time to time."""

    async def stop(self) -> None:
        """Finish what has begun and give back what is held."""

    # Reads of the index

    @property
    def revision(self) -> int:
        """What the index has reached."""

    @property
    def compacted(self) -> int:
        """Watches cannot start before this revision."""

    def collection(self, prefix: str) -> Collection:
        """The objects under a prefix that ends in a slash, such as ``/registry/pods/``."""

    def get(self, prefix: str, key: str) -> Record | None:
        """The version of an object that readers see."""

    def latest(self, prefix: str, key: str) -> Record | None:
        """The newest version known, also one that readers do not see yet: what a write must build on."""

    def decoded(self, record: Record) -> Object:
        """A version's object, shared: it must not be mutated. What was written lately is at hand."""

    async def snapshot(
        self, prefix: str, under: str, revision: int, after: str = "", labels: Sequence[bytes] = ()
    ) -> list[Record]:
        """Records under `under`, with keys after `after`, as they were at `revision`, in key order.

        Those that have not all of the `labels`, ``"key":"value"`` each, may be left out.
        Raises CompactedError, FutureRevisionError, StorageError.
        """

    @property
    def knows_authors(self) -> bool:
        """Whether `versions` say who wrote them, and when."""

    async def past(self, prefix: str, under: str, revision: int, after: str = "") -> list[Record]:
        """As `snapshot`, as far back as anything is known. Raises CompactedError, FutureRevisionError, StorageError."""

    async def versions(self, prefix: str, key: str) -> list[Version]:
        """All versions known of an object, oldest first, deletions included. Raises StorageError."""

    async def written_by(self, agent: str, since_ms: int, limit: int) -> list[Version]:
        """Changes by user agents that begin so, since a time (milliseconds since 1970), oldest first, at most so many.

        Raises StorageError.
        """

    async def purge(self, prefix: str, key: str) -> int:
        """Remove for good what was in earlier versions of an object; how many there were. The window ends now.

        Raises StorageError.
        """

    def is_stale(self, key: str) -> bool:
        """Whether an object is stored otherwise than it would be now: then writing it unchanged is of use."""

    def watch(
        self,
        prefix: str,
        under: str,
        since: int,
        deliver: Callable[[list[Change]], None],
        expire: Callable[[], None] | None = None,
        term: Term | None = None,
    ) -> Watcher:
        """Tell `deliver` of every change under `under` after revision `since`. Raises CompactedError.

        `under` is the prefix, a namespace in it, or one object's key; what has nothing to do with the `term` may be left out.
        Where the store itself has missed changes, it calls `expire` and no more; without one, it tells of the difference.
        """

    def unwatch(self, prefix: str, watcher: Watcher) -> None:
        """Tell it no more."""

    # How far the index is

    async def fresh(self) -> bool:
        """Wait until the index holds whatever anybody had written before this call.

        Returns whether anything came meanwhile. Raises StorageError.
        """

    async def reach(self, revision: int) -> None:
        """Wait a little until the index has reached a revision that another server may have told of; it may not have then."""

    # Writes

    async def put(
        self,
        prefix: str,
        key: str,
        data: Callable[[int | None], bytes],
        base: Record | None,
        obj: Object | None = None,
        *,
        lazy: bool = False,
    ) -> Change:
        """Store a new version of an object that was read as `base` (None: it must not exist).

        Returns when it is durable (unless it is `lazy`: then it may become so later), and seen here. Raises ConflictError,
        StorageError.
        """

    async def delete(
        self, prefix: str, key: str, data: Callable[[int | None], bytes], base: Record, obj: Object | None = None
    ) -> Change:
        """Remove an object that was read as `base`. Raises ConflictError, StorageError."""

    async def write(self, writes: Sequence[Write]) -> list[Change]:
        """Make changes of different objects in one commit: all of them, or none.

        Returns when they are durable and seen here. Raises ConflictError, StorageError.
        """


class LocalStore(IndexedStore):
    """A store that one server has for itself: its index is always what is stored."""

    is_shared = False

    @property
    def size_bytes(self) -> int:
        return self._backend.size_bytes

    def __init__(self, backend: Backend, *, may_be_lazy: bool = True) -> None:
        """Unless it `may_be_lazy`, lazy changes are like any other."""
        super().__init__()
        self._backend = backend
        self._may_be_lazy = may_be_lazy
        self.problem = ""
        """Why the last commit failed, as long as none has succeeded since."""
        self._queue: list[_Staged] = []
        self._lazy: dict[str, Change] = {}
        self._lazy_since: int | None = None
        """Revision of the first lazy change that is not durable."""
        self._wakeup = asyncio.Event()
        self._window_full = asyncio.Event()
        self._compaction = asyncio.Lock()
        self._busy = False
        self._in_thread = False
        """Whether the backend is used there: commits are made there too then."""
        self._unforgotten: list[Dropped] = []
        """What the index has dropped and the backend not yet."""
        self._flush_due_seconds = 0.0
        self._commit_seconds = 0.0
        self._reserved = 0
        self._thread = Worker("store")
        self._tasks = Tasks("store")

    async def load(self) -> None:
        """Read the backend's log. Blocks. Raises StorageError."""
        marks = self._backend.marks()
        with _uncollected():
            self.index.load(self._backend.load(), marks.compacted, marks.reserved, clock.monotonic())
            if sum(len(collection.records) for collection in self.index.collections.values()) >= FROZEN_OBJECTS_MIN:
                gc.freeze()
        self._reserved = self.index.revision + REVISIONS_RESERVED
        self._backend.append((), self._reserved)

    async def write_first(self, writes: Sequence[Write]) -> None:
        """Make changes before `start`, in one commit. Blocks. Raises StorageError."""
        changes = self.index.stage(writes)
        self._backend.append(changes)
        self.index.publish(changes, clock.monotonic())

    def start(self) -> None:
        """Commit and compact from now on."""
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
        self._tasks.run_forever(self._commit_forever, name="committer")
        self._tasks.run_forever(self._compact_forever, name="compaction")

    async def stop(self) -> None:
        """Commit what waits and close the backend."""
        while self._queue or self._busy:
            await asyncio.sleep(0.001)
        await self._tasks.stop()
        self._thread.shutdown()
        try:
            if self._reserved:
                # Every revision is in the log now: none has to be skipped by the next start.
                self._backend.append(list(self._lazy.values()), self.index.next_revision - 1)
        finally:
            self._backend.close()

    # Reads

    async def snapshot(
        self, prefix: str, under: str, revision: int, after: str = "", labels: Sequence[bytes] = ()
    ) -> list[Record]:
        return self.index.snapshot(prefix, under, revision, after, labels)

    @property
    def knows_authors(self) -> bool:
        return self._backend.history is not None

    async def past(self, prefix: str, under: str, revision: int, after: str = "") -> list[Record]:
        """In the history, where the index does not go back so far."""
        try:
            return self.index.snapshot(prefix, under, revision, after)
        except CompactedError:
            history = self._backend.history
            if history is None or not history.keeps(prefix):
                raise
        # Nothing may leave the window while what has left it is read.
        async with self._compaction:
            if self._unforgotten:
                raise StorageError("what has left the log is not in the history yet")
            kept = self.index.kept_since(prefix, under, revision, after)
            ended = await asyncio.to_thread(history.alive, under, revision)
        if revision < ended.since:
            raise CompactedError
        found = {record.key: record for record in (*ended.records, *kept) if record.key > after}
        return [found[key] for key in sorted(found)]

    async def versions(self, prefix: str, key: str) -> list[Version]:
        history = self._backend.history
        if history is None:
            return []
        # Nothing may go from the log into the history between looking here and looking there.
        async with self._compaction:
            logged = [*self.index.revisions(prefix, key), *(revision for revision, _ in self._unforgotten)]
            return await asyncio.to_thread(history.versions, key, logged)

    async def written_by(self, agent: str, since_ms: int, limit: int) -> list[Version]:
        history = self._backend.history
        return [] if history is None else await asyncio.to_thread(history.written_by, agent, since_ms, limit)

    async def purge(self, prefix: str, key: str) -> int:
        # Renewals that are not durable hold the window open.
        while self._lazy:
            await self._queued([])
        async with self._compaction:
            await self._compact(everything=True)
            if self._unforgotten:
                raise StorageError("earlier versions cannot leave the log: " + (self.problem or "see the server's log"))
            return await self._beside(self._backend.purge, key)

    async def reencrypt(self, transformers: Transformers) -> None:
        """Store everything by other keys, from now on too. Raises StorageError, also for what cannot be read by them."""
        async with self._compaction:
            await self._beside(self._backend.reencrypt, transformers)

    async def _beside(self, action: Callable[[Argument], Result], argument: Argument) -> Result:
        """Something that takes long, in the backend's thread; to its end, also where nobody waits for it any more."""
        self._in_thread = True
        try:
            working = asyncio.get_running_loop().run_in_executor(self._thread, action, argument)
            try:
                return await asyncio.shield(working)
            except asyncio.CancelledError:
                await asyncio.wait((working,))
                raise
        finally:
            self._in_thread = False

    def is_stale(self, key: str) -> bool:
        """What is stored was brought up to date before anything was read."""
        return False

    async def fresh(self) -> bool:
        return False

    async def reach(self, revision: int) -> None:
        """A revision that the index has not reached was told of by nobody."""

    # Writes

    async def put(
        self,
        prefix: str,
        key: str,
        data: Callable[[int | None], bytes],
        base: Record | None,
        obj: Object | None = None,
        *,
        lazy: bool = False,
    ) -> Change:
        """Store a new version of an object that was read as `base` (None: it must not exist).

        Returns when it is durable. Raises ConflictError, StorageError.
        """
        changes = self.index.stage((Write(prefix, key, data, base, obj),))
        (change,) = changes
        # Nothing may be published before what was staged earlier, nor beyond what is reserved.
        if lazy and self._may_be_lazy and not self._busy and not self._queue and change.revision < self._reserved:
            self._publish_lazily(change)
        else:
            await self._queued(changes)
        return change

    async def delete(
        self, prefix: str, key: str, data: Callable[[int | None], bytes], base: Record, obj: Object | None = None
    ) -> Change:
        """Remove an object that was read as `base`. Raises ConflictError, StorageError."""
        (change,) = await self.write([Write(prefix, key, data, base, obj, deletes=True)])
        return change

    async def write(self, writes: Sequence[Write]) -> list[Change]:
        """Make changes of different objects in one commit: all of them, or none.

        Returns when they are durable. Raises ConflictError, StorageError.
        """
        changes = self.index.stage(writes)
        await self._queued(changes)
        return changes

    def _publish_lazily(self, change: Change) -> None:
        if self._lazy_since is None:
            self._lazy_since = change.revision
            self._flush_later()
        self._lazy[change.record.key] = change
        self.index.publish([change], clock.monotonic())

    def _flush_later(self) -> None:
        self._flush_due_seconds = clock.monotonic() + LAZY_FLUSH_SECONDS
        asyncio.get_running_loop().call_later(LAZY_FLUSH_SECONDS, self._wakeup.set)

    def _queued(self, changes: list[Change]) -> asyncio.Future[None]:
        """Is done when they are durable. Who gives up waiting ends only this future: what is staged is stored all the same."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((changes, future))
        self._wakeup.set()
        return future

    async def _commit_forever(self) -> None:
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            while self._queue or (self._lazy and clock.monotonic() >= self._flush_due_seconds):
                limit = COMPACTION_BATCH_LIMIT if self.index.is_overfull else BATCH_LIMIT
                batch = self._queue[:limit]
                del self._queue[:limit]
                self._busy = True
                try:
                    await self._commit(batch)
                finally:
                    self._busy = False

    async def _commit(self, batch: list[_Staged]) -> None:
        changes = [change for staged, _ in batch for change in staged]
        lazy, self._lazy = self._lazy, {}
        rows = sorted((*lazy.values(), *changes), key=lambda change: change.revision) if lazy else changes
        reserve = None
        if rows and rows[-1].revision > self._reserved - REVISIONS_RESERVED // 2:
            reserve = rows[-1].revision + REVISIONS_RESERVED
        started = clock.monotonic()
        try:
            if self._commit_seconds < INLINE_COMMIT_SECONDS and not self._in_thread:
                self._backend.append(rows, reserve)
            else:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._backend.append, rows, reserve)
        except StorageError as error:
            logger.error("%d writes were not stored: %s", len(changes), error)
            self.problem = str(error)
            self._lazy = {**lazy, **self._lazy}
            if self._lazy:
                self._flush_later()
            self._fail(batch, error)
            return
        self.problem = ""
        if reserve is not None:
            self._reserved = reserve
        if lazy:
            self._lazy_since = None
        now = clock.monotonic()
        self._commit_seconds += (now - started - self._commit_seconds) * 0.1
        self.index.publish(changes, now)
        if self.index.is_overfull:
            self._window_full.set()
        for _, future in batch:
            if not future.done():
                future.set_result(None)
        garbage.stays(len(changes))

    def _fail(self, batch: list[_Staged], error: StorageError) -> None:
        """Refuse a batch, and what was staged on top of it meanwhile."""
        failed = batch + self._queue
        self._queue = []
        self.index.unstage(change for staged, _ in failed for change in staged)
        for _, future in failed:
            if not future.done():
                future.set_exception(error)

    async def _compact_forever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(COMPACTION_INTERVAL_SECONDS):
                    await self._window_full.wait()
            self._window_full.clear()
            await self.compact()

    async def compact(self) -> None:
        """Forget what has left the window."""
        async with self._compaction:
            await self._compact()

    async def _compact(self, *, everything: bool = False) -> None:
        # What lazy changes replaced stays until they are durable themselves.
        while (
            dropped := self.index.compact(clock.monotonic(), COMPACTION_STEP, self._lazy_since, everything=everything)
        ) is not None:
            self._unforgotten += dropped
            if not self._unforgotten:
                # Nothing leaves the log with creations: it goes on being complete from where it was.
                await asyncio.sleep(0)
                continue
            # A commit that comes meanwhile goes to the same thread and waits for one bounded step.
            self._in_thread = True
            try:
                await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._backend.forget, self._unforgotten, self.index.compacted
                )
                self._unforgotten = []
            except StorageError as error:
                logger.error("old revisions stay in the log until the next try: %s", error)
                return
            finally:
                self._in_thread = False


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector: what is made here stays."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
