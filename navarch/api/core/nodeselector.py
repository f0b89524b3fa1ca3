"""NodeSelector: which nodes something may be on, by labels and by name: validation, and which nodes that are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value, required
from navarch.apimachinery.selectors import Requirement

NOT_AN_OPERATOR = "not a valid selector operator"
NAME_FIELD = "metadata.name"
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}


def allows(pod_spec: Object, node: Object) -> bool:
    """Whether a pod's nodeSelector and its required node affinity let it be on `node`."""
    labels = meta.labels(node)
    if any(labels.get(key) != value for key, value in (pod_spec.get("nodeSelector") or {}).items()):
        return False
    needed = meta.get_path(pod_spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    if needed is None:
        return True
    return any(_matches(term, labels, meta.name(node)) for term in needed.get("nodeSelectorTerms") or ())


def _matches(term: Object, labels: Mapping[str, str], name: str) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    named = {NAME_FIELD: name}
    return all(_requirement(item).matches(labels) for item in expressions) and all(
        _requirement(item).matches(named) for item in fields
    )


def _requirement(item: Object) -> Requirement:
    return Requirement(item["key"], _OPERATORS[item["operator"]], tuple(item.get("values") or ()))


def tolerates(toleration: Object, taint: Object) -> bool:
    """Whether that toleration is about that taint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator, wanted, value = toleration.get("operator"), toleration.get("value") or "", taint.get("value") or ""
    if operator == "Exists":
        return True
    if operator in ("Gt", "Lt"):
        return Requirement(taint["key"], operator.lower(), (wanted,)).matches({taint["key"]: value})
    return bool(toleration.get("key")) and wanted == value


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
    if key != NAME_FIELD:
        yield invalid_value(f"{path}.key", key, "not a valid field selector key")
        return
    for index, value in enumerate(values):
        yield from (invalid_value(f"{path}.values[{index}]", value, text) for text in names.dns1123_subdomain(value))
