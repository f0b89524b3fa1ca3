"""The objects of one resource in memory, in the order of their keys."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache

from navarch.storage.changes import Record
from navarch.storage.labelindex import LabelIndex
from navarch.storage.watchers import Watchers

# Fewer objects are looked at one by one.
LABELLED_MIN = 200
# Namespaces' parts of collections.
PREFIXES_REMEMBERED = 4096


class Collection:
    """The objects under one prefix (one resource), in key order."""

    __slots__ = ("_labels", "_order", "prefix", "records", "revision", "watchers")

    def __init__(self, prefix: str, revision: int) -> None:
        self.prefix = prefix
        self.records: dict[str, Record] = {}
        self._order: list[str] | None = None
        self._labels: LabelIndex | None = None
        """Made when it is first of use."""
        self.watchers = Watchers(prefix)
        self.revision = revision
        """Of the last change in here, or the one since which changes are known."""

    def put(self, record: Record) -> None:
        if self._order is not None and record.key not in self.records:
            self._order = None
        if self._labels is not None:
            self._labels.changed(record.key, self.records.get(record.key), record)
        self.records[record.key] = record

    def remove(self, key: str) -> None:
        removed = self.records.pop(key, None)
        if removed is not None:
            self._order = None
            if self._labels is not None:
                self._labels.changed(key, removed, None)

    def keys(self) -> list[str]:
        """All keys, sorted; do not change the list."""
        if self._order is None:
            self._order = sorted(self.records)
        return self._order

    def range(self, prefix: str, after: str = "", labels: Sequence[bytes] = ()) -> list[Record]:
        """Records whose keys start with `prefix`, which ends in a slash, and come after `after`, in order.

        Those that have not all of the `labels` (each as it is encoded) may be left out.
        """
        if not self.records:
            return []
        keys, records = self.keys(), self.records
        # What comes behind a slash comes before the character after the slash.
        end = len(keys) if prefix == self.prefix else bisect_left(keys, prefix[:-1] + chr(ord("/") + 1))
        start = 0 if prefix == self.prefix and not after else bisect_right(keys, max(prefix, after))
        if labels and end - start >= LABELLED_MIN:
            if self._labels is None:
                self._labels = LabelIndex(keys)
            if self._labels.complete(records) and len(chosen := self._labels.having(labels)) < end - start:
                return [records[key] for key in sorted(chosen) if key.startswith(prefix) and key > after]
        return [records[key] for key in keys[start:end]]


def collection_prefix(key: str) -> str:
    """``/registry/pods/`` of ``/registry/pods/ns/name``; what is below ``services`` or a group keeps two parts."""
    return _prefix(key[: key.rindex("/") + 1])


@lru_cache(PREFIXES_REMEMBERED)
def _prefix(directory: str) -> str:
    parts = directory.split("/", 4)
    if parts[2] in _TWO_PART or "." in parts[2]:
        return f"/{parts[1]}/{parts[2]}/{parts[3]}/"
    return f"/{parts[1]}/{parts[2]}/"


# Kubernetes' own layout has two resources below services, and custom resources below their group, which has a dot in its name.
_TWO_PART = frozenset({"services"})
