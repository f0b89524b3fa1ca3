"""What a backend does: append to the log, load it, forget what is no longer needed. Everything else is in `mvcc`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from navarch.storage.author import Author
from navarch.storage.changes import Change, Dropped, Record
from navarch.storage.encryption.transformers import Transformers


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


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, past or present; of a deletion the last one, carrying the deletion's revision."""

    record: Record
    deleted: bool
    written_ms: int | None
    """When it was stored, in milliseconds since 1970; None where that is not known."""
    author: Author


@dataclass(frozen=True, slots=True)
class Past:
    """Versions that have left the log."""

    records: list[Record]
    since: int
    """Of what had been replaced up to this revision, some is not there any more."""


class History(Protocol):
    """What a backend still knows of what it was told to forget. Methods block, at any time and in any thread."""

    def keeps(self, key: str) -> bool:
        """Whether anything is known of objects with such keys."""

    def alive(self, under: str, revision: int) -> Past:
        """Forgotten versions of `under` (a prefix that ends in a slash) that were there at a revision. Raises StorageError."""

    def versions(self, key: str, logged: Sequence[int]) -> list[Version]:
        """All versions of a key, oldest first: forgotten ones, and those of the log at `logged`. Raises StorageError."""

    def written_by(self, agent: str, since_ms: int, limit: int) -> list[Version]:
        """Changes by user agents that begin so, since a time, oldest first, at most so many. Raises StorageError."""


class Backend(Protocol):
    """A log of changes. Methods block; all are called from one thread at a time."""

    @property
    def history(self) -> History | None:
        """What it still knows of what it was told to forget, if anything."""

    @property
    def size_bytes(self) -> int:
        """How much it takes of a disk; 0 if it has nothing there."""

    def load(self) -> Iterator[tuple[Record, bool]]:
        """Every retained version, and whether it is a deletion; oldest first."""

    def marks(self) -> Marks:
        """What was noted beside the log."""

    def append(self, changes: Sequence[Change], reserved: int | None = None) -> None:
        """Store all of `changes`, and the mark `reserved` if given, durably, or nothing. Raises StorageError."""

    def forget(self, dropped: Sequence[Dropped], compacted: int) -> None:
        """Remove these entries and note the mark `compacted`; need not be durable. Raises StorageError."""

    def purge(self, key: str) -> int:
        """Remove for good what is in versions of a key that were forgotten; how many there were.

        Takes as long as writing everything anew. Raises StorageError.
        """

    def reencrypt(self, transformers: Transformers) -> None:
        """Store everything by `transformers`, and from now on all else.

        Takes as long as writing everything anew. Raises StorageError: for what they cannot read, before anything has changed.
        """

    def close(self) -> None:
        """Give back what it holds."""
