"""What is known of the past: who wrote what and when, what was there at a revision; and how much of it is kept."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from navarch.storage import history, mvcc, sqlitefile
from navarch.storage.author import UNKNOWN, author, writing
from navarch.storage.backend import StorageError
from navarch.storage.changes import Record
from navarch.storage.history import Retention
from navarch.storage.mvcc import CompactedError
from navarch.storage.sqlite import FORMAT_VERSION, SQLiteBackend
from navarch.storage.store import LocalStore
from tests.storage.stores import PREFIX, encoder, opened, put, remove, run, value_of

KEY = PREFIX + "a/1"
ALICE, BOB = author("alice", "editor", "kubectl/v1.36"), author("bob", "", "helm/4")

# As an earlier version wrote it.
FORMAT_1 = """
CREATE TABLE log (
    revision INTEGER PRIMARY KEY, key TEXT NOT NULL, created INTEGER NOT NULL, deleted INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
PRAGMA application_id = 0x6E617663;
PRAGMA user_version = 1;
"""


@pytest.fixture(autouse=True)
def no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything leaves the window at once: there is always a compaction under way."""
    monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 0)


@asynccontextmanager
async def store(path: Path, retention: Retention | None = None) -> AsyncIterator[LocalStore]:
    async with opened(LocalStore(SQLiteBackend(path / "navarch.db", retention or Retention()))) as db:
        yield db


def values(records: list[Record]) -> dict[str, object]:
    return {record.key.removeprefix(PREFIX): value_of(record) for record in records}


def test_versions_say_who_wrote_them_and_when_also_after_they_left_the_log(tmp_path: Path) -> None:
    async def test() -> None:
        async with store(tmp_path) as db:
            writing.set(ALICE)
            await put(db, "a/1", 1)
            writing.set(BOB)
            await put(db, "a/1", 2)
            await remove(db, "a/1")
            before = await db.versions(PREFIX, KEY)
            await db.compact()
            after = await db.versions(PREFIX, KEY)
        async with store(tmp_path) as db:
            again = await db.versions(PREFIX, KEY)
        for found in (before, after, again):
            assert [(version.author, version.deleted) for version in found] == [(ALICE, False), (BOB, False), (BOB, True)]
            assert [version.record.object()["value"] for version in found] == [1, 2, "gone"]
            times = [version.written_ms or 0 for version in found]
            assert times == sorted(times) and times[0] > 1_600_000_000_000

    run(test)


def test_changes_of_a_user_agent_are_found_by_how_it_begins(tmp_path: Path) -> None:
    async def test() -> None:
        async with store(tmp_path) as db:
            for number, who in enumerate((ALICE, BOB, ALICE)):
                writing.set(who)
                await put(db, f"a/{number}", number)
            await put(db, "a/1", 5)
            await db.compact()
            await put(db, "a/2", 6)
            found = await db.written_by("kubectl/", 0, 100)
            assert [value_of(version.record) for version in found] == [0, 2, 5, 6]
            assert len(await db.written_by("kubectl/", 0, 2)) == 2
            assert await db.written_by("kubectl/", (found[-1].written_ms or 0) + 1, 100) == []
            assert await db.written_by("cubectl/", 0, 100) == []

    run(test)


def test_every_state_of_the_past_is_read_back(tmp_path: Path) -> None:
    """Random writes with compactions and restarts between them, against a list of states."""
    chance = random.Random(7)

    async def test() -> None:
        states: list[tuple[int, dict[str, object]]] = []
        now: dict[str, object] = {}
        for _ in range(6):
            async with store(tmp_path) as db:
                for count in range(40):
                    name = f"{chance.choice('ab')}/{chance.randrange(6)}"
                    if name in now and chance.random() < 0.3:
                        revision = (await remove(db, name)).revision
                        del now[name]
                    else:
                        revision = (await put(db, name, count)).revision
                        now[name] = count
                    states.append((revision, dict(now)))
                    if chance.random() < 0.1:
                        await db.compact()
                for revision, expected in states:
                    assert values(await db.past(PREFIX, PREFIX, revision)) == expected
                    below = {name: value for name, value in expected.items() if name.startswith("b/") and name > "b/2"}
                    assert values(await db.past(PREFIX, f"{PREFIX}b/", revision, f"{PREFIX}b/2")) == below

    run(test)


