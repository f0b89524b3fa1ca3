"""A structural schema as server-side apply goes by it: which lists are sets and maps, and where there may be anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from navarch.api import schemas
from navarch.apimachinery.schema import Definitions, Schema
from navarch.apimachinery.structural import walking
from navarch.apimachinery.structural.walking import EMBEDS, INT_OR_STRING, META_FIELDS, PRESERVES

_STRING = {"type": "string"}
_METADATA = {"$ref": schemas.OBJECT_META}


def schema_of(structural: walking.Schema) -> Callable[[], Schema]:
    """What gives the schema of whole objects, made when it is first asked for."""

    @cache
    def made() -> Schema:
        return _Typed().node({**structural, "type": "object", EMBEDS: True})

    return made


class _Typed(Definitions):
    """Turns the nodes of one definition's schema into those that built-in kinds are described by."""

    def __init__(self) -> None:
        super().__init__({})

    def node(self, source: Mapping[str, Any], name: str = "") -> Schema:
        if "$ref" in source:
            return schemas.definitions().get(schemas.OBJECT_META)
        if source.get(EMBEDS):
            known = {key: below for key, below in (source.get("properties") or {}).items() if key not in META_FIELDS}
            known |= {"apiVersion": _STRING, "kind": _STRING, "metadata": _METADATA}
            source = {**source, "properties": known}
        return Schema(_type(source), source, self, name)


def _type(source: Mapping[str, Any]) -> str:
    if source.get(INT_OR_STRING):
        return "intstr"
    match source.get("type"):
        case "object":
            if source.get("properties"):
                return "struct"
            others = source.get("additionalProperties")
            if isinstance(others, Mapping):
                return "map"
            return "any" if others is not None or source.get(PRESERVES) else "struct"
        case "array":
            return "list"
        case "string" | "integer" | "number" | "boolean" as scalar:
            return str(scalar)
    return "struct" if source.get("properties") else "any"
