"""Where the schemas are that a schema is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
"""JSONSchemaProps."""

META_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
PRESERVES = "x-kubernetes-preserve-unknown-fields"
EMBEDS = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
LIST_TYPE, LIST_MAP_KEYS = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
MAP_TYPE = "x-kubernetes-map-type"
RULES = "x-kubernetes-validations"
JUNCTORS = ("allOf", "anyOf", "oneOf")


def properties(schema: Schema) -> dict[str, Schema]:
    return schema.get("properties") or {}


def items(schema: Schema) -> Schema | None:
    """The schema of a list's items."""
    found = schema.get("items")
    return found if isinstance(found, dict) else None


def values(schema: Schema) -> Schema | None:
    """The schema of a map's values, if it says anything about them."""
    found = schema.get("additionalProperties")
    return found if isinstance(found, dict) else None


def has_rules(schema: Schema) -> bool:
    """Whether there are rules in a schema, or in those of what its values are made of."""
    if schema.get(RULES):
        return True
    below = (items(schema), values(schema), *properties(schema).values())
    return any(each is not None and has_rules(each) for each in below)


def allows_more(schema: Schema) -> bool:
    """Whether there may be keys beside the properties: whether `additionalProperties` is there at all."""
    return "additionalProperties" in schema


def juncted(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """(path, schema) of those that a schema combines by allOf, anyOf, oneOf and not."""
    for name in JUNCTORS:
        for index, below in enumerate(schema.get(name) or ()):
            yield f"{path}.{name}[{index}]", below
    if schema.get("not") is not None:
        yield f"{path}.not", schema["not"]


def everything(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """(path, schema) of a schema and of all that it is made of, properties in order of their names."""
    yield path, schema
    below = schema.get("items")
    for index, item in enumerate(below if isinstance(below, list) else ()):
        yield from everything(item, f"{path}.items[{index}]")
    for name in ("items", "additionalProperties", "additionalItems"):
        found = schema.get(name)
        if isinstance(found, dict):
            yield from everything(found, f"{path}.{name}")
    for where, found in juncted(schema, path):
        yield from everything(found, where)
    for name in ("properties", "patternProperties", "definitions"):
        for key, found in sorted((schema.get(name) or {}).items()):
            yield from everything(found, f"{path}.{name}[{key}]")
