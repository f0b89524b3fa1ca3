"""Checkpoints beside the writer: the write-ahead log stays bounded while commits go on, and nothing is lost."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from navarch.storage import checkpoints
from navarch.storage.changes import Change, Record
from navarch.storage.sqlite import SQLiteBackend

DATA = b"x" * 3000


def batch(first: int, count: int = 20) -> list[Change]:
    return [
        Change(Record(f"/registry/pods/a/{number}", DATA, number, number), None, False)
        for number in range(first, first + count)
    ]


def test_the_log_is_begun_anew_while_commits_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "DUE_BYTES", 200_000)
    backend = SQLiteBackend(tmp_path / "navarch.db")
    log = tmp_path / "navarch.db-wal"
    written, largest = 0, 0
    while written < 40_000_000:
        backend.append(batch(written // len(DATA) + 1))
        written += 20 * len(DATA)
        largest = max(largest, log.stat().st_size)
    assert largest < written / 4
    backend.close()
    again = SQLiteBackend(tmp_path / "navarch.db")
    assert [record.revision for record, _ in again.load()] == list(range(1, written // len(DATA) + 1))
    again.close()


def test_nothing_of_a_checkpoint_happens_inside_of_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "DUE_BYTES", 1_000_000)
    backend = SQLiteBackend(tmp_path / "navarch.db")
    copied_by: set[str] = set()
    copy = checkpoints.Checkpointer._copy

    def noted(self: checkpoints.Checkpointer) -> None:
        copied_by.add(threading.current_thread().name)
        copy(self)

    monkeypatch.setattr(checkpoints.Checkpointer, "_copy", noted)
    assert backend._connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    revision = 1
    while not copied_by:
        backend.append(batch(revision))
        revision += 20
    backend.close()
    assert copied_by == {"checkpoints"}


def test_what_is_committed_is_copied_a_little_at_a_time(tmp_path: Path) -> None:
    """Long before so much has come that the log has to begin anew: what then is left to sync is little, too."""
    assert 8 * checkpoints.PASS_BYTES < checkpoints.DUE_BYTES
    backend = SQLiteBackend(tmp_path / "navarch.db")
    count = checkpoints.PASS_BYTES // len(DATA) + 1
    until = time.monotonic() + 30
    for number in range(4):
        backend.append(batch(number * count + 1, count))
        while (tmp_path / "navarch.db").stat().st_size < (number + 1) * checkpoints.PASS_BYTES:
            assert time.monotonic() < until
            time.sleep(0.001)
    backend.close()


def test_a_reader_that_stays_only_delays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup reads one snapshot for as long as it takes."""
    monkeypatch.setattr(checkpoints, "DUE_BYTES", 200_000)
    backend = SQLiteBackend(tmp_path / "navarch.db")
    backend.append(batch(1))
    reader = sqlite3.connect(tmp_path / "navarch.db", isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM log").fetchone() == (20,)
    for number in range(1, 100):
        backend.append(batch(number * 20 + 1))
    assert reader.execute("SELECT count(*) FROM log").fetchone() == (20,)
    reader.close()
    before = (tmp_path / "navarch.db-wal").stat().st_size
    for number in range(100, 300):
        backend.append(batch(number * 20 + 1))
    assert (tmp_path / "navarch.db-wal").stat().st_size < 2 * before
    backend.close()
