"""The definitions that a document needs, encoded once and spliced into every document that has them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import Any

import orjson

from navarch.api import enums, schemas
from navarch.apimachinery.errors import Object
from navarch.apiserver.openapi.custom import Custom
from navarch.apiserver.openapi.operations import STATUS, STRING, PathItem

_KINDS = "x-kubernetes-group-version-kind"
# What v2 cannot say of types that are a string or a number.
_V3_TYPES: Mapping[str, Object] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
}
_V3_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "io.k8s.api.core.v1.ContainerPort": {"protocol": "TCP"},
    "io.k8s.api.core.v1.ServicePort": {"protocol": "TCP"},
}


def needed(items: Iterable[PathItem], custom: Mapping[str, Custom]) -> list[str]:
    """The names of the definitions that these operations speak, and of all that those are made of."""
    found: set[str] = set()
    waiting = {STATUS}
    for item in items:
        for operation in item.operations:
            waiting.update((operation.body, *(definition for _, definition in operation.responses)))
    waiting -= {"", STRING}
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= (custom[name].references(name) if name in custom else _references(name)) - found
    return sorted(found)


@cache
def _references(name: str) -> frozenset[str]:
    return frozenset(_referred(schemas.definitions().sources[name]))


def _referred(source: Any) -> set[str]:
    if isinstance(source, dict):
        own = {source["$ref"]} if isinstance(source.get("$ref"), str) else set()
        return own.union(*map(_referred, source.values()))
    if isinstance(source, list):
        return set().union(*map(_referred, source))
    return set()


def v2(names: Iterable[str], custom: Mapping[str, Custom]) -> dict[str, Object]:
    """These definitions, described, as v2 has them."""
    texts, sources = schemas.descriptions(), schemas.definitions().sources
    defined = {key: source for each in set(custom.values()) for key, source in each.v2(_v2_reference).items()}
    return {
        name: defined[name]
        if name in custom
        else _relocated(_described(name, sources[name], texts.get(name, {})), _v2_reference)
        for name in names
    }


def v3(names: Iterable[str], group_versions: Collection[tuple[str, str]], custom: Mapping[str, Custom]) -> bytes:
    """These definitions, described, as v3 has them: one JSON object.

    A type that many groups share is marked as belonging to `group_versions` only, beside the core group.
    """
    encoded, sources = _v3_encoded(), schemas.definitions().sources
    parts = []
    for name in names:
        if name in custom:
            parts.append(b'"%b":%b' % (name.encode(), custom[name].v3[name]))
            continue
        text, kinds = encoded[name], sources[name].get(_KINDS, ())
        if len(kinds) > 1:
            own = [kind for kind in kinds if (kind["group"], kind["version"]) in {("", "v1"), *group_versions}]
            text = orjson.dumps({**orjson.loads(text), _KINDS: own})
        parts.append(b'"%b":%b' % (name.encode(), text))
    return b"{%b}" % b",".join(parts)


@cache
def _v3_encoded() -> dict[str, bytes]:
    """Every definition. Kept, since most documents share most of them."""
    texts, sources = schemas.descriptions(), schemas.definitions().sources
    return {
        name: orjson.dumps(
            _relocated(_with_defaults(name, _described(name, _V3_TYPES.get(name, source), texts.get(name, {}))), v3_reference)
        )
        for name, source in sources.items()
    }


def _described(name: str, source: Mapping[str, Any], texts: Mapping[str, str]) -> Object:
    """A definition with its texts, and the words that its fields take."""
    described = dict(source)
    if "" in texts:
        described["description"] = texts[""]
    if "properties" in source:
        words = enums.by_definition().get(name, {})
        properties = described["properties"] = dict(source["properties"])
        for field, schema in source["properties"].items():
            if field in words:
                properties[field] = {**schema, "enum": list(words[field])}
            if f"{field}[]" in words:
                properties[field] = {**schema, "items": {**schema["items"], "enum": list(words[f"{field}[]"])}}
            if field in texts:
                properties[field] = {**properties[field], "description": texts[field]}
    return described


def _with_defaults(name: str, described: Object) -> Object:
    """v3 says what stands for the part of an item's key that is left out."""
    defaults = _V3_DEFAULTS.get(name, {})
    if not defaults:
        return described
    properties = described["properties"]
    changed = {field: {**properties[field], "default": value} for field, value in defaults.items()}
    return {**described, "properties": {**properties, **changed}}


def _relocated(source: Any, reference: Callable[[str, Object], Object]) -> Any:
    """A copy with references as a document writes them: `reference` is given the name and what stands beside it."""
    if isinstance(source, dict):
        name = source.get("$ref")
        if isinstance(name, str):
            return reference(name, {key: _relocated(value, reference) for key, value in source.items() if key != "$ref"})
        return {key: _relocated(value, reference) for key, value in source.items()}
    if isinstance(source, list):
        return [_relocated(value, reference) for value in source]
    return source


def _v2_reference(name: str, beside: Object) -> Object:
    return {**beside, "$ref": f"#/definitions/{name}"}


def v3_reference(name: str, beside: Object) -> Object:
    """A reference, as v3 writes it."""
    # Beside a $ref nothing counts: what a field adds to its type stands around it.
    target = {"$ref": f"#/components/schemas/{name}"}
    return {**beside, "allOf": [target]} if beside else target
