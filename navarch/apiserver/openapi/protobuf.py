"""The OpenAPI v2 document in the protobuf form that kubectl asks for: gnostic's ``openapi.v2.Document``.

One small writer goes over the JSON form by a table of field numbers, which are facts of the published OpenAPIv2.proto; what the
document does not use is not in the table.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
# Clients ask with an "@", which the grammar of media types does not allow in an answer.
ASKED_TYPES = ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", MEDIA_TYPE)
_LENGTH_DELIMITED, _VARINT, _FIXED64 = 2, 0, 1
_EXTENSION_PREFIX = "x-"

# Message -> JSON field -> (number, form). Forms: ``string``, ``bool``, ``parameter``, ``parameter or reference``, the name of a
# message, ``named:FORM`` for a map, which is written as pairs, and ``in:N:FORM`` for what is wrapped in another message at
# number N, ``each FORM`` for a list of anything. A list repeats its field; "x-" is where extensions go.
_MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "Document": {
        "swagger": (1, "string"),
        "info": (2, "Info"),
        "paths": (8, "in:2:named:PathItem"),
        "definitions": (9, "in:1:named:Schema"),
        "parameters": (10, "in:1:named:parameter"),
        "security": (12, "in:1:named:strings"),
        "securityDefinitions": (13, "in:1:named:in:2:ApiKeySecurity"),
    },
    "Info": {"title": (1, "string"), "version": (2, "string")},
    "PathItem": {
        "get": (2, "Operation"),
        "put": (3, "Operation"),
        "post": (4, "Operation"),
        "delete": (5, "Operation"),
        "options": (6, "Operation"),
        "head": (7, "Operation"),
        "patch": (8, "Operation"),
        "parameters": (9, "parameter or reference"),
    },
    "Operation": {
        "tags": (1, "string"),
        "description": (3, "string"),
        "operationId": (5, "string"),
        "produces": (6, "string"),
        "consumes": (7, "string"),
        "parameters": (8, "parameter or reference"),
        "responses": (9, "in:1:named:in:1:Response"),
        "schemes": (10, "string"),
        "x-": (13, "named:in:2:json"),
    },
    "Response": {"description": (1, "string"), "schema": (2, "in:1:Schema")},
    "BodyParameter": {"name": (2, "string"), "in": (3, "string"), "required": (4, "bool"), "schema": (5, "Schema")},
    "QueryParameter": {
        "required": (1, "bool"),
        "in": (2, "string"),
        "description": (3, "string"),
        "name": (4, "string"),
        "type": (6, "string"),
        "uniqueItems": (20, "bool"),
    },
    "PathParameter": {
        "required": (1, "bool"),
        "in": (2, "string"),
        "description": (3, "string"),
        "name": (4, "string"),
        "type": (5, "string"),
        "uniqueItems": (19, "bool"),
    },
    "ExternalDocs": {"description": (1, "string"), "url": (2, "string")},
    "JsonReference": {"$ref": (1, "string")},
    "ApiKeySecurity": {"type": (1, "string"), "name": (2, "string"), "in": (3, "string"), "description": (4, "string")},
    "Schema": {
        "$ref": (1, "string"),
        "format": (2, "string"),
        "title": (3, "string"),
        "description": (4, "string"),
        "default": (5, "in:2:json"),
        "multipleOf": (6, "double"),
        "maximum": (7, "double"),
        "exclusiveMaximum": (8, "bool"),
        "minimum": (9, "double"),
        "exclusiveMinimum": (10, "bool"),
        "maxLength": (11, "integer"),
        "minLength": (12, "integer"),
        "pattern": (13, "string"),
        "maxItems": (14, "integer"),
        "minItems": (15, "integer"),
        "uniqueItems": (16, "bool"),
        "maxProperties": (17, "integer"),
        "minProperties": (18, "integer"),
        "required": (19, "string"),
        "enum": (20, "each in:2:json"),
        "additionalProperties": (21, "in:1:Schema"),
        "type": (22, "in:1:string"),
        "items": (23, "in:1:Schema"),
        "properties": (25, "in:1:named:Schema"),
        "externalDocs": (29, "ExternalDocs"),
        "x-": (31, "named:in:2:json"),
    },
}
# What many operations have alike.
_REPEATED = frozenset({"parameters", "responses", "consumes", "produces", "schemes"})
# Where a parameter stands -> (its message, the numbers of the messages it is wrapped in, from the inside out).
_PARAMETERS = {"body": ("BodyParameter", (1,)), "query": ("QueryParameter", (3, 2)), "path": ("PathParameter", (4, 2))}


def encode(document: Mapping[str, Any]) -> bytes:
    """The document as protobuf."""
    return _Writer().message("Document", document)


def understood(document: Mapping[str, Any]) -> Any:
    """What of somebody else's document can be written."""
    return _understood("Document", document)


