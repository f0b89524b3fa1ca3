"""What makes a schema structural (apiextensions-apiserver/pkg/apiserver/schema): each field of an object is specified once,
outside of allOf, anyOf, oneOf and not, and what is inside these restricts only values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from navarch.apimachinery import gopattern
from navarch.apimachinery.errors import FieldError, forbidden_field, invalid_value, required
from navarch.apimachinery.structural.walking import (
    EMBEDS,
    INT_OR_STRING,
    LIST_MAP_KEYS,
    LIST_TYPE,
    MAP_TYPE,
    PRESERVES,
    RULES,
    Schema,
    allows_more,
    items,
    juncted,
    properties,
    values,
)

ROOT, ITEM, FIELD = range(3)
_UNTYPED = {ROOT: "at the root", ITEM: "for specified array items", FIELD: "for specified object fields"}
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
# What the API's Go code cannot read at all, in its own words.
_UNREADABLE = {
    "id": "id",
    "$schema": "schema",
    "$ref": "$ref",
    "patternProperties": "patternProperties",
    "dependencies": "dependencies",
    "additionalItems": "additionalItems",
    "definitions": "definitions",
}
_FORBIDDEN_INSIDE = (
    ("default", "undefined"),
    ("title", "empty"),
    ("description", "empty"),
    ("nullable", "false"),
    ("externalDocs", "undefined"),
    (PRESERVES, "false"),
    (EMBEDS, "false"),
    (INT_OR_STRING, "false"),
    (LIST_MAP_KEYS, "empty"),
    (LIST_TYPE, "undefined"),
    (MAP_TYPE, "undefined"),
    (RULES, "empty"),
)


def unreadable(schema: Schema) -> str | None:
    """Why a schema cannot even be looked at as a structural one."""
    for field, shown in _UNREADABLE.items():
        if field in schema:
            return f"OpenAPIV3Schema '{shown}' is not supported"
    for _, below in juncted(schema, ""):
        if problem := unreadable(below):
            return problem
    if PRESERVES in schema and not schema[PRESERVES]:
        return f"internal error: '{PRESERVES}' must be true or undefined"
    if isinstance(schema.get("items"), list):
        return "OpenAPIV3Schema 'items' must be a schema, but is an array"
    for inner in (values(schema), items(schema), *properties(schema).values()):
        if inner is not None and (problem := unreadable(inner)):
            return problem
    return None


def problems(schema: Schema, path: str) -> list[FieldError]:
    """Why a schema is not structural, in the order of the messages."""
    found = [*_structural(schema, ROOT, path), *_incomplete(schema, path)]
    return sorted(found, key=lambda error: error.message)


def _structural(schema: Schema, level: int, path: str) -> Iterator[FieldError]:
    type_, embeds = schema.get("type", ""), bool(schema.get(EMBEDS))
    below = items(schema)
    if type_ == "array" and below is None:
        yield required(f"{path}.items", "must be specified")
    if below is not None:
        yield from _structural(below, ITEM, f"{path}.items")
    known = properties(schema)
    for key, child in known.items():
        yield from _structural(child, FIELD, f"{path}.properties[{key}]")
    if allows_more(schema):
        if level == ROOT:
            yield forbidden_field(f"{path}.additionalProperties", "must not be used at the root")
        others = values(schema)
        if others is not None:
            yield from _structural(others, FIELD, f"{path}.additionalProperties")
    yield from _extensions(schema, path)
    yield from _values(schema, path, is_outermost=True)
    if embeds and type_ != "object":
        text = f"must be object if {EMBEDS} is true"
        yield invalid_value(f"{path}.type", type_, text) if type_ else required(f"{path}.type", text)
    elif not type_ and not schema.get(INT_OR_STRING) and not schema.get(PRESERVES):
        yield required(f"{path}.type", f"must not be empty {_UNTYPED[level]}")
    if embeds and allows_more(schema):
        yield forbidden_field(f"{path}.additionalProperties", f"must not be used if {EMBEDS} is set")
    if level == ROOT and type_ and type_ != "object":
        yield invalid_value(f"{path}.type", type_, "must be object at the root")
    if level == ROOT or embeds:
        for field in ("kind", "apiVersion"):
            if field in known and known[field].get("type") != "string":
                yield invalid_value(f"{path}.properties[{field}].type", known[field].get("type", ""), "must be string")
    if "metadata" in known:
        yield from _metadata(known["metadata"], level, f"{path}.properties[metadata]", is_meta=level == ROOT or embeds)
    if embeds and not schema.get(PRESERVES) and not known:
        text = f"must not be empty if {EMBEDS} is true without {PRESERVES}"
        yield required(f"{path}.properties", text)


def _metadata(schema: Schema, level: int, path: str, *, is_meta: bool) -> Iterator[FieldError]:
    """At the root, only the names of objects may be restricted."""
    if is_meta and schema.get("type") != "object":
        yield invalid_value(f"{path}.type", schema.get("type", ""), "must be object")
    if level != ROOT:
        return
    rest = {key: value for key, value in schema.items() if key not in ("type", "default") and value not in (False, "", [], {})}
    if rest.get("properties") and rest["properties"].keys() <= {"name", "generateName"}:
        del rest["properties"]
    if rest:
        text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield forbidden_field(path, text)


def _extensions(schema: Schema, path: str) -> Iterator[FieldError]:
    if schema.get(INT_OR_STRING):
        for name in (PRESERVES, EMBEDS):
            if schema.get(name):
                yield invalid_value(f"{path}.{name}", True, f"must be false if {INT_OR_STRING} is true")


def _is_int_or_string(alternatives: Any) -> bool:
    return bool(alternatives == _INT_OR_STRING)


def _values(schema: Schema, path: str, *, skips_any_of: bool = False, is_outermost: bool = False) -> Iterator[FieldError]:
    """Of what restricts values. The two ways in which generators write int-or-string are let pass, outermost."""
    if not (skips_any_of or (is_outermost and _is_int_or_string(schema.get("anyOf")))):
        for index, below in enumerate(schema.get("anyOf") or ()):
            yield from _nested(below, f"{path}.anyOf[{index}]")
    for index, below in enumerate(schema.get("allOf") or ()):
        skips = is_outermost and index == 0 and _is_int_or_string(below.get("anyOf"))
        yield from _nested(below, f"{path}.allOf[{index}]", skips_any_of=skips)
    for index, below in enumerate(schema.get("oneOf") or ()):
        yield from _nested(below, f"{path}.oneOf[{index}]")
    if schema.get("not") is not None:
        yield from _nested(schema["not"], f"{path}.not")
    pattern = schema.get("pattern")
    if pattern:
        try:
            gopattern.compiled(pattern)
        except ValueError as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            yield invalid_value(f"{path}.pattern", pattern, text)


def _nested(schema: Schema, path: str, *, skips_any_of: bool = False) -> Iterator[FieldError]:
    yield from _values(schema, path, skips_any_of=skips_any_of)
    below = items(schema)
    if below is not None:
        yield from _nested(below, f"{path}.items")
    for key, child in properties(schema).items():
        yield from _nested(child, f"{path}.properties[{key}]")
    if schema.get("type"):
        yield forbidden_field(f"{path}.type", "must be empty to be structural")
    if allows_more(schema):
        yield forbidden_field(f"{path}.additionalProperties", "must be undefined to be structural")
    for field, wanted in _FORBIDDEN_INSIDE:
        if schema.get(field) not in (None, "", False, []):
            yield forbidden_field(f"{path}.{field}", f"must be {wanted} to be structural")
    if "metadata" in properties(schema):
        yield forbidden_field(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _incomplete(schema: Schema, path: str) -> Iterator[FieldError]:
    """What is restricted in a junctor at the root and specified nowhere outside of it; deeper ones are not looked into."""
    for where, below in juncted(schema, path):
        yield from _unspecified(below, schema, where, path)


def _unspecified(schema: Schema, specified: Schema | None, path: str, at: str) -> Iterator[FieldError]:
    if specified is None:
        yield required(at, f"because it is defined in {path}")
        return
    for where, alternative in juncted(schema, path):
        yield from _unspecified(alternative, specified, where, at)
    below = items(schema)
    if below is not None:
        yield from _unspecified(below, items(specified), f"{path}.items", f"{at}.items")
    known = properties(specified)
    for key, child in properties(schema).items():
        yield from _unspecified(child, known.get(key), f"{path}.properties[{key}]", f"{at}.properties[{key}]")
