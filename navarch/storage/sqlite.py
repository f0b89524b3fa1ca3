"""The default backend: one SQLite file holding the log, one row per change, one transaction per batch.

The file's `application_id` and `user_version` say that it is ours and in which format, and a lock beside it keeps a second
server out. Rows are appended by revision; the current state is what is left when the log is read in order. What is forgotten
goes on into the history (see `history`). Older formats are brought up to date when the file is opened.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

import orjson

from navarch.component import clock
from navarch.storage import history, rewriting
from navarch.storage.author import Author
from navarch.storage.backend import Marks, StorageError, StorageFullError
from navarch.storage.changes import Change, Dropped, Record
from navarch.storage.checkpoints import ROW_BYTES, Checkpointer
from navarch.storage.encryption.providers import ENCRYPTED, EncryptionError
from navarch.storage.encryption.transformers import PLAIN, Transformers
from navarch.storage.history import Authors, HistoryReader, HistoryWriter, Retention

APPLICATION_ID = 0x6E617663  # "navc"
FORMAT_VERSION = 2
CACHE_KIB = 2048
# So many rows are inserted by one statement: each costs less then, and a thread does not wait for Python's lock after each.
WIDE = 64
# Larger ones, on average, go one by one: a statement keeps what it has last been given.
LARGE_ROW_BYTES = 16 * 1024

_SCHEMA = """
CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    created INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    author INTEGER NOT NULL,
    written_ms INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"""
# Neither author nor time of what there was is known, and nothing of what had been forgotten.
_UPGRADE_TO_2 = """
ALTER TABLE log ADD COLUMN author INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log ADD COLUMN written_ms INTEGER NOT NULL DEFAULT 0;
INSERT INTO meta SELECT 'history_since', value FROM meta WHERE name = 'compacted';
"""


class SQLiteBackend:
    """The log in one file. Raises StorageError at once for a file that is not ours, too new, or in use."""

    def __init__(
        self,
        path: Path,
        retention: Retention = Retention(),  # noqa: B008 (it is immutable)
        transformers: Transformers = PLAIN,
    ) -> None:
        """What is there already is stored by `transformers` before anything else is done."""
        self._path = path
        self._transformers = transformers
        self._lock = self._take_lock()
        try:
            self._connection = self._open()
            self._restore_secrecy()
            self._checkpointer = self._start_checkpointer()
        except BaseException:
            os.close(self._lock)
            raise
        self._authors = Authors(self._connection)
        self._history_writer = HistoryWriter(self._connection, retention)
        self.history = HistoryReader(path, transformers)

    @property
    def size_bytes(self) -> int:
        """Of the file, and of what is not in it yet (its write-ahead log)."""
        size = 0
        for path in (self._path, self._path.with_name(f"{self._path.name}-wal")):
            with suppress(OSError):
                size += path.stat().st_size
        return size

    def _restore_secrecy(self) -> None:
        """Where it is not stored as it shall be, it is now; with nothing left of how it was."""
        try:
            rewriting.rewrite(self._connection, self._transformers)
        except BaseException as error:
            self._connection.close()
            if isinstance(error, EncryptionError):
                raise StorageError(f"{self._path}: {error}; nothing was changed") from error
            if isinstance(error, sqlite3.Error):
                raise _write_error(self._path, error) from error
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
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, cached_statements=24)
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
                connection.executescript(f"BEGIN; {_SCHEMA} {history.SCHEMA} {marks} COMMIT;")
            elif version < FORMAT_VERSION:
                marks = f"PRAGMA user_version = {FORMAT_VERSION};"
                connection.executescript(f"BEGIN; {_UPGRADE_TO_2} {history.SCHEMA} {marks} COMMIT;")
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

    def load(self) -> Iterator[tuple[Record, bool]]:
        rows = self._connection.execute("SELECT revision, key, created, deleted, data FROM log ORDER BY revision")
        is_plain, decode = self._transformers.is_plain, self._transformers.decode
        revision = 0
        try:
            for revision, key, created, deleted, data in rows:
                if not is_plain or data.startswith(ENCRYPTED):
                    data, _ = decode(key, data)
                yield Record(key, data, revision, created), bool(deleted)
        except EncryptionError as error:
            raise StorageError(f"{self._path}: {key} at revision {revision} cannot be read: {error}") from error
        except sqlite3.Error as error:
            text = f"cannot read {self._path} after revision {revision}: {error}; the file is damaged: restore a backup of it"
            raise StorageError(text) from error

    def marks(self) -> Marks:
        rows = dict(self._connection.execute("SELECT name, value FROM meta"))
        return Marks(reserved=rows.get("reserved", 0), compacted=rows.get("compacted", 0))

    def append(self, changes: Sequence[Change], reserved: int | None = None) -> None:
        now_ms, new = _now_ms(), []
        # One after the other, as they are bound.
        values: list[_Value] = []
        size = 0
        is_plain, encode = self._transformers.is_plain, self._transformers.encode
        last: Author | None = None
        for change in changes:
            record = change.record
            # Mostly the same as before, in the very same value.
            if change.author is not last:
                last = change.author
                number, is_new = self._authors.number(last)
                if is_new:
                    new.append(last)
            data = record.data if is_plain else encode(record.key, record.data)
            values += (record.revision, record.key, record.created, change.deleted, number, now_ms, data)
            size += len(data) + ROW_BYTES
        wide = WIDE if size <= len(changes) * LARGE_ROW_BYTES else 1
        if len(changes) <= wide and not new and reserved is None:
            # A transaction of its own: all of it, the sync too, happens without Python's lock.
            with self._committing():
                self._insert(values, wide)
        else:
            with self._transaction(new):
                self._insert(values, wide)
                if new:
                    self._authors.write(new)
                if reserved is not None:
                    self._mark({"reserved": reserved})
        self._checkpointer.committed(size)

    def _insert(self, values: list[_Value], wide: int) -> None:
        for first in range(0, len(values), wide * len(_COLUMNS)):
            some = values[first : first + wide * len(_COLUMNS)]
            width = 1 << (len(some) // len(_COLUMNS) - 1).bit_length()
            some += [None] * (width * len(_COLUMNS) - len(some))
            self._connection.execute(_APPEND[width], some)

    def forget(self, dropped: Sequence[Dropped], compacted: int) -> None:
        # What is forgotten once more after a crash does no harm: no commit has to wait for this one's sync.
        with self._unsynced(), self._transaction():
            marks = self._history_writer.take(dropped, _now_ms())
            revisions = orjson.dumps([revision for revision, _ in dropped]).decode()
            self._connection.execute("DELETE FROM log WHERE revision IN (SELECT value FROM json_each(?))", (revisions,))
            self._mark({"compacted": compacted, **marks})
        size = marks[history.HISTORY_BYTES]
        grown = abs(size - self._history_writer.bytes)
        self._history_writer.taken(size)
        self._checkpointer.committed(grown + 2 * len(dropped) * ROW_BYTES)

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        self._connection.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self._connection.execute("PRAGMA synchronous = FULL")

    def _mark(self, marks: Mapping[str, int]) -> None:
        values = ", ".join(["(?, ?)"] * len(marks))
        self._connection.execute(f"INSERT OR REPLACE INTO meta VALUES {values}", list(chain.from_iterable(marks.items())))

    @contextmanager
    def _transaction(self, new: Sequence[Author] = ()) -> Iterator[None]:
        """`new` authors come into the file with it, or not at all."""
        is_done = False
        try:
            with self._committing():
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._connection.execute("COMMIT")
                    is_done = True
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
        finally:
            if new and not is_done:
                self._authors.unwrite(new)

    @contextmanager
    def _committing(self) -> Iterator[None]:
        try:
            with self._checkpointer.gate:
                yield
        except sqlite3.Error as error:
            raise _write_error(self._path, error) from error

    def purge(self, key: str) -> int:
        with self._transaction():
            count, size = self._history_writer.purge(key)
        self._history_writer.taken(size)
        try:
            # Also where there was nothing: what was purged before a crash may still be in free pages.
            with self._checkpointer.copying, self._checkpointer.gate:
                if not rewriting.scrub(self._connection):
                    raise StorageError(
                        f"{count} versions were emptied, but what was in them is still in free space of {self._path}, as "
                        "somebody reads the file (a backup?): purge once more"
                    )
        except sqlite3.Error as error:
            raise _write_error(self._path, error) from error
        return count

    def reencrypt(self, transformers: Transformers) -> None:
        try:
            with self._checkpointer.copying, self._checkpointer.gate:
                has_changed = rewriting.restore(self._connection, transformers)
                self._transformers = self.history.transformers = transformers
                if has_changed:
                    rewriting.clean(self._connection, transformers)
        except EncryptionError as error:
            raise StorageError(f"{self._path}: {error}; nothing was changed") from error
        except sqlite3.Error as error:
            raise _write_error(self._path, error) from error

    def close(self) -> None:
        self._checkpointer.end()
        self._connection.close()
        self._checkpointer.release()
        os.close(self._lock)


_COLUMNS = ("revision", "key", "created", "deleted", "author", "written_ms", "data")


def _append(width: int) -> str:
    """Inserts up to so many rows, the rest of which are NULLs: so there are few statements, however many rows come together."""
    into, row = f"INSERT INTO log ({', '.join(_COLUMNS)})", f"({', '.join('?' * len(_COLUMNS))})"
    if width == 1:
        return f"{into} VALUES {row}"
    return f"{into} SELECT * FROM (VALUES {', '.join([row] * width)}) WHERE column1 IS NOT NULL"


_APPEND = {width: _append(width) for width in (1, 2, 4, 8, 16, 32, WIDE)}
_Value = int | str | bytes | None


def _write_error(path: Path, error: sqlite3.Error) -> StorageError:
    # An error that SQLite did not give has no code.
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return StorageFullError(f"no space left for {path}")
    return StorageError(f"cannot write to {path}: {error}")


def _now_ms() -> int:
    return int(clock.now().timestamp() * 1000)
