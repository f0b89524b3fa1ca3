"""Copies SQLite's write-ahead log into its file beside the writer, who would otherwise do it inside of a commit.

What is committed is copied and synced a little at a time while the writer goes on: the disk does one thing after the other, and
a commit's sync that comes behind that of many megabytes waits for tens of milliseconds. Only where all has been copied and
nothing came after may the next commit begin the log anew: so from time to time a last pass, of a few pages, is done while the
writer waits. The log stays bounded, and no commit waits for much.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from pathlib import Path

logger = logging.getLogger(__name__)

# So much is committed before it is copied and synced.
PASS_BYTES = 256 * 1024
# So much before the log may begin anew: seldom enough that few commits meet a last pass.
DUE_BYTES = 8 * 1024 * 1024
# What a row costs beside its data: part of a page of the tree, frame headers.
ROW_BYTES = 1024


class Checkpointer:
    """A thread with a connection of its own. Commits happen while `gate` is held."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error, OSError."""
        self.gate = threading.Lock()
        self.copying = threading.Lock()
        """Held during a checkpoint. Who takes both takes this first."""
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # Closed only behind every connection: closing any descriptor of a file gives up the process's locks on it.
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._committed_bytes = self._copied_bytes = self._begun_bytes = 0
        """What has ever come into the log: altogether, until the last pass, and until it last began anew."""
        self._due = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def committed(self, size_bytes: int) -> None:
        """So much has come into the log. To be called after each commit."""
        self._committed_bytes += size_bytes
        if self._committed_bytes - self._copied_bytes >= PASS_BYTES:
            self._due.set()

    def end(self) -> None:
        """Finish what is under way. `release` must follow, once nobody has the file open any more."""
        self._ending = True
        self._due.set()
        self._thread.join()
        self._connection.close()

    def release(self) -> None:
        os.close(self._file)

    def _run(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            if self._ending:
                return
            try:
                with self.copying:
                    self._checkpoint()
            except (sqlite3.Error, OSError) as error:
                # Nothing is lost: it all is in the log. The next try comes with the next commits.
                logger.error("the write-ahead log of %s stays as it is until the next try: %s", self._path, error)

    def _checkpoint(self) -> None:
        self._copied_bytes = self._committed_bytes
        self._copy()
        # Without this a later sync would have all of it to write.
        os.fdatasync(self._file)
        if self._copied_bytes - self._begun_bytes >= DUE_BYTES:
            with self.gate:
                self._copied_bytes = self._begun_bytes = self._committed_bytes
                self._copy()

    def _copy(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
