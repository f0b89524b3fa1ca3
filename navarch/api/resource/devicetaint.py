"""Taints of devices and what tolerates them, and conditions that a device must meet before a pod is bound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from navarch.api.resource.devicenames import validate_label_key
from navarch.api.resource.fieldlists import each, repeated
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, duplicate, invalid_value, not_supported, required

TAINTS_LIMIT = 16
CONDITIONS_LIMIT = 4
EFFECTS = ("NoExecute", "NoSchedule", "None")
OPERATORS = ("Equal", "Exists")


def with_operators(tolerations: Iterable[Object]) -> list[Object]:
    """Tolerations that all say how they compare."""
    return [toleration if toleration.get("operator") else {**toleration, "operator": "Equal"} for toleration in tolerations]


def validate(taint: Object, path: str) -> Iterator[FieldError]:
    effect, value = taint.get("effect", ""), taint.get("value", "")
    yield from validate_label_key(taint.get("key", ""), f"{path}.key")
    if value:
        yield from _value(value, f"{path}.value")
    if not effect:
        yield required(f"{path}.effect")
    elif effect not in EFFECTS:
        yield not_supported(f"{path}.effect", effect, EFFECTS)


def validate_toleration(toleration: Object, path: str) -> Iterator[FieldError]:
    key, operator, value = (toleration.get(field, "") for field in ("key", "operator", "value"))
    if key:
        yield from validate_label_key(key, f"{path}.key")
    if operator == "Exists":
        if value:
            yield invalid_value(f"{path}.value", value, "must be empty for operator `Exists`")
    elif operator == "Equal":
        yield from _value(value, f"{path}.value")
    elif not operator:
        yield required(f"{path}.operator")
    else:
        yield not_supported(f"{path}.operator", operator, OPERATORS)
    effect = toleration.get("effect", "")
    if effect and effect not in EFFECTS:
        yield not_supported(f"{path}.effect", effect, EFFECTS)


def _value(value: str, path: str) -> Iterator[FieldError]:
    yield from (invalid_value(path, value, text) for text in names.label_value(value))


def validate_binding_conditions(of: Object, path: str) -> Iterator[FieldError]:
    """Conditions that let a pod be bound and those that keep it from being bound: both or neither."""
    met, failed = "bindingConditions", "bindingFailureConditions"
    met_conditions: Sequence[str] = of.get(met) or ()
    failure_conditions: Sequence[str] = of.get(failed) or ()
    yield from each(met_conditions, CONDITIONS_LIMIT, validate_label_key, f"{path}.{met}")
    yield from each(failure_conditions, CONDITIONS_LIMIT, validate_label_key, f"{path}.{failed}")
    yield from repeated(met_conditions, f"{path}.{met}")
    seen: set[str] = set()
    for index, condition in enumerate(failure_conditions):
        where = f"{path}.{failed}[{index}]"
        if condition in seen:
            yield duplicate(where, condition)
        seen.add(condition)
        if condition in met_conditions:
            yield invalid_value(where, condition, f"{failed} must not overlap with {met}")
    if failure_conditions and not met_conditions:
        yield invalid_value(f"{path}.{met}", of.get(met), f"{met} are required to use {failed}")
    if met_conditions and not failure_conditions:
        yield invalid_value(f"{path}.{failed}", of.get(failed), f"{failed} are required to use {met}")
