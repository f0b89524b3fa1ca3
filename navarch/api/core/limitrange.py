"""LimitRange: how much pods, containers and claims of a namespace may ask for, and what those get that ask for nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from navarch.api.core import resourcenames
from navarch.api.kind import Kind
from navarch.apimachinery import names, quantity
from navarch.apimachinery.errors import FieldError, Object, duplicate, forbidden_field, invalid_value, required

TYPES = ("Container", "PersistentVolumeClaim", "Pod")
AMOUNTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
# Beyond this, amounts are compared in whole units instead of thousandths.
_MAX_MILLI_VALUE = ((1 << 63) - 1) // 1000


def default(limit_range: Object) -> Object:
    for limit in limit_range.setdefault("spec", {}).setdefault("limits", []):
        if limit.get("type") == "Container":
            limits = {**(limit.get("max") or {}), **(limit.get("default") or {})}
            requests = {**(limit.get("min") or {}), **limits, **(limit.get("defaultRequest") or {})}
            if limits:
                limit["default"] = limits
            if requests:
                limit["defaultRequest"] = requests
    return limit_range


def prepare_create(limit_range: Object) -> Object:
    """One without a name is called by its uid."""
    metadata = limit_range["metadata"]
    return limit_range if metadata.get("name") else {**limit_range, "metadata": {**metadata, "name": metadata["uid"]}}


def validate(limit_range: Object) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, limit in enumerate((limit_range.get("spec") or {}).get("limits") or ()):
        path, type_ = f"spec.limits[{index}]", limit.get("type", "")
        yield from _type(type_, f"{path}.type")
        if type_ in seen:
            yield duplicate(f"{path}.type", type_)
        seen.add(type_)
        amounts = {field: limit.get(field) or {} for field in AMOUNTS}
        if type_ == "Pod":
            for field in ("default", "defaultRequest"):
                if amounts[field]:
                    yield forbidden_field(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
                amounts[field] = {}
        if type_ == "PersistentVolumeClaim" and not {"storage"} & (amounts["min"].keys() | amounts["max"].keys()):
            text = "either minimum or maximum storage value is required, but neither was provided"
            yield required(f"{path}.limits", text)
        check = resourcenames.validate_container_name if type_ in ("Pod", "Container") else resourcenames.validate_name
        for field, named in amounts.items():
            for name in sorted(named):
                yield from check(name, f"{path}.{field}[{name}]")
        for name in sorted(set().union(*amounts.values())):
            yield from _relations({field: named.get(name) for field, named in amounts.items()}, name, path)


def _type(type_: str, path: str) -> Iterator[FieldError]:
    problems = list(names.qualified_name(type_))
    yield from (invalid_value(path, type_, text) for text in problems)
    if not problems and "/" not in type_ and type_ not in TYPES:
        yield invalid_value(path, type_, "must be a standard limit type or fully qualified")


# (field shown, field whose value is shown, smaller, larger, how both are called): the smaller must not be greater.
_ORDERED = (
    ("min", "min", "min", "max", "min value", "max value"),
    ("defaultRequest", "defaultRequest", "min", "defaultRequest", "min value", "default request value"),
    ("defaultRequest", "defaultRequest", "defaultRequest", "max", "default request value", "max value"),
    ("defaultRequest", "defaultRequest", "defaultRequest", "default", "default request value", "default limit value"),
    ("default", "min", "min", "default", "min value", "default value"),
    ("default", "max", "default", "max", "default value", "max value"),
)


def _relations(amounts: dict[str, str | None], name: str, path: str) -> Iterator[FieldError]:
    """What the amounts of one resource must be to one another."""
    for field, shown, smaller, larger, smaller_called, larger_called in _ORDERED:
        low, high = amounts[smaller], amounts[larger]
        if low is not None and high is not None and quantity.parse(low) > quantity.parse(high):
            text = f"{smaller_called} {low} is greater than {larger_called} {high}"
            yield invalid_value(f"{path}.{field}[{name}]", amounts[shown], text)
    ratio = amounts["maxLimitRequestRatio"]
    if ratio is not None:
        where = f"{path}.maxLimitRequestRatio[{name}]"
        if quantity.parse(ratio) < 1:
            yield invalid_value(where, ratio, f"ratio {ratio} is less than 1")
        if amounts["min"] is not None and amounts["max"] is not None:
            yield from _ratio(ratio, amounts["min"], amounts["max"], where)
    limit, request = amounts["default"], amounts["defaultRequest"]
    if limit is None or request is None or resourcenames.is_overcommit_allowed(name):
        return
    if quantity.parse(limit) != quantity.parse(request):
        text = f"default value {limit} must equal to defaultRequest value {request} in {name}"
        yield invalid_value(f"{path}.defaultRequest[{name}]", request, text)


def _ratio(ratio: str, low: str, high: str, path: str) -> Iterator[FieldError]:
    """The ratio must not allow more than min and max do."""
    exact = all(quantity.value(amount) < _MAX_MILLI_VALUE for amount in (ratio, low, high))
    measure = quantity.milli if exact else quantity.value
    wanted = Fraction(measure(ratio), 1000 if exact else 1)
    bottom, top = measure(low), measure(high)
    allowed = top / bottom if bottom else math.inf if top else math.nan
    if wanted > allowed:
        yield invalid_value(path, ratio, f"ratio {ratio} is greater than max/min = {allowed:f}")


KIND = Kind(
    group="",
    version="v1",
    kind="LimitRange",
    plural="limitranges",
    short_names=("limits",),
    default=default,
    validate=validate,
    prepare_create=prepare_create,
    allow_create_on_update=True,
)