def test_what_was_there_before_only_creations_left_the_window_can_be_read(tmp_path: Path) -> None:
    """They leave nothing to forget, so the file does not say that they have."""

    async def test() -> None:
        async with store(tmp_path) as db:
            revisions = [(await put(db, f"a/{number}", number)).revision for number in range(6)]
            await db.compact()
            assert db.compacted > revisions[2]
            assert values(await db.past(PREFIX, PREFIX, revisions[2])) == {"a/0": 0, "a/1": 1, "a/2": 2}
            await put(db, "a/0", "new")
            await db.compact()
            assert values(await db.past(PREFIX, PREFIX, revisions[2])) == {"a/0": 0, "a/1": 1, "a/2": 2}

    run(test)


def test_the_oldest_goes_when_the_budget_is_spent_and_what_is_incomplete_is_not_shown(tmp_path: Path) -> None:
    async def test() -> None:
        async with store(tmp_path, Retention(bytes=20_000)) as db:
            revisions = [(await put(db, "a/1", str(count) * 1000)).revision for count in range(1, 10)]
            for number in range(90):
                revisions.append((await put(db, "a/1", str(number % 10) * 1000)).revision)
                await db.compact()
            found = await db.versions(PREFIX, KEY)
            assert 10 <= len(found) <= 20 and found[-1].record.revision == revisions[-1]
            for version in found:
                assert [r.revision for r in await db.past(PREFIX, PREFIX, version.record.revision)] == [version.record.revision]
            with pytest.raises(CompactedError):
                await db.past(PREFIX, PREFIX, found[0].record.revision - 1)

    run(test)


def test_a_version_is_kept_for_so_many_days_after_it_was_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with store(tmp_path, Retention(days=1)) as db:
            await put(db, "a/1", 1)
            await put(db, "a/1", 2)
            await db.compact()
            with closing(sqlite3.connect(tmp_path / "navarch.db")) as other, other:
                # It was written long ago, which does not matter, and replaced an hour before yesterday.
                other.execute("UPDATE history SET written_ms = 1, ended_ms = ended_ms - 23 * 3600 * 1000")
            await put(db, "a/1", 3)
            await db.compact()
            assert len(await db.versions(PREFIX, KEY)) == 3
            with closing(sqlite3.connect(tmp_path / "navarch.db")) as other, other:
                other.execute("UPDATE history SET ended_ms = ended_ms - 2 * 3600 * 1000")
            await put(db, "a/1", 4)
            await db.compact()
            assert [value_of(version.record) for version in await db.versions(PREFIX, KEY)] == [2, 3, 4]

    run(test)


def test_leases_and_events_leave_no_history(tmp_path: Path) -> None:
    async def test() -> None:
        async with store(tmp_path) as db:
            for prefix in ("/registry/leases/", "/registry/events/"):
                for value in range(3):
                    key = f"{prefix}a/x"
                    await db.put(prefix, key, encoder(value), db.latest(prefix, key))
            first = db.revision
            await put(db, "a/1", 1)
            await db.compact()
            assert [value_of(v.record) for v in await db.versions("/registry/leases/", "/registry/leases/a/x")] == [2]
            with pytest.raises(CompactedError):
                await db.past("/registry/leases/", "/registry/leases/", first - 4)

    run(test)


def test_the_file_stays_bounded_while_one_object_is_written_without_end(tmp_path: Path) -> None:
    async def test() -> None:
        sizes = []
        async with store(tmp_path, Retention(bytes=300_000)) as db:
            for number in range(1200):
                await put(db, "a/1", chr(65 + number % 26) * 5000)
                if number % 50 == 49:
                    await db.compact()
                    db._backend._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[attr-defined]
                    sizes.append((tmp_path / "navarch.db").stat().st_size)
        assert max(sizes) < 2_000_000 and max(sizes[12:]) <= 1.1 * max(sizes[:12])
        assert list(sqlitefile.check(tmp_path / "navarch.db")) == []

    run(test)


