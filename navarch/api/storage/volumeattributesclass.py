"""VolumeAttributesClass: qualities of a volume that may change while it is in use."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.api.storage import parameters
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, required

IS_DEFAULT = "volumeattributesclass.alpha.kubernetes.io/is-default-class"


def validate(attributes_class: Object) -> Iterator[FieldError]:
    yield from parameters.validate_driver(attributes_class.get("driverName", ""), "driverName")
    found = attributes_class.get("parameters") or {}
    yield from parameters.validate(found, "parameters")
    if not found:
        yield required("parameters", "must contain at least one key/value pair")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    for field in ("driverName", "parameters"):
        if (new.get(field) or None) != (old.get(field) or None):
            yield forbidden_field(field, f"updates to {field} are forbidden.")


def row(attributes_class: Object, now: datetime) -> list[Any]:
    name = attributes_class["metadata"]["name"]
    is_default = meta.annotations(attributes_class).get(IS_DEFAULT) == "true"
    return [
        f"{name} (default)" if is_default else name,
        attributes_class.get("driverName", ""),
        printing.age(attributes_class, now),
    ]


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttributesClass",
    plural="volumeattributesclasses",
    namespaced=False,
    short_names=("vac",),
    validate=validate,
    validate_update=validate_update,
    returns_deleted=True,
    columns=(NAME, Column("DriverName"), AGE),
    row=row,
)
