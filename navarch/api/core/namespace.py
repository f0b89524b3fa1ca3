"""Namespace: a scope for names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.objectmeta import STANDARD_FINALIZERS
from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import FieldError, Object, invalid_value

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
NAME_LABEL = "kubernetes.io/metadata.name"


def default(namespace: Object) -> Object:
    metadata = namespace["metadata"]
    if metadata.get("name"):
        metadata["labels"] = {**(metadata.get("labels") or {}), NAME_LABEL: metadata["name"]}
    namespace.setdefault("spec", {})
    return namespace


def prepare_create(namespace: Object) -> Object:
    finalizers = namespace["spec"].get("finalizers") or []
    if "kubernetes" not in finalizers:
        finalizers = [*finalizers, "kubernetes"]
    return {**namespace, "spec": {**namespace["spec"], "finalizers": finalizers}, "status": {"phase": "Active"}}


def validate_create(namespace: Object) -> Iterator[FieldError]:
    for finalizer in namespace["spec"].get("finalizers") or ():
        yield from validate_finalizer(finalizer, "spec.finalizers")


def validate_finalizer(finalizer: str, path: str) -> Iterator[FieldError]:
    """The name of a finalizer: a standard one or somebody's."""
    problems = names.qualified_name(finalizer)
    for text in problems:
        yield invalid_value(path, finalizer, text)
    if not problems and "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
        yield invalid_value(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    phase = (new.get("status") or {}).get("phase", "")
    if meta.being_deleted(new):
        if phase != "Terminating":
            yield invalid_value("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")
    elif phase != "Active":
        yield invalid_value("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")


def prepare_update(new: Object, old: Object) -> Object:
    # Finalizers of a namespace change only through its finalize subresource.
    return {**new, "spec": {**new.get("spec", {}), "finalizers": old.get("spec", {}).get("finalizers") or []}}


def prepare_deletion(namespace: Object) -> Object:
    return {**namespace, "status": {**(namespace.get("status") or {}), "phase": "Terminating"}}


def row(namespace: Object, now: datetime) -> list[Any]:
    return [namespace["metadata"]["name"], namespace.get("status", {}).get("phase", ""), printing.age(namespace, now)]


KIND = Kind(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    namespaced=False,
    short_names=("ns",),
    subresources=("status", "finalize"),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    validate_name=names.dns1123_label,
    default=default,
    prepare_create=prepare_create,
    validate_create=validate_create,
    validate_status_update=validate_status_update,
    prepare_update=prepare_update,
    prepare_deletion=prepare_deletion,
    holds_deletion=lambda obj: bool((obj.get("spec") or {}).get("finalizers")),
    returns_deleted=True,
    selectable_fields={"status.phase": lambda obj: obj.get("status", {}).get("phase", "")},
    columns=(NAME, Column("Status"), AGE),
    row=row,
)
