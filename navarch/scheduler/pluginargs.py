"""The arguments of in-tree plugins as `pluginConfig` gives them: checked as kube-scheduler checks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from navarch.apimachinery.errors import Object
from navarch.scheduler.framework import Plugin
from navarch.scheduler.profiles import ConfigurationError

MAX_RESOURCE_WEIGHT = 100
MAX_UTILIZATION = 100
MAX_SHAPE_SCORE = 10
STRATEGIES = ("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio")
DEFAULTING_TYPES = ("System", "List")


def check_args(kind: type[Plugin], args: Any, path: str) -> Object:
    """A plugin's arguments without their type. Raises ConfigurationError."""
    if args is None:
        return {}
    if not isinstance(args, dict):
        raise ConfigurationError(path, "an object is expected")
    found = dict(args)
    expected = f"{kind.name}Args"
    if found.pop("kind", expected) != expected:
        raise ConfigurationError(f"{path}.kind", f"{expected} is expected")
    found.pop("apiVersion", None)
    for name in found:
        if name not in kind.args_defaults:
            raise ConfigurationError(f"{path}.{name}", f'unknown field "{name}"')
    check = CHECKS.get(kind.name)
    if check is not None:
        try:
            check(found, path)
        except (TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(path, f"not of the form of {expected}: {error!r}") from error
    return found


def _resources(items: list[Object], path: str) -> None:
    seen: set[str] = set()
    for number, item in enumerate(items):
        at = f"{path}[{number}]"
        if set(item) - {"name", "weight"}:
            raise ConfigurationError(at, f"unknown field {sorted(set(item) - {'name', 'weight'})[0]!r}")
        if item["name"] in seen:
            raise ConfigurationError(f"{at}.name", f'Duplicate value: "{item["name"]}"')
        seen.add(item["name"])
        weight = item.get("weight", 1)
        if not 1 <= weight <= MAX_RESOURCE_WEIGHT:
            raise ConfigurationError(
                f"{at}.weight", f"resource weight of {item['name']} not in valid range [1-100], got {weight}"
            )


def _check_fit(args: Object, path: str) -> None:
    for name in args.get("ignoredResourceGroups") or ():
        if "/" in name:
            raise ConfigurationError(f"{path}.ignoredResourceGroups", "resource group name can't contain '/'")
    strategy = args.get("scoringStrategy")
    if strategy is None:
        return
    at = f"{path}.scoringStrategy"
    for name in strategy:
        if name not in ("type", "resources", "requestedToCapacityRatio"):
            raise ConfigurationError(f"{at}.{name}", f'unknown field "{name}"')
    if strategy.get("type") not in STRATEGIES:
        raise ConfigurationError(f"{at}.type", f"Unsupported value: supported values: {', '.join(STRATEGIES)}")
    _resources(strategy.get("resources") or [], f"{at}.resources")
    if strategy["type"] == "RequestedToCapacityRatio":
        _shape((strategy.get("requestedToCapacityRatio") or {}).get("shape") or [], f"{at}.requestedToCapacityRatio.shape")


def _shape(points: list[Object], path: str) -> None:
    if not points:
        raise ConfigurationError(path, "Required value: at least one point must be specified")
    before = -1
    for number, point in enumerate(points):
        at = f"{path}[{number}]"
        utilization, score = point["utilization"], point["score"]
        if not 0 <= utilization <= MAX_UTILIZATION:
            raise ConfigurationError(f"{at}.utilization", "not in valid range [0-100]")
        if utilization <= before:
            raise ConfigurationError(f"{at}.utilization", "utilization values must be sorted in increasing order")
        if not 0 <= score <= MAX_SHAPE_SCORE:
            raise ConfigurationError(f"{at}.score", "not in valid range [0-10]")
        before = utilization


def _check_balanced(args: Object, path: str) -> None:
    _resources(args.get("resources") or [], f"{path}.resources")
    for number, item in enumerate(args.get("resources") or ()):
        if item.get("weight", 1) != 1:
            raise ConfigurationError(f"{path}.resources[{number}].weight", "must be 1")


def _check_spread(args: Object, path: str) -> None:
    defaulting = args.get("defaultingType", "System")
    if defaulting not in DEFAULTING_TYPES:
        raise ConfigurationError(
            f"{path}.defaultingType", f"Unsupported value: supported values: {', '.join(DEFAULTING_TYPES)}"
        )
    constraints = args.get("defaultConstraints") or []
    if constraints and defaulting == "System":
        raise ConfigurationError(
            f"{path}.defaultingType", "when .defaultConstraints are not empty, defaultingType must be List"
        )
    seen = set()
    for number, item in enumerate(constraints):
        at = f"{path}.defaultConstraints[{number}]"
        if item.get("maxSkew", 0) <= 0:
            raise ConfigurationError(f"{at}.maxSkew", "not in valid range (0, inf)")
        if not item.get("topologyKey"):
            raise ConfigurationError(f"{at}.topologyKey", "can not be empty")
        if item.get("whenUnsatisfiable") not in ("DoNotSchedule", "ScheduleAnyway"):
            raise ConfigurationError(f"{at}.whenUnsatisfiable", "supported values: DoNotSchedule, ScheduleAnyway")
        if item.get("labelSelector") is not None:
            raise ConfigurationError(
                f"{at}.labelSelector", "constraint must not define a selector, as they deduced for each pod"
            )
        pair = (item["topologyKey"], item["whenUnsatisfiable"])
        if pair in seen:
            raise ConfigurationError(at, f'Duplicate value: "{pair}"')
        seen.add(pair)


def _check_affinity(args: Object, path: str) -> None:
    weight = args.get("hardPodAffinityWeight", 1)
    if not 0 <= weight <= 100:
        raise ConfigurationError(f"{path}.hardPodAffinityWeight", f"not in valid range [0-100], got {weight}")


def _check_preemption(args: Object, path: str) -> None:
    percentage, absolute = args.get("minCandidateNodesPercentage", 10), args.get("minCandidateNodesAbsolute", 100)
    if not 0 <= percentage <= 100:
        raise ConfigurationError(f"{path}.minCandidateNodesPercentage", "not in valid range [0, 100]")
    if absolute < 0:
        raise ConfigurationError(f"{path}.minCandidateNodesAbsolute", "not in valid range [0, inf)")
    if percentage == 0 and absolute == 0:
        raise ConfigurationError(path, "minCandidateNodesPercentage and minCandidateNodesAbsolute cannot both be zero")


def _check_volumes(args: Object, path: str) -> None:
    seconds = args.get("bindTimeoutSeconds", 600)
    if type(seconds) is not int or seconds < 0:
        raise ConfigurationError(
            f"{path}.bindTimeoutSeconds", f"invalid BindTimeoutSeconds, should not be a negative value, got {seconds}"
        )


CHECKS: Mapping[str, Callable[[Object, str], None]] = {
    "NodeResourcesFit": _check_fit,
    "NodeResourcesBalancedAllocation": _check_balanced,
    "PodTopologySpread": _check_spread,
    "InterPodAffinity": _check_affinity,
    "DefaultPreemption": _check_preemption,
    "VolumeBinding": _check_volumes,
}
