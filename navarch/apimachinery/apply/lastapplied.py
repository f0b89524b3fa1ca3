"""From client-side to server-side apply: what the manager ``kubectl`` may take over, and the annotation it keeps up to date.

Client-side apply leaves what was applied last in an annotation. Where the object still has those values, they conflict with
nobody when ``kubectl`` applies on the server; whoever wants none of this applies under another name.
"""

from __future__ import annotations

from typing import Any

import orjson

from navarch.apimachinery import meta
from navarch.apimachinery.apply import fields, managers
from navarch.apimachinery.apply.fields import Fields
from navarch.apimachinery.apply.managers import ApplyConflictError, Claims, Versions, Writer
from navarch.apimachinery.apply.structure import Structure, StructureError, refuse
from navarch.apimachinery.errors import Object

KUBECTL = "kubectl"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ANNOTATIONS_LIMIT_BYTES = 256 * 1024


def apply(
    claims: Claims, live: Object, config: Object, writer: Writer, versions: Versions, *, force: bool = False
) -> tuple[Object, Claims]:
    """`managers.apply`, which see."""
    try:
        new, result = managers.apply(claims, live, config, writer, versions, force=force)
    except ApplyConflictError as error:
        if writer.name != KUBECTL:
            raise
        structure = versions.structure(writer.api_version)
        allowed = _still_applied(live, structure, writer.api_version) if structure else {}
        left = {manager: fields.difference(disputed, allowed) for manager, disputed in error.conflicts.items()}
        if any(left.values()):
            raise ApplyConflictError({manager: disputed for manager, disputed in left.items() if disputed}) from None
        new, result = managers.apply(claims, live, config, writer, versions, force=True)
    if writer.name == KUBECTL and _annotation(new):
        new = _annotated(new, config)
    return new, result


def _annotation(obj: Object) -> Any:
    return ((obj.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)


def _still_applied(live: Object, structure: Structure, api_version: str) -> Fields:
    """The fields that were applied last and have that value still."""
    try:
        applied = orjson.loads(_annotation(live) or "")
    except (TypeError, ValueError):
        return {}
    if not isinstance(applied, dict) or applied.get("apiVersion") != api_version:
        return {}
    try:
        refuse(structure, applied)
        changed, removed = structure.compare(applied, live)
    except StructureError:
        return {}
    return fields.difference(fields.difference(structure.fields(applied) or {}, changed or {}), removed or {})


def _annotated(new: Object, config: Object) -> Object:
    """With the annotation that client-side apply would leave for `config`; without any if that would be too large."""
    annotations = dict(new["metadata"]["annotations"])
    del annotations[LAST_APPLIED]
    applied = meta.without_path(config, "metadata", "annotations", LAST_APPLIED)
    kept = {**annotations, LAST_APPLIED: fields.to_json(applied) + "\n"}
    size = sum(len(key.encode()) + len(value.encode()) for key, value in kept.items())
    return meta.set_path(new, kept if size <= ANNOTATIONS_LIMIT_BYTES else annotations, "metadata", "annotations")