def _understood(form: str, value: Any) -> Any:
    """None for what cannot."""
    kind, _, rest = form.partition(":")
    if form.endswith("json") and kind != "named":
        return value
    if isinstance(value, list) and kind != "strings":
        return [kept for item in value if (kept := _understood(form, item)) is not None]
    match kind:
        case "string":
            return value if isinstance(value, str) else None
        case "bool":
            return value if isinstance(value, bool) else None
        case "integer":
            return value if isinstance(value, int) and value >= 0 else None
        case "double":
            return float(value) if isinstance(value, int | float) else None
        case "strings":
            return value if isinstance(value, list) else None
        case "in":
            return _understood(rest.partition(":")[2], value)
    if not isinstance(value, Mapping):
        return None
    match kind:
        case "named":
            return {key: kept for key, item in value.items() if (kept := _understood(rest, item)) is not None}
        case "parameter" | "parameter or reference":
            if "$ref" in value:
                return {"$ref": value["$ref"]} if kind != "parameter" else None
            kind = _PARAMETERS[value["in"]][0] if value.get("in") in _PARAMETERS else ""
    fields = _MESSAGES.get(kind)
    if fields is None:
        return None
    found: dict[str, Any] = {}
    for key, item in value.items():
        if key.startswith(_EXTENSION_PREFIX):
            found |= {key: item} if _EXTENSION_PREFIX in fields else {}
        elif key in fields and (kept := _understood(fields[key][1], item)) is not None:
            found[key] = kept
    return found


class _Writer:
    """Writes one document. Lists and maps that it holds several times, as the same value, are written once and copied."""

    def __init__(self) -> None:
        self._written: dict[tuple[int, str, int], bytes] = {}

    def message(self, name: str, value: Mapping[str, Any]) -> bytes:
        fields = _MESSAGES[name]
        parts = []
        for key, item in value.items():
            if key.startswith(_EXTENSION_PREFIX):
                parts.append(self._field(*fields[_EXTENSION_PREFIX], {key: item}))
            elif key in _REPEATED:
                # The document keeps the value, so that no other can come to its address.
                place = (*fields[key], id(item))
                if place not in self._written:
                    self._written[place] = self._field(*fields[key], item)
                parts.append(self._written[place])
            else:
                parts.append(self._field(*fields[key], item))
        return b"".join(parts)

    def _field(self, number: int, form: str, value: Any) -> bytes:
        """One field, with its number and length; several for a list or map."""
        kind, _, rest = form.partition(":")
        if kind.startswith("each "):
            return b"".join([self._field(number, form.removeprefix("each "), item) for item in value])
        if isinstance(value, list) and kind != "strings" and not form.endswith("json"):
            return b"".join([self._field(number, form, item) for item in value])
        match kind:
            case "string":
                return _text(number, value)
            case "bool":
                return _varint(number << 3 | _VARINT) + _varint(int(value))
            case "integer":
                return _varint(number << 3 | _VARINT) + _varint(value)
            case "double":
                return _varint(number << 3 | _FIXED64) + struct.pack("<d", value)
            case "in":
                inner, _, below = rest.partition(":")
                return _delimited(number, self._field(int(inner), below, value))
            case "named":
                pairs = [_text(1, key) + self._field(2, rest, item) for key, item in value.items()]
                return b"".join([_delimited(number, pair) for pair in pairs])
            case "json":
                # Extensions are YAML, and JSON is YAML too.
                return _delimited(number, orjson.dumps(value))
            case "strings":
                return _delimited(number, b"".join([_text(1, text) for text in value]))
            case "parameter or reference":
                return self._field(number, "in:2:JsonReference" if "$ref" in value else "in:1:parameter", value)
            case "parameter":
                name, wrappers = _PARAMETERS[value["in"]]
                content = self.message(name, value)
                for wrapper in wrappers:
                    content = _delimited(wrapper, content)
                return _delimited(number, content)
        return _delimited(number, self.message(form, value))


@lru_cache(1 << 12)
def _text(number: int, text: str) -> bytes:
    return _delimited(number, text.encode())


def _delimited(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


@lru_cache(1 << 12)
def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
