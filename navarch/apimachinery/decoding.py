"""Decoding untrusted JSON by a schema.

Nearly everything that is decoded is as it should be: it is gone through without remembering where, and only what is not is gone
through again (`unmarshal`), for the paths and words of its errors.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from navarch.apimachinery import remember
from navarch.apimachinery.schema import Fields, Reader, Schema
from navarch.apimachinery.unmarshal import Decoded, DecodeError, decode_any, decode_scalar, decode_time, unmarshal

TIMES_REMEMBERED = 256
TIME_LIMIT_CHARACTERS = 40


def decode(value: Any, schema: Schema, base: Any = None) -> Decoded:
    """`value` (parsed JSON) as `schema` has it: a new tree without nulls and unknown fields. Raises DecodeError.

    Of a `base`, which has been decoded before, what is the very same object in `value` is taken as it is, and shared.
    """
    try:
        return Decoded(reader(schema)(value) if base is None else _over(value, base, schema))
    except (_UnusualError, DecodeError):
        return unmarshal(value, schema)


class _UnusualError(Exception):
    """Something is of another type than it should be, unknown, or null among others."""


def reader(schema: Schema) -> Reader:
    """How what is as it should be is read. It raises for anything that has to be looked at more closely."""
    found = schema.reader
    if found is None:
        found = _reader(schema)
        # Many values are equal.
        found = schema.reader = remember.shared(found) if schema.recurs else found
    return found


def _fields(schema: Schema) -> Fields:
    if schema.fields is None:
        fields = {
            key: (reader(child), child.type in ("map", "list") or key in schema.left_out_if_zero)
            for key, child in schema.properties.items()
        }
        required = [(key, schema.properties[key]) for key in schema.required]
        schema.fields = fields, [(key, child) for key, child in required if child.zero is not None]
    return schema.fields


def _reader(schema: Schema) -> Reader:
    match schema.type:
        case "struct":
            return _struct(schema)
        case "list":
            return _list(schema.element)
        case "map":
            return _map(schema.element)
        case "string":
            return _string
        case "integer":
            return _integer(31 if schema.go_type == "int32" else 63)
        case "boolean":
            return _boolean
        case "time" | "microtime":
            return _time(schema.type)
        case "any":
            return decode_any
    return lambda value: decode_scalar(value, schema)


def _struct(schema: Schema) -> Reader:
    known: Fields | None = None

    def read(value: Any) -> dict[str, Any]:
        nonlocal known
        if type(value) is not dict:
            raise _UnusualError
        if known is None:
            # Not before it is needed: definitions refer to themselves.
            known = _fields(schema)
        fields, always = known
        result = {}
        for key, item in value.items():
            found = fields.get(key)
            if found is None:
                raise _UnusualError
            if item is not None:
                # Most are strings, for which no call is needed.
                decoded = item if found[0] is _string and type(item) is str else found[0](item)
                if decoded or (decoded is not None and not found[1]):
                    result[key] = decoded
        for key, child in always:
            if key not in result:
                result[key] = child.zero
        return result

    return read


def _over(value: Any, base: Any, schema: Schema) -> Any:
    """`value` as its `reader` reads it; what is the very same in `base`, where it is right, is taken as it is."""
    if value is base:
        return value
    if schema.type == "list" and type(value) is type(base) is list:
        right = set(map(id, base))
        read = reader(schema.element)
        return [item if id(item) in right else read(item) for item in value]
    if schema.type != "struct" or not type(value) is type(base) is dict:
        return reader(schema)(value)
    fields, always = _fields(schema)
    result = {}
    for key, item in value.items():
        before = base.get(key)
        if item is before and item is not None:
            result[key] = item
            continue
        if key not in fields:
            raise _UnusualError
        if item is not None:
            read, may_go = fields[key]
            decoded = read(item) if before is None else _over(item, before, schema.properties[key])
            if decoded or (decoded is not None and not may_go):
                result[key] = decoded
    for key, child in always:
        if key not in result:
            result[key] = child.zero
    return result


def _list(element: Schema) -> Reader:
    read = reader(element)

    def read_list(value: Any) -> list[Any]:
        if type(value) is not list or None in value:
            raise _UnusualError
        return [read(item) for item in value]

    return read_list


def _map(element: Schema) -> Reader:
    read, may_be_zero = reader(element), element.type in ("time", "microtime")

    def read_map(value: Any) -> dict[str, Any]:
        if type(value) is not dict or None in value.values():
            raise _UnusualError
        result = {key: read(item) for key, item in value.items()}
        return {key: item for key, item in result.items() if item is not None} if may_be_zero else result

    return read_map


def _string(value: Any) -> str:
    if type(value) is not str:
        raise _UnusualError
    return value


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise _UnusualError
    return value


def _time(type_: str) -> Reader:
    # Much of what is written in one second says which.

    @lru_cache(TIMES_REMEMBERED)
    def remembered(text: str) -> str | None:
        return decode_time(text, type_)

    def read(value: Any) -> str | None:
        if type(value) is not str or len(value) > TIME_LIMIT_CHARACTERS:
            raise _UnusualError
        return remembered(value)

    return read


def _integer(bits: int) -> Reader:
    low, high = -(1 << bits), 1 << bits

    def read(value: Any) -> int:
        if type(value) is not int or not low <= value < high:
            raise _UnusualError
        return value

    return read
