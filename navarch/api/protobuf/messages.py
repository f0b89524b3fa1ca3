"""What is known of Kubernetes' protobuf messages: the numbers of their fields, and what an envelope is.

A body is the magic bytes ``k8s\\0`` and a `runtime.Unknown` message that names apiVersion and kind and holds the object's
message. Field numbers are facts of the published API, kept in fields.txt (see tools/protobuf_fields.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import NamedTuple

from navarch.api import schemas

MAGIC = b"k8s\x00"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
JSON_SCHEMA = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"


class Field(NamedTuple):
    """One field of a message."""

    name: str
    """"" where the field's type is embedded."""
    embedded: str
    is_pointer: bool
    keeps_zero: bool
    is_message: bool
    """A list that is a message of its own, with repeated items."""


class Union(NamedTuple):
    """What is a JSON schema or something else: "allowed" (a boolean, field 1), "schemas" or "strings" (field 2)."""

    schema_number: int
    other: str


UNIONS = {
    f"{JSON_SCHEMA}OrArray": Union(1, "schemas"),
    f"{JSON_SCHEMA}OrBool": Union(2, "allowed"),
    f"{JSON_SCHEMA}OrStringArray": Union(1, "strings"),
}


@cache
def messages() -> Mapping[str, Mapping[int, Field]]:
    """By definition: the fields of its message, by number, in ascending order."""
    found: dict[str, dict[int, Field]] = {}
    for line in resources.files("navarch.api.protobuf").joinpath("fields.txt").read_text().splitlines():
        name, *words = line.split(" ")
        fields = {}
        for word in words:
            field, _, number = word.partition("=")
            digits = number.rstrip("*!&")
            marks, embedded = number[len(digits) :], field[1:] if field.startswith(">") else ""
            fields[int(digits)] = Field("" if embedded else field, embedded, "*" in marks, "!" in marks, "&" in marks)
        found[name] = dict(sorted(fields.items()))
    return found


@cache
def _definitions_by_kind() -> dict[tuple[str, str], str]:
    found = {}
    for name, source in schemas.definitions().sources.items():
        for entry in source.get("x-kubernetes-group-version-kind") or ():
            group = entry["group"]
            version = f"{group}/{entry['version']}" if group else entry["version"]
            found[(version, entry["kind"])] = name
    return found


def definition_of(api_version: str, kind: str) -> str:
    """The definition of an object that says so. Raises KeyError."""
    if kind == "DeleteOptions":
        # Every group and version has one of this name, and all are the same.
        return _DELETE_OPTIONS
    return _definitions_by_kind()[(api_version, kind)]
