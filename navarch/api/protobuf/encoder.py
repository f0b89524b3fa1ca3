"""Objects in their JSON form to Kubernetes' protobuf form, byte for byte as its generated Go code writes them.

Fields go in ascending order. What is no pointer in Go is written even where it is zero, what is one only where it is there;
maps go in the order of their keys. Each message's fields are looked up once and become a plan: one function per field.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

import orjson

from navarch.api import schemas
from navarch.api.kind import Kind
from navarch.api.protobuf.messages import JSON_SCHEMA, MAGIC, UNIONS, Union, definition_of, messages
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apimachinery.schema import Schema

LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WORD_LIMIT_BYTES = 64
WORDS_LIMIT = 1024
"""How many short values of one field are remembered."""
_WORDS = ("string", "quantity", "intstr", "time", "microtime")
_DOUBLE = 1

Write = Callable[[Any], bytes]
"""A present value to its bytes, tag included."""
Convert = Callable[[Any], bytes]
"""A value to what stands behind its tag and length."""


def _varint(number: int) -> bytes:
    if 0 <= number < 0x80:
        return _SMALL[number]
    number &= (1 << 64) - 1
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


_SMALL = [bytes((number,)) for number in range(0x80)]


@cache
def _heads(number: int) -> tuple[bytes, ...]:
    """Tag and length of a field whose content is that short."""
    return tuple(_varint(number << 3 | 2) + size for size in _SMALL)


def _field(number: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return _heads(number)[size] + content
    return b"%b%b%b" % (_varint(number << 3 | 2), _varint(size), content)


@cache
def is_encodable(kind: Kind) -> bool:
    """Whether objects of a kind have a protobuf form."""
    return schemas.definition_name(kind) in messages()


def encode(obj: Object) -> bytes:
    """A whole body: an object that says its apiVersion and kind. Raises KeyError where that has no protobuf form."""
    api_version, kind = obj["apiVersion"], obj["kind"]
    return enveloped(api_version, kind, message(obj, definition_of(api_version, kind)))


def message(obj: Object, definition: str) -> bytes:
    """An object as the message of its definition. Raises KeyError where it has none."""
    if definition not in messages():
        raise KeyError(definition)
    return _message(definition, "").encode(obj)


def partial_message(obj: Object) -> bytes:
    """The message of a PartialObjectMetadata."""
    return _field(1, message(obj["metadata"], schemas.OBJECT_META))


_CLOSING = b"\x1a\x00\x22\x00"


def enveloped(api_version: str, kind: str, content: bytes) -> bytes:
    """A message as a whole body: a runtime.Unknown, which says what it is; its encoding and type of content stay empty."""
    return b"%b%b\x12%b%b%b" % (MAGIC, _type_meta(api_version, kind), _varint(len(content)), content, _CLOSING)


def encode_list(api_version: str, kind: str, metadata: Object, items: Iterable[bytes]) -> bytes:
    """A list's whole body, of its items' messages."""
    return b"".join(list_parts(api_version, kind, metadata, items))


def list_parts(api_version: str, kind: str, metadata: Object, items: Iterable[bytes]) -> list[bytes]:
    """What a list's whole body consists of, its items' messages as they are."""
    parts = [b"", _field(1, message(metadata, LIST_META))]
    for item in items:
        parts += (b"\x12%b" % _varint(len(item)), item)
    parts[0] = b"%b%b\x12%b" % (MAGIC, _type_meta(api_version, kind), _varint(sum(map(len, parts))))
    return [*parts, _CLOSING]


def encode_partial(obj: Object) -> bytes:
    """A PartialObjectMetadata's whole body."""
    return enveloped(obj["apiVersion"], obj["kind"], partial_message(obj))


def encode_event(type_: str, body: bytes) -> bytes:
    """One frame of a watch: a WatchEvent around an object's whole body, its length before it."""
    event = _field(1, type_.encode()) + _field(2, _field(1, body))
    return struct.pack(">I", len(event)) + event


@cache
def _type_meta(api_version: str, kind: str) -> bytes:
    return _field(1, _field(1, api_version.encode()) + _field(2, kind.encode()))


class _Plan(NamedTuple):
    """How a message is put together: by slots, in the order of the fields' numbers."""

    absent: list[bytes]
    """What stands in each slot unless the object has the field."""
    fields: dict[str, tuple[int, Write]]
    embedded: list[tuple[int, Write]]
    """Slots of what takes its fields from the same object."""


class _Message:
    """How objects of one definition are written; `embedded` names the part of it that Go keeps as a message of its own."""

    def __init__(self, schema: Schema, embedded: str) -> None:
        self._schema = schema
        self._embedded = embedded
        self._plan: _Plan | None = None

    def encode(self, obj: Object) -> bytes:
        plan = self._plan
        if plan is None:
            plan = self._plan = self._make_plan()
        parts = plan.absent.copy()
        find = plan.fields.get
        for name, value in obj.items():
            found = find(name)
            if found is not None and value is not None:
                slot, write = found
                parts[slot] = write(value)
        for slot, write in plan.embedded:
            parts[slot] = write(obj)
        return b"".join(parts)

    def _make_plan(self) -> _Plan:
        plan = _Plan([], {}, [])
        for number, field in messages().get(self._embedded or self._schema.name, {}).items():
            slot = len(plan.absent)
            if field.embedded:
                plan.absent.append(b"")
                plan.embedded.append((slot, _of_content(number, _message(self._schema.name, field.embedded).encode)))
                continue
            schema = self._schema.properties.get(field.name)
            if schema is None:
                continue
            plan.absent.append(b"" if field.is_pointer or field.is_message else _zero(number, schema))
            write = _of_content(number, _list_message(schema.element)) if field.is_message else _writer(number, schema)
            plan.fields[field.name] = (slot, write)
        return plan


