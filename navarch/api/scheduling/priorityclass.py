"""PriorityClass: how important pods are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import objectmeta, printing
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, not_supported, required

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_PREFIX = "system-"
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_DESCRIPTIONS = {
    "system-cluster-critical": (
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."
    ),
    "system-node-critical": "Used for system critical pods that must not be moved from their current node.",
}
POLICIES = ("PreemptLowerPriority", "Never")


def system_class(name: str) -> Object:
    """One of the classes that every cluster has."""
    return {"metadata": {"name": name}, "value": SYSTEM_CLASSES[name], "description": _DESCRIPTIONS[name]}


def default(priority_class: Object) -> Object:
    priority_class.setdefault("value", 0)
    priority_class.setdefault("preemptionPolicy", "PreemptLowerPriority")
    return priority_class


def validate_create(priority_class: Object) -> Iterator[FieldError]:
    """Later nothing that these rules are about changes, but for whether a class of the system's is the default one."""
    name, value = priority_class["metadata"].get("name", ""), priority_class["value"]
    if name.startswith(SYSTEM_PREFIX):
        problem = _system_problem(priority_class)
        if problem:
            text = f"priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {problem}"
            yield forbidden_field("metadata.name", text)
    elif value > HIGHEST_USER_PRIORITY:
        yield forbidden_field("value", f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}")
    if not priority_class["preemptionPolicy"]:
        yield required("preemptionPolicy")
    elif priority_class["preemptionPolicy"] not in POLICIES:
        yield not_supported("preemptionPolicy", priority_class["preemptionPolicy"], POLICIES)


def _system_problem(priority_class: Object) -> str:
    """What makes a class differ from the system's own of its name, or ""."""
    name = priority_class["metadata"]["name"]
    if name not in SYSTEM_CLASSES:
        return f"{name} is not a known system priority class"
    if priority_class["value"] != SYSTEM_CLASSES[name]:
        return f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}"
    return f"globalDefault of {name} PriorityClass must be false" if priority_class.get("globalDefault") else ""


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    if new["value"] != old["value"]:
        yield forbidden_field("value", "may not be changed in an update.")
    yield from objectmeta.immutable("preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy"))


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
    validate_create=validate_create,
    validate_update=validate_update,
    has_generation=True,
    spec_fields=(),
    columns=(NAME, Column("Value", "integer"), Column("Global-Default", "boolean"), AGE, Column("PreemptionPolicy")),
    row=row,
)
