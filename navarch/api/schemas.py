"""The schemas of the built-in kinds, from the file that the build makes of Kubernetes' published OpenAPI."""

from __future__ import annotations

import struct
import zlib
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import orjson

from navarch.api import gotypes
from navarch.api.kind import Kind
from navarch.apimachinery.schema import Definitions, Schema

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
KINDS_REMEMBERED = 1024
"""Of how many kinds at most something is kept: those that users define come and go."""
_GROUP_SUFFIX = ".k8s.io"
_OTHER_ROOTS = {
    "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}
_SHORT_GROUPS = {"flowcontrol.apiserver.k8s.io": "flowcontrol", "rbac.authorization.k8s.io": "rbac"}


def _blobs() -> tuple[bytes, bytes]:
    content = resources.files("navarch.api").joinpath("schema.bin").read_bytes()
    (length,) = struct.unpack_from(">Q", content)
    return content[8 : 8 + length], content[8 + length :]


@cache
def definitions() -> Definitions:
    """Every definition."""
    return Definitions(orjson.loads(zlib.decompress(_blobs()[0])), gotypes.plain_fields)


def descriptions() -> dict[str, dict[str, str]]:
    """The text of every definition ("") and field. Large: not kept."""
    found: dict[str, dict[str, Any]] = orjson.loads(zlib.decompress(_blobs()[1]))
    return found


def definition_name(kind: Kind) -> str:
    """The name of a kind's definition, e.g. ``io.k8s.api.core.v1.Pod``."""
    return kind.schema or name_of(kind.group, kind.version, kind.kind)


def name_of(group: str, version: str, kind: str) -> str:
    """The name that the definition of such a kind has."""
    root = _OTHER_ROOTS.get(group)
    if root is None:
        short = _SHORT_GROUPS.get(group) or group.removesuffix(_GROUP_SUFFIX) or "core"
        root = f"io.k8s.api.{short}"
    return f"{root}.{version}.{kind}"


@lru_cache(KINDS_REMEMBERED)
def of(kind: Kind) -> Schema:
    """The schema of a kind's objects."""
    return kind.typed() if kind.typed is not None else definitions().get(definition_name(kind))
