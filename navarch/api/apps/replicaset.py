"""ReplicaSet: a number of equal pods."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.apps import workload
from navarch.api.core import podwarnings
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery.errors import FieldError, Object


def default(replicaset: Object) -> Object:
    spec = replicaset.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    workload.default_template(spec)
    return replicaset


def validate(replicaset: Object) -> Iterator[FieldError]:
    spec = replicaset["spec"]
    yield from workload.validate_replicas(spec)
    yield from workload.validate_nonnegative(spec, "minReadySeconds")
    # Upstream says so here, too.
    yield from workload.validate_selector(spec, "deployment")


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    status, parts = new.get("status") or {}, ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    yield from workload.validate_counts(status, "replicas", *parts, "observedGeneration")
    yield from workload.validate_parts(status, *parts)


def prepare_create(replicaset: Object) -> Object:
    return {**replicaset, "status": {"replicas": 0}}


def row(replicaset: Object, now: datetime) -> list[Any]:
    spec, status = replicaset["spec"], replicaset.get("status") or {}
    return [
        replicaset["metadata"]["name"],
        spec.get("replicas", 0),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        printing.age(replicaset, now),
        *workload.wide_cells(spec),
    ]


COLUMNS = (
    NAME,
    Column("Desired", "integer"),
    Column("Current", "integer"),
    Column("Ready", "integer"),
    AGE,
    Column("Containers", priority=1),
    Column("Images", priority=1),
    Column("Selector", priority=1),
)

KIND = Kind(
    group="apps",
    version="v1",
    kind="ReplicaSet",
    plural="replicasets",
    short_names=("rs",),
    categories=("all",),
    subresources=("status", "scale"),
    default=default,
    validate=validate,
    warnings=podwarnings.of_workload,
    validate_update=workload.validate_selector_unchanged,
    validate_status_update=validate_status_update,
    prepare_create=prepare_create,
    has_generation=True,
    selectable_fields={"status.replicas": lambda obj: str((obj.get("status") or {}).get("replicas", 0))},
    columns=COLUMNS,
    row=row,
)
