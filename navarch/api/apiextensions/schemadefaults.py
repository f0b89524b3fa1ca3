"""Defaults in a schema have to be what the schema lets a value be (apiextensions-apiserver/pkg/apiserver/schema/defaulting)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from navarch.api.apiextensions import embedded
from navarch.api.apiextensions.embedded import CoercionError
from navarch.apimachinery.errors import FieldError, invalid_value
from navarch.apimachinery.structural import pruning
from navarch.apimachinery.structural import values as rules
from navarch.apimachinery.structural.walking import EMBEDS, META_FIELDS, Schema, has_rules, items, properties

Surround = Callable[[Any], Any]
"""Of a value: the object that has it where it belongs."""


def _root(value: Any) -> Any:
    return {"apiVersion": "validation/v1", "kind": "Validation", **value} if isinstance(value, dict) else value


def problems(schema: Schema, path: str) -> list[FieldError]:
    """What is wrong with a whole object's defaults."""
    return list(_problems({**schema, EMBEDS: True}, schema, path, _root, inside_meta=False))


def _problems(schema: Schema, root: Schema, path: str, surround: Surround, *, inside_meta: bool) -> Iterator[FieldError]:
    if schema.get(EMBEDS):
        inside_meta, surround, root = False, _root, schema
    if schema.get("default") is not None:
        check = _meta_default(schema, root, path, surround) if inside_meta else _default(schema, path)
        yield from check
    below = items(schema)
    if below is not None:
        yield from _problems(below, root, f"{path}.items", _in_list(surround), inside_meta=inside_meta)
    for key, child in sorted(properties(schema).items()):
        is_meta = inside_meta or (bool(schema.get(EMBEDS)) and key in META_FIELDS)
        yield from _problems(child, root, f"{path}.properties[{key}]", _in_field(surround, key), inside_meta=is_meta)


def _in_field(surround: Surround, key: str) -> Surround:
    return lambda value: surround({key: value})


def _in_list(surround: Surround) -> Surround:
    return lambda value: surround([value])


def _default(schema: Schema, path: str) -> Iterator[FieldError]:
    default, where, embeds = schema["default"], f"{path}.default", bool(schema.get(EMBEDS))
    if pruning.pruned(default, schema, [], is_root=embeds) != default:
        yield invalid_value(where, default, "must not have unknown fields")
    try:
        embedded.coerce(copy.deepcopy(default), schema, [], where)
    except CoercionError as error:
        yield error.error
        return
    found = list(embedded.validate(default, schema, where))
    yield from found or _held_against(default, schema, where)


def _held_against(default: Any, schema: Schema, where: str) -> list[FieldError]:
    """What is wrong with a default by the schema, or else by its rules."""
    found = list(_validated(default, schema, where))
    if found or not has_rules(schema):
        return found
    # Whoever has no rules need not load the language.
    from navarch.api.apiextensions import compiledrules, objectrules

    if not compiledrules.has_type(schema):
        return []
    return objectrules.Validator(schema, is_root=bool(schema.get(EMBEDS))).default_problems(default, where)


def _validated(default: Any, schema: Schema, where: str) -> Iterator[FieldError]:
    for error in rules.validate(default, schema):
        nowhere = error.field == rules.NOWHERE
        yield FieldError(error.reason, where if nowhere else f"{where}.{error.field}", error.body)


def _meta_default(schema: Schema, root: Schema, path: str, surround: Surround) -> Iterator[FieldError]:
    """Of a part of an embedded object's metadata."""
    default, where = schema["default"], f"{path}.default"
    obj = surround(copy.deepcopy(default))
    try:
        embedded.coerce(obj, root, [], embeds=True)
    except CoercionError as error:
        yield invalid_value(where, default, f"must result in valid metadata: {error}")
        return
    found = [error.message for error in embedded.validate(obj, root, embeds=True)]
    if found:
        text = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
        yield invalid_value(where, default, f"must result in valid metadata: {text}")
        return
    yield from _held_against(default, schema, where)
