"""What Jobs do about pods that fail, and when they have succeeded early: `podFailurePolicy` and `successPolicy`."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator

from navarch.api.batch import indexes
from navarch.api.core.nonnegative import nonnegative
from navarch.apimachinery import names
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    invalid_unshown,
    invalid_value,
    not_supported,
    required,
    too_long,
    too_many,
)

ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
OPERATORS = ("In", "NotIn")
STATUSES = ("False", "True", "Unknown")
RULES_LIMIT, EXIT_CODES_LIMIT, PATTERNS_LIMIT = 20, 255, 20
INDEXES_LIMIT_BYTES = 64 * 1024


def validate_failure_policy(spec: Object, path: str) -> Iterator[FieldError]:
    """`spec.podFailurePolicy`, which is at `path`."""
    rules, pod = spec["podFailurePolicy"].get("rules") or (), spec["template"]["spec"]
    if len(rules) > RULES_LIMIT:
        yield too_many(f"{path}.rules", len(rules), RULES_LIMIT)
    containers = {container.get("name", "") for kind in ("containers", "initContainers") for container in pod.get(kind) or ()}
    for index, rule in enumerate(rules):
        where = f"{path}.rules[{index}]"
        action, codes, patterns = rule.get("action", ""), rule.get("onExitCodes"), rule.get("onPodConditions") or ()
        yield from _known(action, ACTIONS, f"{where}.action")
        if action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            yield invalid_value(f"{where}.action", action, "requires the backoffLimitPerIndex to be set")
        if codes is not None:
            yield from _exit_codes(codes, containers, f"{where}.onExitCodes")
        yield from _pod_conditions(patterns, f"{where}.onPodConditions")
        if codes is not None and patterns:
            yield invalid_unshown(where, "specifying both OnExitCodes and OnPodConditions is not supported")
        if codes is None and not patterns:
            yield invalid_unshown(where, "specifying one of OnExitCodes and OnPodConditions is required")


def _known(value: str, choices: tuple[str, ...], path: str) -> Iterator[FieldError]:
    """One of a few words, which must be said."""
    if not value:
        yield required(path, f"valid values: [{' '.join(json.dumps(choice) for choice in choices)}]")
    elif value not in choices:
        yield not_supported(path, value, choices)


def _exit_codes(requirement: Object, containers: Collection[str], path: str) -> Iterator[FieldError]:
    operator, values, name = requirement.get("operator", ""), requirement.get("values") or [], requirement.get("containerName")
    yield from _known(operator, OPERATORS, f"{path}.operator")
    if name is not None and name not in containers:
        text = "must be one of the container or initContainer names in the pod template"
        yield invalid_value(f"{path}.containerName", name, text)
    if not values:
        yield invalid_value(f"{path}.values", requirement.get("values"), "at least one value is required")
    elif len(values) > EXIT_CODES_LIMIT:
        yield too_many(f"{path}.values", len(values), EXIT_CODES_LIMIT)
    seen: set[int] = set()
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            yield invalid_value(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in seen:
            yield duplicate(f"{path}.values[{index}]", value)
        seen.add(value)
    if values != sorted(values):
        yield invalid_value(f"{path}.values", values, "must be ordered")


def _pod_conditions(patterns: Iterable[Object], path: str) -> Iterator[FieldError]:
    patterns = tuple(patterns)
    if len(patterns) > PATTERNS_LIMIT:
        yield too_many(path, len(patterns), PATTERNS_LIMIT)
    for index, pattern in enumerate(patterns):
        type_ = pattern.get("type", "")
        yield from (invalid_value(f"{path}[{index}].type", type_, text) for text in names.qualified_name(type_))
        yield from _known(pattern.get("status", ""), STATUSES, f"{path}[{index}].status")


def validate_success_policy(spec: Object, path: str) -> Iterator[FieldError]:
    """`spec.successPolicy` of an indexed Job, which is at `path`."""
    rules, completions = spec["successPolicy"].get("rules") or (), spec.get("completions") or 0
    if not rules:
        yield required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified")
    if len(rules) > RULES_LIMIT:
        yield too_many(f"{path}.rules", len(rules), RULES_LIMIT)
    for index, rule in enumerate(rules):
        yield from _success_rule(rule, completions, f"{path}.rules[{index}]")


def _success_rule(rule: Object, completions: int, path: str) -> Iterator[FieldError]:
    chosen, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    if chosen is None and count is None:
        yield required(path, "at least one of succeededCount or succeededIndexes must be specified")
    total = 0
    if chosen is not None:
        if len(chosen.encode()) > INDEXES_LIMIT_BYTES:
            yield too_long(f"{path}.succeededIndexes", INDEXES_LIMIT_BYTES)
        try:
            total = indexes.count(chosen, completions)
        except ValueError as error:
            yield invalid_value(f"{path}.succeededIndexes", chosen, f"error parsing succeededIndexes: {error}")
    if count is None:
        return
    where = f"{path}.succeededCount"
    if count < 0:
        yield nonnegative(where, count)
    if count > completions:
        text = f"must be less than or equal to {completions} (the number of specified completions)"
        yield invalid_value(where, count, text)
    if chosen is not None and count > total:
        text = f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        yield invalid_value(where, count, text)
