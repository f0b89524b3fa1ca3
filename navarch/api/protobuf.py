"""Objects in Kubernetes' protobuf form, as generated Go clients send them, decoded to the JSON form.

A body is the magic bytes ``k8s\\0`` and a `runtime.Unknown` message that names apiVersion and kind and holds the object's
message. Field numbers are facts of the published API, kept in protobuf_fields.txt (see tools/protobuf_fields.py).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import orjson

from navarch.api import schemas
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apimachinery.schema import Schema

MAGIC = b"k8s\x00"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
DEPTH_LIMIT = 100
_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_VARINT_BITS_LIMIT = 70


class ProtobufError(ValueError):
    """The bytes are not what they should be."""


class _Field(NamedTuple):
    name: str
    """"" where the field's type is embedded."""
    embedded: str
    is_pointer: bool
    keeps_zero: bool


@cache
def messages() -> dict[str, dict[int, _Field]]:
    """Definition -> number -> field."""
    found: dict[str, dict[int, _Field]] = {}
    for line in resources.files("navarch.api").joinpath("protobuf_fields.txt").read_text().splitlines():
        name, *words = line.split(" ")
        fields = found[name] = {}
        for word in words:
            field, _, number = word.partition("=")
            mark = number[-1] if number[-1] in "*!" else ""
            embedded = field[1:] if field.startswith(">") else ""
            fields[int(number.rstrip("*!"))] = _Field("" if embedded else field, embedded, mark == "*", mark == "!")
    return found


@cache
def definitions_by_kind() -> dict[tuple[str, str], str]:
    """(apiVersion, kind) -> definition."""
    found = {}
    for name, source in schemas.definitions().sources.items():
        for entry in source.get("x-kubernetes-group-version-kind") or ():
            group = entry["group"]
            version = f"{group}/{entry['version']}" if group else entry["version"]
            found[(version, entry["kind"])] = name
    return found


def decode(body: bytes) -> Object:
    """The object in a protobuf body, in its JSON form. Raises ProtobufError."""
    if not body.startswith(MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        unknown = {number: value for number, _, value in _fields(memoryview(body)[len(MAGIC) :])}
        type_meta = {number: bytes(value).decode() for number, _, value in _fields(unknown.get(1, memoryview(b"")))}
        api_version, kind = type_meta.get(1, ""), type_meta.get(2, "")
        name = _DELETE_OPTIONS if kind == "DeleteOptions" else definitions_by_kind().get((api_version, kind))
        if name is None:
            raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}"')
        obj = _message(unknown.get(2, memoryview(b"")), schemas.definitions().get(name), 0)
    except (IndexError, struct.error, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise ProtobufError(f"proto: illegal wireType or unexpected EOF: {error}") from None
    return {"apiVersion": api_version, "kind": kind, **obj}


def _fields(data: memoryview) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value) of a message: integers, or views of bytes."""
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        value: Any
        if wire == 0:
            value, position = _varint(data, position)
        elif wire == 2:
            size, position = _varint(data, position)
            if position + size > end:
                raise ProtobufError("unexpected EOF")
            value, position = data[position : position + size], position + size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value, position = data[position : position + size], position + size
        else:
            raise ProtobufError(f"proto: illegal wireType {wire}")
        yield number, wire, value


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > _VARINT_BITS_LIMIT:
            raise ProtobufError("proto: integer overflow")


def _message(data: memoryview, schema: Schema, depth: int, embedded: str = "") -> Object:
    """A message of `schema`, or of what is embedded in it, whose fields are among its own there."""
    if depth > DEPTH_LIMIT:
        raise ProtobufError("proto: message is nested too deeply")
    known, properties = messages().get(embedded or schema.name, {}), schema.properties
    result: Object = {}
    for number, _, value in _fields(data):
        field = known.get(number)
        if field is None:
            continue
        if field.embedded:
            result.update(_message(memoryview(value), schema, depth + 1, field.embedded))
            continue
        child = properties.get(field.name)
        if child is None:
            continue
        if child.type == "list":
            result.setdefault(field.name, []).append(_value(value, child.element, depth))
        elif child.type == "map":
            key, item = _entry(value, child.element, depth)
            result.setdefault(field.name, {})[key] = item
        else:
            decoded = _value(value, child, depth)
            # Go writes plain fields even where they are zero; only behind a pointer does zero mean something.
            if decoded is not None and (decoded or field.is_pointer or field.keeps_zero):
                result[field.name] = decoded
    return result


def _entry(data: memoryview, element: Schema, depth: int) -> tuple[str, Any]:
    key, value = "", _value(b"", element, depth) if element.type != "integer" else 0
    for number, _, part in _fields(data):
        if number == 1:
            key = bytes(part).decode()
        elif number == 2:
            value = _value(part, element, depth)
    return key, value


def _value(value: Any, schema: Schema, depth: int) -> Any:
    match schema.type:
        case "struct":
            return _message(memoryview(value), schema, depth + 1)
        case "string":
            return bytes(value).decode()
        case "integer":
            return value - (1 << 64) if value >= 1 << 63 else value
        case "boolean":
            return bool(value)
        case "bytes":
            return base64.b64encode(value).decode()
        case "number":
            return struct.unpack("<d", value)[0]
        case "list":
            # A list inside a list or map is a message with repeated items (authentication's ExtraValue).
            return [_value(part, schema.element, depth) for number, _, part in _fields(memoryview(value)) if number == 1]
    parts = {number: part for number, _, part in _fields(memoryview(value))}
    match schema.type:
        case "quantity":
            return bytes(parts[1]).decode() if 1 in parts else "0"
        case "intstr":
            return bytes(parts.get(3, b"")).decode() if parts.get(1) else _value(parts.get(2, 0), _INT, depth)
        case "time" | "microtime":
            return _time(parts, schema.type)
    raw = bytes(parts.get(1, b""))
    return orjson.loads(raw) if raw else None


_INT = Schema("integer", {}, None, "")  # type: ignore[arg-type]


def _time(parts: dict[int, Any], type_: str) -> str | None:
    if not parts:
        return None
    seconds = parts.get(1, 0)
    moment = datetime.fromtimestamp(seconds - (1 << 64) if seconds >= 1 << 63 else seconds, UTC)
    if type_ == "time":
        return meta.format_time(moment)
    return moment.replace(microsecond=parts.get(2, 0) // 1000).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
