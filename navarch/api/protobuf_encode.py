"""Objects in their JSON form, encoded to Kubernetes' protobuf form: what generated Go clients would rather be sent.

Each message is compiled once into a table of writers; what is absent costs nothing. Go's decoders need no field to be there and
no order among them: fields are written as the object has them. Words that come again and again are encoded once.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from typing import Any

import orjson

from navarch.api import schemas
from navarch.api.kind import Kind
from navarch.api.protobuf import MAGIC, messages
from navarch.apimachinery.errors import Object
from navarch.apimachinery.schema import Schema

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
# Their unions of JSON types have messages of their own, which the table does not know.
NOT_IN_PROTOBUF = frozenset({"apiextensions.k8s.io"})

WORD_LIMIT_BYTES = 64
WORDS_LIMIT = 1024
"""How many short values of one field are remembered."""

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_MASK = (1 << 64) - 1

Writer = Callable[[Any], bytes]
"""From a field's value to the field as it stands in its message, tag included."""


def is_encodable(kind: Kind) -> bool:
    """Whether objects of a kind have a protobuf form here."""
    return kind.group not in NOT_IN_PROTOBUF and schemas.definition_name(kind) in messages()


def encode(obj: Object, definition: str) -> bytes:
    """A whole body: `obj` is one of that definition and says its apiVersion and kind."""
    return _enveloped(obj["apiVersion"], obj["kind"], _message(definition).encode(obj))


def encode_item(obj: Object, definition: str) -> bytes:
    """An object as one of a list's."""
    payload = _message(definition).encode(obj)
    return b"\x12" + _varint(len(payload)) + payload


def encode_list(api_version: str, kind: str, metadata: Object, items: Iterable[bytes]) -> bytes:
    """A list's whole body, of items from `encode_item`."""
    head = _message(f"{META}.ListMeta").encode(metadata)
    return _enveloped(api_version, kind, b"\x0a" + _varint(len(head)) + head + b"".join(items))


def encode_metadata(obj: Object) -> bytes:
    """A PartialObjectMetadata's message."""
    payload = _message(f"{META}.ObjectMeta").encode(obj["metadata"])
    return b"\x0a" + _varint(len(payload)) + payload


def encode_partial(obj: Object) -> bytes:
    """A PartialObjectMetadata's whole body."""
    return _enveloped(obj["apiVersion"], obj["kind"], encode_metadata(obj))


def encode_partial_item(obj: Object) -> bytes:
    payload = encode_metadata(obj)
    return b"\x12" + _varint(len(payload)) + payload


def encode_status(status: Object) -> bytes:
    """A Status's whole body."""
    return encode(status, f"{META}.Status")


def encode_event(type_: str, body: bytes) -> bytes:
    """One frame of a watch: a WatchEvent around an object's whole body, its length before it."""
    name = type_.encode()
    raw = b"\x0a" + _varint(len(body)) + body
    event = b"\x0a" + _varint(len(name)) + name + b"\x12" + _varint(len(raw)) + raw
    return struct.pack(">I", len(event)) + event


def _enveloped(api_version: str, kind: str, payload: bytes) -> bytes:
    """A runtime.Unknown."""
    version, name = api_version.encode(), kind.encode()
    type_meta = b"\x0a" + _varint(len(version)) + version + b"\x12" + _varint(len(name)) + name
    return b"".join(
        (MAGIC, b"\x0a", _varint(len(type_meta)), type_meta, b"\x12", _varint(len(payload)), payload),
    )


_ONE_BYTE = [bytes((number,)) for number in range(128)]


def _varint(number: int) -> bytes:
    if number < 128:
        return _ONE_BYTE[number]
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


class _Message:
    """The writers of one message's fields; `schema` says what their values are, embedded or not."""

    def __init__(self, schema: Schema, name: str) -> None:
        self._writers: dict[str, Writer] = {}
        self._embedded: list[tuple[bytes, _Message]] = []
        for number, field in messages()[name].items():
            if field.embedded:
                self._embedded.append((_varint(number << 3 | _BYTES), _Message(schema, field.embedded)))
            elif field.name in schema.properties:
                self._writers[field.name] = _writer(number, schema.properties[field.name])

    def encode(self, obj: Object) -> bytes:
        writers = self._writers
        parts = [writers[key](value) for key, value in obj.items() if key in writers]
        for tag, message in self._embedded:
            payload = message.encode(obj)
            if payload:
                parts.append(tag + _varint(len(payload)) + payload)
        return b"".join(parts)


