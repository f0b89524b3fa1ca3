"""StorageClass: a kind of storage that can be had, and who provides it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.core import nodelabels
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.storage import parameters
from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)

RECLAIM_POLICIES = ("Delete", "Retain")
BINDING_MODES = ("Immediate", "WaitForFirstConsumer")
IS_DEFAULT = "storageclass.kubernetes.io/is-default-class"
IS_DEFAULT_BETA = "storageclass.beta.kubernetes.io/is-default-class"


def is_default(storage_class: Object) -> bool:
    """Whether claims that name no class get this one."""
    annotations = meta.annotations(storage_class)
    return "true" in (annotations.get(IS_DEFAULT), annotations.get(IS_DEFAULT_BETA))


def default(storage_class: Object) -> Object:
    storage_class.setdefault("reclaimPolicy", "Delete")
    storage_class.setdefault("volumeBindingMode", "Immediate")
    return storage_class


def validate(storage_class: Object) -> Iterator[FieldError]:
    yield from parameters.validate_driver(storage_class.get("provisioner", ""), "provisioner")
    yield from parameters.validate(storage_class.get("parameters") or {}, "parameters")
    # Upstream lets "" pass.
    if storage_class["reclaimPolicy"] and storage_class["reclaimPolicy"] not in RECLAIM_POLICIES:
        yield not_supported("reclaimPolicy", storage_class["reclaimPolicy"], RECLAIM_POLICIES)
    if storage_class["volumeBindingMode"] not in BINDING_MODES:
        yield not_supported("volumeBindingMode", storage_class["volumeBindingMode"], BINDING_MODES)
    yield from _topologies(storage_class.get("allowedTopologies") or (), "allowedTopologies")


def _topologies(terms: list[Object] | tuple[()], path: str) -> Iterator[FieldError]:
    seen: list[dict[str, set[str]]] = []
    for index, term in enumerate(terms):
        found: dict[str, set[str]] = {}
        for position, expression in enumerate(term.get("matchLabelExpressions") or ()):
            where = f"{path}[{index}].matchLabelExpressions[{position}]"
            key, values = expression.get("key", ""), expression.get("values") or ()
            if not values:
                yield required(f"{where}.values")
            for number, value in enumerate(values):
                if value in values[:number]:
                    yield duplicate(f"{where}.values[{number}]", value)
            yield from (invalid_value(f"{where}.key", key, text) for text in names.qualified_name(key))
            if key in found:
                yield duplicate(f"{where}.key", key)
            found[key] = set(values)
        if found in seen:
            yield duplicate(f"{path}[{index}].matchLabelExpressions", "")
        seen.append(found)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    for field in ("parameters", "provisioner", "reclaimPolicy"):
        if (new.get(field) or None) != (old.get(field) or None):
            yield forbidden_field(field, f"updates to {field} are forbidden.")
    if new["volumeBindingMode"] != old["volumeBindingMode"]:
        yield invalid_value("volumeBindingMode", new["volumeBindingMode"], "field is immutable")


def row(storage_class: Object, now: datetime) -> list[Any]:
    name = storage_class["metadata"]["name"]
    return [
        f"{name} (default)" if is_default(storage_class) else name,
        storage_class.get("provisioner", ""),
        storage_class.get("reclaimPolicy", "Delete"),
        storage_class.get("volumeBindingMode", "Immediate"),
        bool(storage_class.get("allowVolumeExpansion")),
        printing.age(storage_class, now),
    ]


def warnings(storage_class: Object, old: Object | None) -> Iterator[str]:
    for index, topology in enumerate(storage_class.get("allowedTopologies") or ()):
        for position, expression in enumerate(topology.get("matchLabelExpressions") or ()):
            text = nodelabels.DEPRECATED.get(expression.get("key", ""))
            if text:
                yield f"allowedTopologies[{index}].matchLabelExpressions[{position}].key: {text}"


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="StorageClass",
    plural="storageclasses",
    namespaced=False,
    short_names=("sc",),
    default=default,
    validate=validate,
    warnings=warnings,
    validate_update=validate_update,
    returns_deleted=True,
    columns=(
        NAME,
        Column("Provisioner"),
        Column("ReclaimPolicy"),
        Column("VolumeBindingMode"),
        Column("AllowVolumeExpansion"),
        AGE,
    ),
    row=row,
)
