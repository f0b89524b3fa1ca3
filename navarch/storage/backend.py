"""What a backend does: append to the log, load it, forget what is no longer needed. Everything else is in `mvcc`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from navarch.storage.mvcc import Change


class StorageError(Exception):
    """The backend could not do what it was asked to; the text says what and why. Nothing of the batch was stored."""


class StorageUnavailableError(StorageError):
    """What keeps the data is away at the moment."""


class StorageFullError(StorageError):
    """There is no space left for the batch."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Two revisions kept beside the log."""

    reserved: int = 0
    """Revisions up to this one may have been handed out, whether or not the log holds them."""
    compacted: int = 0
    """The log is complete only after this revision."""


class Backend(Protocol):
    """A log of changes. Methods block; all are called from one thread at a time."""

    def load(self) -> Iterator[Change]:
        """Every retained change, oldest first."""

    def marks(self) -> Marks:
        """What was noted beside the log."""

    def append(self, changes: Sequence[Change], reserved: int | None = None) -> None:
        """Store all of `changes`, and the mark `reserved` if given, durably, or nothing. Raises StorageError."""

    def forget(self, revisions: Sequence[int], compacted: int) -> None:
        """Remove these entries and note the mark `compacted`; need not be durable. Raises StorageError."""

    def close(self) -> None:
        """Give back what it holds."""
