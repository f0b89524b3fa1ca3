"""Types from structural schemas (OpenAPI v3 of custom resources): what is known of ``self``, and how large it can be.

Fields that a schema does not describe are not there for expressions. Sizes without limits are what fits into a request.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from navarch.apimachinery.cel import moments, types
from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.escaping import KEYWORDS, escape
from navarch.apimachinery.cel.types import Convert, Field, Type
from navarch.apimachinery.cel.values import MapList, SetList

REQUEST_BYTES = 3 * 1024 * 1024
"""The largest request that sizes are estimated by."""

Source = Mapping[str, Any]
_TEXT: Source = {"type": "string"}
_OBJECT_META: Source = {"type": "object", "properties": {"name": _TEXT, "generateName": _TEXT}}
# Sizes of values, as text without quotes: the longest, and the shortest with them.
_LONGEST = {"duration": 32, "date": 12, "date-time": 32}
_SHORTEST = {"duration": 3, "date": 12, "date-time": 21}
_TYPES = {"duration": types.DURATION, "date": types.TIMESTAMP, "date-time": types.TIMESTAMP, "byte": types.BYTES}


def object_type(schema: Source, name: str = "self", *, root: bool = False) -> Type | None:
    """The type of values of a schema; None if it says too little for expressions.

    Objects are called by `name` and the path to them. `root` is for whole resources, which always have ``apiVersion``,
    ``kind``, ``metadata.name`` and ``metadata.generateName``.
    """
    found = _declared(schema, name, root)
    return found.type if found is not None else None


def cardinality_limit(schema: Source, *, root: bool = False) -> int:
    """How many values of a schema that says enough for expressions fit into a request."""
    found = _declared(schema, "self", root)
    assert found is not None
    # There is a comma between two.
    return REQUEST_BYTES // (found.smallest + 1)


@dataclass(frozen=True, slots=True)
class _Declared:
    """A type, and how few bytes of JSON a value of it takes."""

    type: Type
    smallest: int


def _declared(schema: Source, name: str, root: bool) -> _Declared | None:
    if schema.get("x-kubernetes-int-or-string"):
        return _Declared(types.DYN.sized(_text_limit(schema)), 1)
    if root:
        schema = _with_metadata(schema)
    match schema.get("type"):
        case "array":
            return _list(schema, name)
        case "object":
            return _map(schema, name) if isinstance(schema.get("additionalProperties"), Mapping) else _object(schema, name)
        case "string":
            return _string(schema)
        case "boolean":
            return _Declared(types.BOOL.sized(0), 4)
        case "number":
            return _Declared(replace(types.DOUBLE, size_limit=0, convert=float), 1)
        case "integer":
            return _Declared(types.INT.sized(0), 1)
    return None


def _with_metadata(schema: Source) -> Source:
    properties: dict[str, Any] = dict(schema.get("properties") or {})
    described = (properties.get("metadata") or {}).get("properties") or {}
    if not {"name", "generateName"} <= described.keys() or "kind" not in properties or "apiVersion" not in properties:
        properties.update(kind=_TEXT, apiVersion=_TEXT, metadata=_OBJECT_META)
    return {**schema, "properties": properties}


def _below(schema: Source, name: str) -> _Declared | None:
    return _declared(schema, name, bool(schema.get("x-kubernetes-embedded-resource")))


def _list(schema: Source, name: str) -> _Declared | None:
    items = schema.get("items")
    element = _below(items, f"{name}.@idx") if isinstance(items, Mapping) else None
    if element is None:
        return None
    limit = _limit(schema, "maxItems", (REQUEST_BYTES - 2) // (element.smallest + 1))
    convert = _list_converter(schema, element.type.convert)
    return _Declared(replace(types.list_of(element.type), size_limit=limit, convert=convert), 2)


def _list_converter(schema: Source, convert: Convert | None) -> Convert | None:
    match schema.get("x-kubernetes-list-type"):
        case "set":
            return lambda value: SetList(value if convert is None else map(convert, value))
        case "map":
            key_fields = tuple(schema.get("x-kubernetes-list-map-keys") or ())
            return lambda value: MapList(value, key_fields)
    return None if convert is None else lambda value: [convert(element) for element in value]


def _map(schema: Source, name: str) -> _Declared | None:
    value = _below(schema["additionalProperties"], f"{name}.@elem")
    if value is None:
        return None
    limit = _limit(schema, "maxProperties", (REQUEST_BYTES - 2) // (value.smallest + 6))
    below = value.type.convert
    convert = None if below is None else lambda entries: {key: below(entry) for key, entry in entries.items()}
    return _Declared(replace(types.map_of(types.STRING.sized(0), value.type), size_limit=limit, convert=convert), 2)


def _object(schema: Source, name: str) -> _Declared:
    fields: dict[str, Field] = {}
    required = schema.get("required") or ()
    smallest = 2
    for key, below in (schema.get("properties") or {}).items():
        declared = _below(below, f"{name}.{key}")
        if declared is None:
            continue
        identifier = escape(key)
        if identifier is not None:
            fields[identifier] = Field(_nullable(declared.type, below), key)
            if key in KEYWORDS:
                fields[key] = fields[identifier]
        if key in required and "default" not in below:
            smallest += len(key) + declared.smallest + 4
    return _Declared(types.object_of(name, fields).sized(0), smallest)


def _nullable(type_: Type, schema: Source) -> Type:
    """A null is left as it is."""
    convert = type_.convert
    if convert is None or not schema.get("nullable"):
        return type_
    return replace(type_, convert=lambda value: None if value is None else convert(value))


def _string(schema: Source) -> _Declared:
    form = str(schema.get("format") or "")
    if form == "byte":
        limit = _limit(schema, "maxLength", REQUEST_BYTES - 2)
        return _Declared(replace(types.BYTES, size_limit=limit, convert=_converters[form]), 2)
    if form in _LONGEST:
        return _Declared(replace(_TYPES[form], size_limit=_LONGEST[form], convert=_converters[form]), _SHORTEST[form])
    return _Declared(types.STRING.sized(_text_limit(schema)), 2)


def _text_limit(schema: Source) -> int:
    """In bytes, of which a character may take four."""
    if schema.get("maxLength") is not None:
        return max(int(schema["maxLength"]), 0) * 4
    if schema.get("enum") and not schema.get("x-kubernetes-int-or-string"):
        return max(len(value.encode()) if isinstance(value, str) else 0 for value in schema["enum"])
    return REQUEST_BYTES - 2


def _limit(schema: Source, name: str, otherwise: int) -> int:
    limit = schema.get(name)
    return otherwise if limit is None else max(int(limit), 0)


def within(type_: Type) -> Convert | None:
    """What converts the fields of an object, or of those in a list or map, however deep; None if there is nothing to convert.

    Values whose own type has a converter are taken to be converted already.
    """
    if type_.kind in ("list", "map"):
        below = within(type_.parameters[-1])
        if below is None:
            return None
        if type_.kind == "map":
            return lambda value: {key: below(entry) for key, entry in value.items()}
        return lambda value: _like(value, [below(element) for element in value])
    if type_.kind != "object" or not type_.fields:
        return None
    found = {field.key: convert for field in type_.fields.values() if (convert := _both(field.type)) is not None}
    if not found:
        return None

    def convert_fields(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {key: found[key](entry) if key in found else entry for key, entry in value.items()}

    return convert_fields


def _both(type_: Type) -> Convert | None:
    own, below = type_.convert, within(type_)
    if own is None or below is None:
        return own or below
    return lambda value: below(own(value))


def _like(value: Any, elements: list[Any]) -> list[Any]:
    if isinstance(value, SetList):
        return SetList(elements)
    return MapList(elements, value.key_fields) if isinstance(value, MapList) else elements


def _converter(parse: Convert, what: str) -> Convert:
    def convert(value: Any) -> Any:
        try:
            return parse(value)
        except (ValueError, TypeError):
            raise EvaluationError(f"Invalid {what} {value!s}") from None

    return convert


_converters: dict[str, Convert] = {
    "byte": _converter(lambda value: base64.b64decode(value, validate=True), "byte formatted string"),
    "duration": _converter(moments.parse_duration, "duration"),
    "date": _converter(moments.parse_date, "date formatted string"),
    "date-time": _converter(moments.parse_timestamp, "date-time formatted string"),
}
