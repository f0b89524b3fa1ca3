"""HorizontalPodAutoscaler: as many replicas of something as its load asks for, in its autoscaling/v2 form."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.autoscaling import metrics
from navarch.api.core.nonnegative import nonnegative
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, invalid_value, required

DEFAULT_CPU_PERCENT = 80
_PERIOD_SECONDS = 15
SCALE_DOWN: Mapping[str, Any] = {
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": _PERIOD_SECONDS}],
}
SCALE_UP: Mapping[str, Any] = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": _PERIOD_SECONDS},
        {"type": "Percent", "value": 100, "periodSeconds": _PERIOD_SECONDS},
    ],
}
SHOWN_METRICS = 2


def cpu_utilization(percent: int) -> Object:
    """The metric that everybody asks for."""
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def default(autoscaler: Object) -> Object:
    spec = autoscaler.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        spec["metrics"] = [cpu_utilization(DEFAULT_CPU_PERCENT)]
    behavior = spec.get("behavior")
    if behavior is not None:
        for field, rules in (("scaleUp", SCALE_UP), ("scaleDown", SCALE_DOWN)):
            behavior[field] = {**copy.deepcopy(dict(rules)), **(behavior.get(field) or {})}
    return autoscaler


def validate_create(autoscaler: Object) -> Iterator[FieldError]:
    yield from _spec(autoscaler["spec"], None)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from _spec(new["spec"], old["spec"])


def _spec(spec: Object, old: Object | None) -> Iterator[FieldError]:
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    # Who was allowed none keeps that.
    bound = 0 if old is not None and old.get("minReplicas") == 0 else 1
    if least is not None and least < bound:
        yield invalid_value("spec.minReplicas", least, f"must be greater than or equal to {bound}")
    if most == 0:
        yield required("spec.maxReplicas", "must be set and greater than 0")
    elif most < 0:
        yield invalid_value("spec.maxReplicas", most, "must be greater than 0")
    if least is not None and most < least:
        yield invalid_value("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    reference, before = spec.get("scaleTargetRef") or {}, (old or meta.EMPTY).get("scaleTargetRef") or {}
    same = old is not None and all(reference.get(field, "") == before.get(field, "") for field in ("apiVersion", "kind"))
    # The only thing of the core group that has a scale.
    may_be_core = reference.get("kind") == "ReplicationController"
    yield from metrics.validate_reference(reference, "spec.scaleTargetRef", may_be_core=may_be_core, any_version=same)
    was_invalid = metrics.has_invalid_object((old or meta.EMPTY).get("metrics") or ())
    yield from metrics.validate(spec.get("metrics") or (), "spec.metrics", to_zero=least == 0, any_version=was_invalid)
    yield from metrics.validate_behavior(spec.get("behavior") or {}, "spec.behavior")


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    status = new.get("status") or {}
    for field in ("currentReplicas", "desiredReplicas"):
        if status.get(field, 0) < 0:
            yield nonnegative(f"status.{field}", status[field])


# Printing


def row(autoscaler: Object, now: datetime) -> list[Any]:
    spec, status = autoscaler["spec"], autoscaler.get("status") or {}
    reference, least = spec.get("scaleTargetRef") or {}, spec.get("minReplicas")
    return [
        autoscaler["metadata"]["name"],
        f"{reference.get('kind', '')}/{reference.get('name', '')}",
        targets(spec.get("metrics") or (), status.get("currentMetrics") or ()),
        printing.UNSET if least is None else str(least),
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        printing.age(autoscaler, now),
    ]


def targets(specs: list[Object] | tuple[()], statuses: list[Object] | tuple[()]) -> str:
    """``cpu: 40%/80%``: what is measured of each metric, and what is aimed at."""
    found = []
    for index, spec in enumerate(specs):
        field = metrics.SOURCES.get(spec.get("type", ""))
        status = statuses[index] if index < len(statuses) else {}
        found.append("<unknown type>" if field is None else _target(field, spec.get(field) or {}, status.get(field) or {}))
    if not found:
        return printing.NONE
    text = ", ".join(found[:SHOWN_METRICS])
    return text if len(found) <= SHOWN_METRICS else f"{text} + {len(found) - SHOWN_METRICS} more..."


def _target(field: str, source: Object, status: Object) -> str:
    target, current = source.get("target") or {}, status.get("current") or {}
    average = target.get("averageValue")
    if field in ("resource", "containerResource"):
        if average is not None:
            return f"{source.get('name', '')}: {current.get('averageValue', printing.UNKNOWN)}/{average}"
        aim, now = (part.get("averageUtilization") for part in (target, current))
        shown = "<auto>" if aim is None else f"{aim}%"
        return f"{source.get('name', '')}: {printing.UNKNOWN if now is None else f'{now}%'}/{shown}"
    if average is not None:
        note = "" if field == "pods" else " (avg)"
        return f"{current.get('averageValue', printing.UNKNOWN)}/{average}{note}"
    return f"{current.get('value', printing.UNKNOWN)}/{target.get('value', '0')}"


KIND = Kind(
    group="autoscaling",
    version="v2",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    short_names=("hpa",),
    categories=("all",),
    subresources=("status",),
    default=default,
    validate_create=validate_create,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    columns=(
        NAME,
        Column("Reference"),
        Column("Targets"),
        Column("MinPods"),
        Column("MaxPods"),
        Column("Replicas"),
        AGE,
    ),
    row=row,
)
