"""PriorityClass: how important pods are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, not_supported

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_PREFIX = "system-"
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
POLICIES = ("Never", "PreemptLowerPriority")


def default(priority_class: Object) -> Object:
    priority_class.setdefault("value", 0)
    priority_class.setdefault("preemptionPolicy", "PreemptLowerPriority")
    return priority_class


def validate(priority_class: Object) -> Iterator[FieldError]:
    name, value = priority_class["metadata"].get("name", ""), priority_class["value"]
    if name.startswith(SYSTEM_PREFIX):
        if SYSTEM_CLASSES.get(name) != value:
            text = f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: "
            text += f"{name} is not a known system priority class"
            yield forbidden_field("metadata.name", text)
    elif value > HIGHEST_USER_PRIORITY:
        yield forbidden_field("value", f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}")
    if priority_class["preemptionPolicy"] not in POLICIES:
        yield not_supported("preemptionPolicy", priority_class["preemptionPolicy"], POLICIES)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    if new["value"] != old["value"]:
        yield forbidden_field("value", "may not be changed in an update.")
    if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
        yield forbidden_field("preemptionPolicy", "may not be changed in an update.")


def row(priority_class: Object, now: datetime) -> list[Any]:
    return [
        priority_class["metadata"]["name"],
        priority_class["value"],
        bool(priority_class.get("globalDefault")),
        printing.age(priority_class, now),
        priority_class.get("preemptionPolicy", ""),
    ]


KIND = Kind(
    group="scheduling.k8s.io",
    version="v1",
    kind="PriorityClass",
    plural="priorityclasses",
    namespaced=False,
    short_names=("pc",),
    default=default,
    validate=validate,
    validate_update=validate_update,
    columns=(NAME, Column("Value", "integer"), Column("Global-Default", "boolean"), AGE, Column("PreemptionPolicy")),
    row=row,
)
