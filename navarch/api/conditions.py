"""The conditions of a status, where they are `metav1.Condition`s."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, duplicate, invalid_value, not_supported, required, too_long

STATUSES = ("False", "True", "Unknown")
REASON_LIMIT, MESSAGE_LIMIT = 1024, 32 * 1024


def validate(conditions: Iterable[Object], path: str) -> Iterator[FieldError]:
    seen = set()
    for index, condition in enumerate(conditions):
        type_ = condition["type"]
        if type_ in seen:
            yield duplicate(f"{path}[{index}].type", type_)
        seen.add(type_)
        yield from _condition(condition, f"{path}[{index}]")


def _condition(condition: Object, path: str) -> Iterator[FieldError]:
    type_, status, reason = condition["type"], condition["status"], condition["reason"]
    yield from (invalid_value(f"{path}.type", type_, text) for text in names.qualified_name(type_))
    if status not in STATUSES:
        yield not_supported(f"{path}.status", status, STATUSES)
    observed = condition.get("observedGeneration") or 0
    if observed < 0:
        yield invalid_value(f"{path}.observedGeneration", observed, "must be greater than or equal to zero")
    if not condition.get("lastTransitionTime"):
        yield required(f"{path}.lastTransitionTime", "must be set")
    if not reason:
        yield required(f"{path}.reason", "must be set")
    else:
        yield from (invalid_value(f"{path}.reason", reason, text) for text in names.condition_reason(reason))
        if len(reason.encode()) > REASON_LIMIT:
            yield too_long(f"{path}.reason", REASON_LIMIT)
    if len(condition["message"].encode()) > MESSAGE_LIMIT:
        yield too_long(f"{path}.message", MESSAGE_LIMIT)
