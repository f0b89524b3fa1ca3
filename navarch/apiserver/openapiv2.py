"""The OpenAPI v2 document in the protobuf form that kubectl asks for: gnostic's ``openapi.v2.Document``.

One small writer goes over the JSON form by a table of field numbers, which are facts of the published OpenAPIv2.proto; what the
document does not use is not in the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# Clients ask with an "@", which the grammar of media types does not allow in an answer.
ASKED_TYPES = ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", MEDIA_TYPE)
_LENGTH_DELIMITED, _VARINT = 2, 0
_EXTENSION_PREFIX = "x-"

# Message -> JSON field -> (number, form). Forms: ``string``, ``bool``, ``parameter``, the name of a message, ``named:FORM`` for
# a map, which is written as pairs, and ``in:N:FORM`` for what is wrapped in another message at number N. A list repeats its
# field; "x-" is where extensions go; what has no place here is left out.
_MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Document": {
        "swagger": (1, "string"),
        "info": (2, "Info"),
        "paths": (8, "in:2:named:PathItem"),
        "definitions": (9, "in:1:named:Schema"),
    },
    "Info": {"title": (1, "string"), "version": (2, "string")},
    "PathItem": {
        "get": (2, "Operation"),
        "put": (3, "Operation"),
        "post": (4, "Operation"),
        "delete": (5, "Operation"),
        "patch": (8, "Operation"),
        "parameters": (9, "parameter"),
    },
    "Operation": {
        "description": (3, "string"),
        "operationId": (5, "string"),
        "produces": (6, "string"),
        "consumes": (7, "string"),
        "parameters": (8, "parameter"),
        "responses": (9, "in:1:named:in:1:Response"),
        "x-": (13, "named:in:2:json"),
    },
    "Response": {"description": (1, "string"), "schema": (2, "in:1:Schema")},
    "BodyParameter": {"name": (2, "string"), "in": (3, "string"), "required": (4, "bool"), "schema": (5, "Schema")},
    "QueryParameter": {
        "required": (1, "bool"),
        "in": (2, "string"),
        "name": (4, "string"),
        "type": (6, "string"),
        "uniqueItems": (20, "bool"),
    },
    "PathParameter": {"required": (1, "bool"), "in": (2, "string"), "name": (4, "string"), "type": (5, "string")},
    "Schema": {
        "$ref": (1, "string"),
        "format": (2, "string"),
        "description": (4, "string"),
        "required": (19, "string"),
        "additionalProperties": (21, "in:1:Schema"),
        "type": (22, "in:1:string"),
        "items": (23, "in:1:Schema"),
        "properties": (25, "in:1:named:Schema"),
        "x-": (31, "named:in:2:json"),
    },
}
# Where a parameter stands -> (its message, the numbers of the messages it is wrapped in, from the inside out).
_PARAMETERS = {"body": ("BodyParameter", (1, 1)), "query": ("QueryParameter", (3, 2, 1)), "path": ("PathParameter", (4, 2, 1))}


def encode(document: Mapping[str, Any]) -> bytes:
    """The document as protobuf."""
    return _message("Document", document)


def _message(name: str, value: Mapping[str, Any]) -> bytes:
    fields = _MESSAGES[name]
    parts = []
    for key, item in value.items():
        extension = key.startswith(_EXTENSION_PREFIX)
        place = fields.get(_EXTENSION_PREFIX if extension else key)
        if place is not None:
            parts.append(_field(*place, {key: item} if extension else item))
    return b"".join(parts)


def _field(number: int, form: str, value: Any) -> bytes:
    """One field, with its number and length; several for a list or map."""
    kind, _, rest = form.partition(":")
    if isinstance(value, list) and not form.endswith("json"):
        return b"".join(_field(number, form, item) for item in value)
    match kind:
        case "bool":
            return _varint(number << 3 | _VARINT) + _varint(int(value))
        case "string":
            return _delimited(number, value.encode())
        case "json":
            # Extensions are YAML, and JSON is YAML too.
            return _delimited(number, orjson.dumps(value))
        case "in":
            inner, _, below = rest.partition(":")
            return _delimited(number, _field(int(inner), below, value))
        case "named":
            return b"".join(
                _delimited(number, _delimited(1, key.encode()) + _field(2, rest, item)) for key, item in value.items()
            )
        case "parameter":
            name, wrappers = _PARAMETERS[value["in"]]
            content = _message(name, value)
            for wrapper in wrappers:
                content = _delimited(wrapper, content)
            return _delimited(number, content)
    return _delimited(number, _message(form, value))


def _delimited(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
