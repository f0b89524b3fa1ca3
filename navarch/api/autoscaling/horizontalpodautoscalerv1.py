"""HorizontalPodAutoscaler in its autoscaling/v1 form, which knows nothing but a target of CPU utilization.

What else there is stands in annotations as JSON, so that who reads and writes this form loses nothing
(k8s.io/kubernetes/pkg/apis/autoscaling/v1). An annotation that makes no sense is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from navarch.api import schemas
from navarch.api.autoscaling import horizontalpodautoscaler as v2
from navarch.api.kind import Kind
from navarch.apimachinery import meta, quantity
from navarch.apimachinery.decoding import decode
from navarch.apimachinery.errors import Object
from navarch.apimachinery.unmarshal import DecodeError

_PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, CURRENT_METRICS = f"{_PREFIX}metrics", f"{_PREFIX}current-metrics"
BEHAVIOR, CONDITIONS = f"{_PREFIX}behavior", f"{_PREFIX}conditions"
OWN_ANNOTATIONS = (
    METRICS,
    CURRENT_METRICS,
    BEHAVIOR,
    CONDITIONS,
    # Of the beta versions, which are served no more.
    f"{_PREFIX}scale-down-tolerance",
    f"{_PREFIX}scale-up-tolerance",
)
SPEC_FIELDS = ("scaleTargetRef", "minReplicas", "maxReplicas")
STATUS_FIELDS = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
_DEFINITIONS = "io.k8s.api.autoscaling.v2."


class _NonsenseError(Exception):
    """An annotation says nothing that could be understood."""


def _default(autoscaler: Object) -> Object:
    autoscaler.setdefault("spec", {}).setdefault("minReplicas", 1)
    return autoscaler


def _with_annotations(obj: Object, api_version: str, annotations: Mapping[str, str]) -> Object:
    """The object in another version, with these annotations in place of those that only say what this one cannot."""
    metadata = dict(obj.get("metadata") or {})
    kept = {key: value for key, value in (metadata.pop("annotations", None) or {}).items() if key not in OWN_ANNOTATIONS}
    if kept or annotations:
        metadata["annotations"] = {**kept, **annotations}
    return {**obj, "apiVersion": api_version, "metadata": metadata}


def _some(source: Object, fields: Iterable[str]) -> Object:
    return {field: source[field] for field in fields if source.get(field) is not None}


# From v2


def from_stored(stored: Object) -> Object:
    spec, status = stored.get("spec") or {}, stored.get("status") or {}
    served, shown = _some(spec, SPEC_FIELDS), _some(status, STATUS_FIELDS)
    others = []
    for metric in spec.get("metrics") or ():
        percent = _cpu(metric, "target")
        if percent is None:
            others.append(_reduced(metric, _TARGETS))
        elif "targetCPUUtilizationPercentage" not in served:
            served["targetCPUUtilizationPercentage"] = percent
    for metric in status.get("currentMetrics") or ():
        percent = _cpu(metric, "current")
        if percent is not None:
            shown["currentCPUUtilizationPercentage"] = percent
    more: dict[str, Any] = {
        METRICS: others,
        CURRENT_METRICS: [_reduced(metric, _CURRENT) for metric in status.get("currentMetrics") or ()],
        BEHAVIOR: _capitalised(spec["behavior"]) if spec.get("behavior") is not None else None,
        CONDITIONS: status.get("conditions"),
    }
    annotations = {name: _json(value) for name, value in more.items() if value}
    result = _with_annotations(stored, KIND.api_version, annotations)
    if "spec" in stored:
        result["spec"] = served
    if "status" in stored:
        result["status"] = shown
    return result


def _cpu(metric: Object, side: str) -> int | None:
    """The CPU utilization that a metric aims at, or has; None if it is about something else."""
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    found: int | None = (resource.get(side) or {}).get("averageUtilization")
    return found


def _json(value: Any) -> str:
    """As Go's encoder writes it."""
    text = orjson.dumps(value).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# What a metric aims at, and what it is at now: the same in other words. Source -> (v1 field, where it is in v2), in v1's order.