@cache
def _message(definition: str, embedded: str) -> _Message:
    return _Message(schemas.definitions().get(definition), embedded)


def _writer(number: int, schema: Schema) -> Write:
    """How a field of that type is written where it is there."""
    match schema.type:
        case "list":
            return _of_items(_writer(number, schema.element))
        case "map":
            return _of_entries(number, schema.element)
        case "integer" | "boolean":
            return _of_varint(number)
        case "number":
            return _of_double(number)
    write = _of_content(number, _converter(schema))
    return _remembered(write) if schema.type in _WORDS else write


def _remembered(write: Write) -> Write:
    """Short values that come again and again are encoded once."""
    known: dict[Any, bytes] = {}

    def remembered(value: Any) -> bytes:
        found = known.get(value)
        if found is None:
            found = write(value)
            if len(found) <= WORD_LIMIT_BYTES:
                if len(known) >= WORDS_LIMIT:
                    known.clear()
                known[value] = found
        return found

    return remembered


def _converter(schema: Schema) -> Convert:
    match schema.type:
        case "struct":
            return _message(schema.name, "").encode
        case "string":
            return str.encode
        case "bytes":
            return base64.b64decode
        case "quantity":
            return _quantity
        case "intstr":
            return _int_or_string
        case "time":
            return _time
        case "microtime":
            return _micro_time
    return _union(UNIONS[schema.name]) if schema.name in UNIONS else _raw


def _zero(number: int, schema: Schema) -> bytes:
    """What Go writes for a field that is no pointer and not set."""
    match schema.type:
        case "struct":
            return _field(number, _message(schema.name, "").encode({}))
        case "integer" | "boolean":
            return _varint(number << 3) + b"\x00"
        case "number":
            return _varint(number << 3 | _DOUBLE) + bytes(8)
        case "string" | "time" | "microtime" | "any":
            return _field(number, b"")
        case "quantity":
            return _field(number, _quantity("0"))
        case "intstr":
            return _field(number, _int_or_string(0))
    return b""


def _of_content(number: int, convert: Convert) -> Write:
    heads, tag = _heads(number), _varint(number << 3 | 2)

    def write(value: Any) -> bytes:
        content = convert(value)
        size = len(content)
        return heads[size] + content if size < 0x80 else b"%b%b%b" % (tag, _varint(size), content)

    return write


def _of_varint(number: int) -> Write:
    tag = _varint(number << 3)
    return lambda value: tag + _varint(value)


def _of_double(number: int) -> Write:
    tag = _varint(number << 3 | _DOUBLE)
    return lambda value: tag + struct.pack("<d", value)


def _of_items(write: Write) -> Write:
    return lambda value: b"".join([write(item) for item in value])


def _list_message(element: Schema) -> Convert:
    """A list that is a message with repeated items."""
    return _of_items(_writer(1, element))


def _of_entries(number: int, element: Schema) -> Write:
    """A map: messages of a key and a value each."""
    # Go's zero time is null in JSON.
    zero = _field(2, b"")
    write = _of_content(2, _list_message(element.element)) if element.type == "list" else _writer(2, element)

    def entries(value: Any) -> bytes:
        parts = []
        for key in sorted(value):
            item = value[key]
            parts.append(_field(number, _field(1, key.encode()) + (write(item) if item is not None else zero)))
        return b"".join(parts)

    return entries


def _quantity(text: str) -> bytes:
    return _field(1, text.encode())


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, str):
        return b"\x08\x01\x10\x00" + _field(3, value.encode())
    return b"\x08\x00\x10%b\x1a\x00" % _varint(value)


def _time(text: str) -> bytes:
    return _timestamp(meta.parse_time(text).replace(microsecond=0))


def _micro_time(text: str) -> bytes:
    return _timestamp(meta.parse_time(text))


def _timestamp(moment: datetime) -> bytes:
    since = moment - _EPOCH
    return b"\x08%b\x10%b" % (_varint(since.days * 86400 + since.seconds), _varint(since.microseconds * 1000))


def _raw(value: Any) -> bytes:
    return _field(1, orjson.dumps(value))


def _union(union: Union) -> Convert:
    """A JSON schema, or something else."""
    schema = _message(JSON_SCHEMA, "").encode

    def convert(value: Any) -> bytes:
        if isinstance(value, dict):
            # Beside a schema, "allowed" is true.
            return (b"\x08\x01" if union.other == "allowed" else b"") + _field(union.schema_number, schema(value))
        if union.other == "allowed":
            return b"\x08\x01" if value else b"\x08\x00"
        return b"".join([_field(2, schema(item) if union.other == "schemas" else item.encode()) for item in value])

    return convert
