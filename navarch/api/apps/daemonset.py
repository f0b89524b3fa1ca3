"""DaemonSet: one pod on every node that qualifies."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.apps import workload
from navarch.api.core import podspec, podwarnings
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required

REVISION_HISTORY_LIMIT = 10
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
"""Annotation: which version of the template this is, as it was called before ControllerRevisions."""


def default(daemonset: Object) -> Object:
    spec = daemonset.setdefault("spec", {})
    spec.setdefault("revisionHistoryLimit", REVISION_HISTORY_LIMIT)
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    workload.default_template(spec)
    return daemonset


def validate(daemonset: Object) -> Iterator[FieldError]:
    spec = daemonset["spec"]
    if spec.get("selector") is None:
        # It selects nothing, and is not asked for.
        labels = (spec["template"].get("metadata") or {}).get("labels") or None
        yield invalid_value("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
        yield from podspec.validate_template(spec["template"], None, "spec.template", of="DaemonSet")
    else:
        yield from workload.validate_selector(spec, "daemonset", of="DaemonSet")
    yield from workload.validate_nonnegative(spec, "minReadySeconds")
    yield from _strategy(spec["updateStrategy"])
    yield from workload.validate_nonnegative(spec, "revisionHistoryLimit")


def _strategy(strategy: Object) -> Iterator[FieldError]:
    if strategy["type"] not in ("OnDelete", "RollingUpdate"):
        yield workload.unsupported_strategy(
            "spec.updateStrategy", strategy, "DaemonSetUpdateStrategy", ("RollingUpdate", "OnDelete")
        )
    elif strategy["type"] == "RollingUpdate":
        path = "spec.updateStrategy.rollingUpdate"
        unavailable, surge = strategy["rollingUpdate"]["maxUnavailable"], strategy["rollingUpdate"]["maxSurge"]
        yield from workload.validate_int_or_percent(unavailable, f"{path}.maxUnavailable")
        yield from workload.validate_int_or_percent(surge, f"{path}.maxSurge")
        yield from workload.validate_at_most_all(unavailable, f"{path}.maxUnavailable")
        yield from workload.validate_at_most_all(surge, f"{path}.maxSurge")
        if workload.is_zero(unavailable) and workload.is_zero(surge):
            yield required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")
        elif not workload.is_zero(unavailable) and not workload.is_zero(surge):
            yield invalid_value(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from workload.validate_counts(
        new.get("status") or {},
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    )
    yield from workload.validate_collisions(new, old)


def prepare_create(daemonset: Object) -> Object:
    zero = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
    return _of_generation({**daemonset, "status": dict.fromkeys(zero, 0)}, 1)


def prepare_update(new: Object, old: Object) -> Object:
    """The generation of the template is counted up with each of its changes, whatever the client says of it."""
    text = meta.annotations(old).get(TEMPLATE_GENERATION, "")
    generation = int(text) if text.isdecimal() else 0
    return _of_generation(new, generation + (new["spec"]["template"] != old["spec"]["template"]))


def _of_generation(daemonset: Object, generation: int) -> Object:
    annotations = {**meta.annotations(daemonset), TEMPLATE_GENERATION: str(generation)}
    return meta.set_path(daemonset, annotations, "metadata", "annotations")


def row(daemonset: Object, now: datetime) -> list[Any]:
    spec, status = daemonset["spec"], daemonset.get("status") or {}
    return [
        daemonset["metadata"]["name"],
        status.get("desiredNumberScheduled", 0),
        status.get("currentNumberScheduled", 0),
        status.get("numberReady", 0),
        status.get("updatedNumberScheduled", 0),
        status.get("numberAvailable", 0),
        printing.labels(spec["template"]["spec"].get("nodeSelector")),
        printing.age(daemonset, now),
        *workload.wide_cells(spec),
    ]


def warnings(daemons: Object, old: Object | None) -> Iterator[str]:
    template = daemons["spec"]["template"]
    if old is None or template != old["spec"]["template"]:
        yield from podwarnings.of_template(template, "spec.template")


KIND = Kind(
    group="apps",
    version="v1",
    kind="DaemonSet",
    plural="daemonsets",
    short_names=("ds",),
    categories=("all",),
    subresources=("status",),
    default=default,
    validate=validate,
    warnings=warnings,
    validate_update=workload.validate_selector_unchanged,
    validate_status_update=validate_status_update,
    prepare_create=prepare_create,
    prepare_update=prepare_update,
    has_generation=True,
    columns=(
        NAME,
        Column("Desired", "integer"),
        Column("Current", "integer"),
        Column("Ready", "integer"),
        Column("Up-to-date", "integer"),
        Column("Available", "integer"),
        Column("Node Selector"),
        AGE,
        Column("Containers", priority=1),
        Column("Images", priority=1),
        Column("Selector", priority=1),
    ),
    row=row,
)
