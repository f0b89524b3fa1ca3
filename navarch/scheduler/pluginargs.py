"""The arguments of in-tree plugins as `pluginConfig` gives them: checked as kube-scheduler checks them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from navarch.api.core import nodeselector
from navarch.apimachinery import names
from navarch.apimachinery.cel.moments import parse_duration
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from navarch.scheduler.framework import Plugin
from navarch.scheduler.profiles import ConfigurationError

MAX_RESOURCE_WEIGHT = 100
MAX_UTILIZATION = 100
MAX_SHAPE_SCORE = 10
RATIO = "RequestedToCapacityRatio"
STRATEGIES = ("LeastAllocated", "MostAllocated", RATIO)
DEFAULTING_TYPES = ("System", "List")
ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
NANOSECONDS = 10**9


def check_args(kind: type[Plugin], args: Any, path: str, errors: list[FieldError]) -> Object:
    """A plugin's arguments without their type. What is wrong with values joins `errors`; raises ConfigurationError for what is
    not of their form."""
    if args is None:
        return {}
    if not isinstance(args, dict):
        raise ConfigurationError(path, "an object is expected")
    found = dict(args)
    expected = f"{kind.name}Args"
    if found.pop("kind", expected) != expected:
        raise ConfigurationError(f"{path}.kind", f"{expected} is expected")
    found.pop("apiVersion", None)
    _refuse_unknown(found, kind.args_defaults, path)
    check = CHECKS.get(kind.name)
    if check is not None:
        try:
            errors += check(found, path)
        except (TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(path, f"not of the form of {expected}: {error!r}") from error
    return found


def _refuse_unknown(given: Iterable[str], known: Iterable[str], path: str) -> None:
    for name in given:
        if name not in known:
            raise ConfigurationError(f"{path}.{name}", f'unknown field "{name}"')


def _label_name(name: str, path: str) -> Iterator[FieldError]:
    return (invalid_value(path, name, text) for text in names.qualified_name(name))


def _resources(items: Sequence[Object], path: str) -> Iterator[tuple[str, str, int]]:
    """(path, name, weight) of each; none, or 0, is a weight of 1."""
    for number, item in enumerate(items):
        at = f"{path}[{number}]"
        _refuse_unknown(item, ("name", "weight"), at)
        yield at, item["name"], item.get("weight") or 1


def _check_fit(args: Object, path: str) -> Iterator[FieldError]:
    for number, name in enumerate(args.get("ignoredResources") or ()):
        yield from _label_name(name, f"{path}.ignoredResources[{number}]")
    for number, name in enumerate(args.get("ignoredResourceGroups") or ()):
        at = f"{path}.ignoredResourceGroups[{number}]"
        if "/" in name:
            yield invalid_value(at, name, "resource group name can't contain '/'")
        yield from _label_name(name, at)
    strategy = args.get("scoringStrategy")
    if strategy is None:
        return
    at = f"{path}.scoringStrategy"
    _refuse_unknown(strategy, ("type", "resources", "requestedToCapacityRatio"), at)
    kind, ratio = strategy.get("type") or "", strategy.get("requestedToCapacityRatio")
    if kind not in STRATEGIES:
        yield not_supported(f"{at}.type", kind, STRATEGIES)
    for where, name, weight in _resources(strategy.get("resources") or (), f"{at}.resources"):
        if not 0 < weight <= MAX_RESOURCE_WEIGHT:
            yield invalid_value(f"{where}.weight", weight, f"resource weight of {name} not in valid range (0, 100]")
    at = f"{at}.requestedToCapacityRatio"
    if kind != RATIO and ratio is not None:
        yield forbidden_field(at, f"must be nil when type is not {RATIO}")
    elif kind == RATIO and ratio is None:
        yield required(at, f"must be specified when type is {RATIO}")
    elif kind == RATIO:
        _refuse_unknown(ratio, ("shape",), at)
        yield from _shape(ratio.get("shape") or (), f"{at}.shape")


def _shape(points: Sequence[Object], path: str) -> Iterator[FieldError]:
    if not points:
        yield required(path, "at least one point must be specified")
        return
    levels = [(point.get("utilization", 0), point.get("score", 0)) for point in points]
    for number in range(1, len(levels)):
        if levels[number - 1][0] >= levels[number][0]:
            text = "values must be sorted in increasing order"
            yield invalid_value(f"{path}[{number}].utilization", levels[number][0], text)
            break
    for number, (utilization, score) in enumerate(levels):
        if not 0 <= utilization <= MAX_UTILIZATION:
            text = f"not in valid range [0, {MAX_UTILIZATION}]"
            yield invalid_value(f"{path}[{number}].utilization", utilization, text)
        if not 0 <= score <= MAX_SHAPE_SCORE:
            yield invalid_value(f"{path}[{number}].score", score, f"not in valid range [0, {MAX_SHAPE_SCORE}]")


def _check_balanced(args: Object, path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for at, name, weight in _resources(args.get("resources") or (), f"{path}.resources"):
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        if weight != 1:
            yield invalid_value(f"{at}.weight", weight, "must be 1")


def _check_spread(args: Object, path: str) -> Iterator[FieldError]:
    defaulting = args.get("defaultingType") or "System"
    constraints = args.get("defaultConstraints") or ()
    if defaulting not in DEFAULTING_TYPES:
        yield not_supported(f"{path}.defaultingType", defaulting, DEFAULTING_TYPES)
    elif constraints and defaulting == "System":
        yield invalid_value(f"{path}.defaultingType", defaulting, "when .defaultConstraints are not empty")
    seen = set()
    for number, item in enumerate(constraints):
        at = f"{path}.defaultConstraints[{number}]"
        skew, key, action = item.get("maxSkew") or 0, item.get("topologyKey") or "", item.get("whenUnsatisfiable") or ""
        if skew <= 0:
            yield invalid_value(f"{at}.maxSkew", skew, "not in valid range (0, inf)")
        if key:
            yield from _label_name(key, f"{at}.topologyKey")
        else:
            yield required(f"{at}.topologyKey", "can not be empty")
        if not action:
            yield required(f"{at}.whenUnsatisfiable", "can not be empty")
        elif action not in ACTIONS:
            yield not_supported(f"{at}.whenUnsatisfiable", action, ACTIONS)
        if item.get("labelSelector") is not None:
            text = "constraint must not define a selector, as they deduced for each pod"
            yield forbidden_field(f"{at}.labelSelector", text)
        if (key, action) in seen:
            yield duplicate(at, f"{{{key}, {action}}}")
        seen.add((key, action))


def _check_node_affinity(args: Object, path: str) -> Iterator[FieldError]:
    added = args.get("addedAffinity") or {}
    required_terms = (added.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ()
    preferred = added.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    at = f"{path}.addedAffinity"
    for number, term in enumerate(required_terms):
        where = f"{at}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[{number}]"
        yield from nodeselector.validate_term(term, where)
    for number, item in enumerate(preferred):
        where = f"{at}.preferredDuringSchedulingIgnoredDuringExecution[{number}]"
        yield from nodeselector.validate_term(item.get("preference") or {}, where)


def _check_pod_affinity(args: Object, path: str) -> Iterator[FieldError]:
    weight = args.get("hardPodAffinityWeight", 1)
    if not 0 <= weight <= 100:
        yield invalid_value(f"{path}.hardPodAffinityWeight", weight, "not in valid range [0, 100]")


def _check_preemption(args: Object, path: str) -> Iterator[FieldError]:
    percentage, absolute = args.get("minCandidateNodesPercentage", 10), args.get("minCandidateNodesAbsolute", 100)
    if not 0 <= percentage <= 100:
        yield invalid_value(f"{path}.minCandidateNodesPercentage", percentage, "not in valid range [0, 100]")
    if absolute < 0:
        yield invalid_value(f"{path}.minCandidateNodesAbsolute", absolute, "not in valid range [0, inf)")
    if percentage == 0 and absolute == 0:
        for name, other in (("Percentage", "Absolute"), ("Absolute", "Percentage")):
            text = f"cannot be zero at the same time as minCandidateNodes{other}"
            yield invalid_value(f"{path}.minCandidateNodes{name}", 0, text)


def _check_volumes(args: Object, path: str) -> Iterator[FieldError]:
    seconds = args.get("bindTimeoutSeconds", 600)
    if type(seconds) is not int:
        raise TypeError(f"bindTimeoutSeconds is {seconds!r}")
    if seconds < 0:
        text = "invalid BindTimeoutSeconds, should not be a negative value"
        yield invalid_value(f"{path}.bindTimeoutSeconds", seconds, text)


def _check_devices(args: Object, path: str) -> Iterator[FieldError]:
    for name, least, text in (
        ("filterTimeout", 0, "must be zero or positive"),
        ("bindingTimeout", NANOSECONDS, "must be at least 1 second"),
    ):
        value = args.get(name)
        if value is None:
            continue
        try:
            duration = parse_duration(str(value)).nanoseconds
        except ValueError:
            raise ConfigurationError(f"{path}.{name}", f'time: invalid duration "{value}"') from None
        if duration < least:
            yield invalid_value(f"{path}.{name}", value, text)


CHECKS: Mapping[str, Callable[[Object, str], Iterator[FieldError]]] = {
    "NodeResourcesFit": _check_fit,
    "NodeResourcesBalancedAllocation": _check_balanced,
    "PodTopologySpread": _check_spread,
    "NodeAffinity": _check_node_affinity,
    "InterPodAffinity": _check_pod_affinity,
    "DefaultPreemption": _check_preemption,
    "VolumeBinding": _check_volumes,
    "DynamicResources": _check_devices,
}
