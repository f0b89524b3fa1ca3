"""Versions of objects that have left the log, in the same file: kept within a budget, read by their key or as of a revision.

A version is *ended* by the change that replaced it; a deletion ends with itself. Versions come in the order in which they
ended and go in the same order, so that the past is complete back to one revision, noted as `history_since`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson

from navarch.storage.author import UNKNOWN, Author
from navarch.storage.backend import Past, StorageError, Version
from navarch.storage.changes import Dropped, Record
from navarch.storage.encryption.providers import EncryptionError
from navarch.storage.encryption.transformers import Transformers

SCHEMA = """
CREATE TABLE authors (
    id INTEGER PRIMARY KEY,
    user TEXT NOT NULL,
    manager TEXT NOT NULL,
    agent TEXT NOT NULL,
    UNIQUE (user, manager, agent)
) STRICT;
CREATE TABLE history (
    id INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    key TEXT NOT NULL,
    created INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    author INTEGER NOT NULL,
    written_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE INDEX history_by_key ON history (key, revision);
"""
HISTORY_BYTES, HISTORY_SINCE = "history_bytes", "history_since"
# Bookkeeping, and what is a history itself: of these only what is in the log can be read.
WITHOUT_HISTORY = ("/registry/leases/", "/registry/events/", "/registry/masterleases/")
# What a row takes in the file beside its data.
ROW_BYTES = 128
# Of one step, beyond as many as have come in.
TRIM_STEP = 100
AUTHORS_LIMIT = 10_000
PURGED = b""
"""What a version holds whose content was purged. That there was one, and who wrote it, is still known."""
_DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Retention:
    """How much is kept: whichever is less."""

    bytes: int = 64 * 1024 * 1024
    days: float = 7.0


class Authors:
    """Their numbers. There are as many as the limit allows, whatever clients call themselves; the others are unknown (0)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        rows = connection.execute("SELECT id, user, manager, agent FROM authors")
        self._numbers = {Author(user, manager, agent): number for number, user, manager, agent in rows}

    def number(self, author: Author) -> tuple[int, bool]:
        """Its number, and whether it must be written first."""
        found = self._numbers.get(author)
        if found is not None:
            return found, False
        if len(self._numbers) >= AUTHORS_LIMIT:
            return 0, False
        number = self._numbers[author] = len(self._numbers) + 1
        return number, True

    def write(self, new: Iterable[Author]) -> None:
        rows = [(self._numbers[author], author.user, author.manager, author.agent) for author in new]
        self._connection.executemany("INSERT INTO authors VALUES (?, ?, ?, ?)", rows)

    def unwrite(self, new: Iterable[Author]) -> None:
        """They were not stored after all."""
        for author in new:
            self._numbers.pop(author, None)


class HistoryWriter:
    """Takes in what leaves the log; within the backend's transactions."""

    def __init__(self, connection: sqlite3.Connection, retention: Retention) -> None:
        self._connection = connection
        self._retention = retention
        found = connection.execute("SELECT value FROM meta WHERE name = ?", (HISTORY_BYTES,)).fetchone()
        self.bytes: int = found[0] if found else 0

    def take(self, dropped: Sequence[Dropped], now_ms: int) -> dict[str, int]:
        """Copy versions that are in the log, and let the oldest go; the marks to be made, of which `taken` is to be told."""
        copied = orjson.dumps(dropped).decode()
        (size,) = self._connection.execute(_SIZE, (copied,)).fetchone()
        self._connection.execute(_MOVE, (copied, now_ms))
        return self._trimmed(self.bytes + size, now_ms, len(dropped) + TRIM_STEP)

    def taken(self, size_bytes: int) -> None:
        """The transaction is done."""
        self.bytes = size_bytes

    def purge(self, key: str) -> tuple[int, int]:
        """Empty all versions of a key; how many there were, and the new size, for `taken`."""
        query = "SELECT count(*), coalesce(sum(length(data)), 0) FROM history WHERE key = ? AND data <> ?"
        count, content_bytes = self._connection.execute(query, (key, PURGED)).fetchone()
        self._connection.execute("UPDATE history SET data = ? WHERE key = ?", (PURGED, key))
        size: int = self.bytes - content_bytes
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (HISTORY_BYTES, size))
        return count, size

    def measured(self) -> int:
        """The size, where versions have been stored otherwise, for `taken`."""
        query = f"SELECT coalesce(sum(length(data) + {ROW_BYTES}), 0) FROM history"
        size: int = self._connection.execute(query).fetchone()[0]
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (HISTORY_BYTES, size))
        return size

    def _trimmed(self, size: int, now_ms: int, limit: int) -> dict[str, int]:
        oldest_ms = now_ms - int(self._retention.days * _DAY_MS)
        rows = f"SELECT id, ended, ended_ms, length(data) + {ROW_BYTES} AS bytes FROM history ORDER BY id LIMIT ?"
        query = f"SELECT json_group_array(json_array(id, ended, ended_ms, bytes)) FROM ({rows})"
        (oldest,) = self._connection.execute(query, (limit,)).fetchone()
        last = since = 0
        for number, ended, ended_ms, row_bytes in orjson.loads(oldest):
            if size <= self._retention.bytes and ended_ms >= oldest_ms:
                break
            last, since, size = number, ended, size - row_bytes
        if not last:
            return {HISTORY_BYTES: size}
        self._connection.execute("DELETE FROM history WHERE id <= ?", (last,))
        return {HISTORY_BYTES: size, HISTORY_SINCE: since}


