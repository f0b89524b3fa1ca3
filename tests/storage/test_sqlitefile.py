"""The database's file from outside: copies, damage, a second life after a restore."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from navarch.storage import sqlitefile
from navarch.storage.backend import StorageError
from navarch.storage.changes import Change, Record
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore


def change(revision: int, name: str, *, deleted: bool = False) -> Change:
    data = orjson.dumps({"metadata": {"name": name, "resourceVersion": str(revision)}})
    return Change(Record(f"/registry/configmaps/a/{name}", data, revision, revision), None, deleted)


def filled(path: Path, count: int = 3) -> SQLiteBackend:
    backend = SQLiteBackend(path)
    backend.append([change(number + 1, f"x{number}") for number in range(count)], reserved=1000)
    return backend


def test_a_copy_is_whole_while_the_server_writes(tmp_path: Path) -> None:
    backend = filled(tmp_path / "navarch.db", 1)
    stop = threading.Event()

    def write() -> None:
        revision = 1
        while not stop.is_set():
            # Two rows a commit: a copy that has one of them has both.
            backend.append(
                [change(revision + 1, f"a{revision}"), change(revision + 2, f"b{revision}")], reserved=revision + 1000
            )
            revision += 2

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(10):
            copy = tmp_path / f"copy-{number}.db"
            found = sqlitefile.copy(tmp_path / "navarch.db", copy)
            assert found.revision % 2 == 1 and found.objects == found.revision
            assert list(sqlitefile.check(copy)) == []
            assert not list(tmp_path.glob(f"{copy.name}-*")) and copy.stat().st_mode & 0o777 == 0o600
    finally:
        stop.set()
        thread.join()
        backend.close()


def test_deleted_objects_are_not_counted(tmp_path: Path) -> None:
    backend = filled(tmp_path / "navarch.db")
    backend.append([change(4, "x1", deleted=True)])
    assert sqlitefile.summary(tmp_path / "navarch.db").objects == 2
    backend.close()


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE log SET data = x'7b' WHERE revision = 2", "revision 2 of /registry/configmaps/a/x1: the object is damaged"),
        ("UPDATE log SET revision = 9 WHERE revision = 2", "the object says that it is revision 2"),
        ("UPDATE log SET key = 'x' WHERE revision = 2", "the key 'x' is none of the API's"),
        ("UPDATE log SET created = 7 WHERE revision = 2", "created at revision 7"),
        ("UPDATE meta SET value = 2", "revision 3 is beyond those that are reserved (2)"),
    ],
)
def test_what_does_not_fit_together_is_found(tmp_path: Path, statement: str, problem: str) -> None:
    filled(tmp_path / "navarch.db").close()
    with closing(sqlite3.connect(tmp_path / "navarch.db")) as connection, connection:
        connection.execute(statement)
    assert any(problem in found for found in sqlitefile.check(tmp_path / "navarch.db"))


def test_a_damaged_page_is_found_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "navarch.db"
    filled(path, 500).close()
    content = bytearray(path.read_bytes())
    content[8192:8292] = b"\xff" * 100
    path.write_bytes(content)
    assert list(sqlitefile.check(path))
    assert path.read_bytes() == content


def test_many_problems_are_not_all_told(tmp_path: Path) -> None:
    filled(tmp_path / "navarch.db", 200).close()
    with closing(sqlite3.connect(tmp_path / "navarch.db")) as connection, connection:
        connection.execute("UPDATE log SET data = x'7b'")
    problems = list(sqlitefile.check(tmp_path / "navarch.db"))
    assert len(problems) == sqlitefile.PROBLEMS_LIMIT + 1 and problems[-1] == "and more"


@pytest.mark.parametrize("content", [None, b"", b"nonsense" * 1000])
def test_other_files_are_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "other.db").write_bytes(content)
    with pytest.raises(StorageError):
        list(sqlitefile.check(tmp_path / "other.db"))
    with pytest.raises(StorageError):
        sqlitefile.copy(tmp_path / "other.db", tmp_path / "copy.db")


def test_after_a_restore_no_revision_is_met_twice(tmp_path: Path) -> None:
    filled(tmp_path / "navarch.db").close()
    sqlitefile.advance(tmp_path / "navarch.db")

    async def reopen() -> tuple[int, int]:
        store = LocalStore(SQLiteBackend(tmp_path / "navarch.db"))
        await store.load()
        store.start()
        found = (store.revision, store.index.compacted)
        await store.stop()
        return found

    revision, compacted = asyncio.run(reopen())
    assert revision >= 3 + sqlitefile.REVISIONS_SKIPPED and compacted == 3 + sqlitefile.REVISIONS_SKIPPED
    assert list(sqlitefile.check(tmp_path / "navarch.db")) == []
