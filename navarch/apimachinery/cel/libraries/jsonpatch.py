"""JSON patches, as mutating policies make them: lists of ``JSONPatch{op: …, path: …, value: …}``."""

from __future__ import annotations

from navarch.apimachinery.cel import types
from navarch.apimachinery.cel.declarations import Library, functions
from navarch.apimachinery.cel.types import Field


def _escape_key(key: str) -> str:
    """As a part of a path."""
    return key.replace("~", "~0").replace("/", "~1")


JSON_PATCH = types.object_of(
    "JSONPatch",
    {
        "op": Field(types.STRING, "op"),
        "path": Field(types.STRING, "path"),
        "from": Field(types.STRING, "from"),
        "value": Field(types.DYN, "value"),
    },
)
LIBRARY = Library(
    "kubernetes.jsonpatch",
    functions({"jsonpatch.escapeKey": [("string_jsonpatch_escapeKey_string", "(string) -> string", _escape_key)]}),
    types={"JSONPatch": JSON_PATCH},
)
