"""NodeSelector: which nodes something may be on, by labels and by name; validation."""

from __future__ import annotations

from collections.abc import Iterator

from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, required

NOT_AN_OPERATOR = "not a valid selector operator"


def validate(selector: Object, path: str) -> Iterator[FieldError]:
    """A whole NodeSelector."""
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        yield required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        yield from validate_term(term, f"{path}.nodeSelectorTerms[{index}]")


def validate_term(term: Object, path: str, *, preferred: bool = False) -> Iterator[FieldError]:
    """One term; of a `preferred` one, values are never checked, since nothing comes of those that no label can have."""
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        yield from _expression(expression, f"{path}.matchExpressions[{index}]", preferred)
    for index, expression in enumerate(term.get("matchFields") or ()):
        yield from _field(expression, f"{path}.matchFields[{index}]")


def _expression(expression: Object, path: str, preferred: bool) -> Iterator[FieldError]:
    operator, values, key = expression.get("operator", ""), expression.get("values") or (), expression.get("key", "")
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            yield forbidden_field(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            yield required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield invalid_value(f"{path}.operator", operator, NOT_AN_OPERATOR)
    yield from (invalid_value(f"{path}.key", key, text) for text in names.qualified_name(key))
    for index, value in enumerate(() if preferred else values):
        yield from (invalid_value(f"{path}.values[{index}]", value, text) for text in names.label_value(value))


def _field(expression: Object, path: str) -> Iterator[FieldError]:
    operator, values, key = expression.get("operator", ""), expression.get("values") or (), expression.get("key", "")
    if operator not in ("In", "NotIn"):
        yield invalid_value(f"{path}.operator", operator, NOT_AN_OPERATOR)
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield required(f"{path}.values", text)
    if key != "metadata.name":
        yield invalid_value(f"{path}.key", key, "not a valid field selector key")
        return
    for index, value in enumerate(values):
        yield from (invalid_value(f"{path}.values[{index}]", value, text) for text in names.dns1123_subdomain(value))
