"""Protobuf messages of stored objects: encoded when first asked for, those used last kept."""

from __future__ import annotations

from collections import OrderedDict

from navarch.api import schemas
from navarch.api.kind import Kind
from navarch.api.protobuf import encoder
from navarch.storage.changes import Record

LIMIT_BYTES = 32 * 1024 * 1024
"""Of messages that are kept, so that the longest lists that are likely fit in: one that does not is encoded anew each time."""


class Encodings:
    """Messages by record, for each kind in which it is served."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._messages: OrderedDict[tuple[Kind, Record], bytes] = OrderedDict()
        self._bytes = 0

    def message(self, kind: Kind, record: Record) -> bytes:
        """The message of an object as `kind` serves it."""
        key = (kind, record)
        found = self._messages.get(key)
        if found is not None:
            self._messages.move_to_end(key)
            return found
        found = encoder.message(kind.from_stored(record.object()), schemas.definition_name(kind))
        self._messages[key] = found
        self._bytes += len(found)
        while self._bytes > self._limit_bytes:
            _, dropped = self._messages.popitem(last=False)
            self._bytes -= len(dropped)
        return found

    def has(self, kind: Kind, record: Record) -> bool:
        """Whether its message is at hand."""
        return (kind, record) in self._messages