class HistoryReader:
    """Reads the file beside the one who writes it; blocks. Each question sees one state of the file. Raises StorageError."""

    def __init__(self, path: Path, transformers: Transformers) -> None:
        self._path = path
        self.transformers = transformers

    def keeps(self, key: str) -> bool:
        return not key.startswith(WITHOUT_HISTORY)

    def _ask(self, query: str, *values: object) -> tuple[list[tuple[object, ...]], dict[str, int]]:
        """Rows, and the marks beside the log."""
        try:
            with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                connection.execute("BEGIN")
                rows = connection.execute(query, values).fetchall()
                marks = dict(connection.execute("SELECT name, value FROM meta"))
        except sqlite3.Error as error:
            raise StorageError(f"cannot read {self._path}: {error}") from error
        return rows, marks

    def alive(self, under: str, revision: int) -> Past:
        """Versions of `under` (a prefix that ends in a slash) that have ended since a revision and were there at it."""
        query = (
            "SELECT key, data, revision, created FROM history "
            "WHERE key >= ? AND key < ? AND revision <= ? AND ended > ? AND NOT deleted"
        )
        rows, marks = self._ask(query, under, under[:-1] + chr(ord("/") + 1), revision, revision)
        if any(data == PURGED for _, data, _, _ in rows):
            # What was there then is not known any more.
            return Past([], revision + 1)
        records = [Record(key, self._decoded(key, data), revision, created) for key, data, revision, created in rows]  # type: ignore[arg-type]
        return Past(records, marks.get(HISTORY_SINCE, 0))

    def versions(self, key: str, logged: Sequence[int]) -> list[Version]:
        """All there are of a key, oldest first; `logged` are the revisions of the log where it may be."""
        chosen = "v.key = ?1 AND v.revision IN (SELECT value FROM json_each(?2))"
        return self._versions(
            f"SELECT {_COLUMNS} FROM history v LEFT JOIN authors a ON a.id = v.author WHERE v.key = ?1 AND {_KEPT} UNION "
            f"SELECT {_COLUMNS} FROM log v LEFT JOIN authors a ON a.id = v.author WHERE {chosen} ORDER BY 1",
            key,
            orjson.dumps(logged).decode(),
        )

    def written_by(self, agent: str, since_ms: int, limit: int) -> list[Version]:
        """Changes by user agents that begin so, since a time, oldest first, at most so many."""
        chosen = "substr(a.agent, 1, length(?1)) = ?1 AND v.written_ms >= ?2"
        return self._versions(
            f"SELECT {_COLUMNS} FROM history v JOIN authors a ON a.id = v.author WHERE {chosen} AND {_KEPT} UNION "
            f"SELECT {_COLUMNS} FROM log v JOIN authors a ON a.id = v.author WHERE {chosen} ORDER BY 1 LIMIT ?3",
            agent,
            since_ms,
            limit,
        )

    def _decoded(self, key: str, data: bytes) -> bytes:
        try:
            return self.transformers.decode(key, data)[0]
        except EncryptionError as error:
            raise StorageError(f"an earlier version of {key} in {self._path} cannot be read: {error}") from error

    def _versions(self, query: str, *values: object) -> list[Version]:
        found = []
        for revision, key, created, deleted, written_ms, data, user, manager, agent in self._ask(query, *values)[0]:
            record = Record(key, self._decoded(key, data), revision, created)  # type: ignore[arg-type]
            author = UNKNOWN if user is None else Author(user, manager, agent)  # type: ignore[arg-type]
            found.append(Version(record, bool(deleted), written_ms or None, author))  # type: ignore[arg-type]
        return found


# One statement for many rows: after each, a thread has to wait for Python's lock.
_DROPPED = "FROM json_each(?1) dropped CROSS JOIN log ON revision = dropped.value ->> 0 WHERE true" + "".join(
    f" AND log.key NOT GLOB '{prefix}*'" for prefix in WITHOUT_HISTORY
)
_MOVE = (
    "INSERT INTO history (revision, ended, key, created, deleted, author, written_ms, ended_ms, data) "
    f"SELECT revision, dropped.value ->> 1, log.key, created, deleted, author, written_ms, ?2, data {_DROPPED}"
)
_SIZE = f"SELECT coalesce(sum(length(data) + {ROW_BYTES}), 0) {_DROPPED}"
_KEPT = "v.data <> x''"
_COLUMNS = "v.revision, v.key, v.created, v.deleted, v.written_ms, v.data, a.user, a.manager, a.agent"
