"""What other API servers say in OpenAPI v2, merged into the document of everything.

Only the paths of their group version are taken, and the definitions these need. A definition that is here already is shared if
it is the same, and otherwise gets another name (kube-openapi/pkg/aggregator).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from navarch.apimachinery.errors import Object
from navarch.apiserver.openapi import protobuf

_DEFINITIONS, _PARAMETERS = "#/definitions/", "#/parameters/"


def merged(document: Object, other: bytes, prefix: str) -> Object:
    """`document` with what is below a path in another one."""
    theirs: Object = protobuf.understood(orjson.loads(other))
    paths = {path: item for path, item in (theirs.get("paths") or {}).items() if f"{path}/".startswith(prefix)}
    known = theirs.get("definitions") or {}
    needed = _needed(paths, known)
    names = {name: _free(name, known[name], document["definitions"]) for name in needed}
    shared = {ref for ref in _references(paths) if ref.startswith(_PARAMETERS)}
    parameters = {ref.removeprefix(_PARAMETERS) for ref in shared}
    return {
        **document,
        "paths": {**document["paths"], **_renamed(paths, names)},
        "definitions": {**document["definitions"], **{names[name]: _renamed(known[name], names) for name in needed}},
        "parameters": {
            **{key: item for key, item in (theirs.get("parameters") or {}).items() if key in parameters},
            **document["parameters"],
        },
    }


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _needed(paths: Object, known: Object) -> list[str]:
    """The definitions that are used, directly or by others."""
    found: dict[str, None] = {}
    waiting: list[Any] = [paths]
    while waiting:
        for reference in _references(waiting.pop()):
            name = reference.removeprefix(_DEFINITIONS)
            if reference.startswith(_DEFINITIONS) and name in known and name not in found:
                found[name] = None
                waiting.append(known[name])
    return list(found)


def _free(name: str, definition: Any, taken: Object) -> str:
    """Its name, or the next one that is free or the same."""
    candidate, number = name, 2
    while candidate in taken and taken[candidate] != definition:
        candidate, number = f"{name}_v{number}", number + 1
    return candidate


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: _DEFINITIONS + names.get(item.removeprefix(_DEFINITIONS), item.removeprefix(_DEFINITIONS))
            if key == "$ref" and isinstance(item, str) and item.startswith(_DEFINITIONS)
            else _renamed(item, names)
            for key, item in value.items()
        }
    return [_renamed(item, names) for item in value] if isinstance(value, list) else value
