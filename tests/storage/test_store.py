"""One suite for every backend: what the store promises whoever uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from navarch.apimachinery.errors import Object
from navarch.storage import mvcc, store
from navarch.storage.backend import Backend, StorageError
from navarch.storage.memory import MemoryBackend
from navarch.storage.mvcc import Change, CompactedError, ConflictError, FutureRevisionError, Record, Write
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore

PREFIX = "/registry/configmaps/"
Opened = Callable[[], Backend]


def encoder(value: Any) -> Callable[[int], bytes]:
    def data(revision: int) -> bytes:
        return orjson.dumps({"metadata": {"resourceVersion": str(revision)}, "value": value})

    return data


def value_of(record: Record | None) -> Any:
    return None if record is None else record.object()["value"]


async def put(db: LocalStore, name: str, value: Any, *, lazy: bool = False, base: Any = ...) -> Change:
    key = PREFIX + name
    found = db.latest(PREFIX, key) if base is ... else base
    return await db.put(PREFIX, key, encoder(value), found, lazy=lazy)


async def remove(db: LocalStore, name: str) -> Change:
    base = db.latest(PREFIX, PREFIX + name)
    assert base is not None
    return await db.delete(PREFIX, base.key, encoder("gone"), base)


@asynccontextmanager
async def opened(backend: Backend) -> AsyncIterator[LocalStore]:
    db = LocalStore(backend)
    await db.load()
    db.start()
    try:
        yield db
    finally:
        await db.stop()


@pytest.fixture(params=["memory", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    return MemoryBackend if request.param == "memory" else lambda: SQLiteBackend(tmp_path / "navarch.db")


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(bounded())


def test_writes_take_consecutive_revisions_and_are_seen_when_durable(backend: Opened) -> None:
    async def test() -> None:
        async with opened(backend()) as db:
            start = db.revision
            first = await put(db, "a/1", 1)
            second = await put(db, "a/2", 2)
            changed = await put(db, "a/1", 3)
            assert [c.revision - start for c in (first, second, changed)] == [1, 2, 3]
            assert db.revision == start + 3
            record = db.get(PREFIX, PREFIX + "a/1")
            assert value_of(record) == 3 and record is not None
            assert (record.created, record.revision) == (first.revision, changed.revision)
            assert [c.type for c in (first, changed)] == ["ADDED", "MODIFIED"]
            gone = await remove(db, "a/1")
            assert gone.type == "DELETED" and db.get(PREFIX, PREFIX + "a/1") is None

    run(test)


def test_a_write_on_an_old_version_is_a_conflict(backend: Opened) -> None:
    async def test() -> None:
        async with opened(backend()) as db:
            first = await put(db, "a/1", 1)
            await put(db, "a/1", 2)
            for base in (first.record, None):
                with pytest.raises(ConflictError):
                    await put(db, "a/1", 3, base=base)
            await remove(db, "a/1")
            with pytest.raises(ConflictError):
                await put(db, "a/1", 3, base=first.record)
            before = db.index.next_revision
            assert (await put(db, "a/1", 4, base=None)).revision == before

    run(test)


def test_changes_of_several_objects_are_one_commit(backend: Opened) -> None:
    async def test() -> None:
        async with opened(backend()) as db:
            gone = (await put(db, "a/gone", 0)).record
            other = "/registry/secrets/"
            seen: list[tuple[str, list[int]]] = []
            for prefix in (PREFIX, other):
                db.watch(prefix, prefix, db.revision, lambda changes, p=prefix: seen.append((p, [c.revision for c in changes])))
            start = db.revision
            writes = [
                Write(PREFIX, PREFIX + "a/new", encoder(1), None),
                Write(other, other + "a/new", encoder(2), None),
                Write(PREFIX, gone.key, encoder(3), gone, deletes=True),
            ]
            changes = await db.write(writes)
            assert [c.revision - start for c in changes] == [1, 2, 3]
            assert [c.type for c in changes] == ["ADDED", "ADDED", "DELETED"]
            assert seen == [(PREFIX, [start + 1, start + 3]), (other, [start + 2])]
            assert db.get(PREFIX, gone.key) is None and value_of(db.get(other, other + "a/new")) == 2

    run(test)


def test_of_changes_that_belong_together_none_is_made_if_one_cannot_be(backend: Opened) -> None:
    def too_large(revision: int) -> bytes:
        raise OverflowError(revision)

    async def test() -> None:
        async with opened(backend()) as db:
            old = (await put(db, "a/1", 1)).record
            await put(db, "a/1", 2)
            before = db.index.next_revision
            first = Write(PREFIX, PREFIX + "a/2", encoder(1), None)
            with pytest.raises(ConflictError):
                await db.write([first, Write(PREFIX, PREFIX + "a/1", encoder(3), old)])
            with pytest.raises(OverflowError):
                await db.write([first, Write(PREFIX, PREFIX + "a/3", too_large, None)])
            assert db.latest(PREFIX, PREFIX + "a/2") is None and db.index.next_revision == before

    run(test)


def test_what_is_written_before_the_start_is_there_at_the_next(backend: Opened) -> None:
    async def test() -> None:
        opened_once = backend()
        db = LocalStore(opened_once)
        await db.load()
        await db.write_first([Write(PREFIX, PREFIX + f"a/{i}", encoder(i), None) for i in range(3)])
        assert [value_of(record) for record in db.collection(PREFIX).range(PREFIX)] == [0, 1, 2]
        db.start()
        await put(db, "a/0", 9)
        await db.stop()
        if isinstance(opened_once, MemoryBackend):
            return
        async with opened(backend()) as again:
            assert [value_of(record) for record in again.collection(PREFIX).range(PREFIX)] == [9, 1, 2]

    run(test)


def test_of_concurrent_writes_on_one_version_one_wins(backend: Opened) -> None:
    async def test() -> None:
        async with opened(backend()) as db:
            base = (await put(db, "a/1", 0)).record
            results = await asyncio.gather(*(put(db, "a/1", i, base=base) for i in range(20)), return_exceptions=True)
            assert sum(isinstance(result, ConflictError) for result in results) == 19
            (winner,) = [result for result in results if isinstance(result, Change)]
            assert db.get(PREFIX, PREFIX + "a/1") is winner.record

    run(test)


def test_staged_writes_build_on_each_other_before_they_are_durable(backend: Opened) -> None:
    async def test() -> None:
        async with opened(backend()) as db:
            tasks = []
            for i in range(10):
                tasks.append(asyncio.ensure_future(put(db, "a/1", i)))
                await asyncio.sleep(0)
            changes = await asyncio.gather(*tasks)
            assert value_of(db.get(PREFIX, PREFIX + "a/1")) == 9
            assert [c.type for c in changes] == ["ADDED"] + ["MODIFIED"] * 9

    run(test)


def test_watchers_see_every_change_once_in_order(backend: Opened) -> None:
    async def test() -> None:
        async with opened(backend()) as db:
            await put(db, "a/0", 0)
            seen: list[Change] = []
            under: list[Change] = []
            since = db.revision
            await put(db, "a/1", 1)
            watcher = db.watch(PREFIX, PREFIX, since, seen.extend)
            db.watch(PREFIX, PREFIX + "b/", since, under.extend)
            await asyncio.gather(*(put(db, f"{space}/{i}", i) for i in range(50) for space in "ab" if (space, i) > ("a", 1)))
            await remove(db, "a/1")
            revisions = [change.revision for change in seen]
            assert revisions == list(range(since + 1, db.revision + 1))
            assert {change.record.key.split("/")[3] for change in under} == {"b"} and len(under) == 50
            db.unwatch(PREFIX, watcher)
            await put(db, "a/9", "x")
            assert len(seen) == len(revisions)

    run(test)


def test_a_failing_watcher_harms_nobody_else(backend: Opened, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with opened(backend()) as db:
            seen: list[Change] = []

            def fail(changes: list[Change]) -> None:
                raise ZeroDivisionError

            db.watch(PREFIX, PREFIX, db.revision, fail)
            db.watch(PREFIX, PREFIX, db.revision, seen.extend)
            await put(db, "a/1", 1)
            await put(db, "a/2", 2)
            assert len(seen) == 2

    run(test)
    assert "failed" in caplog.text


def test_snapshots_show_the_past_until_it_is_compacted(backend: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with opened(backend()) as db:
            first = (await put(db, "a/1", 1)).revision
            await put(db, "a/2", 2)
            await put(db, "a/1", 3)
            last = (await remove(db, "a/2")).revision

            def names(revision: int) -> list[Any]:
                return [(r.key[-3:], value_of(r)) for r in db.index.snapshot(PREFIX, PREFIX, revision)]

            assert names(first - 1) == []
            assert names(first) == [("a/1", 1)]
            assert names(first + 1) == [("a/1", 1), ("a/2", 2)]
            assert names(last) == [("a/1", 3)]
            with pytest.raises(FutureRevisionError):
                names(last + 1)
            monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 1)
            await db.compact()
            assert names(last) == [("a/1", 3)]
            with pytest.raises(CompactedError):
                names(first)
            with pytest.raises(CompactedError):
                db.watch(PREFIX, PREFIX, first, lambda changes: None)
            seen: list[Change] = []
            db.watch(PREFIX, PREFIX, last - 1, seen.extend)
            assert [change.revision for change in seen] == [last]

    run(test)


def test_lazy_changes_are_seen_at_once_and_durable_with_the_next(backend: Opened) -> None:
    async def test() -> None:
        async with opened(backend()) as db:
            await put(db, "a/1", 1)
            seen: list[Change] = []
            db.watch(PREFIX, PREFIX, db.revision, seen.extend)
            base = db.latest(PREFIX, PREFIX + "a/1")
            coroutine = db.put(PREFIX, PREFIX + "a/1", encoder(2), base, lazy=True)
            with pytest.raises(StopIteration):
                coroutine.send(None)
            assert value_of(db.get(PREFIX, PREFIX + "a/1")) == 2 and len(seen) == 1
            await put(db, "a/1", 3)
            assert [change.revision for change in seen] == [db.revision - 1, db.revision]

    run(test)


class Failing(MemoryBackend):
    """A backend that refuses on demand."""

    def __init__(self) -> None:
        self.refusing = False
        self.rows: list[int] = []
        self.forgotten: list[int] = []

    def append(self, changes: Any, reserved: int | None = None) -> None:
        if self.refusing:
            raise StorageError("the backend refuses")
        self.rows += [change.revision for change in changes]

    def forget(self, revisions: Any, compacted: int) -> None:
        if self.refusing:
            raise StorageError("the backend refuses")
        self.forgotten += revisions


def test_a_refused_commit_leaves_no_trace_and_the_next_one_succeeds() -> None:
    async def test() -> None:
        backend = Failing()
        async with opened(backend) as db:
            await put(db, "a/1", 1)
            seen: list[Change] = []
            db.watch(PREFIX, PREFIX, db.revision, seen.extend)
            backend.refusing = True
            results = await asyncio.gather(put(db, "a/1", 2), put(db, "a/2", 2), return_exceptions=True)
            assert all(isinstance(result, StorageError) for result in results)
            assert value_of(db.latest(PREFIX, PREFIX + "a/1")) == 1 and db.latest(PREFIX, PREFIX + "a/2") is None
            backend.refusing = False
            again = await put(db, "a/2", 3)
            assert [change.revision for change in seen] == [again.revision]
            assert again.record.created == again.revision

    run(test)


def test_lazy_changes_survive_a_refused_commit() -> None:
    async def test() -> None:
        backend = Failing()
        async with opened(backend) as db:
            await put(db, "a/1", 1)
            lazy = await put(db, "a/1", 2, lazy=True)
            backend.refusing = True
            with pytest.raises(StorageError):
                await put(db, "a/2", 1)
            backend.refusing = False
            await put(db, "a/2", 1)
            assert lazy.revision in backend.rows and backend.rows == sorted(backend.rows)

    run(test)


def test_what_could_not_be_forgotten_is_forgotten_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        backend = Failing()
        async with opened(backend) as db:
            for value in range(5):
                await put(db, "a/1", value)
            monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 2)
            backend.refusing = True
            await db.compact()
            backend.refusing = False
            await put(db, "a/1", 9)
            await db.compact()
            assert sorted(backend.forgotten) == backend.rows[: len(backend.forgotten)] and len(backend.forgotten) == 3

    run(test)


def test_lazy_changes_become_durable_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LAZY_FLUSH_SECONDS", 0.01)

    async def test() -> None:
        backend = Failing()
        async with opened(backend) as db:
            await put(db, "a/1", 1)
            lazy = await put(db, "a/1", 2, lazy=True)
            while lazy.revision not in backend.rows:
                await asyncio.sleep(0.002)

    run(test)


def test_a_writer_that_is_cancelled_does_not_stop_the_others(backend: Opened) -> None:
    async def test() -> None:
        async with opened(backend()) as db:
            tasks = [asyncio.ensure_future(put(db, f"a/{i}", i)) for i in range(10)]
            await asyncio.sleep(0)
            tasks[3].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(results[3], asyncio.CancelledError)
            assert all(isinstance(result, Change) for i, result in enumerate(results) if i != 3)
            assert value_of(db.get(PREFIX, PREFIX + "a/9")) == 9

    run(test)


def test_objects_of_different_resources_do_not_mix(backend: Opened) -> None:
    async def test() -> None:
        async with opened(backend()) as db:
            for prefix in ("/registry/services/specs/", "/registry/services/endpoints/", "/registry/pods/"):
                key = f"{prefix}a/x"
                await db.put(prefix, key, encoder(prefix), None)
            for prefix in ("/registry/services/specs/", "/registry/services/endpoints/", "/registry/pods/"):
                assert [value_of(record) for record in db.collection(prefix).range(prefix)] == [prefix]

    run(test)


def test_a_range_is_in_key_order_and_stays_in_its_namespace(backend: Opened) -> None:
    async def test() -> None:
        async with opened(backend()) as db:
            for name in ("b/2", "a/1", "b/1", "ba/1", "b/10"):
                await put(db, name, name)
            found: list[Object] = [value_of(r) for r in db.collection(PREFIX).range(PREFIX + "b/")]
            assert found == ["b/1", "b/10", "b/2"]
            after = [value_of(r) for r in db.collection(PREFIX).range(PREFIX + "b/", PREFIX + "b/1")]
            assert after == ["b/10", "b/2"]

    run(test)


async def crash(db: LocalStore) -> None:
    await db._tasks.stop()
    db._thread.shutdown()
    db._backend.close()


def test_compaction_keeps_what_a_lazy_change_replaced_until_it_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 0)

    async def test() -> None:
        db = LocalStore(SQLiteBackend(tmp_path / "navarch.db"))
        await db.load()
        db.start()
        await put(db, "a/1", 1)
        for value in (2, 3):
            await put(db, "a/1", value, lazy=True)
        await db.compact()
        await crash(db)
        async with opened(SQLiteBackend(tmp_path / "navarch.db")) as again:
            assert value_of(again.get(PREFIX, PREFIX + "a/1")) == 1

    run(test)


def test_a_snapshot_from_before_compaction_is_refused_also_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 0)

    async def test() -> None:
        async with opened(SQLiteBackend(tmp_path / "navarch.db")) as db:
            first = (await put(db, "a/1", 1)).revision
            await remove(db, "a/1")
            await db.compact()
        async with opened(SQLiteBackend(tmp_path / "navarch.db")) as db:
            with pytest.raises(CompactedError):
                db.index.snapshot(PREFIX, PREFIX, first)
            assert db.index.snapshot(PREFIX, PREFIX, db.revision) == []

    run(test)


def test_a_failed_flush_of_lazy_changes_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LAZY_FLUSH_SECONDS", 0.01)

    async def test() -> None:
        backend = Failing()
        async with opened(backend) as db:
            await put(db, "a/1", 1)
            backend.refusing = True
            lazy = await put(db, "a/1", 2, lazy=True)
            await asyncio.sleep(0.03)
            backend.refusing = False
            while lazy.revision not in backend.rows:
                await asyncio.sleep(0.002)

    run(test)
