"""Resources that containers and whole pods ask for: defaults and validation (k8s.io/kubernetes/pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from navarch.api.core import podresources, resourcenames
from navarch.apimachinery import meta, names, quantity
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    not_found_value,
    not_supported,
    required,
)

SIDES = ("limits", "requests")
_COMPUTE = frozenset({"cpu", "memory"})
_POD_LEVEL = ("cpu", resourcenames.HUGE_PAGES_PREFIX, "memory")

CheckName = Callable[[str, str], Iterator[FieldError]]

# Defaults


def default(resources: Object) -> None:
    """Keep no more than thousandths. Changes the amounts."""
    for side in SIDES:
        round_amounts(resources.get(side))


def round_amounts(amounts: Object | None) -> None:
    """The same for one map of amounts."""
    if amounts:
        for name, amount in amounts.items():
            amounts[name] = quantity.rounded_to_milli(amount)


def default_requests(resources: Object) -> None:
    """A container of a pod asks for no less than its limit where it says nothing else. Changes `resources`."""
    limits = resources.get("limits")
    if limits:
        resources["requests"] = {**limits, **(resources.get("requests") or meta.EMPTY)}


def default_pod_level(spec: Object) -> None:
    """What a pod asks for as a whole, where it says so in part (KEP-2837). Changes `spec`."""
    resources = spec.get("resources")
    if not resources or not any(resources.get(side) for side in SIDES):
        return
    limits, requests = dict(resources.get("limits") or meta.EMPTY), dict(resources.get("requests") or meta.EMPTY)
    for name, amount in podresources.of_containers(spec, "limits").items():
        if resourcenames.is_huge_page(name) and name not in requests:
            limits.setdefault(name, amount)
    if limits:
        for name, amount in podresources.of_containers(spec, "requests").items():
            if podresources.is_pod_level(name) and resourcenames.is_overcommit_allowed(name):
                requests.setdefault(name, amount)
        for name, amount in limits.items():
            if podresources.is_pod_level(name):
                requests.setdefault(name, amount)
        resources["limits"] = limits
    if requests:
        resources["requests"] = requests


# Validation


def validate(
    resources: Object, path: str, claims: Collection[str], check_name: CheckName = resourcenames.validate_container_name
) -> Iterator[FieldError]:
    """Requests and limits: known names, amounts that can be had, no request over its limit. `claims`: the pod's by name."""
    limits, requests = resources.get("limits") or meta.EMPTY, resources.get("requests") or meta.EMPTY
    for name in sorted(limits):
        yield from _amount(name, limits[name], f"{path}.limits[{name}]", check_name)
    for name in sorted(requests):
        amount, limit = requests[name], limits.get(name)
        yield from _amount(name, amount, f"{path}.requests[{name}]", check_name)
        overcommits = name in resourcenames.CONTAINER or resourcenames.is_overcommit_allowed(name)
        if limit is None:
            if not overcommits:
                yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        elif not overcommits and not quantity.is_equal(amount, limit):
            yield invalid_value(f"{path}.requests", amount, f"must be equal to {name} limit of {limit}")
        elif quantity.is_greater(amount, limit):
            yield invalid_value(f"{path}.requests", amount, f"must be less than or equal to {name} limit of {limit}")
    given = limits.keys() | requests.keys()
    if not given & _COMPUTE and any(resourcenames.is_huge_page(name) for name in given):
        yield forbidden_field(path, "HugePages require cpu or memory")
    if resources.get("claims"):
        yield from _claims(resources["claims"], f"{path}.claims", claims)


def _amount(name: str, amount: str, path: str, check_name: CheckName) -> Iterator[FieldError]:
    if name in resourcenames.CONTAINER and amount[0] != "-" and check_name is resourcenames.validate_container_name:
        # What nearly every container asks for, and nothing is wrong with.
        return
    yield from check_name(name, path)
    yield from resourcenames.validate_amount(name, amount, path)
    if resourcenames.is_huge_page(name) and not _is_divisible(name, amount):
        yield invalid_value(path, amount, f"{amount} is not positive integer multiple of {name}")


def _is_divisible(name: str, amount: str) -> bool:
    """Whether an amount of huge pages is of whole pages."""
    try:
        size = quantity.parse(name.removeprefix(resourcenames.HUGE_PAGES_PREFIX))
    except ValueError:
        return False
    return size > 0 and size.denominator == 1 and quantity.value(amount) % size == 0


def _claims(wanted: Iterable[Object], path: str, claims: Collection[str]) -> Iterator[FieldError]:
    """Devices a container is given of those the pod claims (KEP-4381)."""
    seen: set[str] = set()
    for index, claim in enumerate(wanted):
        where, name, request = f"{path}[{index}]", claim.get("name", ""), claim.get("request", "")
        if not name:
            yield required(where)
            continue
        key = f"{name}/{request}" if request else name
        if name in seen:
            yield duplicate(where, name)
        else:
            if request:
                for text in names.dns1123_label(request):
                    yield invalid_value(f"{where}.request", request, text)
            if key in seen:
                yield duplicate(where, key)
            elif not request:
                for _ in [other for other in seen if other.partition("/")[0] == name]:
                    yield duplicate(where, name)
            seen.add(key)
        if name not in claims:
            known = f": {', '.join(sorted(claims))}" if claims else " which is empty"
            yield not_found_value(where, name, f"must be one of the names in pod.spec.resourceClaims{known}")


# Whole pods


def _validate_pod_level_name(name: str, path: str) -> Iterator[FieldError]:
    problems = list(resourcenames.validate_name(name, path))
    yield from problems
    if not problems and not podresources.is_pod_level(name):
        yield not_supported(path, name, _POD_LEVEL)


def validate_pod_level(spec: Object, path: str, claims: Collection[str]) -> Iterator[FieldError]:
    """`spec.resources`, at `path`."""
    resources = spec["resources"]
    if (spec.get("os") or meta.EMPTY).get("name") == "windows":
        yield forbidden_field(path, "may not be set for a windows pod")
        return
    if resources.get("claims") is not None:
        yield forbidden_field(f"{path}.claims", "claims may not be set for Resources at pod-level")
    yield from validate(resources, path, claims, _validate_pod_level_name)
    limits, requests = resources.get("limits") or meta.EMPTY, resources.get("requests") or meta.EMPTY
    for name, amount in sorted(podresources.of_containers(spec, "requests").items()):
        if name in requests and quantity.is_greater(amount, requests[name]):
            text = f"must be greater than or equal to aggregate container requests of {amount}"
            yield invalid_value(f"{path}.requests[{name}]", requests[name], text)
    for name, amount in sorted(podresources.of_containers(spec, "limits").items()):
        if resourcenames.is_huge_page(name) and name in limits and quantity.is_greater(amount, limits[name]):
            text = f"must be greater than or equal to aggregate container limits of {amount}"
            yield invalid_value(f"{path}.limits[{name}]", limits[name], text)
    for index, container in enumerate(spec.get("containers") or ()):
        for name, amount in sorted(((container.get("resources") or meta.EMPTY).get("limits") or meta.EMPTY).items()):
            if name in limits and quantity.is_greater(amount, limits[name]):
                text = f"must be less than or equal to pod limits of {limits[name]}"
                yield invalid_value(f"{path}.containers[{index}][{name}].limits", amount, text)
