"""Lists that are sets or maps hold nothing twice (apiextensions-apiserver/pkg/apiserver/schema/listtype)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from navarch.apimachinery.errors import FieldError, duplicate, invalid_value
from navarch.apimachinery.structural.walking import LIST_MAP_KEYS, LIST_TYPE, Schema, items, properties, values


def repetitions(value: Any, schema: Schema | None, path: str = "") -> Iterator[FieldError]:
    """What is there twice that may not be."""
    if schema is None:
        return
    if isinstance(value, list):
        yield from _of_list(value, schema, path)
        below = items(schema)
        for index, item in enumerate(value):
            yield from repetitions(item, below, f"{path}[{index}]")
    elif isinstance(value, dict):
        known, others = properties(schema), values(schema)
        for key, item in sorted(value.items()):
            if others is not None:
                yield from repetitions(item, others, f"{path}[{key}]")
            elif key in known:
                yield from repetitions(item, known[key], f"{path}.{key}" if path else key)


def _of_list(value: list[Any], schema: Schema, path: str) -> Iterator[FieldError]:
    match schema.get(LIST_TYPE):
        case "set":
            keys: list[Any] = value
        case "map":
            for index, item in enumerate(value):
                if item is not None and not isinstance(item, dict):
                    yield invalid_value(f"{path}[{index}]", item, "must be an object for an array of list-type map")
                    return
            names = schema.get(LIST_MAP_KEYS) or ()
            keys = [{name: item[name] for name in names if name in item} if item else {} for item in value]
        case _:
            return
    seen: dict[bytes, int] = {}
    for index, key in enumerate(keys):
        encoded = orjson.dumps(key, option=orjson.OPT_SORT_KEYS)
        seen[encoded] = seen.get(encoded, 0) + 1
        # What is there three times is told of once.
        if seen[encoded] == 2:
            yield duplicate(f"{path}[{index}]", key)
