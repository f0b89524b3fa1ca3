"""The store of one server over its backend: group commit, lazy changes, what is refused, what a crash leaves."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from navarch.storage import mvcc, store
from navarch.storage.backend import Backend, StorageError
from navarch.storage.changes import Change
from navarch.storage.memory import MemoryBackend
from navarch.storage.mvcc import CompactedError
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore
from tests.storage.stores import PREFIX, encoder, opened, put, remove, run, value_of

Opened = Callable[[], Backend]


@pytest.fixture(params=["memory", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    return MemoryBackend if request.param == "memory" else lambda: SQLiteBackend(tmp_path / "navarch.db")


def test_staged_writes_build_on_each_other_before_they_are_durable(backend: Opened) -> None:
    async def test() -> None:
        async with opened(LocalStore(backend())) as db:
            tasks = []
            for i in range(10):
                tasks.append(asyncio.ensure_future(put(db, "a/1", i)))
                await asyncio.sleep(0)
            changes = await asyncio.gather(*tasks)
            assert value_of(db.get(PREFIX, PREFIX + "a/1")) == 9
            assert [c.type for c in changes] == ["ADDED"] + ["MODIFIED"] * 9

    run(test)


def test_a_compacted_revision_is_refused_also_where_nothing_has_changed_since(
    backend: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(LocalStore(backend())) as db:
            first = (await put(db, "a/1", 1)).revision
            for number in range(2):
                other = "/registry/secrets/"
                await db.put(other, f"{other}a/{number}", encoder(number), None)
            monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 1)
            await db.compact()
            with pytest.raises(CompactedError):
                db.index.snapshot(PREFIX, PREFIX, first)
            assert len(db.index.snapshot(PREFIX, PREFIX, db.revision)) == 1

    run(test)


def test_lazy_changes_are_seen_at_once_and_durable_with_the_next(backend: Opened) -> None:
    async def test() -> None:
        async with opened(LocalStore(backend())) as db:
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

    def forget(self, dropped: Any, compacted: int) -> None:
        if self.refusing:
            raise StorageError("the backend refuses")
        self.forgotten += [revision for revision, _ in dropped]


def test_where_nothing_may_be_lazy_a_lazy_change_is_durable_before_it_is_acknowledged(tmp_path: Path) -> None:
    async def test() -> None:
        db = LocalStore(SQLiteBackend(tmp_path / "navarch.db"), may_be_lazy=False)
        await db.load()
        db.start()
        await put(db, "a/1", 1)
        await put(db, "a/1", 2, lazy=True)
        # As after a crash: nothing that waits is stored.
        await db._tasks.stop()
        db._thread.shutdown()
        db._backend.close()
        async with opened(LocalStore(SQLiteBackend(tmp_path / "navarch.db"))) as again:
            assert value_of(again.get(PREFIX, PREFIX + "a/1")) == 2

    run(test)


def test_a_refused_commit_leaves_no_trace_and_the_next_one_succeeds() -> None:
    async def test() -> None:
        backend = Failing()
        async with opened(LocalStore(backend)) as db:
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
        async with opened(LocalStore(backend)) as db:
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
        async with opened(LocalStore(backend)) as db:
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


@pytest.mark.parametrize("before", [0.005, store.SWITCH_SECONDS / 5])
def test_a_commit_in_a_thread_does_not_wait_for_a_busy_loop_to_let_go(before: float) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(before)

    async def test() -> None:
        async with opened(LocalStore(Failing())):
            assert sys.getswitchinterval() == pytest.approx(min(before, store.SWITCH_SECONDS), abs=1e-5)

    try:
        run(test)
    finally:
        sys.setswitchinterval(interval)


def test_lazy_changes_become_durable_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LAZY_FLUSH_SECONDS", 0.01)

    async def test() -> None:
        backend = Failing()
        async with opened(LocalStore(backend)) as db:
            await put(db, "a/1", 1)
            lazy = await put(db, "a/1", 2, lazy=True)
            while lazy.revision not in backend.rows:
                await asyncio.sleep(0.002)

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
        async with opened(LocalStore(SQLiteBackend(tmp_path / "navarch.db"))) as again:
            assert value_of(again.get(PREFIX, PREFIX + "a/1")) == 1

    run(test)


def test_a_snapshot_from_before_compaction_is_refused_also_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 0)

    async def test() -> None:
        async with opened(LocalStore(SQLiteBackend(tmp_path / "navarch.db"))) as db:
            first = (await put(db, "a/1", 1)).revision
            await remove(db, "a/1")
            await db.compact()
        async with opened(LocalStore(SQLiteBackend(tmp_path / "navarch.db"))) as db:
            with pytest.raises(CompactedError):
                db.index.snapshot(PREFIX, PREFIX, first)
            assert db.index.snapshot(PREFIX, PREFIX, db.revision) == []

    run(test)


def test_a_failed_flush_of_lazy_changes_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LAZY_FLUSH_SECONDS", 0.01)

    async def test() -> None:
        backend = Failing()
        async with opened(LocalStore(backend)) as db:
            await put(db, "a/1", 1)
            backend.refusing = True
            lazy = await put(db, "a/1", 2, lazy=True)
            await asyncio.sleep(0.03)
            backend.refusing = False
            while lazy.revision not in backend.rows:
                await asyncio.sleep(0.002)

    run(test)


def test_a_window_far_beyond_its_limit_is_compacted_out_of_turn(backend: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mvcc, "HISTORY_BYTES_LIMIT", 1000)

    async def test() -> None:
        async with opened(LocalStore(backend())) as db:
            while not db.compacted:
                await put(db, "a/1", "x" * 200)
                assert db.index._history_bytes < 100_000

    run(test)


def test_however_many_write_the_window_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each commit took all that waits, more would come with it than a step of compaction takes away."""
    limit, writers = 500, 400
    monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", limit)

    async def test() -> None:
        async with opened(LocalStore(SQLiteBackend(tmp_path / "navarch.db"))) as db:
            largest = 0

            async def write(number: int) -> None:
                nonlocal largest
                for value in range(30):
                    await put(db, f"a/{number}", value)
                    largest = max(largest, len(db.index._history))

            await asyncio.gather(*(write(number) for number in range(writers)))
            assert largest < 4 * limit

    run(test)


def test_compactions_at_once_forget_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with opened(LocalStore(SQLiteBackend(tmp_path / "navarch.db"))) as db:
            for value in range(20):
                await put(db, "a/1", value)
            monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 0)
            monkeypatch.setattr(store, "COMPACTION_STEP", 3)
            await asyncio.gather(*(db.compact() for _ in range(4)))
        backend = SQLiteBackend(tmp_path / "navarch.db")
        assert [record.object()["value"] for record, _ in backend.load()] == [19]
        backend.close()

    run(test)