# "!" marks amounts that v1 always writes.
_Fields = tuple[tuple[str, tuple[str, ...]], ...]


def _words(side: str, value: str, average: str, utilization: str, *, always: bool) -> dict[str, _Fields]:
    mark = "!" if always else ""
    resource: _Fields = (
        ("name", ("name",)),
        (utilization, (side, "averageUtilization")),
        (f"{average}{mark}", (side, "averageValue")),
    )
    return {
        "object": (
            ("target", ("describedObject",)),
            ("metricName", ("metric", "name")),
            (f"{value}!", (side, "value")),
            ("selector", ("metric", "selector")),
            ("averageValue", (side, "averageValue")),
        ),
        "pods": (
            ("metricName", ("metric", "name")),
            (f"{average}!", (side, "averageValue")),
            ("selector", ("metric", "selector")),
        ),
        "resource": resource,
        "containerResource": (*resource, ("container", ("container",))),
        "external": (
            ("metricName", ("metric", "name")),
            ("metricSelector", ("metric", "selector")),
            (f"{value}{mark}", (side, "value")),
            (average, (side, "averageValue")),
        ),
    }


_TARGETS = _words("target", "targetValue", "targetAverageValue", "targetAverageUtilization", always=False)
_CURRENT = _words("current", "currentValue", "currentAverageValue", "currentAverageUtilization", always=True)


def _reduced(metric: Object, words: Mapping[str, _Fields]) -> Object:
    """A metric, or its status, as v1 has it."""
    result: Object = {"type": metric.get("type", "")}
    for source, fields in words.items():
        if metric.get(source) is None:
            continue
        found: Object = {}
        for field, path in fields:
            value = meta.get_path(metric[source], *path)
            if value is None and field.endswith("!"):
                value = "0"
            if value is not None:
                found[field.removesuffix("!")] = value
        result[source] = found
    return result


# Go's own names: upstream writes its internal form.
_RULES = ("stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance")
_POLICY = ("type", "value", "periodSeconds")


def _go_name(field: str) -> str:
    return field[0].upper() + field[1:]


def _capitalised(behavior: Object) -> Object:
    def rules(found: Object | None) -> Object | None:
        if found is None:
            return None
        result = {_go_name(field): found.get(field) for field in _RULES}
        if found.get("policies") is not None:
            result["Policies"] = [{_go_name(field): policy.get(field) for field in _POLICY} for policy in found["policies"]]
        return result

    return {"ScaleUp": rules(behavior.get("scaleUp")), "ScaleDown": rules(behavior.get("scaleDown"))}


# To v2


def to_stored(served: Object) -> Object:
    spec, status = served.get("spec") or {}, served.get("status") or {}
    annotations = meta.annotations(served)
    stored, shown = _some(spec, SPEC_FIELDS), _some(status, STATUS_FIELDS)
    percent, current = spec.get("targetCPUUtilizationPercentage"), status.get("currentCPUUtilizationPercentage")
    metrics = list(_read(annotations.get(METRICS), _metrics_of(_TARGETS), "MetricSpec") or ())
    if percent is not None:
        metrics.append(v2.cpu_utilization(percent))
    stored["metrics"] = metrics or [v2.cpu_utilization(v2.DEFAULT_CPU_PERCENT)]
    behavior = _read(annotations.get(BEHAVIOR), _behaviors, "HorizontalPodAutoscalerBehavior")
    if behavior and behavior[0]:
        stored["behavior"] = behavior[0]
    measured = _read(annotations.get(CURRENT_METRICS), _metrics_of(_CURRENT), "MetricStatus")
    if measured is not None:
        shown["currentMetrics"] = measured
    elif current is not None:
        resource = {"name": "cpu", "current": {"averageUtilization": current}}
        shown["currentMetrics"] = [{"type": "Resource", "resource": resource}]
    conditions = _read(annotations.get(CONDITIONS), _list, "HorizontalPodAutoscalerCondition")
    if conditions is not None:
        shown["conditions"] = conditions
    result = _with_annotations(served, v2.KIND.api_version, {})
    if "spec" in served:
        result["spec"] = stored
    if shown:
        result["status"] = shown
    else:
        result.pop("status", None)
    return result


