"""The default backend: one SQLite file holding the log, one row per change, one transaction per batch.

The file's `application_id` and `user_version` say that it is ours and in which format, and a lock beside it keeps a second
server out. Rows are appended by revision; the current state is what is left when the log is read in order.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from navarch.storage.backend import Marks, StorageError, StorageFullError
from navarch.storage.checkpoints import ROW_BYTES, Checkpointer
from navarch.storage.mvcc import Change, Record

APPLICATION_ID = 0x6E617663  # "navc"
FORMAT_VERSION = 1
CACHE_KIB = 2048

_SCHEMA = """
CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    created INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""


class SQLiteBackend:
    """The log in one file. Raises StorageError at once for a file that is not ours, too new, or in use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = self._take_lock()
        try:
            self._connection = self._open()
            self._checkpointer = self._start_checkpointer()
        except BaseException:
            os.close(self._lock)
            raise

    def _start_checkpointer(self) -> Checkpointer:
        try:
            return Checkpointer(self._path)
        except (sqlite3.Error, OSError) as error:
            self._connection.close()
            raise StorageError(f"cannot open {self._path}: {error}") from error

    def _take_lock(self) -> int:
        try:
            descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"cannot open {self._path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise StorageError(
                f"{self._path} is in use by another server; stop that one (navarch down) or choose another data directory"
            ) from None
        return descriptor

    def _open(self) -> sqlite3.Connection:
        connection = None
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, cached_statements=16)
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            self._check_format(application, version, tables)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            # The checkpointer does it.
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            # What is deleted is overwritten where the page is written anyway, not page by page for its own sake.
            connection.execute("PRAGMA secure_delete = FAST")
            if not tables:
                marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION};"
                connection.executescript(f"BEGIN; {_SCHEMA} {marks} COMMIT;")
            self._path.chmod(0o600)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite3.Error):
                text = f"cannot open {self._path}: {error}; if the file is damaged, restore a backup of it"
                raise StorageError(text) from error
            raise
        return connection

    def _check_format(self, application: int, version: int, tables: int) -> None:
        if tables and application != APPLICATION_ID:
            raise StorageError(f"{self._path} is a database of another program; choose another data directory")
        if version > FORMAT_VERSION:
            raise StorageError(
                f"{self._path} has format {version}, this navarch reads up to {FORMAT_VERSION}: "
                "use the newer navarch that wrote it"
            )

    def load(self) -> Iterator[Change]:
        present: dict[str, Record] = {}
        rows = self._connection.execute("SELECT revision, key, created, deleted, data FROM log ORDER BY revision")
        for revision, key, created, deleted, data in rows:
            record = Record(key, data, revision, created)
            yield Change(record, present.get(key), bool(deleted))
            if deleted:
                present.pop(key, None)
            else:
                present[key] = record

    def marks(self) -> Marks:
        rows = dict(self._connection.execute("SELECT name, value FROM meta"))
        return Marks(reserved=rows.get("reserved", 0), compacted=rows.get("compacted", 0))

    def append(self, changes: Sequence[Change], reserved: int | None = None) -> None:
        rows = [(c.revision, c.record.key, c.record.created, int(c.deleted), c.record.data) for c in changes]
        with self._transaction():
            self._connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?)", rows)
            if reserved is not None:
                self._mark("reserved", reserved)
        self._checkpointer.committed(sum(len(row[4]) + ROW_BYTES for row in rows))

    def forget(self, revisions: Sequence[int], compacted: int) -> None:
        with self._transaction():
            self._connection.executemany("DELETE FROM log WHERE revision = ?", [(revision,) for revision in revisions])
            self._mark("compacted", compacted)
        self._checkpointer.committed(len(revisions) * ROW_BYTES)

    def _mark(self, name: str, value: int) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._checkpointer.gate:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise StorageFullError(f"no space left for {self._path}") from error
            raise StorageError(f"cannot write to {self._path}: {error}") from error

    def close(self) -> None:
        self._checkpointer.end()
        self._connection.close()
        self._checkpointer.release()
        os.close(self._lock)
