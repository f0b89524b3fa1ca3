"""Which objects of one resource have a label with a value, found without looking at the others: pure.

A label is looked for as it is encoded, ``"key":"value"``, and what is found may be too much (labels of a template), never too
little: whoever asks looks at the objects themselves. The index is made in steps, each by somebody who could have used it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import orjson

from navarch.storage.changes import Record

# Objects that one step takes in: some milliseconds.
STEP = 1000

_BEGINNING = b'"labels":{'
# How nearly every object begins. Nothing else in its metadata is called labels and is an object, so its labels come first then.
_METADATA_FIRST = re.compile(rb'\{(?:"(?:apiVersion|kind)":"[^"\\]*",){0,2}"metadata":\{')
_NONE: set[str] = set()


class LabelIndex:
    """Keys by label. To be told of every change."""

    __slots__ = ("_keys", "_missing")

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys: dict[bytes, set[str]] = {}
        self._missing = list(keys)
        """Keys that have not been looked at, unless they have changed since."""

    def complete(self, records: Mapping[str, Record]) -> bool:
        """Take in some more of what there is now; whether that is all."""
        if self._missing:
            for key in self._missing[-STEP:]:
                record = records.get(key)
                if record is not None:
                    self._add(key, _parts(record.data))
            del self._missing[-STEP:]
        return not self._missing

    def changed(self, key: str, before: Record | None, after: Record | None) -> None:
        old = _parts(before.data) if before is not None else []
        new = _parts(after.data) if after is not None else []
        # The commonest: only a status has changed.
        if old == new and not self._missing:
            return
        for label in _split(old):
            keys = self._keys.get(label)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._keys[label]
        self._add(key, new)

    def _add(self, key: str, parts: list[bytes]) -> None:
        for label in _split(parts):
            keys = self._keys.get(label)
            if keys is None:
                self._keys[label] = {key}
            else:
                keys.add(key)

    def having(self, wanted: Sequence[bytes]) -> set[str]:
        """Keys of all objects that have these labels, one at least, and perhaps of others. Do not change the set."""
        return min((self._keys.get(label, _NONE) for label in wanted), key=len)


def _split(parts: list[bytes]) -> Iterator[bytes]:
    for part in parts:
        yield from part.split(b",")


def _parts(data: bytes) -> list[bytes]:
    """The labels of an encoded object as they are encoded, between commas, and perhaps others that are in it."""
    at = data.find(_BEGINNING)
    if at < 0:
        return []
    is_first = _METADATA_FIRST.match(data) is not None
    found = []
    while at >= 0:
        start = at + len(_BEGINNING)
        end = data.find(b"}", start)
        part = data[start:end]
        if b"\\" in part or b"{" in part or part.count(b'"') & 1:
            # Not what labels may hold (the brace may be in one); what they are is seen by decoding it.
            own = orjson.loads(data)["metadata"].get("labels") or {}
            return [orjson.dumps(name) + b":" + orjson.dumps(value) for name, value in own.items()]
        if part:
            found.append(part)
        at = -1 if is_first else data.find(_BEGINNING, end)
    return found
