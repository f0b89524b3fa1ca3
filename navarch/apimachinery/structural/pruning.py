"""Pruning and defaulting: what of a value its schema lets be, and what it puts where nothing stands."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.structural.walking import (
    EMBEDS,
    META_FIELDS,
    PRESERVES,
    Schema,
    allows_more,
    items,
    properties,
    values,
)

_NOTHING: Schema = {}


def copied(value: Any) -> Any:
    """A deep copy of JSON."""
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def pruned(value: Any, schema: Schema | None, unknown: list[str], *, is_root: bool = False, path: str = "") -> Any:
    """A new tree of what of `value` the schema knows; paths of what it does not are added to `unknown`, sorted.

    `is_root`: it is a whole object, whose apiVersion, kind and metadata are its own, whatever the schema says.
    """
    found: list[str] = []
    result = _pruned(value, schema, found, path, embeds=is_root)
    unknown += sorted(found)
    return result


def _pruned(value: Any, schema: Schema | None, unknown: list[str], path: str, *, embeds: bool = False) -> Any:
    """Without a schema nothing inside is known."""
    if isinstance(value, list):
        below = items(schema) if schema is not None else None
        if schema is not None and below is None and schema.get(PRESERVES):
            return copied(value)
        return [_pruned(item, below, unknown, f"{path}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    schema = schema if schema is not None else _NOTHING
    embeds = embeds or bool(schema.get(EMBEDS))
    preserves, known, others = schema.get(PRESERVES), properties(schema), values(schema)
    result = {}
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        if embeds and key in META_FIELDS:
            result[key] = copied(item)
        elif key in known:
            result[key] = _pruned(item, known[key], unknown, where)
        elif allows_more(schema):
            result[key] = _pruned(item, others, unknown, where)
        elif preserves:
            result[key] = copied(item)
        else:
            unknown.append(where)
    return result


def drop_nulls(value: Any, schema: Schema | None) -> None:
    """Take out of a tree that nobody else holds the nulls that may not be, and for which no default stands in."""
    if schema is None:
        return
    if isinstance(value, list):
        for item in value:
            drop_nulls(item, items(schema))
    elif isinstance(value, dict):
        known, others = properties(schema), values(schema)
        for key, item in list(value.items()):
            below = known.get(key, others)
            if below is None:
                continue
            if item is None and not below.get("nullable") and below.get("default") is None:
                del value[key]
            else:
                drop_nulls(item, below)


def set_defaults(value: Any, schema: Schema | None) -> None:
    """Put the schema's defaults into a tree that nobody else holds."""
    if schema is None:
        return
    if isinstance(value, list):
        below = items(schema)
        for index, item in enumerate(value):
            if _is_missing(item, below):
                value[index] = copied((below or _NOTHING).get("default"))
            set_defaults(value[index], below)
    elif isinstance(value, dict):
        known, others = properties(schema), values(schema)
        for key, below in known.items():
            default = below.get("default")
            if default is not None and (key not in value or _is_missing(value[key], below)):
                value[key] = copied(default)
        for key, item in value.items():
            if key in known:
                set_defaults(item, known[key])
            elif others is not None:
                if _is_missing(item, others):
                    value[key] = copied(others.get("default"))
                set_defaults(value[key], others)


def _is_missing(value: Any, schema: Schema | None) -> bool:
    """Whether null stands where the schema does not let it."""
    return value is None and schema is not None and not schema.get("nullable")


def has_defaults(schema: Schema | None) -> bool:
    """Whether a value of the schema may get anything."""
    if schema is None:
        return False
    below = (*properties(schema).values(), items(schema), values(schema))
    return schema.get("default") is not None or any(has_defaults(each) for each in below)
