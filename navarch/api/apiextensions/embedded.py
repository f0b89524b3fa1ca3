"""Objects inside of objects (x-kubernetes-embedded-resource): their apiVersion, kind and metadata are as those of any object
(apiextensions-apiserver/pkg/apiserver/schema/objectmeta)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from navarch.api import objectmeta, schemas
from navarch.api.kind import Kind
from navarch.apimachinery import names
from navarch.apimachinery.decoding import decode
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required
from navarch.apimachinery.structural.walking import EMBEDS, Schema, allows_more, items, properties, values
from navarch.apimachinery.unmarshal import Decoded, DecodeError

_ANYTHING = Kind(group="", version="", kind="", plural="", namespaced=False, validate_name=names.path_segment)
_NAMESPACED = replace(_ANYTHING, namespaced=True)
# What an object without a name is called while its metadata is looked at.
_UNNAMED = "fakename"


class CoercionError(ValueError):
    """What cannot be an object's apiVersion, kind or metadata."""

    def __init__(self, error: FieldError) -> None:
        super().__init__(error.message)
        self.error = error


def decode_metadata(value: Any) -> Decoded:
    """An object's metadata, with the paths of what it does not know below ``metadata``. Raises DecodeError."""
    result = decode(value, schemas.definitions().get(schemas.OBJECT_META))
    return Decoded(result.object, [f"metadata.{path}" for path in result.unknown])


def coerce(value: Any, schema: Schema | None, unknown: list[str], path: str = "", *, embeds: bool = False) -> None:
    """Decode the metadata of the embedded objects in a tree that nobody else holds; paths of what it does not know are added to
    `unknown`. Raises CoercionError."""
    if schema is None:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            coerce(item, items(schema), unknown, f"{path}[{index}]")
        return
    if not isinstance(value, dict):
        return
    if embeds or schema.get(EMBEDS):
        _coerce_object(value, unknown, path)
    known, others = properties(schema), values(schema)
    for key, item in value.items():
        if key in known:
            coerce(item, known[key], unknown, f"{path}.{key}" if path else key)
        elif allows_more(schema):
            coerce(item, others, unknown, f"{path}[{key}]")


def _coerce_object(value: Object, unknown: list[str], path: str) -> None:
    prefix = f"{path}." if path else ""
    for field in ("apiVersion", "kind"):
        if field in value and not isinstance(value[field], str):
            raise CoercionError(invalid_value(f"{prefix}{field}", value[field], "must be a string"))
    if "metadata" in value:
        if value["metadata"] is None:
            value["metadata"] = {}
        try:
            result = decode_metadata(value["metadata"])
        except DecodeError as error:
            raise CoercionError(invalid_value(f"{prefix}metadata", value["metadata"], str(error))) from None
        value["metadata"] = result.object
        unknown += [f"{prefix}{below}" for below in result.unknown]


def validate(value: Any, schema: Schema | None, path: str = "", *, embeds: bool = False) -> Iterator[FieldError]:
    """What is wrong with the embedded objects in a value."""
    if schema is None:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from validate(item, items(schema), f"{path}[{index}]")
        return
    if not isinstance(value, dict):
        return
    if embeds or schema.get(EMBEDS):
        yield from _validate_object(value, path)
    known, others = properties(schema), values(schema)
    for key, item in sorted(value.items()):
        if key in known:
            yield from validate(item, known[key], f"{path}.{key}" if path else key)
        elif allows_more(schema):
            yield from validate(item, others, f"{path}[{key}]")


def _validate_object(value: Object, path: str) -> Iterator[FieldError]:
    prefix = f"{path}." if path else ""
    for field in ("apiVersion", "kind"):
        if not value.get(field):
            yield required(f"{prefix}{field}")
    version, kind = value.get("apiVersion") or "", value.get("kind") or ""
    if version.count("/") > 1:
        yield invalid_value(f"{prefix}apiVersion", version, f"unexpected GroupVersion string: {version}")
    problems = ",".join(names.dns1035_label(kind.lower())) if kind else ""
    if problems:
        yield invalid_value(f"{prefix}kind", kind, f"may have mixed case, but should otherwise match: {problems}")
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        named = {"metadata": {"name": _UNNAMED, **metadata}}
        found = objectmeta.validate(_NAMESPACED if metadata.get("namespace") else _ANYTHING, named)
        yield from (error.at(path) if path else error for error in found)
