"""What the tests of server-side apply share: a schema with every kind of node, values of it, sets of fields as plain paths."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from navarch.apimachinery.apply import structure
from navarch.apimachinery.apply.fields import Fields
from navarch.apimachinery.apply.managers import OneVersion, Writer
from navarch.apimachinery.apply.structure import Structure
from navarch.apimachinery.errors import Object
from navarch.apimachinery.schema import Definitions, Schema

ITEM = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "port": {"type": "integer"},
        "protocol": {"type": "string", "default": "TCP"},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    },
}
STRUCT = {
    "type": "object",
    "properties": {
        "number": {"type": "integer"},
        "text": {"type": "string"},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "structs": {"type": "object", "additionalProperties": {"$ref": "Item"}},
        "atomicMap": {"type": "object", "additionalProperties": {"type": "string"}, "x-kubernetes-map-type": "atomic"},
        "atomicList": {"type": "array", "items": {"type": "string"}},
        "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "list": {
            "type": "array",
            "items": {"$ref": "Item"},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        "ports": {
            "type": "array",
            "items": {"$ref": "Item"},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
        },
        "any": {},
        "struct": {"$ref": "Struct"},
    },
}
SCHEMA: Schema = Definitions({"Item": ITEM, "Struct": STRUCT}).get("Struct")
STRUCTURE: Structure = structure.of(SCHEMA)


VERSIONS = OneVersion("v1", STRUCTURE)


def writer(name: str, time: str = "2026-01-01T00:00:00Z", **more: Any) -> Writer:
    return Writer(name, "v1", time, **more)


# Values

_TEXTS = st.sampled_from(["a", "b", "c"])
_MAPS = st.dictionaries(_TEXTS, _TEXTS, min_size=1, max_size=2)
_SETS = st.lists(_TEXTS, min_size=1, max_size=3, unique=True)
_INNER = {"tags": _SETS, "port": st.integers(1, 2)}
_NAMED = st.fixed_dictionaries({"name": _TEXTS}, optional=_INNER)
_PORTS = st.fixed_dictionaries(
    {"port": st.integers(1, 2)}, optional={"protocol": st.sampled_from(["TCP", "UDP"]), "name": _TEXTS}
)
_ANY = st.recursive(_TEXTS, lambda below: st.dictionaries(_TEXTS, below, min_size=1, max_size=2), max_leaves=4)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "number": st.integers(0, 2),
    "text": _TEXTS,
    "map": _MAPS,
    "structs": st.dictionaries(
        _TEXTS, st.fixed_dictionaries({}, optional={"name": _TEXTS, "tags": _SETS}), min_size=1, max_size=2
    ),
    "atomicMap": _MAPS,
    "atomicList": st.lists(_TEXTS, min_size=1, max_size=2),
    "set": _SETS,
    "list": st.lists(_NAMED, min_size=1, max_size=3, unique_by=lambda item: item["name"]),
    "ports": st.lists(_PORTS, min_size=1, max_size=3, unique_by=lambda item: (item["port"], item.get("protocol", "TCP"))),
    "any": _ANY,
}
_FLAT = st.fixed_dictionaries({}, optional=_FIELDS)
VALUES: st.SearchStrategy[Object] = st.fixed_dictionaries({}, optional={**_FIELDS, "struct": _FLAT.filter(bool)})
"""Values without nulls, without empty maps and lists, without items that are not told apart."""


# Sets of fields, the slow and clear way

Path = tuple[str, ...]
CONTAINER = object()


def paths_of(fields: Fields) -> set[Path]:
    """Every path of a set, read straight from its JSON."""
    found: set[Path] = set()

    def walk(node: Fields, path: Path) -> None:
        if path and (not node or "." in node):
            found.add(path)
        for step, below in node.items():
            if step != ".":
                walk(below, (*path, step))

    walk(fields, ())
    return found


def set_of(paths: set[Path]) -> Fields:
    """The set of these paths, in no order."""
    root: Fields = {}
    for path in paths:
        node = root
        for step in path:
            node = node.setdefault(step, {})
        node["."] = {}

    def closed(node: Fields) -> Fields:
        below = {step: closed(child) for step, child in node.items() if step != "."}
        return {".": {}, **below} if "." in node and below else below

    return closed(root)


def flat(value: Any, schema: Schema = SCHEMA, path: Path = ()) -> dict[Path, Any]:
    """Every field of a value with what is there: what it is, or that there is more below."""
    found: dict[Path, Any] = {path: CONTAINER} if path else {}
    if schema.type == "any" and isinstance(value, dict):
        for key, item in value.items():
            found |= flat(item, schema, (*path, f"f:{key}"))
    elif schema.type in ("struct", "map") and not schema.is_atomic_map:
        for key, item in value.items():
            child = schema.child(key)
            assert child is not None, key
            found |= flat(item, child, (*path, f"f:{key}"))
    elif schema.type == "list" and schema.list_type == "map":
        for item in value:
            keys = {key: item.get(key, "TCP") for key in sorted(schema.list_map_keys)}
            shown = ",".join(f'"{key}":{keys[key]}' if key == "port" else f'"{key}":"{keys[key]}"' for key in keys)
            found |= flat(item, schema.element, (*path, f"k:{{{shown}}}"))
    elif schema.type == "list" and schema.list_type == "set":
        found |= {(*path, f'v:"{item}"'): item for item in value}
    else:
        found[path] = value
    return found
