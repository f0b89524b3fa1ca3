"""Definitions of custom resources as the documents have them (apiextensions-apiserver/pkg/controller/openapi).

v3 has a schema as it is written, with what every object has. v2 cannot say all of it, and some would mislead kubectl.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import orjson

from navarch.api import schemas
from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object
from navarch.apimachinery.structural.walking import EMBEDS, INT_OR_STRING, JUNCTORS, PRESERVES, RULES, Schema

LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
_NOT_PUBLISHED = ("id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions", "example")
Reference = Callable[[str, Object], Object]
"""(name of a definition, what is said beside) -> a reference to it."""


@dataclass(frozen=True)
class Custom:
    """The definitions of one custom kind: its objects, and its lists."""

    kind: Kind

    @property
    def name(self) -> str:
        return schemas.definition_name(self.kind)

    @property
    def names(self) -> tuple[str, str]:
        return self.name, f"{self.name}List"

    def references(self, name: str) -> frozenset[str]:
        """The definitions that one of these is made of."""
        return frozenset({schemas.OBJECT_META}) if name == self.name else frozenset({self.name, LIST_META})

    def v2(self, reference: Reference) -> dict[str, Object]:
        return self._both(reference, _reduced(dict(self.kind.structural or {})), is_v2=True)

    @cached_property
    def v3(self) -> dict[str, bytes]:
        from navarch.apiserver.openapi.definitions import v3_reference

        found = self._both(v3_reference, _published(dict(self.kind.structural or {})), is_v2=False)
        return {name: orjson.dumps(source) for name, source in found.items()}

    def _both(self, reference: Reference, schema: Schema, *, is_v2: bool) -> dict[str, Object]:
        kind = self.kind
        marks = [{"group": kind.group, "kind": kind.kind, "version": kind.version}]
        if is_v2 and (kind.structural or {}).get(PRESERVES):
            # kubectl takes what is not named for forbidden: nothing may be named.
            whole: Object = {"type": "object"}
        else:
            known = _heads(reference)
            whole = _with_heads({**schema, "properties": {**(schema.get("properties") or {}), **known}}, reference, is_v2=is_v2)
        items = {"description": f"List of {kind.plural}.", "items": reference(self.name, {}), "type": "array"}
        listed: Object = {
            "description": f"{kind.list_kind} is a list of {kind.kind}",
            "properties": {**_heads(reference, of_list=True), "items": items},
            "required": ["items"],
            "type": "object",
            "x-kubernetes-group-version-kind": [{**marks[0], "kind": kind.list_kind}],
        }
        return {self.name: {**whole, "x-kubernetes-group-version-kind": marks}, f"{self.name}List": listed}


@cache
def _texts() -> tuple[dict[str, str], dict[str, str]]:
    """What is said of the fields that every object has, and of those that every list has: as of any built-in kind."""
    found = schemas.descriptions()
    return found["io.k8s.api.core.v1.ConfigMap"], found["io.k8s.api.core.v1.ConfigMapList"]


def _heads(reference: Reference, *, of_list: bool = False) -> dict[str, Object]:
    """apiVersion, kind and metadata."""
    texts = _texts()[of_list]
    plain = {field: {"description": texts[field], "type": "string"} for field in ("apiVersion", "kind")}
    return {**plain, "metadata": reference(LIST_META if of_list else schemas.OBJECT_META, {"description": texts["metadata"]})}


NO_CUSTOM: Mapping[str, Custom] = {}


def of(kinds: Iterable[Kind]) -> dict[str, Custom]:
    """By the names of their definitions."""
    found = (Custom(kind) for kind in kinds if kind.is_custom)
    return {name: custom for custom in found for name in custom.names}


def _below(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """A copy, with what it is made of changed."""
    result = dict(schema)
    for name in ("items", "additionalProperties", "not"):
        if isinstance(result.get(name), dict):
            result[name] = change(result[name])
    for name in JUNCTORS:
        if result.get(name):
            result[name] = [change(item) for item in result[name]]
    if result.get("properties"):
        result["properties"] = {key: change(item) for key, item in result["properties"].items()}
    return result


def _published(schema: Schema) -> Schema:
    """A schema as v3 shows it."""
    result = _below(schema, _published)
    for name in _NOT_PUBLISHED:
        result.pop(name, None)
    if result.get(INT_OR_STRING) and "anyOf" not in result:
        result["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return result


def _with_heads(schema: Schema, reference: Reference, *, is_v2: bool) -> Schema:
    """Embedded objects have what every object has."""

    def change(below: Schema) -> Schema:
        return _with_heads(below, reference, is_v2=is_v2) if "$ref" not in below and "allOf" not in below else below

    result = _below(schema, change)
    if schema.get(EMBEDS) and not (is_v2 and schema.get(PRESERVES)):
        result["properties"] = {**(result.get("properties") or {}), **_heads(reference)}
        result["required"] = sorted({*(result.get("required") or ()), "apiVersion", "kind"})
    return result


def _reduced(schema: Schema) -> Schema:
    """A schema as v2 can say it, and kubectl understands it."""
    result = _below({key: item for key, item in schema.items() if key not in (*JUNCTORS, *_NOT_PUBLISHED, "not")}, _reduced)
    nullable = [key for key, item in (schema.get("properties") or {}).items() if item.get("nullable")]
    others = schema.get("additionalProperties")
    if isinstance(others, Mapping) and others.get("nullable"):
        result.pop("required", None)
    elif nullable and result.get("required"):
        left = [name for name in result["required"] if name not in nullable]
        result["required"] = left
        if not left:
            del result["required"]
    if result.pop("nullable", False):
        _forget(result, "type", "items", "properties")
    if schema.get(PRESERVES):
        _forget(result, "items", "properties")
        if result.get("type") == "object":
            del result["type"]
    if result.get("type") == "array" and "items" not in result:
        del result["type"]
    if schema.get(INT_OR_STRING):
        _forget(result, "type")
    result.pop(RULES, None)
    if isinstance(others, bool):
        del result["additionalProperties"]
    return result


def _forget(schema: dict[str, Any], *names: str) -> None:
    for name in names:
        schema.pop(name, None)
