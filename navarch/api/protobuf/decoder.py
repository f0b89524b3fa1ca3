"""Objects in Kubernetes' protobuf form, as generated Go clients send them, decoded to the JSON form.

Each message's fields are looked up once and become a plan: by tag, how to read the value and where it belongs. Messages are
read in place, as positions in the one body.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

import orjson

from navarch.api import schemas
from navarch.api.protobuf import messages
from navarch.api.protobuf.messages import JSON_SCHEMA, MAGIC, UNIONS, Union, definition_of
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apimachinery.schema import Schema

DEPTH_LIMIT = 100
_VARINT_BITS_LIMIT = 70
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5

Read = Callable[[bytes, int, int, int], Any]
"""(body, start, end, depth) -> value; of a varint `start` is the value itself."""
Store = Callable[[Object, str, Any], None]


class ProtobufError(ValueError):
    """The bytes are not what they should be."""


def decode(body: bytes) -> Object:
    """The object in a protobuf body, in its JSON form. Raises ProtobufError."""
    if not body.startswith(MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        parts = {number: (start, end) for number, _, start, end in _fields(body, len(MAGIC), len(body))}
        types = {number: _text(body, start, end) for number, _, start, end in _fields(body, *parts.get(1, (0, 0)))}
        api_version, kind = types.get(1, ""), types.get(2, "")
        try:
            name = definition_of(api_version, kind)
        except KeyError:
            raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}"') from None
        obj = _message(name, "").read(body, *parts.get(2, (0, 0)), 0)
    except orjson.JSONDecodeError as error:
        raise ProtobufError(str(error)) from None
    except (IndexError, struct.error, OverflowError):
        raise ProtobufError("unexpected EOF") from None
    return {"apiVersion": api_version, "kind": kind, **obj}


def _text(data: bytes, start: int, end: int) -> str:
    """A string, with U+FFFD for what is no character: Go takes what comes, and writes it so as JSON."""
    return data[start:end].decode("utf-8", "replace")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift >= _VARINT_BITS_LIMIT:
            raise ProtobufError("proto: integer overflow")


def _fields(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, wire type, start, end) of a message's fields; of a varint `start` is the value itself."""
    while position < end:
        # Most tags and lengths are one byte.
        tag = data[position]
        position += 1
        if tag > 0x7F:
            tag, position = _varint(data, position - 1)
        wire = tag & 7
        if wire == _BYTES:
            size = data[position]
            position += 1
            if size > 0x7F:
                size, position = _varint(data, position - 1)
        elif wire == _VARINT:
            value, position = _varint(data, position)
            yield tag >> 3, wire, value, 0
            continue
        elif wire == _DOUBLE:
            size = 8
        elif wire == _FLOAT:
            size = 4
        else:
            raise ProtobufError(f"proto: illegal wireType {wire}")
        start, position = position, position + size
        if position > end:
            raise ProtobufError("unexpected EOF")
        yield tag >> 3, wire, start, position
    if position > end:
        raise ProtobufError("unexpected EOF")


class _Entry(NamedTuple):
    """How one field is read."""

    name: str
    wire: int
    read: Read
    store: Store
    is_embedded: bool = False


class _Message:
    """How messages of one definition are read; `embedded` names the part of it that Go keeps as a message of its own."""

    def __init__(self, schema: Schema, embedded: str) -> None:
        self._schema = schema
        self._embedded = embedded
        self._plan: dict[int, _Entry] | None = None

    def read(self, data: bytes, start: int, end: int, depth: int) -> Object:
        """A message as an object. Raises ProtobufError."""
        if depth > DEPTH_LIMIT:
            raise ProtobufError("proto: message is nested too deeply")
        plan = self._plan
        if plan is None:
            plan = self._plan = self._make_plan()
        result: Object = {}
        for number, wire, begin, stop in _fields(data, start, end):
            entry = plan.get(number)
            if entry is None:
                continue
            if entry.wire != wire:
                raise ProtobufError(f"proto: wrong wireType = {wire} for field {entry.name}")
            value = entry.read(data, begin, stop, depth + 1)
            if entry.is_embedded:
                result.update(value)
            else:
                entry.store(result, entry.name, value)
        return result

    def _make_plan(self) -> dict[int, _Entry]:
        plan = {}
        for number, field in messages.messages().get(self._embedded or self._schema.name, {}).items():
            if field.embedded:
                inner = _message(self._schema.name, field.embedded)
                plan[number] = _Entry(field.embedded, _BYTES, inner.read, _keep, True)
                continue
            schema = self._schema.properties.get(field.name)
            if schema is None:
                continue
            if field.is_message:
                plan[number] = _Entry(field.name, _BYTES, _list_message(schema.element), _keep)
            elif schema.type == "list":
                plan[number] = _Entry(field.name, _wire(schema.element), _reader(schema.element), _append)
            elif schema.type == "map":
                plan[number] = _Entry(field.name, _BYTES, _pair(schema.element), _put)
            else:
                # Go writes plain fields even where they are zero; only behind a pointer does zero mean something.
                store = _keep if field.is_pointer or field.keeps_zero else _keep_set
                plan[number] = _Entry(field.name, _wire(schema), _reader(schema), store)
        return plan


