"""Deployment: a template rolled out over ReplicaSets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.apps import workload
from navarch.api.core import podwarnings
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value

PROGRESS_DEADLINE_SECONDS = 600
REVISION_HISTORY_LIMIT = 10


def default(deployment: Object) -> Object:
    spec = deployment.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", REVISION_HISTORY_LIMIT)
    spec.setdefault("progressDeadlineSeconds", PROGRESS_DEADLINE_SECONDS)
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    workload.default_template(spec)
    return deployment


def validate(deployment: Object) -> Iterator[FieldError]:
    spec = deployment["spec"]
    yield from workload.validate_replicas(spec)
    yield from workload.validate_selector(spec, "deployment")
    yield from _strategy(spec["strategy"])
    yield from workload.validate_nonnegative(spec, "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    if spec["progressDeadlineSeconds"] <= spec.get("minReadySeconds", 0):
        yield invalid_value(
            "spec.progressDeadlineSeconds", spec["progressDeadlineSeconds"], "must be greater than minReadySeconds"
        )


def _strategy(strategy: Object) -> Iterator[FieldError]:
    if strategy["type"] == "Recreate":
        if strategy.get("rollingUpdate") is not None:
            text = "may not be specified when strategy `type` is 'Recreate'"
            yield forbidden_field("spec.strategy.rollingUpdate", text)
        return
    if strategy["type"] != "RollingUpdate":
        yield workload.unsupported_strategy("spec.strategy", strategy, "DeploymentStrategy", ("Recreate", "RollingUpdate"))
        return
    path = "spec.strategy.rollingUpdate"
    unavailable, surge = (strategy["rollingUpdate"][field] for field in ("maxUnavailable", "maxSurge"))
    yield from workload.validate_int_or_percent(unavailable, f"{path}.maxUnavailable")
    yield from workload.validate_int_or_percent(surge, f"{path}.maxSurge")
    if workload.is_zero(unavailable) and workload.is_zero(surge):
        yield invalid_value(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    yield from workload.validate_at_most_all(unavailable, f"{path}.maxUnavailable")


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    status, parts = new.get("status") or {}, ("updatedReplicas", "readyReplicas", "availableReplicas")
    yield from workload.validate_counts(
        status, "observedGeneration", "replicas", *parts, "unavailableReplicas", "collisionCount"
    )
    yield from workload.validate_parts(status, *parts)
    yield from workload.validate_collisions(new, old)


def row(deployment: Object, now: datetime) -> list[Any]:
    spec, status = deployment["spec"], deployment.get("status") or {}
    return [
        deployment["metadata"]["name"],
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        printing.age(deployment, now),
        *workload.wide_cells(spec),
    ]


KIND = Kind(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    short_names=("deploy",),
    categories=("all",),
    subresources=("status", "scale"),
    default=default,
    validate=validate,
    warnings=podwarnings.of_workload,
    validate_update=workload.validate_selector_unchanged,
    validate_status_update=validate_status_update,
    status_keeps_metadata=("labels",),
    has_generation=True,
    columns=(
        NAME,
        Column("Ready"),
        Column("Up-to-date"),
        Column("Available"),
        AGE,
        Column("Containers", priority=1),
        Column("Images", priority=1),
        Column("Selector", priority=1),
    ),
    row=row,
)