@cache
def _message(definition: str) -> _Message:
    return _Message(schemas.definitions().get(definition), definition)


def _writer(number: int, schema: Schema) -> Writer:
    match schema.type:
        case "integer":
            tag = _varint(number << 3 | _VARINT)
            return lambda value: tag + (_ONE_BYTE[value] if 0 <= value < 128 else _varint(value & _MASK))
        case "boolean":
            true, false = (_varint(number << 3 | _VARINT) + _ONE_BYTE[value] for value in (1, 0))
            return lambda value: true if value else false
        case "number":
            tag = _varint(number << 3 | _FIXED64)
            return lambda value: tag + struct.pack("<d", value)
        case "list":
            item = _writer(number, schema.element)
            return lambda value: b"".join([item(element) for element in value])
        case "map":
            return _map_writer(number, schema.element)
        case "struct":
            return _struct_writer(number, schema.name)
    tag, payload = _varint(number << 3 | _BYTES), _payload(schema)
    known: dict[Any, bytes] = {}

    def write(value: Any) -> bytes:
        found = known.get(value)
        if found is None:
            content = payload(value)
            found = tag + _varint(len(content)) + content
            if len(content) <= WORD_LIMIT_BYTES:
                if len(known) >= WORDS_LIMIT:
                    known.clear()
                known[value] = found
        return found

    if schema.type == "any":
        # Free-form values are no keys.
        return lambda value: tag + _framed(_raw(value))
    return write


def _framed(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _struct_writer(number: int, name: str) -> Writer:
    tag = _varint(number << 3 | _BYTES)
    message: _Message | None = None

    def write(value: Object) -> bytes:
        nonlocal message
        if message is None:
            # Compiled when first needed: messages may hold themselves.
            message = _message(name)
        content = message.encode(value)
        size = len(content)
        return tag + (_ONE_BYTE[size] if size < 128 else _varint(size)) + content

    return write


def _list_in_map_writer(schema: Schema) -> Writer:
    """A list inside a map is a message with repeated items (authentication's ExtraValue)."""
    items = _writer(1, schema)
    return lambda value: b"\x12" + _framed(items(value))


def _map_writer(number: int, element: Schema) -> Writer:
    tag = _varint(number << 3 | _BYTES)
    value_of = _list_in_map_writer(element) if element.type == "list" else _writer(2, element)

    def write(value: Any) -> bytes:
        parts = []
        for key, item in value.items():
            name = key.encode()
            entry = b"\x0a" + _varint(len(name)) + name + value_of(item)
            parts.append(tag + _varint(len(entry)) + entry)
        return b"".join(parts)

    return write


def _payload(schema: Schema) -> Writer:
    """What stands behind the length."""
    match schema.type:
        case "bytes":
            return base64.b64decode
        case "quantity":
            return lambda value: _text(str(value))
        case "intstr":
            return _int_or_string
        case "time" | "microtime":
            return _time
    return str.encode


def _text(value: str) -> bytes:
    content = value.encode()
    return b"\x0a" + _varint(len(content)) + content


def _raw(value: Any) -> bytes:
    content = orjson.dumps(value)
    return b"\x0a" + _varint(len(content)) + content


def _int_or_string(value: int | str) -> bytes:
    if isinstance(value, int):
        return b"\x08\x00\x10" + _varint(value & _MASK)
    content = value.encode()
    return b"\x08\x01\x1a" + _varint(len(content)) + content


def _time(value: str) -> bytes:
    moment = datetime.fromisoformat(value)
    seconds = b"\x08" + _varint(int(moment.replace(microsecond=0).timestamp()) & _MASK)
    return seconds + b"\x10" + _varint(moment.microsecond * 1000) if moment.microsecond else seconds
