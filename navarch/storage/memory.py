"""A backend that keeps nothing: for tests and simulations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from navarch.storage.backend import Marks
from navarch.storage.changes import Change, Dropped, Record
from navarch.storage.encryption.transformers import Transformers


class MemoryBackend:
    """Accepts everything, remembers nothing."""

    history = None
    size_bytes = 0

    def load(self) -> Iterator[tuple[Record, bool]]:
        return iter(())

    def marks(self) -> Marks:
        return Marks()

    def append(self, changes: Sequence[Change], reserved: int | None = None) -> None:
        pass

    def forget(self, dropped: Sequence[Dropped], compacted: int) -> None:
        pass

    def purge(self, key: str) -> int:
        return 0

    def reencrypt(self, transformers: Transformers) -> None:
        pass

    def close(self) -> None:
        pass
