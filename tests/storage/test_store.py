"""One suite for every store: what it promises whoever uses it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from navarch.storage import mvcc
from navarch.storage.changes import Change, Write
from navarch.storage.memory import MemoryBackend
from navarch.storage.mvcc import CompactedError, ConflictError, FutureRevisionError
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore, Store
from tests.storage.encrypting import GCM_ONE, everything
from tests.storage.following import FollowedStore
from tests.storage.stores import PREFIX, encoder, opened, put, remove, run, value_of

New = Callable[[], Store]
"""Makes a store; each after the first finds what the one before has left."""


def maker(request: pytest.FixtureRequest, tmp_path: Path) -> New:
    if request.param == "memory":
        return lambda: LocalStore(MemoryBackend())
    if request.param == "sqlite":
        return lambda: LocalStore(SQLiteBackend(tmp_path / "navarch.db"))
    if request.param == "encrypted":
        return lambda: LocalStore(SQLiteBackend(tmp_path / "navarch.db", transformers=everything(GCM_ONE)))
    if request.param == "replica":
        # A socket's path is short.
        directory = Path(tempfile.mkdtemp(prefix="navarch-"))
        request.addfinalizer(lambda: shutil.rmtree(directory))
        return lambda: FollowedStore(SQLiteBackend(tmp_path / "navarch.db"), directory / "feed")
    made: New = request.getfixturevalue("etcd").store
    return made


@pytest.fixture(params=["memory", "sqlite", "encrypted", "replica", "etcd"])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> New:
    return maker(request, tmp_path)


@pytest.fixture(params=["sqlite", "encrypted", "replica", "etcd"])
def new_durable(request: pytest.FixtureRequest, tmp_path: Path) -> New:
    return maker(request, tmp_path)


def test_writes_take_consecutive_revisions_and_are_seen_when_durable(new: New) -> None:
    async def test() -> None:
        async with opened(new()) as db:
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


def test_a_version_is_decoded_whether_it_was_written_lately_or_not(new: New, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mvcc, "RECENT_CHANGES", 2)

    async def test() -> None:
        async with opened(new()) as db:
            records = [(await put(db, "a/1", number)).record for number in range(4)]
            assert [db.decoded(record) for record in records] == [record.object() for record in records]
            newest = db.get(PREFIX, PREFIX + "a/1")
            assert newest is not None and db.decoded(newest) is db.decoded(newest) == records[3].object()

    run(test)


def test_a_write_on_an_old_version_is_a_conflict(new: New) -> None:
    async def test() -> None:
        async with opened(new()) as db:
            first = await put(db, "a/1", 1)
            await put(db, "a/1", 2)
            for base in (first.record, None):
                with pytest.raises(ConflictError):
                    await put(db, "a/1", 3, base=base)
            await remove(db, "a/1")
            with pytest.raises(ConflictError):
                await put(db, "a/1", 3, base=first.record)
            before = db.revision
            assert (await put(db, "a/1", 4, base=None)).revision == before + 1

    run(test)


def test_changes_of_several_objects_are_one_commit(new: New) -> None:
    async def test() -> None:
        async with opened(new()) as db:
            gone = (await put(db, "a/gone", 0)).record
            other = "/registry/secrets/"
            seen: dict[str, list[list[Change]]] = {PREFIX: [], other: []}
            for prefix in (PREFIX, other):
                db.watch(prefix, prefix, db.revision, seen[prefix].append)
            start = db.revision
            writes = [
                Write(PREFIX, PREFIX + "a/new", encoder(1), None),
                Write(other, other + "a/new", encoder(2), None),
                Write(PREFIX, gone.key, encoder(3), gone, deletes=True),
            ]
            changes = await db.write(writes)
            revisions = [c.revision for c in changes]
            assert start < revisions[0] and revisions == sorted(revisions) and revisions[-1] == db.revision
            assert [c.type for c in changes] == ["ADDED", "ADDED", "DELETED"]
            told = {prefix: [[(c.revision, c.type) for c in batch] for batch in batches] for prefix, batches in seen.items()}
            made, beside, deleted = ((c.revision, c.type) for c in changes)
            assert told == {PREFIX: [[made, deleted]], other: [[beside]]}
            assert db.get(PREFIX, gone.key) is None and value_of(db.get(other, other + "a/new")) == 2

    run(test)


def test_of_changes_that_belong_together_none_is_made_if_one_cannot_be(new: New) -> None:
    def too_large(revision: int | None) -> bytes:
        raise OverflowError(revision)

    async def test() -> None:
        async with opened(new()) as db:
            old = (await put(db, "a/1", 1)).record
            await put(db, "a/1", 2)
            before = db.revision
            first = Write(PREFIX, PREFIX + "a/2", encoder(1), None)
            with pytest.raises(ConflictError):
                await db.write([first, Write(PREFIX, PREFIX + "a/1", encoder(3), old)])
            with pytest.raises(OverflowError):
                await db.write([first, Write(PREFIX, PREFIX + "a/3", too_large, None)])
            assert db.latest(PREFIX, PREFIX + "a/2") is None
            assert (await put(db, "a/4", 1)).revision == before + 1

    run(test)


def test_what_is_written_before_the_start_is_there_at_the_next(new: New) -> None:
    async def test() -> None:
        db = new()
        await db.load()
        await db.write_first([Write(PREFIX, PREFIX + f"a/{i}", encoder(i), None) for i in range(3)])
        assert [value_of(record) for record in db.collection(PREFIX).range(PREFIX)] == [0, 1, 2]
        db.start()
        await put(db, "a/0", 9)
        await db.stop()

    run(test)


def test_what_one_server_has_written_the_next_one_reads(new_durable: New) -> None:
    def found(db: Store) -> list[Any]:
        return [(r.key, r.revision, r.created, r.object()) for r in db.collection(PREFIX).range(PREFIX)]

    async def test() -> None:
        async with opened(new_durable()) as db:
            for value in range(3):
                await put(db, f"a/{value}", value)
            await put(db, "a/0", 9)
            await remove(db, "a/1")
            written, revision = found(db), db.revision
        async with opened(new_durable()) as db:
            assert found(db) == written
            assert (await put(db, "a/0", 10)).revision > revision

    run(test)


def test_of_concurrent_writes_on_one_version_one_wins(new: New) -> None:
    async def test() -> None:
        async with opened(new()) as db:
            base = (await put(db, "a/1", 0)).record
            results = await asyncio.gather(*(put(db, "a/1", i, base=base) for i in range(20)), return_exceptions=True)
            assert sum(isinstance(result, ConflictError) for result in results) == 19
            (winner,) = [result for result in results if isinstance(result, Change)]
            found = db.get(PREFIX, PREFIX + "a/1")
            assert found is not None and (found.revision, found.data) == (winner.revision, winner.record.data)

    run(test)


def test_watchers_see_every_change_once_in_order(new: New) -> None:
    async def test() -> None:
        async with opened(new()) as db:
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


def test_a_failing_watcher_harms_nobody_else(new: New, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with opened(new()) as db:
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


def test_snapshots_show_the_past_until_it_is_compacted(new: New, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with opened(new()) as db:
            first = (await put(db, "a/1", 1)).revision
            await put(db, "a/2", 2)
            await put(db, "a/1", 3)
            last = (await remove(db, "a/2")).revision

            async def names(revision: int) -> list[Any]:
                return [(r.key[-3:], value_of(r)) for r in await db.snapshot(PREFIX, PREFIX, revision)]

            assert await names(first - 1) == []
            assert await names(first) == [("a/1", 1)]
            assert await names(first + 1) == [("a/1", 1), ("a/2", 2)]
            assert await names(last) == [("a/1", 3)]
            with pytest.raises(FutureRevisionError):
                await names(last + 1)
            monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 1)
            await db.compact()
            assert await names(last) == [("a/1", 3)]
            # etcd itself goes further back than what is kept of it here.
            with pytest.raises(CompactedError) if isinstance(db, LocalStore | FollowedStore) else nullcontext():
                assert await names(first) == [("a/1", 1)]
            with pytest.raises(CompactedError):
                db.watch(PREFIX, PREFIX, first, lambda changes: None)
            seen: list[Change] = []
            db.watch(PREFIX, PREFIX, last - 1, seen.extend)
            assert [change.revision for change in seen] == [last]

    run(test)


def test_a_writer_that_is_cancelled_does_not_stop_the_others(new: New) -> None:
    async def test() -> None:
        async with opened(new()) as db:
            tasks = [asyncio.ensure_future(put(db, f"a/{i}", i)) for i in range(10)]
            await asyncio.sleep(0)
            tasks[3].cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(results[3], asyncio.CancelledError)
            assert all(isinstance(result, Change) for i, result in enumerate(results) if i != 3)
            assert value_of(db.get(PREFIX, PREFIX + "a/9")) == 9

    run(test)


def test_objects_of_different_resources_do_not_mix(new: New) -> None:
    async def test() -> None:
        async with opened(new()) as db:
            for prefix in ("/registry/services/specs/", "/registry/services/endpoints/", "/registry/pods/"):
                key = f"{prefix}a/x"
                await db.put(prefix, key, encoder(prefix), None)
            for prefix in ("/registry/services/specs/", "/registry/services/endpoints/", "/registry/pods/"):
                assert [value_of(record) for record in db.collection(prefix).range(prefix)] == [prefix]

    run(test)


def test_a_range_is_in_key_order_and_stays_in_its_namespace(new: New) -> None:
    async def test() -> None:
        async with opened(new()) as db:
            for name in ("b/2", "a/1", "b/1", "ba/1", "b/10"):
                await put(db, name, name)
            found: list[Object] = [value_of(r) for r in db.collection(PREFIX).range(PREFIX + "b/")]
            assert found == ["b/1", "b/10", "b/2"]
            after = [value_of(r) for r in db.collection(PREFIX).range(PREFIX + "b/", PREFIX + "b/1")]
            assert after == ["b/10", "b/2"]

    run(test)