@cache
def _message(definition: str, embedded: str) -> _Message:
    return _Message(schemas.definitions().get(definition), embedded)


def _keep(result: Object, name: str, value: Any) -> None:
    if value is not None:
        result[name] = value


def _keep_set(result: Object, name: str, value: Any) -> None:
    if value:
        result[name] = value


def _append(result: Object, name: str, value: Any) -> None:
    found = result.get(name)
    if found is None:
        result[name] = [value]
    else:
        found.append(value)


def _put(result: Object, name: str, pair: tuple[str, Any]) -> None:
    result.setdefault(name, {})[pair[0]] = pair[1]


def _wire(schema: Schema) -> int:
    return {"integer": _VARINT, "boolean": _VARINT, "number": _DOUBLE}.get(schema.type, _BYTES)


def _reader(schema: Schema) -> Read:
    """How a value of that type is read."""
    match schema.type:
        case "struct":
            return _message(schema.name, "").read
        case "string":
            return _string
        case "integer":
            return _integer
        case "boolean":
            return lambda data, value, end, depth: value != 0
        case "bytes":
            return lambda data, start, end, depth: base64.b64encode(data[start:end]).decode()
        case "number":
            return lambda data, start, end, depth: struct.unpack_from("<d", data, start)[0]
        case "list":
            # A list inside a map is a message with repeated items (authentication's ExtraValue).
            return _list_message(schema.element)
        case "quantity":
            return _quantity
        case "intstr":
            return _int_or_string
        case "time":
            return _time
        case "microtime":
            return _micro_time
    return _union(UNIONS[schema.name]) if schema.name in UNIONS else _raw


def _string(data: bytes, start: int, end: int, depth: int) -> str:
    return _text(data, start, end)


def _integer(data: bytes, value: int, end: int, depth: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value


def _list_message(element: Schema) -> Read:
    wire, read = _wire(element), _reader(element)

    def items(data: bytes, start: int, end: int, depth: int) -> list[Any]:
        found = _fields(data, start, end)
        return [read(data, begin, stop, depth + 1) for number, sent, begin, stop in found if number == 1 and sent == wire]

    return items


def _pair(element: Schema) -> Read:
    wire, read = _wire(element), _reader(element)

    def pair(data: bytes, start: int, end: int, depth: int) -> tuple[str, Any]:
        key, value = "", None
        for number, sent, begin, stop in _fields(data, start, end):
            if number == 1 and sent == _BYTES:
                key = _text(data, begin, stop)
            elif number == 2 and sent == wire:
                value = read(data, begin, stop, depth + 1)
        # What Go does not write is empty.
        return key, value if value is not None else read(b"", 0, 0, depth + 1)

    return pair


def _parts(data: bytes, start: int, end: int) -> dict[int, tuple[int, int]]:
    return {number: (begin, stop) for number, _, begin, stop in _fields(data, start, end)}


def _quantity(data: bytes, start: int, end: int, depth: int) -> str:
    begin, stop = _parts(data, start, end).get(1, (0, 0))
    return _text(data, begin, stop) or "0"


def _int_or_string(data: bytes, start: int, end: int, depth: int) -> int | str:
    parts = _parts(data, start, end)
    if parts.get(1, (0, 0))[0]:
        begin, stop = parts.get(3, (0, 0))
        return _text(data, begin, stop)
    return _integer(data, parts.get(2, (0, 0))[0], 0, depth)


def _time(data: bytes, start: int, end: int, depth: int) -> str | None:
    return meta.format_time(_moment(data, start, end)) if end > start else None


def _micro_time(data: bytes, start: int, end: int, depth: int) -> str | None:
    return _moment(data, start, end).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if end > start else None


def _moment(data: bytes, start: int, end: int) -> datetime:
    parts = _parts(data, start, end)
    seconds, nanoseconds = (_integer(data, parts.get(number, (0, 0))[0], 0, 0) for number in (1, 2))
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)


def _raw(data: bytes, start: int, end: int, depth: int) -> Any:
    begin, stop = _parts(data, start, end).get(1, (0, 0))
    return orjson.loads(data[begin:stop]) if stop > begin else None


def _union(union: Union) -> Read:
    schema = _message(JSON_SCHEMA, "").read

    def read(data: bytes, start: int, end: int, depth: int) -> Any:
        others: list[Any] = []
        allowed = False
        for number, wire, begin, stop in _fields(data, start, end):
            if number == union.schema_number and wire == _BYTES:
                return schema(data, begin, stop, depth + 1)
            if number == 1:
                allowed = begin != 0
            elif number == 2 and wire == _BYTES:
                others.append(schema(data, begin, stop, depth + 1) if union.other == "schemas" else _text(data, begin, stop))
        return allowed if union.other == "allowed" else others

    return read
