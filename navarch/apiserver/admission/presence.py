"""Whether there is any object of a kind: where there is none, the plugin that looks for them need not be asked."""

from __future__ import annotations

from collections.abc import Callable

from navarch.api.kind import Kind
from navarch.storage.changes import Change
from navarch.storage.store import Store


class Presence:
    """Follows the objects of one kind."""

    def __init__(self, store: Store, kind: Kind, on_change: Callable[[], None]) -> None:
        self._store = store
        self._prefix = kind.key_prefix
        self._on_change = on_change
        self.is_any = self._look()
        store.watch(self._prefix, self._prefix, store.revision, self._changed)

    def _look(self) -> bool:
        return bool(self._store.collection(self._prefix).records)

    def _changed(self, changes: list[Change]) -> None:
        before, self.is_any = self.is_any, self._look()
        if self.is_any != before:
            self._on_change()
