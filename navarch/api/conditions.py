"""The rules of `metav1.Condition`, which newer kinds have in their status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from navarch.apimachinery import names
from navarch.apimachinery.errors import FieldError, Object, duplicate, invalid_value, not_supported, required, too_long

STATUSES = ("False", "True", "Unknown")
REASON_LIMIT_BYTES = 1024
MESSAGE_LIMIT_BYTES = 32 * 1024


def validate(conditions: Iterable[Object], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        type_ = condition.get("type", "")
        if type_ in seen:
            yield duplicate(f"{path}[{index}].type", type_)
        seen.add(type_)
        yield from _condition(condition, f"{path}[{index}]")


def _condition(condition: Object, path: str) -> Iterator[FieldError]:
    type_, status, reason = (condition.get(field, "") for field in ("type", "status", "reason"))
    yield from (invalid_value(f"{path}.type", type_, text) for text in names.qualified_name(type_))
    if status not in STATUSES:
        yield not_supported(f"{path}.status", status, STATUSES)
    generation = condition.get("observedGeneration", 0)
    if generation < 0:
        yield invalid_value(f"{path}.observedGeneration", generation, "must be greater than or equal to zero")
    if not condition.get("lastTransitionTime"):
        yield required(f"{path}.lastTransitionTime", "must be set")
    if not reason:
        yield required(f"{path}.reason", "must be set")
    else:
        yield from (invalid_value(f"{path}.reason", reason, text) for text in names.condition_reason(reason))
        if len(reason.encode()) > REASON_LIMIT_BYTES:
            yield too_long(f"{path}.reason", REASON_LIMIT_BYTES)
    if len(condition.get("message", "").encode()) > MESSAGE_LIMIT_BYTES:
        yield too_long(f"{path}.message", MESSAGE_LIMIT_BYTES)