def test_what_was_forgotten_but_not_stored_yet_is_not_read_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing is compacted but by hand.
    monkeypatch.setattr(mvcc, "HISTORY_SLACK", 1e9)
    monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 1)

    async def test() -> None:
        async with store(tmp_path) as db:
            first = await put(db, "a/1", 1)
            await put(db, "a/1", 2)
            await put(db, "a/1", 2.5)
            backend = db._backend
            assert isinstance(backend, SQLiteBackend)
            backend._connection.execute("PRAGMA query_only = 1")
            await db.compact()
            with pytest.raises(StorageError):
                await db.past(PREFIX, PREFIX, first.revision)
            backend._connection.execute("PRAGMA query_only = 0")
            await put(db, "a/1", 3)
            await db.compact()
            assert values(await db.past(PREFIX, PREFIX, first.revision)) == {"a/1": 1}

    run(test)


def test_more_authors_than_there_is_room_for_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "AUTHORS_LIMIT", 3)

    async def test() -> None:
        async with store(tmp_path) as db:
            for number in range(5):
                writing.set(author(f"user-{number}", "", ""))
                await put(db, "a/1", number)
            found = [version.author.user for version in await db.versions(PREFIX, KEY)]
            # One is the server itself.
            assert found == ["user-0", "user-1", "user-2", "", ""]

    run(test)


def test_authors_of_a_refused_commit_are_written_with_the_next(tmp_path: Path) -> None:
    async def test() -> None:
        async with store(tmp_path) as db:
            backend = db._backend
            assert isinstance(backend, SQLiteBackend)
            writing.set(ALICE)
            backend._connection.execute("PRAGMA query_only = 1")
            with pytest.raises(StorageError):
                await put(db, "a/1", 1)
            backend._connection.execute("PRAGMA query_only = 0")
            await put(db, "a/1", 2)
            assert [version.author for version in await db.versions(PREFIX, KEY)] == [ALICE]
        assert list(sqlitefile.check(tmp_path / "navarch.db")) == []

    run(test)


def format_1(path: Path) -> None:
    with closing(sqlite3.connect(path)) as old, old:
        old.executescript(FORMAT_1)
        for revision, value in ((5, 1), (6, 2)):
            row = (revision, KEY, 5, 0, encoder(value)(revision))
            old.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?)", row)
        old.executemany("INSERT INTO meta VALUES (?, ?)", [("reserved", 1000), ("compacted", 4)])


def test_a_file_of_the_first_format_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "navarch.db"
    format_1(path)
    assert list(sqlitefile.check(path)) == [] and sqlitefile.summary(path).objects == 1

    async def test() -> None:
        async with store(tmp_path) as db:
            writing.set(ALICE)
            await put(db, "a/1", 3)
            await db.compact()
            found = await db.versions(PREFIX, KEY)
            assert [(value_of(v.record), v.author, v.written_ms is None) for v in found] == [
                (1, UNKNOWN, True),
                (2, UNKNOWN, True),
                (3, ALICE, False),
            ]
            assert values(await db.past(PREFIX, PREFIX, 5)) == {"a/1": 1}
            with pytest.raises(CompactedError):
                await db.past(PREFIX, PREFIX, 3)

    run(test)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT_VERSION,)
    assert list(sqlitefile.check(path)) == []


def test_a_copy_holds_the_history_and_damage_in_it_is_found(tmp_path: Path) -> None:
    async def test() -> None:
        async with store(tmp_path) as db:
            for value in range(3):
                await put(db, "a/1", value)
            await db.compact()
            sqlitefile.copy(tmp_path / "navarch.db", tmp_path / "copy.db")

    asyncio.run(test())
    assert list(sqlitefile.check(tmp_path / "copy.db")) == []
    for statement, problem in (
        ("UPDATE history SET ended = 1 WHERE id = 2", "in the history: ended at revision 1"),
        ("UPDATE history SET data = x'7b' WHERE id = 1", "in the history: the object is damaged"),
        ("UPDATE history SET author = 77 WHERE id = 1", "its author (77) is not known"),
    ):
        with closing(sqlite3.connect(tmp_path / "copy.db")) as connection, connection:
            connection.execute(statement)
        assert any(problem in found for found in sqlitefile.check(tmp_path / "copy.db")), problem
