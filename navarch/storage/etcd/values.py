"""Values as etcd holds them: an object's JSON without `metadata.resourceVersion`, which is the key's own revision."""

from __future__ import annotations

import re

import orjson

# How nearly every object begins.
_BEGINNING = re.compile(rb'\{(?:"(?:apiVersion|kind)":"[^"\\]*",){0,2}"metadata":\{(?=")')


def with_revision(value: bytes, revision: int) -> bytes:
    """An object's compact JSON with its revision. Raises ValueError for what is no object."""
    beginning = _BEGINNING.match(value)
    # What is not compact was written by hand.
    if beginning is not None and b'"resourceVersion":' not in value and b'": ' not in value and b"\n" not in value:
        end = beginning.end()
        return b'%b"resourceVersion":"%d",%b' % (value[:end], revision, value[end:])
    obj = orjson.loads(value)
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
        raise ValueError("this is no API object")
    obj["metadata"]["resourceVersion"] = str(revision)
    # orjson's result keeps the buffer it grew; a copy through memoryview has just its size.
    return bytes(memoryview(orjson.dumps(obj)))
