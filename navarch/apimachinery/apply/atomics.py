"""Where a value has what is managed only as a whole: lists and objects that a schema declares atomic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from navarch.apimachinery.schema import Schema


def paths(schema: Schema, value: Any, path: str = "") -> Iterator[str]:
    """``.spec.template.spec.containers[0].args`` … Keys of maps are not looked below, as upstream does not."""
    if isinstance(value, dict) and schema.type in ("struct", "map"):
        if schema.is_atomic_map:
            yield path
        if schema.type == "struct":
            for key, item in value.items():
                below = schema.properties.get(key)
                if below is not None:
                    yield from paths(below, item, f"{path}.{key}")
    elif isinstance(value, list) and schema.type == "list":
        if schema.list_type == "atomic":
            yield path
        for index, item in enumerate(value):
            yield from paths(schema.element, item, f"{path}[{index}]")
