"""How much of a device's capacity may be asked for at once, where several claims share the device (KEP-5075)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from navarch.api.resource.fieldlists import each, repeated
from navarch.apimachinery import quantity
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, required

OPTIONS_LIMIT = 10
_ONE_POLICY = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'


def validate_exclusive(capacity: Object, path: str) -> Iterator[FieldError]:
    """Of a device that one claim has for itself."""
    if capacity.get("requestPolicy") is not None:
        yield forbidden_field(f"{path}.requestPolicy", "allowMultipleAllocations must be true")


def validate_shared(capacity: Object, path: str) -> Iterator[FieldError]:
    """Of a device that several claims may have."""
    policy, where = capacity.get("requestPolicy"), f"{path}.requestPolicy"
    if policy is None:
        return
    values, span, default = policy.get("validValues"), policy.get("validRange"), policy.get("default")
    if values and span is not None:
        yield forbidden_field(where, _ONE_POLICY)
    elif values:
        if default is None:
            yield required(f"{where}.default", "required when validValues is defined")
        else:
            yield from _values(values, default, capacity["value"], f"{where}.validValues")
    elif span is not None:
        if default is None:
            yield required(f"{where}.default", "required when validRange is defined")
        else:
            yield from _range(span, default, capacity["value"], f"{where}.validRange")


def _values(values: Sequence[str], default: str, whole: str, path: str) -> Iterator[FieldError]:
    for index, (before, value) in enumerate(pairwise(values), start=1):
        if quantity.is_greater(before, value):
            yield invalid_value(f"{path}[{index}]", value, "values must be sorted in ascending order")

    def option(value: str, where: str) -> Iterator[FieldError]:
        if quantity.is_greater(value, whole):
            yield invalid_value(where, value, f"option is larger than capacity value: {whole}")

    yield from each(values, OPTIONS_LIMIT, option, path)
    if len(values) <= OPTIONS_LIMIT:
        yield from repeated([str(quantity.value(value)) for value in values], path)
    if len(values) > OPTIONS_LIMIT or not any(quantity.is_equal(value, default) for value in values):
        yield invalid_value(path, default, "default value is not valid according to the requestPolicy")


def _range(span: Object, default: str, whole: str, path: str) -> Iterator[FieldError]:
    least, most, step = (span.get(field) for field in ("min", "max", "step"))
    if least is None:
        yield required(f"{path}.min", "required when validRange is defined")
        return
    if quantity.is_greater(least, whole):
        yield invalid_value(f"{path}.min", least, f"min is larger than capacity value: {whole}")
    if quantity.is_greater(least, default):
        yield invalid_value(f"{path}.min", default, f"default is less than min: {least}")
    if most is not None:
        if quantity.is_greater(least, most):
            yield invalid_value(f"{path}.max", least, f"min is larger than max: {most}")
        if quantity.is_greater(most, whole):
            yield invalid_value(f"{path}.max", most, f"max is larger than capacity value: {whole}")
        if quantity.is_greater(default, most):
            yield invalid_value(f"{path}.max", default, f"default is more than max: {most}")
    if step is not None:
        yield from _step(step, least, [default, *([most] if most is not None else ())], whole, f"{path}.step")


def _step(step: str, least: str, reached: Sequence[str], whole: str, path: str) -> Iterator[FieldError]:
    if quantity.parse(step) <= 0:
        yield invalid_value(path, step, "must be greater than zero")
        return
    first = quantity.total((least, step))
    if quantity.is_greater(first, whole):
        yield invalid_value(path, step, f"one step {first} is larger than capacity value: {whole}")
    for value in reached:
        if (quantity.value(value) - quantity.value(least)) % quantity.value(step):
            yield invalid_value(path, value, f"value is not a multiple of a given step ({step}) from ({least})")
