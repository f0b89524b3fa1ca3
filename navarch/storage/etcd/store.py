"""The store over etcd: a transaction for each write, and an index that follows one watch of everything.

Objects are where Kubernetes has them, ``/registry/<resource>/<namespace>/<name>``; an object's resourceVersion is the revision
at which etcd last changed its key. Any number of servers may use the same etcd, so what this one knows may be old:

- A write compares the revisions of what it was based on, and is done or not done by etcd alone. It returns when the index has
  reached it: who wrote sees it. Where etcd does not say whether it was done, the watch does (see `_Attempt`).
- A read that must be fresh asks etcd for its newest revision, together with all who ask meanwhile, and waits for the watch
  to come that far. The watch is of all keys, not only of objects: then every revision is seen to pass, also those of others.
- If the watch is lost, it goes on where it ended. Where etcd has compacted what was missed, everything is read again.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing, suppress

from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.component.tasks import Tasks
from navarch.storage.author import UNKNOWN
from navarch.storage.backend import StorageError, StorageFullError, StorageUnavailableError, Version
from navarch.storage.changes import Change, Record, Write
from navarch.storage.collection import collection_prefix
from navarch.storage.encryption.providers import EncryptionError
from navarch.storage.encryption.transformers import PLAIN, Transformers
from navarch.storage.etcd import compaction, values
from navarch.storage.etcd import etcd_pb2 as pb
from navarch.storage.etcd.client import EtcdClient, EtcdError
from navarch.storage.indexed import IndexedStore
from navarch.storage.mvcc import CompactedError, ConflictError

logger = logging.getLogger(__name__)

ROOT = "/registry/"
_ROOT, _SERVICES = ROOT.encode(), b"/registry/services/"
PAGE_LIMIT = 1000
# etcd's own limit (--max-txn-ops) is 128.
TRANSACTION_LIMIT = 100
REQUEST_LIMIT_BYTES = 1_572_864
WRITE_TIMEOUT_SECONDS = 10.0
# How long the watch may stay behind what etcd says it has: Kubernetes waits as long for its watch cache.
CATCH_UP_SECONDS = 3.0
BACKOFF_INITIAL_SECONDS, BACKOFF_MAX_SECONDS = 0.05, 2.0
PROBE_SECONDS = 5.0
INDEX_COMPACTION_SECONDS = 30.0
INDEX_COMPACTION_STEP = 500


class _Attempt:
    """A write under way: the watch notes here the change that looks like it."""

    __slots__ = ("based_on", "change", "ended", "stored", "transformers", "value", "write")

    def __init__(self, write: Write, transformers: Transformers) -> None:
        self.write = write
        self.transformers = transformers
        self.based_on = write.base.revision if write.base is not None else 0
        """The key's revision before; 0: there is none."""
        self.value = b"" if write.deletes else write.data(None)
        self.stored = b"" if write.deletes else transformers.encode(write.key, self.value)
        self.change: Change | None = None
        self.ended: asyncio.Future[None] | None = None
        """There if somebody waits for it."""

    def is_done_by(self, value: bytes, previous: Record | None, *, deleted: bool) -> bool:
        """Whether a change is, or is just like, this one. Objects have uids, so no two creations are alike."""
        before = previous.revision if previous is not None else 0
        return before == self.based_on and deleted == self.write.deletes and (deleted or value == self.value)

    def add_to(self, request: pb.TxnRequest) -> None:
        """Have it done if the key is as it was."""
        key = self.write.key.encode()
        # Three times as fast as calling the classes of the parts.
        compare = request.compare.add()
        compare.target, compare.key, compare.mod_revision = pb.Compare.MOD, key, self.based_on
        operation = request.success.add()
        if self.write.deletes:
            operation.request_delete_range.key = key
        else:
            put = operation.request_put
            put.key, put.value = key, self.stored

    def done_at(self, revision: int) -> Change:
        """The change, as etcd has made it."""
        if self.change is None:
            self.change = self._made(revision)
        return self.change

    def _made(self, revision: int) -> Change:
        base = self.write.base
        if self.write.deletes:
            assert base is not None
            return _deletion(base, revision)
        data, obj = values.with_revision(self.value, revision), self.write.obj
        if obj is not None:
            obj["metadata"]["resourceVersion"] = str(revision)
        return Change(Record(self.write.key, data, revision, base.created if base else revision), base, False, obj)


