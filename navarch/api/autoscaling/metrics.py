"""What a HorizontalPodAutoscaler scales by, and how fast: the rules of its metrics and of its behavior."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from navarch.api.core import resourcenames
from navarch.apimachinery import meta, names, quantity
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, not_supported, required

MAX_PERIOD_SECONDS = 1800
MAX_STABILIZATION_SECONDS = 3600
SOURCES = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}
"""Type of a metric -> the field that describes it, in the order in which they are looked at."""
TARGET_TYPES = ("Utilization", "Value", "AverageValue")
SELECT_POLICIES = ("Disabled", "Max", "Min")
POLICY_TYPES = ("Percent", "Pods")


# What is referred to


def group_problem(api_version: str, *, may_be_core: bool) -> str:
    """What is wrong with the apiVersion of what is referred to, or ""."""
    if api_version.count("/") > 1:
        return f"unexpected GroupVersion string: {api_version}"
    group, slash, _ = api_version.partition("/")
    if not (slash and group) and not may_be_core:
        return "apiVersion must specify API group"
    return ""


def validate_reference(reference: Object, path: str, *, may_be_core: bool, any_version: bool) -> Iterator[FieldError]:
    """A reference to an object by kind and name; `any_version`: its apiVersion was accepted earlier."""
    for field in ("kind", "name"):
        value = reference.get(field, "")
        if not value:
            yield required(f"{path}.{field}")
        yield from (invalid_value(f"{path}.{field}", value, text) for text in names.path_segment(value))
    version = reference.get("apiVersion", "")
    problem = "" if any_version else group_problem(version, may_be_core=may_be_core)
    if problem:
        yield invalid_value(f"{path}.apiVersion", version, problem)


# Metrics


def has_invalid_object(metrics: Iterable[Object]) -> bool:
    """Whether one of the metrics describes an object by an apiVersion that is none."""
    described = (
        (metric.get("object") or meta.EMPTY).get("describedObject") for metric in metrics if metric.get("type") == "Object"
    )
    return any(found and group_problem(found.get("apiVersion", ""), may_be_core=True) for found in described)


def validate(metrics: Iterable[Object], path: str, *, to_zero: bool, any_version: bool) -> Iterator[FieldError]:
    """`to_zero`: there may be no replicas, so something else than pods must be measured."""
    types = set()
    for index, metric in enumerate(metrics):
        yield from _metric(metric, f"{path}[{index}]", any_version)
        types.add(metric.get("type"))
    if to_zero and not types & {"Object", "External"}:
        text = "must specify at least one Object or External metric to support scaling to zero replicas"
        yield forbidden_field(path, text)


def _metric(metric: Object, path: str, any_version: bool) -> Iterator[FieldError]:
    type_ = metric.get("type", "")
    if not type_:
        yield required(f"{path}.type", "must specify a metric source type")
    if type_ not in SOURCES:
        yield not_supported(f"{path}.type", type_, set(SOURCES))
    present = [field for field in SOURCES.values() if metric.get(field) is not None]
    if present:
        source, at = metric[present[0]], f"{path}.{present[0]}"
        if present[0] == "object":
            reference = source.get("describedObject") or {}
            yield from validate_reference(reference, f"{at}.describedObject", may_be_core=True, any_version=any_version)
        yield from _RULES[present[0]](source, at)
    expected = SOURCES.get(type_)
    if expected is None:
        yield not_supported(f"{path}.type", type_, set(SOURCES))
    elif expected not in present:
        yield required(f"{path}.{expected}", "must populate information for the given metric source")
    if len(present) > 1:
        for field in sorted(set(present) - {expected}):
            yield forbidden_field(f"{path}.{field}", "must populate the given metric source only")


def _named(source: Object, path: str) -> Iterator[FieldError]:
    name = (source.get("metric") or meta.EMPTY).get("name", "")
    if not name:
        yield required(f"{path}.metric.name", "must specify a metric name")
    yield from (invalid_value(f"{path}.metric.name", name, text) for text in names.path_segment(name))
    yield from _target(source.get("target") or {}, f"{path}.target")


def _target(target: Object, path: str) -> Iterator[FieldError]:
    type_ = target.get("type", "")
    if not type_:
        yield required(f"{path}.type", "must specify a metric target type")
    if type_ not in TARGET_TYPES:
        yield invalid_value(f"{path}.type", type_, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        if target.get(field) is not None and quantity.parse(target[field]) <= 0:
            yield invalid_value(f"{path}.{field}", target[field], "must be positive")
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        yield invalid_value(f"{path}.averageUtilization", utilization, "must be greater than 0")


def _lacks(source: Object, *fields: str) -> bool:
    """Whether a target has none of these."""
    return all((source.get("target") or meta.EMPTY).get(field) is None for field in fields)


def _object(source: Object, path: str) -> Iterator[FieldError]:
    yield from _named(source, path)
    if _lacks(source, "value", "averageValue"):
        yield required(f"{path}.target.averageValue", "must set either a target value or averageValue")


def _external(source: Object, path: str) -> Iterator[FieldError]:
    yield from _named(source, path)
    if _lacks(source, "value", "averageValue"):
        text = "must set either a target value for metric or a per-pod target"
        yield required(f"{path}.target.averageValue", text)
    elif not _lacks(source, "value") and not _lacks(source, "averageValue"):
        text = "may not set both a target value for metric and a per-pod target"
        yield forbidden_field(f"{path}.target.value", text)


def _pods(source: Object, path: str) -> Iterator[FieldError]:
    yield from _named(source, path)
    if _lacks(source, "averageValue"):
        yield required(f"{path}.target.averageValue", "must specify a positive target averageValue")


def _container_resource(source: Object, path: str) -> Iterator[FieldError]:
    if source.get("name"):
        yield from resourcenames.validate_container_name(source["name"], f"{path}.name")
    container = source.get("container", "")
    if not container:
        yield required(f"{path}.container", "must specify a container")
    else:
        yield from (invalid_value(f"{path}.container", container, text) for text in names.dns1123_label(container))
    yield from _resource(source, path)


def _resource(source: Object, path: str) -> Iterator[FieldError]:
    if not source.get("name"):
        yield required(f"{path}.name", "must specify a resource name")
    yield from _target(source.get("target") or {}, f"{path}.target")
    if _lacks(source, "averageUtilization", "averageValue"):
        text = "must set either a target raw value or a target utilization"
        yield required(f"{path}.target.averageUtilization", text)
    elif not _lacks(source, "averageUtilization") and not _lacks(source, "averageValue"):
        text = "may not set both a target raw value and a target utilization"
        yield forbidden_field(f"{path}.target.averageValue", text)


_RULES: dict[str, Callable[[Object, str], Iterator[FieldError]]] = {
    "object": _object,
    "external": _external,
    "pods": _pods,
    "resource": _resource,
    "containerResource": _container_resource,
}


# Behavior


def validate_behavior(behavior: Object, path: str) -> Iterator[FieldError]:
    for field in ("scaleUp", "scaleDown"):
        if behavior.get(field) is not None:
            yield from _scaling(behavior[field], f"{path}.{field}")


def _scaling(rules: Object, path: str) -> Iterator[FieldError]:
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        yield invalid_value(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    if window is not None and window > MAX_STABILIZATION_SECONDS:
        text = f"must be less than or equal to {MAX_STABILIZATION_SECONDS}"
        yield invalid_value(f"{path}.stabilizationWindowSeconds", window, text)
    select = rules.get("selectPolicy")
    if select is not None and select not in SELECT_POLICIES:
        yield not_supported(f"{path}.selectPolicy", select, SELECT_POLICIES)
    if not rules.get("policies"):
        yield required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(rules.get("policies") or ()):
        yield from _policy(policy, f"{path}.policies[{index}]")
    tolerance = rules.get("tolerance")
    if tolerance is not None and quantity.parse(tolerance) < 0:
        yield invalid_value(f"{path}.tolerance", tolerance, "must be greater or equal to zero")


def _policy(policy: Object, path: str) -> Iterator[FieldError]:
    if policy.get("type", "") not in POLICY_TYPES:
        yield not_supported(f"{path}.type", policy.get("type", ""), POLICY_TYPES)
    for field in ("value", "periodSeconds"):
        if policy.get(field, 0) <= 0:
            yield invalid_value(f"{path}.{field}", policy.get(field, 0), "must be greater than zero")
    if policy.get("periodSeconds", 0) > MAX_PERIOD_SECONDS:
        text = f"must be less than or equal to {MAX_PERIOD_SECONDS}"
        yield invalid_value(f"{path}.periodSeconds", policy["periodSeconds"], text)