def _read(text: str | None, convert: Callable[[Any], Iterable[Object]], definition: str) -> list[Object] | None:
    """What an annotation says, item by item in v2's form; None if it says nothing, or nonsense."""
    if text is None:
        return None
    schema = schemas.definitions().get(_DEFINITIONS + definition)
    try:
        return [decode(item, schema).object for item in convert(orjson.loads(text))]
    except (orjson.JSONDecodeError, _NonsenseError, DecodeError):
        return None


def _list(value: Any) -> Iterable[Object]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _NonsenseError
    return value


def _struct(value: Any) -> Object:
    if not isinstance(value, dict):
        raise _NonsenseError
    return value


def _metrics_of(words: Mapping[str, _Fields]) -> Callable[[Any], Iterator[Object]]:
    def metrics(value: Any) -> Iterator[Object]:
        for item in _list(value):
            yield _expanded(_struct(item), words)

    return metrics


def _expanded(metric: Object, words: Mapping[str, _Fields]) -> Object:
    """A metric of v1, or its status, as v2 has it."""
    result: Object = {"type": metric.get("type")}
    for source, fields in words.items():
        if metric.get(source) is None:
            continue
        found: Object = {}
        given = _struct(metric[source])
        for field, path in fields:
            value = given.get(field.removesuffix("!"))
            if value is None and field.endswith("!"):
                value = "0"
            if value is not None:
                found = meta.set_path(found, value, *path)
        side = "target" if words is _TARGETS else "current"
        amounts = found.get(side) or {}
        if source in ("object", "external") and amounts.get("averageValue") is not None and _is_zero(amounts.get("value")):
            # v1 has to write a value even where there is none.
            del amounts["value"]
        if side == "target":
            amounts["type"] = _target_type(source, amounts)
        result[source] = {**found, side: amounts}
    return result


def _is_zero(amount: Any) -> bool:
    try:
        return amount is not None and quantity.parse(amount) == 0
    except (ValueError, TypeError):
        raise _NonsenseError from None


def _target_type(source: str, amounts: Object) -> str:
    match source:
        case "object":
            return "Value" if amounts.get("averageValue") is None else "AverageValue"
        case "external":
            return "AverageValue" if amounts.get("value") is None else "Value"
        case "resource" | "containerResource":
            return "AverageValue" if amounts.get("averageUtilization") is None else "Utilization"
    return "AverageValue"


def _behaviors(value: Any) -> Iterator[Object]:
    """Field names in any case, as Go reads them."""
    given = _lower(value)
    found = {field: _rules(given[field.lower()]) for field in ("scaleUp", "scaleDown") if given.get(field.lower()) is not None}
    yield found


def _rules(value: Any) -> Object:
    given = _lower(value)
    result = {field: given[field.lower()] for field in _RULES if given.get(field.lower()) is not None}
    if "policies" in result:
        policies = [_lower(policy) for policy in _list(result["policies"])]
        result["policies"] = [{field: policy.get(field.lower()) for field in _POLICY} for policy in policies]
    return result


def _lower(value: Any) -> Object:
    return {key.lower(): item for key, item in _struct(value).items()}


def row(served: Object, now: datetime) -> list[Any]:
    return v2.row(to_stored(served), now)


KIND = Kind(
    group="autoscaling",
    version="v1",
    kind="HorizontalPodAutoscaler",
    plural="horizontalpodautoscalers",
    short_names=v2.KIND.short_names,
    categories=v2.KIND.categories,
    subresources=v2.KIND.subresources,
    stored_as=v2.KIND,
    to_stored=to_stored,
    from_stored=from_stored,
    default=_default,
    columns=v2.KIND.columns,
    row=row,
)
