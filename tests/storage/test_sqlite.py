"""The SQLite file: whose it is, who may open it, what survives a crash or a full disk."""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from navarch.storage.backend import Marks, StorageError, StorageFullError
from navarch.storage.changes import Change, Record
from navarch.storage.mvcc import MVCC
from navarch.storage.sqlite import APPLICATION_ID, FORMAT_VERSION, WIDE, SQLiteBackend
from navarch.storage.store import LocalStore


def change(revision: int, key: str = "/registry/pods/a/x", data: bytes = b"{}", *, deleted: bool = False) -> Change:
    return Change(Record(key, data, revision, 1), None, deleted)


def test_the_log_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    backend = SQLiteBackend(tmp_path / "navarch.db")
    backend.append([change(1, data=b"one"), change(2, "/registry/pods/a/y", b"two")], reserved=100)
    backend.append([change(3, data=b"three"), change(4, "/registry/pods/a/y", b"gone", deleted=True)])
    backend.forget([(1, 1)], 1)
    backend.close()
    backend = SQLiteBackend(tmp_path / "navarch.db")
    found = [(record.revision, record.data, deleted) for record, deleted in backend.load()]
    assert found == [(2, b"two", False), (3, b"three", False), (4, b"gone", True)]
    index = MVCC()
    index.load(backend.load(), 1, 100, 0.0)
    changes: list[Change] = []
    index.watch("/registry/pods/", "/registry/pods/", 1, changes.extend)
    assert [(c.revision, c.type, c.previous and c.previous.revision) for c in changes] == [
        (2, "ADDED", None),
        (3, "ADDED", None),
        (4, "DELETED", 2),
    ]
    assert backend.marks() == Marks(reserved=100, compacted=1)
    backend.close()


def test_a_batch_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    backend = SQLiteBackend(tmp_path / "navarch.db")
    backend.append([change(2)])
    with pytest.raises(StorageError, match="cannot write to"):
        backend.append([change(1), change(2)])
    # However many there are, and also where the last of them fails.
    with pytest.raises(StorageError, match="cannot write to"):
        backend.append([*(change(revision) for revision in range(3, 3 + 2 * WIDE)), change(2)])
    assert [record.revision for record, _ in backend.load()] == [2]
    backend.append([change(3)])
    backend.close()


@pytest.mark.parametrize("count", [1, WIDE - 1, WIDE, WIDE + 1, 3 * WIDE, 3 * WIDE + 2])
def test_a_batch_of_any_size_is_read_back_in_order(tmp_path: Path, count: int) -> None:
    backend = SQLiteBackend(tmp_path / "navarch.db")
    backend.append([change(revision, data=b"%d" % revision) for revision in range(1, count + 1)])
    assert [(record.revision, record.data) for record, _ in backend.load()] == [(n, b"%d" % n) for n in range(1, count + 1)]
    backend.close()


def test_a_second_server_is_kept_out_while_the_first_runs(tmp_path: Path) -> None:
    first = SQLiteBackend(tmp_path / "navarch.db")
    with pytest.raises(StorageError, match="is in use by another server"):
        SQLiteBackend(tmp_path / "navarch.db")
    first.close()
    SQLiteBackend(tmp_path / "navarch.db").close()


