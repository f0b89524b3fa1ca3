"""Makes what is in SQLite's file unreadable for good: stores it by other keys, and leaves nothing of what it was.

SQLite overwrites little of what it deletes: old contents stay in free pages, in gaps within pages, and in the write-ahead log.
So after what must not stay has gone, the whole file is built anew and the log is emptied. What remains is outside of the
file's reach: copies of it, and blocks of the disk that the file no longer uses.
"""

from __future__ import annotations

import logging
import sqlite3

from navarch.storage.encryption.providers import EncryptionError
from navarch.storage.encryption.transformers import Transformers
from navarch.storage.history import PURGED, HistoryWriter, Retention

logger = logging.getLogger(__name__)

# So many rows are in memory at once.
STEP = 200
_TABLES = (("log", "revision"), ("history", "id"))
MARK = "encryption"
"""By what everything is stored (`Transformers.fingerprint`); it is not there while all has always been stored as it is."""
# No fingerprint: those are odd, or 0.
_UNCLEAN = -2


def rewrite(connection: sqlite3.Connection, transformers: Transformers) -> None:
    """Store everything by `transformers`, unless it is. Raises EncryptionError for what cannot be read, sqlite3.Error."""
    if restore(connection, transformers):
        clean(connection, transformers)


def restore(connection: sqlite3.Connection, transformers: Transformers) -> bool:
    """Store everything by `transformers`; how it was may still be in the file. False: it is stored so.

    Raises EncryptionError for what cannot be read, sqlite3.Error: then nothing has changed.
    """
    wanted = transformers.fingerprint
    found = connection.execute("SELECT value FROM meta WHERE name = ?", (MARK,)).fetchone()
    if (found[0] if found else 0) == wanted:
        return False
    connection.execute("BEGIN IMMEDIATE")
    try:
        for table, number in _TABLES:
            _rewrite(connection, transformers, table, number)
        HistoryWriter(connection, Retention()).measured()
        _mark(connection, _UNCLEAN)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return True


def clean(connection: sqlite3.Connection, transformers: Transformers) -> None:
    """Leave nothing of how things were stored before `restore`. Raises sqlite3.Error."""
    if scrub(connection):
        _mark(connection, transformers.fingerprint)
    else:
        # The next start does it.
        logger.warning("what was stored otherwise is still in free space of the file: somebody reads it (a backup?)")


def _mark(connection: sqlite3.Connection, value: int) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (MARK, value))


def _rewrite(connection: sqlite3.Connection, transformers: Transformers, table: str, number: str) -> None:
    last = 0
    query = f"SELECT {number}, key, revision, data FROM {table} WHERE {number} > ? ORDER BY {number} LIMIT ?"
    while rows := connection.execute(query, (last, STEP)).fetchall():
        stored = []
        for place, key, revision, data in rows:
            if data == PURGED:
                continue
            try:
                plain, is_stale = transformers.decode(key, data)
            except EncryptionError as error:
                raise EncryptionError(f"{key} at revision {revision} cannot be read: {error}") from error
            if is_stale:
                stored.append((transformers.encode(key, plain), place))
        connection.executemany(f"UPDATE {table} SET data = ? WHERE {number} = ?", stored)
        last = rows[-1][0]


def scrub(connection: sqlite3.Connection) -> bool:
    """Build the file anew, without what was deleted from it. Nobody else may write. False: not while somebody reads it.

    Raises sqlite3.Error.
    """
    # In memory: a temporary file would hold all of it once more.
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("VACUUM")
    (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not is_busy
