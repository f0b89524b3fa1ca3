"""What is stored, and its changes: an object's version, an entry of the log, and what is to become one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from navarch.apimachinery.errors import Object
from navarch.storage.author import SERVER, Author

Dropped = tuple[int, int]
"""The revision of a version, and that of the change that ended it; a deletion ends with itself."""


class Record:
    """One version of one object, encoded."""

    __slots__ = ("created", "data", "key", "revision")

    def __init__(self, key: str, data: bytes, revision: int, created: int) -> None:
        self.key = key
        self.data = data
        """JSON, with `metadata.resourceVersion` in it."""
        self.revision = revision
        self.created = created
        """Revision of the object's creation."""

    def object(self) -> Object:
        """Decoded anew; nobody else holds it."""
        decoded: Object = orjson.loads(self.data)
        return decoded


class Change:
    """One entry of the log: an object created, changed or deleted."""

    __slots__ = (
        "_forms",
        "_is_recent",
        "_line",
        "_object",
        "author",
        "deleted",
        "previous",
        "published_seconds",
        "record",
        "revision",
    )

    def __init__(
        self, record: Record, previous: Record | None, deleted: bool, obj: Object | None = None, author: Author = SERVER
    ) -> None:
        self.record = record
        """The new version; of a deletion the last one, carrying the deletion's revision."""
        self.revision = record.revision
        self.previous = previous
        self.deleted = deleted
        self.author = author
        self._object = obj
        self._line: bytes | None = None
        self._forms: dict[str, bytes] | None = None
        self._is_recent = False
        """Whether what is made of it is kept for others who ask. Whoever goes through the history must not fill memory."""
        self.published_seconds = 0.0

    @property
    def type(self) -> str:
        return "DELETED" if self.deleted else "ADDED" if self.previous is None else "MODIFIED"

    @property
    def object(self) -> Object:
        """Decoded, shared: must not be mutated."""
        found = self._object
        if found is None:
            found = self.record.object()
            if self._is_recent:
                self._object = found
        return found

    @property
    def line(self) -> bytes:
        """The watch event as it goes to every watcher that takes the whole object."""
        found = self._line
        if found is None:
            found = b'{"type":"%b","object":%b}\n' % (self.type.encode(), self.record.data)
            if self._is_recent:
                self._line = found
        return found

    def form(self, name: str, make: Callable[[Change], bytes]) -> bytes:
        """Another form in which watchers take it, made once."""
        if not self._is_recent:
            return make(self)
        if self._forms is None:
            self._forms = {}
        found = self._forms.get(name)
        if found is None:
            found = self._forms[name] = make(self)
        return found

    def keep_decoded(self) -> None:
        """Those who watch are about to have it."""
        self._is_recent = True

    def forget_decoded(self) -> None:
        """Keep only bytes, once those who watch have had it."""
        self._is_recent = False
        self._object = self._line = self._forms = None


# Not frozen: making one would take as long as the change itself.
@dataclass(slots=True, eq=False)
class Write:
    """One change that is to be made; nobody changes it."""

    prefix: str
    key: str
    data: Callable[[int | None], bytes]
    """Is given the change's revision and returns the encoded object; None: without it, where the store adds it itself."""
    base: Record | None
    """The version that was read; None: there must be none."""
    obj: Object | None = None
    """The object, decoded, where it is at hand."""
    deletes: bool = False