def test_only_the_owner_reads_the_file(tmp_path: Path) -> None:
    SQLiteBackend(tmp_path / "navarch.db").close()
    assert (tmp_path / "navarch.db").stat().st_mode & 0o777 == 0o600


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "navarch.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="is a database of another program"):
        SQLiteBackend(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "navarch.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StorageError, match="cannot open"):
        SQLiteBackend(path)
    assert path.read_bytes() == b"not a database" * 1000


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "navarch.db"
    SQLiteBackend(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    connection.close()
    with pytest.raises(StorageError, match="use the newer navarch that wrote it"):
        SQLiteBackend(path)


def test_revisions_handed_out_before_a_crash_are_not_used_again(tmp_path: Path) -> None:
    async def life(crash: bool) -> int:
        db = LocalStore(SQLiteBackend(tmp_path / "navarch.db"))
        await db.load()
        db.start()
        found = await db.put("/registry/pods/", f"/registry/pods/a/{db.revision}", lambda revision: b"{}", None)
        if crash:
            await db._tasks.stop()
            db._thread.shutdown()
            db._backend.close()
        else:
            await db.stop()
        return found.revision

    first = asyncio.run(life(crash=True))
    second = asyncio.run(life(crash=False))
    third = asyncio.run(life(crash=False))
    assert second > first + 1, "a crash skips what may have been handed out"
    assert third == second + 1, "a stop skips nothing"


def test_a_page_that_is_damaged_refuses_the_start_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "navarch.db"
    backend = SQLiteBackend(path)
    backend.append([change(revision, data=b"x" * 1000) for revision in range(1, 200)])
    backend.close()
    content = bytearray(path.read_bytes())
    place = content.index(b"x" * 1000, len(content) // 2) // 4096 * 4096
    content[place : place + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    db = LocalStore(SQLiteBackend(path))
    with pytest.raises(StorageError, match=r"cannot read .* after revision \d+: .*; the file is damaged: restore a backup"):
        asyncio.run(db.load())
    asyncio.run(db.stop())


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.mark.root
def test_a_full_disk_refuses_writes_and_recovers(small_disk: Path) -> None:
    async def test() -> None:
        prefix = "/registry/pods/"
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * 1_000_000)
        db = LocalStore(SQLiteBackend(small_disk / "navarch.db"))
        await db.load()
        db.start()
        stored: dict[str, int] = {}
        with pytest.raises(StorageFullError, match="no space left"):
            for count in range(200):
                key = f"{prefix}a/{count}"
                found = await db.put(prefix, key, lambda revision: b'"' + b"x" * 20_000 + b'"', None)
                stored[key] = found.revision
        assert stored and {key: r.revision for key, r in db.collection(prefix).records.items()} == stored
        with pytest.raises(StorageFullError):
            await db.put(prefix, f"{prefix}a/again", lambda revision: b'"' + b"x" * 20_000 + b'"', None)
        ballast.unlink()
        after = await db.put(prefix, f"{prefix}a/after", lambda revision: b"{}", None)
        await db.stop()
        db = LocalStore(SQLiteBackend(small_disk / "navarch.db"))
        await db.load()
        found_now = {key: r.revision for key, r in db.collection(prefix).records.items()}
        assert found_now == {**stored, f"{prefix}a/after": after.revision}
        db.start()
        await db.stop()

    asyncio.run(test())


def test_few_statements_insert_any_number_of_rows_and_none_keeps_large_ones(tmp_path: Path) -> None:
    """SQLite's statements hold what they were last given; the connection keeps those that it has seen."""
    backend = SQLiteBackend(tmp_path / "navarch.db")
    seen: list[str] = []
    revisions = itertools.count(1)

    def rows(count: int, size_bytes: int) -> list[Change]:
        records = [
            Record(f"/registry/pods/a/{number}", b"x" * size_bytes, number, number)
            for number in itertools.islice(revisions, count)
        ]
        return [Change(record, None, False) for record in records]

    backend.append(rows(1, 10))
    backend._connection.set_trace_callback(seen.append)
    for count in range(1, 66):
        backend.append(rows(count, 10))
    statements = {" ".join(text.split()[:3]) + f" {text.count('(')}" for text in seen if text.startswith("INSERT")}
    assert len(statements) == 7
    # One statement is a transaction by itself; of the last batch there was one row more than that.
    assert [text for text in seen if text.startswith("BEGIN")] == ["BEGIN IMMEDIATE"]
    seen.clear()
    backend.append(rows(3, 100_000))
    assert [text.split()[0] for text in seen] == ["BEGIN", "INSERT", "INSERT", "INSERT", "COMMIT"]
    stored = [record.revision for record, _ in backend.load()]
    assert stored == list(range(1, next(revisions)))
    backend.close()