class EtcdStore(IndexedStore):
    """A store that other servers may share."""

    is_shared = True

    def __init__(self, client: EtcdClient, transformers: Transformers = PLAIN) -> None:
        super().__init__()
        self._client = client
        self._transformers = transformers
        self._stale: set[str] = set()
        """Keys of objects that would be stored otherwise now."""
        self._unreadable: dict[str, str] = {}
        """Keys of objects that another server has stored so that this one cannot read them, and why."""
        self._watch_problem = "etcd has not been read yet"
        self._call_problem = ""
        self._attempts: dict[str, _Attempt] = {}
        """By key; one at a time, since the second could only fail."""
        self._made: dict[int, list[Change]] = {}
        """Changes that this server has made, by their revision, as long as others' before them are not known yet."""
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        """A heap of those who wait for a revision."""
        self._waited = 0
        self._next_read: asyncio.Future[int] | None = None
        """Of those who want to know the newest revision and for whom nobody has asked yet."""
        self._is_reading = False
        self._must_read_again = False
        self._watching: asyncio.Task[None] | None = None
        self._watched = ""
        """The endpoint that is."""
        self._tasks = Tasks("store")

    @property
    def size_bytes(self) -> int:
        # etcd tells of its own.
        return 0

    @property
    def problem(self) -> str:
        return self._watch_problem or self._call_problem or next(iter(self._unreadable.values()), "")

    # Start and stop

    async def load(self) -> None:
        """Read everything, as soon as etcd lets us, and follow it from then on. Raises StorageError for what cannot be read."""
        backoff = BACKOFF_INITIAL_SECONDS
        while True:
            try:
                await self._read_everything()
                break
            except EtcdError as error:
                text = str(error)
                if text != self._watch_problem:
                    logger.warning("%s; trying again", text)
                self._watch_problem = text
            await clock.sleep(clock.jitter(backoff, 0.5))
            backoff = min(backoff * 2, BACKOFF_MAX_SECONDS)
        self._watch_problem = ""
        self._tasks.run_forever(self._follow, name="watch")

    async def write_first(self, writes: Sequence[Write]) -> None:
        """In one transaction where it is large enough."""
        for start in range(0, len(writes), TRANSACTION_LIMIT):
            await self.write(writes[start : start + TRANSACTION_LIMIT])

    def start(self) -> None:
        self._tasks.run_forever(self._probe_forever, name="probe")
        self._tasks.run_forever(self._compact_index_forever, name="index-compaction")
        self._tasks.run_forever(compaction.Compactor(self._client).run, name="compaction")

    async def compact(self) -> None:
        while self.index.compact(clock.monotonic(), INDEX_COMPACTION_STEP) is not None:
            await asyncio.sleep(0)

    async def stop(self) -> None:
        await self._tasks.stop()
        for _, _, future in self._waiting:
            _end(future)
        await self._client.close()

    # Reads

    async def snapshot(
        self, prefix: str, under: str, revision: int, after: str = "", labels: Sequence[bytes] = ()
    ) -> list[Record]:
        try:
            return self.index.snapshot(prefix, under, revision, after, labels)
        except CompactedError:
            if revision < 1:
                raise
            # etcd goes further back than a server that has just started.
            try:
                return (await self._pages(f"{after}\0" if after else under, _range_end(under), revision))[0]
            except EtcdError as error:
                if error.is_compacted:
                    raise
                raise _unavailable(error) from error

    @property
    def knows_authors(self) -> bool:
        """etcd keeps versions until somebody compacts them, and of none who wrote it, or when."""
        return False

    async def past(self, prefix: str, under: str, revision: int, after: str = "") -> list[Record]:
        return await self.snapshot(prefix, under, revision, after)

    async def versions(self, prefix: str, key: str) -> list[Version]:
        """Of its present life; of one that is over, as long as the window tells when it ended."""
        found: list[Version] = []
        revision = deleted_at = 0
        if self.get(prefix, key) is None:
            deleted_at = max(self.index.revisions(prefix, key), default=0)
            revision = deleted_at - 1
        while revision >= 0:
            try:
                response = await self._client.range(pb.RangeRequest(key=key.encode(), revision=revision))
            except EtcdError as error:
                if error.is_compacted:
                    break
                raise _unavailable(error) from error
            record = self._record(response.kvs[0]) if response.kvs else None
            if record is None:
                break
            if deleted_at and not found:
                found.append(Version(_deletion(record, deleted_at).record, True, None, UNKNOWN))
            found.append(Version(record, False, None, UNKNOWN))
            if record.revision == record.created:
                break
            revision = record.revision - 1
        return found[::-1]

    async def written_by(self, agent: str, since_ms: int, limit: int) -> list[Version]:
        return []

    async def purge(self, prefix: str, key: str) -> int:
        raise StorageError(
            "etcd keeps earlier versions of all objects until it is compacted, and their bytes until it is defragmented: "
            "etcdctl compact, then etcdctl defrag"
        )

    def is_stale(self, key: str) -> bool:
        return key in self._stale

    async def reencrypt(self, transformers: Transformers) -> None:
        """Write by other keys from now on; what is written otherwise is stale. Raises StorageError."""
        before, self._transformers = self._transformers, transformers
        for prefix, collection in self.index.collections.items():
            if not transformers.writes_as(before, prefix):
                # Another server may have written some of it so already: once more does no harm.
                self._stale.update(collection.records)
        if self._unreadable and await self._can_read(list(self._unreadable)):
            self._must_read_again = True
            self._watch_anew("what could not be read can be now")

    async def _can_read(self, keys: list[str]) -> bool:
        for key in keys:
            try:
                response = await self._client.range(pb.RangeRequest(key=key.encode()))
                for kv in response.kvs:
                    self._transformers.decode(key, kv.value)
            except EtcdError as error:
                raise _unavailable(error) from error
            except EncryptionError:
                return False
        return True

    # How far the index is

    async def fresh(self) -> bool:
        before = self.revision
        newest = await self._newest()
        if not await self._reached(newest, CATCH_UP_SECONDS):
            self._watch_anew("it lags behind")
            raise StorageUnavailableError(f"the watch of etcd has reached revision {self.revision}, not yet {newest}")
        return self.revision != before

    async def reach(self, revision: int) -> None:
        await self._reached(revision, CATCH_UP_SECONDS)

    async def _newest(self) -> int:
        """etcd's newest revision after this was called. One question serves all who come while another is under way."""
        if self._next_read is None:
            self._next_read = asyncio.get_running_loop().create_future()
            if not self._is_reading:
                self._tasks.start(self._read_revisions(), name="revision")
        return await asyncio.shield(self._next_read)

    async def _read_revisions(self) -> None:
        self._is_reading = True
        try:
            while self._next_read is not None:
                future, self._next_read = self._next_read, None
                # Whoever waited may have gone.
                future.add_done_callback(lambda done: None if done.cancelled() else done.exception())
                before = self.revision
                try:
                    newest = await self._client.revision()
                except EtcdError as error:
                    self._call_problem = str(error)
                    future.set_exception(_unavailable(error))
                except asyncio.CancelledError:
                    future.set_exception(StorageUnavailableError("the server stops"))
                    raise
                else:
                    self._call_problem = ""
                    if newest < before:
                        future.set_exception(self._restored(newest))
                    else:
                        future.set_result(newest)
        finally:
            self._is_reading = False

    def _restored(self, newest: int) -> StorageError:
        """etcd has lost what the index had from it already. Everything is read again; until then, nothing is answered."""
        text = f"etcd is at revision {newest}, after it was at {self.revision}: it was restored from a backup"
        if not self._must_read_again:
            logger.error("%s; everything is read again", text)
            self._must_read_again = True
            self._watch_anew("its past is another one")
        return StorageUnavailableError(text)

    async def _reached(self, revision: int, timeout_seconds: float) -> bool:
        if self.revision >= revision:
            return True
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waited += 1
        heapq.heappush(self._waiting, (revision, self._waited, future))
        timer = loop.call_later(timeout_seconds, _end, future)
        try:
            await future
        finally:
            timer.cancel()
        return self.revision >= revision

    def _wake(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.revision:
            _end(heapq.heappop(self._waiting)[2])

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
        (change,) = await self.write([Write(prefix, key, data, base, obj)])
        return change

    async def delete(
        self, prefix: str, key: str, data: Callable[[int | None], bytes], base: Record, obj: Object | None = None
    ) -> Change:
        (change,) = await self.write([Write(prefix, key, data, base, obj, deletes=True)])
        return change

    async def write(self, writes: Sequence[Write]) -> list[Change]:
        assert len({write.key for write in writes}) == len(writes), "one change of each object"
        while others := [other for write in writes if (other := self._attempts.get(write.key)) is not None]:
            ended = others[0].ended = others[0].ended or asyncio.get_running_loop().create_future()
            await asyncio.shield(ended)
        self._raise_conflict(writes)
        attempts = [_Attempt(write, self._transformers) for write in writes]
        for attempt in attempts:
            self._attempts[attempt.write.key] = attempt
        try:
            revision = await self._transact(attempts)
        finally:
            for attempt in attempts:
                del self._attempts[attempt.write.key]
                if attempt.ended is not None:
                    attempt.ended.set_result(None)
        return [attempt.done_at(revision) for attempt in attempts]

    def _done(self, attempts: Iterable[_Attempt], revision: int) -> None:
        """etcd has made a write: what the watch will tell of it is known already, and can be published in its turn."""
        self._stale.difference_update(a.write.key for a in attempts if a.transformers is self._transformers)
        if revision > self.revision:
            self._made[revision] = [attempt.done_at(revision) for attempt in attempts]
            self._publish_made()

    def _publish_made(self) -> None:
        if self._made and self.revision + 1 in self._made:
            changes: list[Change] = []
            following = self.revision + 1
            while following in self._made:
                changes += self._made.pop(following)
                following += 1
            self.index.publish(changes, clock.monotonic())
            self._wake()

    def _raise_conflict(self, writes: Iterable[Write]) -> None:
        """Raises ConflictError if something has been written since, as far as is known."""
        for write in writes:
            newest = self.latest(write.prefix, write.key)
            if (newest.revision if newest else 0) != (write.base.revision if write.base else 0):
                raise ConflictError(write.key)

    async def _transact(self, attempts: list[_Attempt]) -> int:
        """Have it done; the revision at which it was. Raises ConflictError, StorageError."""
        request = pb.TxnRequest()
        for attempt in attempts:
            attempt.add_to(request)
        deadline = clock.monotonic() + WRITE_TIMEOUT_SECONDS
        is_in_doubt, before = False, self.revision
        while True:
            try:
                response = await self._client.txn(request, max(0.001, deadline - clock.monotonic()))
                break
            except EtcdError as error:
                if not error.is_passing:
                    raise _refused(error) from error
                # Having it done twice is not possible: the first time changes what the second compares.
                is_in_doubt = is_in_doubt or error.reached
                self._call_problem = str(error)
                if not is_in_doubt:
                    raise _unavailable(error) from error
                if clock.monotonic() + BACKOFF_INITIAL_SECONDS >= deadline:
                    raise StorageError(f"{error}; whether it was stored is not known") from error
                await clock.sleep(BACKOFF_INITIAL_SECONDS)
        self._call_problem = ""
        revision = int(response.header.revision)
        if revision < before:
            raise self._restored(revision)
        if response.succeeded:
            self._done(attempts, revision)
        is_reached = await self._reached(revision, max(CATCH_UP_SECONDS, deadline - clock.monotonic()))
        if response.succeeded:
            return revision
        if is_in_doubt:
            if not is_reached:
                raise StorageError("etcd was away for a while; whether it was stored is not known")
            # Either it was our own first try that the second found done, or somebody else was faster.
            done_at = {attempt.change.revision if attempt.change else 0 for attempt in attempts}
            if len(done_at) == 1 and 0 not in done_at:
                return done_at.pop()
        self._raise_conflict(attempt.write for attempt in attempts)
        raise ConflictError(attempts[0].write.key)

    # Following

    async def _follow(self) -> None:
        backoff = BACKOFF_INITIAL_SECONDS
        while True:
            started = clock.monotonic()
            self._watching = asyncio.ensure_future(self._watch())
            try:
                await asyncio.wait((self._watching,))
                if not self._watching.cancelled():
                    self._watching.result()
            except (EtcdError, StorageError) as error:
                self._must_read_again = self._must_read_again or (isinstance(error, EtcdError) and error.is_compacted)
                self._watch_problem = str(error)
                logger.warning("following: %s", error)
            finally:
                self._watching.cancel()
                await asyncio.wait((self._watching,))
            if clock.monotonic() - started > BACKOFF_MAX_SECONDS:
                backoff = BACKOFF_INITIAL_SECONDS
            await clock.sleep(clock.jitter(backoff, 0.5))
            backoff = min(backoff * 2, BACKOFF_MAX_SECONDS)

    async def _watch(self) -> None:
        if self._must_read_again:
            await self._read_everything()
            self._must_read_again = False
        self._watched = self._client.endpoint
        async with aclosing(self._client.watch(self.revision + 1)) as batches:
            async for responses in batches:
                self._watch_problem = ""
                events = [event for response in responses for event in response.events]
                if events:
                    self._take(events)

    def _watch_anew(self, reason: str) -> None:
        """Give up the watch and begin another one, elsewhere if there is another endpoint."""
        if self._watching is not None and not self._watching.done():
            logger.warning("watching anew: %s", reason)
            self._client.avoid(self._watched)
            self._watching.cancel()

    def _take(self, events: Sequence[pb.Event]) -> None:
        """Publish what has happened; all events of one revision come at once."""
        changes: list[Change] = []
        newest: dict[str, Record | None] = {}
        reached = self.revision
        for event in events:
            kv = event.kv
            revision = kv.mod_revision
            if revision <= reached:
                continue
            found = self._made.pop(revision, None)
            if found is not None:
                reached = revision
            else:
                change = self._change(kv, newest, deleted=event.type == pb.Event.DELETE)
                found = [change] if change is not None else []
            for change in found:
                newest[change.record.key] = None if change.deleted else change.record
            changes += found
        if changes:
            self.index.publish(changes, clock.monotonic())
        self.index.advance(events[-1].kv.mod_revision)
        self._wake()
        self._publish_made()

    def _change(self, kv: pb.KeyValue, newest: dict[str, Record | None], *, deleted: bool) -> Change | None:
        """What has happened to a key; None, if it is of no object, or the object is none."""
        key = _object_key(kv.key)
        if key is None:
            return None
        revision = kv.mod_revision
        value = self._decoded(key, kv.value, deleted=deleted)
        if value is None:
            return None
        previous = newest[key] if key in newest else self.index.get(collection_prefix(key), key)
        if deleted and previous is None:
            return None
        attempt = self._attempts.get(key)
        is_mine = attempt is not None and attempt.is_done_by(value, previous, deleted=deleted)
        if deleted:
            assert previous is not None
            change = _deletion(previous, revision)
        else:
            try:
                data = values.with_revision(value, revision)
            except ValueError as error:
                # Somebody else wrote it; what it held before is no truer.
                logger.error("%s is not an object in JSON and is left out: %s", key, error)
                return None
            obj = attempt.write.obj if attempt is not None and is_mine else None
            if obj is not None:
                obj["metadata"]["resourceVersion"] = str(revision)
            change = Change(Record(key, data, revision, kv.create_revision), previous, False, obj)
        if attempt is not None and is_mine:
            attempt.change = change
        return change

    def _decoded(self, key: str, stored: bytes, *, deleted: bool) -> bytes | None:
        """A value that the watch has brought; None where it cannot be read, which is a problem from then on."""
        self._unreadable.pop(key, None)
        if deleted:
            self._stale.discard(key)
            return b""
        try:
            value, is_stale = self._transformers.decode(key, stored)
        except EncryptionError as error:
            text = self._unreadable[key] = f"{key} in etcd cannot be read: {error}"
            logger.error("%s", text)
            return None
        (self._stale.add if is_stale else self._stale.discard)(key)
        return value

    # Reading everything

    async def _read_everything(self) -> None:
        """Raises EtcdError; StorageError for what is not ours."""
        self._stale.clear()
        self._unreadable.clear()
        while True:
            try:
                records, revision = await self._pages(ROOT, _range_end(ROOT), 0)
                break
            except CompactedError:
                # Somebody compacted meanwhile; from the beginning.
                continue
        # What was made after that is still to be published; what a restored etcd has lost is not.
        has_gone_back = revision < self.revision
        self._made = {at: made for at, made in self._made.items() if at > revision and not has_gone_back}
        self.index.replace(records, revision, clock.monotonic())
        self._wake()
        self._publish_made()

    async def _pages(self, start: str, end: bytes, revision: int) -> tuple[list[Record], int]:
        """Everything in a range at one revision (0: the newest), and which that is. Raises CompactedError, EtcdError."""
        records: list[Record] = []
        first, is_newest = start.encode(), not revision
        while True:
            request = pb.RangeRequest(key=first, range_end=end, limit=PAGE_LIMIT, revision=revision)
            try:
                response = await self._client.range(request)
            except EtcdError as error:
                if error.is_compacted:
                    raise CompactedError from error
                raise
            revision = revision or int(response.header.revision)
            records += [record for kv in response.kvs if (record := self._record(kv, is_newest=is_newest)) is not None]
            if not response.more:
                return records, revision
            first = bytes(response.kvs[-1].key) + b"\0"

    def _record(self, kv: pb.KeyValue, *, is_newest: bool = False) -> Record | None:
        """Raises StorageError for what was not written by us, or by other keys."""
        key = _object_key(kv.key)
        if key is None:
            return None
        try:
            value, is_stale = self._transformers.decode(key, kv.value)
            data = values.with_revision(value, kv.mod_revision)
        except EncryptionError as error:
            raise StorageError(f"{key} in etcd cannot be read: {error}") from error
        except ValueError as error:
            raise StorageError(
                f"{key} in etcd is not an object in JSON ({error}): navarch cannot go on with another program's data"
            ) from error
        if is_newest and is_stale:
            self._stale.add(key)
        return Record(key, data, kv.mod_revision, kv.create_revision)

    # Beside

    async def _probe_forever(self) -> None:
        """Notice that etcd is away, or back, also while nobody asks for anything."""
        while True:
            await clock.sleep(clock.jitter(PROBE_SECONDS, 0.2))
            with suppress(StorageError):
                await self.fresh()

    async def _compact_index_forever(self) -> None:
        while True:
            await clock.sleep(INDEX_COMPACTION_SECONDS)
            await self.compact()


def _object_key(key: bytes) -> str | None:
    """The key of an object, or None for what is none."""
    if not key.startswith(_ROOT) or key.count(b"/") < (4 if key.startswith(_SERVICES) else 3):
        return None
    try:
        return key.decode()
    except ValueError:
        return None


def _deletion(old: Record, revision: int) -> Change:
    """The last version of an object, as of its deletion."""
    return Change(Record(old.key, values.with_revision(old.data, revision), revision, old.created), old, True)


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _range_end(prefix: str) -> bytes:
    """The end of the range of all keys that begin with a prefix that ends in a slash."""
    return prefix[:-1].encode() + bytes([ord("/") + 1])


def _unavailable(error: EtcdError) -> StorageError:
    return StorageUnavailableError(str(error)) if error.is_passing or error.is_overload else StorageError(str(error))


def _refused(error: EtcdError) -> Exception:
    if error.is_full:
        return StorageFullError(str(error))
    if error.is_too_large:
        return errors.request_entity_too_large(REQUEST_LIMIT_BYTES)
    return _unavailable(error)
