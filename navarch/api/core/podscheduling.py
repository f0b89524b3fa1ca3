"""Which nodes a pod may be on: affinity, spreading, tolerations; validation (k8s.io/kubernetes/pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from navarch.api import labelselector
from navarch.api.core import nodeselector
from navarch.apimachinery import names
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
TOLERATION_OPERATORS = ("Equal", "Exists")
# An alpha interface that is not offered (KEP-5471), but known of.
COMPARING_OPERATORS = ("Lt", "Gt")
UNSATISFIABLE_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
NODE_POLICIES = ("Honor", "Ignore")

# Affinity


def validate_affinity(affinity: Object, path: str) -> Iterator[FieldError]:
    node = affinity.get("nodeAffinity")
    if node is not None:
        yield from _node_affinity(node, f"{path}.nodeAffinity")
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind)
        if terms is not None:
            for index, term in enumerate(terms.get(REQUIRED) or ()):
                yield from _pod_term(term, f"{path}.{kind}.{REQUIRED}[{index}]")
            for index, weighted in enumerate(terms.get(PREFERRED) or ()):
                where = f"{path}.{kind}.{PREFERRED}[{index}]"
                yield from _weight(weighted, where)
                yield from _pod_term(weighted.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm")


def _node_affinity(affinity: Object, path: str) -> Iterator[FieldError]:
    if affinity.get(REQUIRED) is not None:
        yield from nodeselector.validate(affinity[REQUIRED], f"{path}.{REQUIRED}")
    for index, weighted in enumerate(affinity.get(PREFERRED) or ()):
        where = f"{path}.{PREFERRED}[{index}]"
        yield from _weight(weighted, where)
        yield from nodeselector.validate_term(weighted.get("preference") or {}, f"{where}.preference", preferred=True)


def _weight(term: Object, path: str) -> Iterator[FieldError]:
    weight = term.get("weight", 0)
    if not 1 <= weight <= 100:
        yield invalid_value(f"{path}.weight", weight, "must be in the range 1-100")


def _pod_term(term: Object, path: str) -> Iterator[FieldError]:
    key = term.get("topologyKey", "")
    for field in ("labelSelector", "namespaceSelector"):
        if term.get(field) is not None:
            yield from labelselector.validate(term[field], f"{path}.{field}")
    for name in term.get("namespaces") or ():
        for text in names.dns1123_label(name):
            yield invalid_value(f"{path}.namespace", name, text)
    yield from _label_keys(term, path)
    if not key:
        yield required(f"{path}.topologyKey", "can not be empty")
    for text in names.qualified_name(key):
        yield invalid_value(f"{path}.topologyKey", key, text)


def _label_keys(term: Object, path: str) -> Iterator[FieldError]:
    """Labels of the pod itself whose values a selector is about; creation has merged them into it (KEP-3633)."""
    selector = term.get("labelSelector")
    matched, mismatched = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    for field, keys in (("matchLabelKeys", matched), ("mismatchLabelKeys", mismatched)):
        if keys and selector is None:
            yield forbidden_field(f"{path}.{field}", "must not be specified when labelSelector is not set")
        elif keys:
            for index, key in enumerate(keys):
                for text in names.qualified_name(key):
                    yield invalid_value(f"{path}.{field}[{index}]", key, text)
    if matched and selector is not None:
        seen = set(selector.get("matchLabels") or ())
        places = {key: index for index, key in enumerate(matched)}
        for expression in selector.get("matchExpressions") or ():
            key = expression.get("key", "")
            if key in places and key in seen:
                yield invalid_value(f"{path}[{places[key]}]", key, "exists in both matchLabelKeys and labelSelector")
            seen.add(key)
    for index, key in enumerate(matched):
        if key in mismatched:
            yield invalid_value(f"{path}.matchLabelKeys[{index}]", key, "exists in both matchLabelKeys and mismatchLabelKeys")


def with_label_keys(spec: Object, labels: Mapping[str, str]) -> Object:
    """A pod's spec whose selectors are about the values that the pod's own labels have now. Returns a copy, if need be."""
    affinity, constraints = spec.get("affinity"), spec.get("topologySpreadConstraints")
    if affinity:
        merged = {
            kind: _merged_terms(terms, labels) if kind in ("podAffinity", "podAntiAffinity") and terms else terms
            for kind, terms in affinity.items()
        }
        if merged != affinity:
            spec = {**spec, "affinity": merged}
    if constraints and any(constraint.get("matchLabelKeys") for constraint in constraints):
        spec = {**spec, "topologySpreadConstraints": [_merged(constraint, labels) for constraint in constraints]}
    return spec


def _merged_terms(terms: Object, labels: Mapping[str, str]) -> Object:
    merged = dict(terms)
    if terms.get(REQUIRED):
        merged[REQUIRED] = [_merged(term, labels) for term in terms[REQUIRED]]
    if terms.get(PREFERRED):
        merged[PREFERRED] = [
            {**weighted, "podAffinityTerm": _merged(weighted.get("podAffinityTerm") or {}, labels)}
            for weighted in terms[PREFERRED]
        ]
    return merged


def _merged(term: Object, labels: Mapping[str, str]) -> Object:
    selector = term.get("labelSelector")
    if selector is None:
        return term
    added: list[Any] = [
        {"key": key, "operator": operator, "values": [labels[key]]}
        for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
        for key in term.get(field) or ()
        if key in labels
    ]
    if not added:
        return term
    return {**term, "labelSelector": {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *added]}}


# Spreading


def validate_topology(constraints: Sequence[Object], path: str) -> Iterator[FieldError]:
    for index, constraint in enumerate(constraints):
        where = f"{path}[{index}]"
        skew, key, action = (constraint.get(field) for field in ("maxSkew", "topologyKey", "whenUnsatisfiable"))
        if (skew or 0) <= 0:
            yield invalid_value(f"{where}.maxSkew", skew or 0, "must be greater than zero")
        if not key:
            yield required(f"{where}.topologyKey", "can not be empty")
        if action not in UNSATISFIABLE_ACTIONS:
            yield not_supported(f"{where}.whenUnsatisfiable", action or "", UNSATISFIABLE_ACTIONS)
        for other in constraints[index + 1 :]:
            if other.get("topologyKey") == key and other.get("whenUnsatisfiable") == action:
                yield duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", f"{{{key or ''}, {action or ''}}}")
                break
        yield from _min_domains(constraint.get("minDomains"), action or "", f"{where}.minDomains")
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if constraint.get(field) is not None and constraint[field] not in NODE_POLICIES:
                yield not_supported(f"{where}.{field}", constraint[field], NODE_POLICIES)
        yield from _label_keys(constraint, where)
        if constraint.get("labelSelector") is not None:
            yield from labelselector.validate(constraint["labelSelector"], f"{where}.labelSelector")


def _min_domains(count: int | None, action: str, path: str) -> Iterator[FieldError]:
    if count is not None:
        if count <= 0:
            yield invalid_value(path, count, "must be greater than zero")
        if action != "DoNotSchedule":
            text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
            yield invalid_value(path, count, text)


# Tolerations


def validate_tolerations(tolerations: Iterable[Object], path: str) -> Iterator[FieldError]:
    for index, toleration in enumerate(tolerations):
        where = f"{path}[{index}]"
        key, operator, value, effect = (toleration.get(field) or "" for field in ("key", "operator", "value", "effect"))
        if key:
            for text in names.qualified_name(key):
                yield invalid_value(f"{where}.key", key, text)
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield invalid_value(f"{where}.operator", operator, text)
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            yield invalid_value(f"{where}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
        if operator in ("Equal", ""):
            problems = names.label_value(value)
            if problems:
                yield invalid_value(f"{where}.operator", value, ";".join(problems))
        elif operator == "Exists":
            if value:
                yield invalid_value(f"{where}.operator", value, "value must be empty when `operator` is 'Exists'")
        else:
            known = COMPARING_OPERATORS if operator in COMPARING_OPERATORS else ()
            yield not_supported(f"{where}.operator", operator, (*TOLERATION_OPERATORS, *known))
        if effect:
            yield from validate_effect(effect, f"{where}.effect")


def validate_effect(effect: str, path: str, *, may_be_empty: bool = True) -> Iterator[FieldError]:
    """What a taint does."""
    if not effect and not may_be_empty:
        yield required(path)
    elif effect not in TAINT_EFFECTS:
        yield not_supported(path, effect, TAINT_EFFECTS)


def validate_gates(gates: Collection[Object], path: str) -> Iterator[FieldError]:
    """What a pod waits for before it is scheduled."""
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        where, name = f"{path}[{index}]", gate.get("name", "")
        for text in names.qualified_name(name):
            yield invalid_value(where, name, text)
        if name in seen:
            yield duplicate(where, name)
        seen.add(name)
