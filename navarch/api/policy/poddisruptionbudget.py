"""PodDisruptionBudget: how many pods of an application may be down on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import conditions, labelselector, printing
from navarch.api.apps import workload
from navarch.api.internalform import invalid_struct
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery.errors import FieldError, Object, not_supported

_SPEC = "io.k8s.api.policy.v1.PodDisruptionBudgetSpec"
EVICTION_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


def validate(budget: Object) -> Iterator[FieldError]:
    spec = budget.get("spec") or {}
    if "minAvailable" in spec and "maxUnavailable" in spec:
        yield invalid_struct("spec", spec, _SPEC, "minAvailable and maxUnavailable cannot be both set")
    for field in ("minAvailable", "maxUnavailable"):
        if field in spec:
            yield from workload.validate_int_or_percent(spec[field], f"spec.{field}")
            yield from workload.validate_at_most_all(spec[field], f"spec.{field}")
    yield from labelselector.validate(spec.get("selector") or {}, "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in EVICTION_POLICIES:
        yield not_supported("spec.unhealthyPodEvictionPolicy", policy, EVICTION_POLICIES)


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    status = new.get("status") or {}
    yield from conditions.validate(status.get("conditions") or (), "status.conditions")
    fields = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    yield from workload.validate_counts(status, *fields)


def row(budget: Object, now: datetime) -> list[Any]:
    spec = budget.get("spec") or {}
    return [
        budget["metadata"]["name"],
        str(spec.get("minAvailable", "N/A")),
        str(spec.get("maxUnavailable", "N/A")),
        (budget.get("status") or {}).get("disruptionsAllowed", 0),
        printing.age(budget, now),
    ]


KIND = Kind(
    group="policy",
    version="v1",
    kind="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    short_names=("pdb",),
    subresources=("status",),
    validate=validate,
    validate_status_update=validate_status_update,
    allow_unconditional_update=False,
    has_generation=True,
    columns=(NAME, Column("Min Available"), Column("Max Unavailable"), Column("Allowed Disruptions", "integer"), AGE),
    row=row,
)
