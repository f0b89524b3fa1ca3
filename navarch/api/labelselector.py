"""metav1.LabelSelector: which objects something is about, by labels; validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from navarch.api.objectmeta import validate_labels
from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, forbidden_field, invalid_value, required

DEFINITION = "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"


def validate(selector: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """What is wrong with a selector."""
    if selector.get("matchLabels"):
        yield from validate_labels(selector["matchLabels"], f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        yield from validate_requirement(expression, f"{path}.matchExpressions[{index}]")


def validate_requirement(expression: Mapping[str, Any], path: str, *, any_operator: bool = False) -> Iterator[FieldError]:
    """What is wrong with one expression; `any_operator`: what is unknown here may be known to who uses it."""
    operator, values, key = expression.get("operator", ""), expression.get("values") or (), expression.get("key", "")
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield forbidden_field(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif not any_operator:
        yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")
    for text in names.qualified_name(key):
        yield invalid_value(f"{path}.key", key, text)
    for index, value in enumerate(values):
        for text in names.label_value(value):
            yield invalid_value(f"{path}.values[{index}]", value, text)
