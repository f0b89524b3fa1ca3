"""The disk under a simulated control plane: a backend that remembers what was made durable, and can be slow or full.

Taking time is real to the cluster: a commit on the event loop holds up everything in its process, one in a thread does not
(`loop.SimulatedLoop.spend`), as with any disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from navarch.storage.backend import Marks, StorageFullError, StorageUnavailableError
from navarch.storage.changes import Change, Dropped, Record
from navarch.storage.encryption.transformers import Transformers


class Disk:
    """A `Backend`, as long as the simulation lives: what is closed can be opened again."""

    history = None
    size_bytes = 0

    def __init__(self, spend: Callable[[float], None]) -> None:
        """`spend`: let so many seconds pass for who writes."""
        self._spend = spend
        self._log: dict[int, Change] = {}
        """By revision."""
        self._marks = Marks()
        self.is_full = False
        self.is_off = False
        """Whether whoever writes has lost power: nothing is stored any more."""
        self.sync_seconds = 0.0
        """What making something durable takes."""

    def load(self) -> Iterator[tuple[Record, bool]]:
        for revision in sorted(self._log):
            change = self._log[revision]
            yield change.record, change.deleted

    def marks(self) -> Marks:
        return self._marks

    def append(self, changes: Sequence[Change], reserved: int | None = None) -> None:
        if self.is_off:
            raise StorageUnavailableError("the disk is off")
        if self.sync_seconds:
            self._spend(self.sync_seconds)
        if self.is_full and changes:
            raise StorageFullError("no space left on device")
        for change in changes:
            self._log[change.revision] = change
        if reserved is not None:
            self._marks = Marks(reserved, self._marks.compacted)

    def forget(self, dropped: Sequence[Dropped], compacted: int) -> None:
        if self.is_off:
            raise StorageUnavailableError("the disk is off")
        for revision, _ in dropped:
            self._log.pop(revision, None)
        self._marks = Marks(self._marks.reserved, compacted)

    def purge(self, key: str) -> int:
        return 0

    def reencrypt(self, transformers: Transformers) -> None:
        """It has no bytes."""

    def close(self) -> None:
        """Nothing is held."""
