"""What the rules of a schema (x-kubernetes-validations) may say, and how much they may cost
(apiextensions-apiserver/pkg/apis/apiextensions/validation).

Costs are estimates of the most that a rule can cost, in the units of expressions: once for each time that its place can be in
an object of the largest size that a request can have, unless the schema sets limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from navarch.api.apiextensions import goforms
from navarch.api.apiextensions.compiledrules import CompiledRule, compiled, has_type
from navarch.apimachinery.cel.ranges import LARGEST
from navarch.apimachinery.cel.structural import cardinality_limit
from navarch.apimachinery.errors import FieldError, forbidden_field, invalid_value
from navarch.apimachinery.structural.walking import EMBEDS, LIST_TYPE, RULES, Schema, has_rules, items, properties, values

COST_LIMIT, TOTAL_COST_LIMIT = 10_000_000, 100_000_000
SHOWN_EXPENSIVE = 4
_ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
)


@dataclass(frozen=True, slots=True)
class _Place:
    schema: Schema
    path: str
    is_typed: bool = True
    cardinality: int | None = 1
    """How often it can be in an object; None where nothing limits it."""
    uncorrelatable: str = ""
    """The outermost list around it whose items cannot be told from one another in another version of the object."""
    is_root: bool = False
    """Whether its values are whole objects."""


def problems(schema: Schema, path: str, blocked: Iterable[str]) -> Iterator[FieldError]:
    """What is wrong with the rules of a structural schema, those apart that are above one of the `blocked` paths."""
    costs: list[tuple[int, str]] = []
    yield from _below(_Place(schema, path, is_root=True), frozenset(blocked), costs)
    total = min(sum(cost for cost, _ in costs), LARGEST)
    if total > TOTAL_COST_LIMIT:
        expensive = sorted((each for each in costs if each[0] * 100 >= TOTAL_COST_LIMIT), key=lambda each: -each[0])
        for _, where in expensive[:SHOWN_EXPENSIVE]:
            text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            yield forbidden_field(where, text)
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        yield forbidden_field(path, _exceeds(name, total, TOTAL_COST_LIMIT))


def _below(place: _Place, blocked: frozenset[str], costs: list[tuple[int, str]]) -> Iterator[FieldError]:
    """What is further in comes first."""
    for child in _children(place):
        if has_rules(child.schema):
            yield from _below(child, blocked, costs)
    if place.schema.get(RULES) and not any(_is_within(field, place.path) for field in blocked):
        yield from _own(place, costs)


def _is_within(field: str, path: str) -> bool:
    return field == path or field.startswith(f"{path}.")


def _children(place: _Place) -> Iterator[_Place]:
    schema = place.schema
    others, each = values(schema), items(schema)
    if others is not None:
        yield _child(place, others, "additionalProperties", _times(place.cardinality, schema.get("maxProperties")), "")
    for key, below in sorted(properties(schema).items()):
        yield _child(place, below, f"properties[{key}]", place.cardinality, "")
    if each is not None:
        outermost = "" if schema.get(LIST_TYPE) == "map" else place.path
        yield _child(place, each, "items", _times(place.cardinality, schema.get("maxItems")), outermost)


def _child(place: _Place, schema: Schema, step: str, cardinality: int | None, uncorrelatable: str) -> _Place:
    is_typed = place.is_typed and has_type(schema)
    uncorrelatable = place.uncorrelatable or uncorrelatable
    return _Place(schema, f"{place.path}.{step}", is_typed, cardinality, uncorrelatable, bool(schema.get(EMBEDS)))


def _times(cardinality: int | None, limit: int | None) -> int | None:
    return None if cardinality is None or limit is None else cardinality * limit


def _own(place: _Place, costs: list[tuple[int, str]]) -> Iterator[FieldError]:
    path = f"{place.path}.{RULES}"
    if not place.is_typed:
        text = "internal error: failed to retrieve type information for x-kubernetes-validations"
        yield FieldError("InternalError", path, f"Internal error: {text}")
        return
    times = place.cardinality
    if times is None:
        times = cardinality_limit(place.schema, root=place.is_root)
    for index, rule in enumerate(compiled(place.schema, is_root=place.is_root)):
        yield from _rule(rule, f"{path}[{index}]", times, place.uncorrelatable, costs)


def _rule(rule: CompiledRule, path: str, times: int, uncorrelatable: str, costs: list[tuple[int, str]]) -> Iterator[FieldError]:
    source, where, told = rule.source, f"{path}.rule", f"{path}.messageExpression"
    if rule.program is not None:
        cost = min(rule.program.estimated_cost.max * times, LARGEST)
        if cost > COST_LIMIT:
            yield forbidden_field(where, _exceeds("estimated rule cost", cost, COST_LIMIT))
        costs.append((cost, where))
    if rule.error:
        yield goforms.invalid_rule(where, source, rule.error)
    if rule.message_error:
        yield goforms.invalid_rule(told, source, rule.message_error)
    elif rule.message is not None:
        cost = rule.message.estimated_cost.max
        if cost > COST_LIMIT:
            yield forbidden_field(told, _exceeds("estimated messageExpression cost", cost, COST_LIMIT))
        costs.append((cost, told))
    if rule.is_transition:
        if uncorrelatable:
            text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelatable}"
            yield invalid_value(where, source["rule"], text)
    elif "optionalOldSelf" in source:
        text = "may not be set if oldSelf is not used in rule"
        yield invalid_value(f"{path}.optionalOldSelf", source["optionalOldSelf"], text)


def _exceeds(name: str, cost: int, limit: int) -> str:
    factor = cost / limit
    if factor > 100:
        shown = "more than 100x"
    else:
        shown = f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return f"{name} exceeds budget by factor of {shown} {_ADVICE}"
