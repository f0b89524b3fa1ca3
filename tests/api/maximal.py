"""One object of every kind with every field set, made from the schemas; run as a program, prints them for Go to encode.

python -m tests.api.maximal | go run tools/protobuf_vectors.go > tests/api/protobuf_vectors.txt
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from typing import Any

import orjson

from navarch.api import schemas
from navarch.api.protobuf.messages import JSON_SCHEMA, messages
from navarch.apimachinery.errors import Object
from navarch.apimachinery.schema import Schema

# A schema in a schema in a schema; deeper they would only repeat.
RECURSION_LIMIT = 2


def definitions() -> Iterator[tuple[str, str, str]]:
    """(definition, apiVersion, kind) of everything that has a protobuf form and says what it is."""
    for name, source in sorted(schemas.definitions().sources.items()):
        kinds = source.get("x-kubernetes-group-version-kind")
        if kinds and name in messages():
            group, version, kind = (kinds[0][key] for key in ("group", "version", "kind"))
            yield name, f"{group}/{version}" if group else version, kind


def maximal(name: str, api_version: str, kind: str) -> Object:
    """An object of that definition with every field set."""
    made: Object = value(schemas.definitions().get(name), "", 0)
    return {**made, "apiVersion": api_version, "kind": kind}


def minimal(api_version: str, kind: str) -> Object:
    """An object with nothing but what it is."""
    return {"apiVersion": api_version, "kind": kind}


def value(schema: Schema, path: str, recursions: int) -> Any:
    """Something legal and not zero, different for each path."""
    number = zlib.crc32(path.encode())
    match schema.type:
        case "struct":
            if schema.name == JSON_SCHEMA:
                recursions += 1
                if recursions > RECURSION_LIMIT:
                    return {"title": path}
            # Go leaves apiVersion and kind to the outermost object.
            left_out = ("apiVersion", "kind") if path and "x-kubernetes-group-version-kind" in schema.source else ()
            fields = [name for name in schema.properties if name not in left_out]
            made = {name: value(schema.properties[name], f"{path}.{name}", recursions) for name in fields}
            return {name: item for name, item in made.items() if item is not None}
        case "list":
            item = value(schema.element, path, recursions)
            return None if item is None else [item] if schema.element.type == "struct" else [item, item]
        case "map":
            item = value(schema.element, path, recursions)
            return None if item is None else {"é": item, "b": item, "a": item}
        case "integer":
            wide = schema.source.get("format") == "int64"
            return (number << 20 if wide else number >> 2) * (-1 if number % 3 == 0 else 1)
        case "number":
            return number / 8
        case "boolean":
            return True
        case "quantity":
            return ("1500m", "10Gi", "-3", "1e3")[number % 4]
        case "intstr":
            return (f"{number % 100}%", number % 65536, -1)[number % 3]
        case "time":
            return f"20{number % 80 + 10}-02-03T04:05:06Z"
        case "microtime":
            return f"19{number % 80 + 10}-02-03T04:05:06.{number % 1000000:06}Z"
        case "bytes":
            return ("AA==", "//79", "bmF2YXJjaA==")[number % 3]
        case "any":
            return _free(schema, number, path, recursions)
    return f"{path.rpartition('.')[2]} ü{number}"


def _free(schema: Schema, number: int, path: str, recursions: int) -> Any:
    if not schema.name.startswith(JSON_SCHEMA):
        return {"f:a": {".": {}}, "b": [1, "x", None, True, 1.5]}
    if number % 3 == 0:
        return True if schema.name.endswith("OrBool") else ["x", path] if schema.name.endswith("OrStringArray") else []
    below = value(schemas.definitions().get(JSON_SCHEMA), path, recursions)
    return [below, below] if schema.name.endswith("OrArray") and number % 2 else below


if __name__ == "__main__":
    for found in definitions():
        for made in (minimal(*found[1:]), maximal(*found)):
            sys.stdout.buffer.write(orjson.dumps(made) + b"\n")
