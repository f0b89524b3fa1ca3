"""Namespace: a scope for names."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import names
from navarch.apimachinery.errors import Object

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
    prepare_update=prepare_update,
    prepare_deletion=prepare_deletion,
    holds_deletion=lambda obj: bool((obj.get("spec") or {}).get("finalizers")),
    returns_deleted=True,
    selectable_fields={"status.phase": lambda obj: obj.get("status", {}).get("phase", "")},
    columns=(NAME, Column("Status"), AGE),
    row=row,
)
