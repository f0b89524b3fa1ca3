"""The SQLite backend's file from outside: copied while a server writes to it, checked, prepared for a second life.

None of this goes through the server: a backup must be possible also when that does not run or is broken.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson

from navarch.storage.backend import StorageError
from navarch.storage.encryption.providers import ENCRYPTED, EncryptionError
from navarch.storage.encryption.transformers import Transformers
from navarch.storage.history import PURGED
from navarch.storage.sqlite import APPLICATION_ID, FORMAT_VERSION

# Clients that saw revisions after the backup was made must not meet them again with other contents.
REVISIONS_SKIPPED = 1_000_000_000
PROBLEMS_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Summary:
    """What a file holds."""

    revision: int
    objects: int
    bytes: int


def copy(source: Path, target: Path) -> Summary:
    """A consistent copy of `source` as of now, which a server may be writing to. Raises StorageError."""
    with closing(_open(source)) as reading:
        try:
            with closing(sqlite3.connect(target)) as writing:
                # One step: one snapshot, however much is written meanwhile.
                reading.backup(writing, pages=-1)
                # The copy stands alone, without files beside it.
                writing.execute("PRAGMA journal_mode = DELETE")
            target.chmod(0o600)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"cannot copy {source} to {target}: {error}") from error
    return summary(target)


def summary(path: Path) -> Summary:
    """Raises StorageError."""
    with closing(_open(path)) as connection:
        try:
            (revision,) = connection.execute("SELECT coalesce(max(revision), 0) FROM log").fetchone()
            last = "SELECT deleted, max(revision) FROM log GROUP BY key"
            (objects,) = connection.execute(f"SELECT count(*) FROM ({last}) WHERE NOT deleted").fetchone()
        except sqlite3.Error as error:
            raise StorageError(f"cannot read {path}: {error}") from error
    return Summary(revision, objects, path.stat().st_size)


def check(path: Path, transformers: Transformers | None = None) -> Iterator[str]:
    """What is wrong with a file, at most PROBLEMS_LIMIT things. Raises StorageError for one that cannot be read at all.

    Without `transformers`, encrypted objects are not looked into.
    """
    with closing(_open(path)) as connection:
        problems = _problems(connection, transformers)
        yield from itertools.islice(problems, PROBLEMS_LIMIT)
        if next(problems, None) is not None:
            yield "and more"


def _problems(connection: sqlite3.Connection, transformers: Transformers | None) -> Iterator[str]:
    try:
        for (text,) in connection.execute(f"PRAGMA integrity_check({PROBLEMS_LIMIT})"):
            if text != "ok":
                yield text
        (reserved,) = connection.execute("SELECT coalesce(max(value), 0) FROM meta WHERE name = 'reserved'").fetchone()
        last = 0
        for revision, key, created, data in connection.execute(
            "SELECT revision, key, created, data FROM log ORDER BY revision"
        ):
            last = revision
            if not key.startswith("/registry/"):
                yield f"revision {revision}: the key {key!r} is none of the API's"
            if not 0 < created <= revision:
                yield f"revision {revision} of {key}: created at revision {created}"
            yield from (f"revision {revision} of {key}: {text}" for text in _object_problems(revision, key, data, transformers))
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > 1:
            yield from _history_problems(connection, transformers)
        if last > reserved:
            yield f"revision {last} is beyond those that are reserved ({reserved})"
    except sqlite3.Error as error:
        yield f"the file is damaged: {error}"


def _history_problems(connection: sqlite3.Connection, transformers: Transformers | None) -> Iterator[str]:
    rows = connection.execute("SELECT revision, ended, key, data FROM history ORDER BY id")
    before = 0
    for revision, ended, key, data in rows:
        if not before <= ended or revision > ended:
            yield f"revision {revision} of {key}, in the history: ended at revision {ended}"
        before = ended
        if data != PURGED:
            problems = _object_problems(revision, key, data, transformers)
            yield from (f"revision {revision} of {key}, in the history: {text}" for text in problems)
    known = "author = 0 OR author IN (SELECT id FROM authors)"
    for table in ("log", "history"):
        for revision, author in connection.execute(f"SELECT revision, author FROM {table} WHERE NOT ({known})"):
            yield f"revision {revision}: its author ({author}) is not known"


def _object_problems(revision: int, key: str, data: bytes, transformers: Transformers | None) -> Iterator[str]:
    if transformers is not None:
        try:
            data, _ = transformers.decode(key, data)
        except EncryptionError as error:
            yield f"it cannot be read: {error}"
            return
    elif data.startswith(ENCRYPTED):
        return
    try:
        metadata = orjson.loads(data)["metadata"]
        if metadata["resourceVersion"] != str(revision):
            yield f"the object says that it is revision {metadata['resourceVersion']}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        yield "the object is damaged"


def advance(path: Path, skipped: int = REVISIONS_SKIPPED) -> None:
    """Let revisions go on far beyond those of the file, and no watch begin before. Raises StorageError."""
    try:
        with closing(sqlite3.connect(path)) as connection, connection:
            (last,) = connection.execute("SELECT coalesce(max(revision), 0) FROM log").fetchone()
            marks = [(name, last + skipped) for name in ("reserved", "compacted")]
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", marks)
    except sqlite3.Error as error:
        raise StorageError(f"cannot write to {path}: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise StorageError(f"{path} is not there")
    connection = None
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise StorageError(f"{path} is no database of navarch")
        if version > FORMAT_VERSION:
            raise StorageError(f"{path} has format {version}, this navarch reads up to {FORMAT_VERSION}")
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error):
            raise StorageError(f"cannot read {path}: {error}") from error
        raise
    return connection
