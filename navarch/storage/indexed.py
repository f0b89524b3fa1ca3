"""What stores have in common: everything that is read is read from the index in memory."""

from __future__ import annotations

from collections.abc import Callable

from navarch.apimachinery.errors import Object
from navarch.storage.changes import Change, Record
from navarch.storage.collection import Collection
from navarch.storage.mvcc import MVCC
from navarch.storage.watchers import Term, Watcher


class IndexedStore:
    """The reading half of a `Store`."""

    def __init__(self) -> None:
        self.index = MVCC()

    @property
    def revision(self) -> int:
        return self.index.revision

    @property
    def compacted(self) -> int:
        return self.index.compacted

    def collection(self, prefix: str) -> Collection:
        return self.index.collection(prefix)

    def get(self, prefix: str, key: str) -> Record | None:
        return self.index.get(prefix, key)

    def latest(self, prefix: str, key: str) -> Record | None:
        # Where nothing is staged this is what is published.
        return self.index.latest(prefix, key)

    def decoded(self, record: Record) -> Object:
        return self.index.decoded(record)

    def watch(
        self,
        prefix: str,
        under: str,
        since: int,
        deliver: Callable[[list[Change]], None],
        expire: Callable[[], None] | None = None,
        term: Term | None = None,
    ) -> Watcher:
        return self.index.watch(prefix, under, since, deliver, expire, term)

    def unwatch(self, prefix: str, watcher: Watcher) -> None:
        self.index.unwatch(prefix, watcher)
