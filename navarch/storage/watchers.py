"""Who watches a collection, and whom a change concerns, found without looking at the others: pure.

Who watches one object, one namespace, or the objects in which a field has a value, is found by a *term*; so is what is
retained, for who begins at an earlier revision. By a field's value one may be told too much (something else in an object has
that name and value), never too little: who watches looks at the objects. The index of a field is made when it is first of use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from navarch.storage.batch import Batch
from navarch.storage.changes import Change


class Term(NamedTuple):
    """A value by which watchers are found."""

    field: bytes
    """How a field of strings begins where it is encoded, such as ``"nodeName":"``; or one of those below."""
    value: bytes | str


KEY, FOLDER = b"", b"/"
"""The key of one object; and what keys begin with, up to their last slash: a namespace."""


@dataclass(slots=True, eq=False)
class Watcher:
    """Somebody who is told of changes under a prefix. `deliver` is called with the changes of one commit, in order."""

    prefix: str
    """Of a collection or a namespace, which end in a slash; or one object's key."""
    deliver: Callable[[list[Change]], None]
    expire: Callable[[], None] | None = None
    """Is called, as the last, where it is not known what came after a revision (see `MVCC.replace`)."""
    term: Term | None = None
    """Those that do not have it may be left out."""


class Watchers:
    """Those of one collection, in the order in which they began."""

    __slots__ = ("_all", "_indices", "_of_everything", "_prefix")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._all: dict[Watcher, None] = {}
        self._of_everything: dict[Watcher, None] = {}
        self._indices: dict[bytes, _Index] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Watcher]:
        return iter(self._all)

    def term(self, watcher: Watcher) -> Term | None:
        """By what it is found."""
        prefix = watcher.prefix
        if not prefix.endswith("/"):
            return Term(KEY, prefix)
        return watcher.term or (Term(FOLDER, prefix) if prefix != self._prefix else None)

    def add(self, watcher: Watcher) -> None:
        self._all[watcher] = None
        term = self.term(watcher)
        if term is None:
            self._of_everything[watcher] = None
        else:
            self._indices[term.field].watchers.setdefault(term.value, {})[watcher] = None

    def remove(self, watcher: Watcher) -> None:
        if watcher not in self._all:
            return
        del self._all[watcher]
        term = self.term(watcher)
        if term is None:
            del self._of_everything[watcher]
            return
        watchers = self._indices[term.field].watchers
        del watchers[term.value][watcher]
        if not watchers[term.value]:
            del watchers[term.value]

    def backlog(self, watcher: Watcher, since: int, retained: Iterable[Change]) -> list[Change]:
        """What it is to be told of what was published after a revision; `retained` are all changes there are, newest first."""
        term, prefix = self.term(watcher), watcher.prefix
        if term is not None:
            index = self._indices.get(term.field)
            if index is None:
                index = self._indices[term.field] = _Index(term.field)
                index.take([change for change in retained if change.record.key.startswith(self._prefix)][::-1])
            retained = reversed(index.changes.get(term.value, ()))
        newer = takewhile(lambda change: change.revision > since, retained)
        return [change for change in newer if change.record.key.startswith(prefix)][::-1]

    def concerned(self, changes: Batch[Change]) -> Iterator[tuple[Watcher, Batch[Change]]]:
        """Take in what is published in one commit: whom it concerns, and what of it. Who is told the same gets one batch."""
        yield from ((watcher, changes) for watcher in list(self._of_everything))
        for index in self._indices.values():
            for value, found in index.take(changes).items():
                for watcher in list(index.watchers.get(value, ())):
                    if watcher.term is None or watcher.prefix == self._prefix:
                        yield watcher, found
                    elif mine := [change for change in found if change.record.key.startswith(watcher.prefix)]:
                        yield watcher, Batch(mine)

    def forget(self, changes: list[Change]) -> None:
        """The oldest of those that were retained are not any more."""
        for index in self._indices.values():
            index.forget(changes)

    def forget_everything(self) -> None:
        """Nothing is retained any more."""
        for index in self._indices.values():
            index.changes.clear()


class _Index:
    """Watchers and retained changes (oldest first) by the values of one field."""

    __slots__ = ("_field", "changes", "watchers")

    def __init__(self, field: bytes) -> None:
        self._field = field
        self.watchers: dict[bytes | str, dict[Watcher, None]] = {}
        self.changes: dict[bytes | str, list[Change]] = {}

    def take(self, changes: list[Change]) -> dict[bytes | str, Batch[Change]]:
        """Those changes, by value."""
        found: dict[bytes | str, Batch[Change]] = {}
        for change in changes:
            for value in self._values(change):
                found.setdefault(value, Batch()).append(change)
        for value, mine in found.items():
            self.changes.setdefault(value, []).extend(mine)
        return found

    def forget(self, changes: list[Change]) -> None:
        for value, count in Counter(value for change in changes for value in self._values(change)).items():
            kept = self.changes[value]
            del kept[:count]
            if not kept:
                del self.changes[value]

    def _values(self, change: Change) -> Iterable[bytes | str]:
        key = change.record.key
        if self._field == KEY:
            return (key,)
        if self._field == FOLDER:
            return (key[: key.rfind("/") + 1],)
        # Also where the object was found before: who watches there is told that it is gone.
        found = dict.fromkeys(_encoded(self._field, change.record.data))
        if change.previous is not None:
            found.update(dict.fromkeys(_encoded(self._field, change.previous.data)))
        return found


def _encoded(beginning: bytes, data: bytes) -> Iterator[bytes]:
    """All values that stand behind it. A quote in a string is escaped, so it is found only where a field begins."""
    at = data.find(beginning)
    while at >= 0:
        start = at + len(beginning)
        end = data.find(b'"', start)
        yield data[start:end]
        at = data.find(beginning, end)
