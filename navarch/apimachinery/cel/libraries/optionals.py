"""Optional values. ``or`` and ``orValue`` evaluate what they fall back on only if it is needed: see `planning`."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.cel import types
from navarch.apimachinery.cel.declarations import Library, functions
from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.libraries.standard import index, optional_index
from navarch.apimachinery.cel.values import NONE, Duration, Optional


def _value(optional: Optional) -> Any:
    if optional is NONE:
        raise EvaluationError("optional.none() dereference")
    return optional.value


def _of_non_zero(value: Any) -> Optional:
    zero = value is None or (not value if not isinstance(value, Duration) else value.nanoseconds == 0)
    return NONE if zero else Optional(value)


LIBRARY = Library(
    "optional",
    functions(
        {
            "optional.of": [("optional_of", "(V) -> optional(V)", Optional)],
            "optional.ofNonZeroValue": [("optional_ofNonZeroValue", "(V) -> optional(V)", _of_non_zero)],
            "optional.none": [("optional_none", "() -> optional(V)", lambda: NONE)],
            "value": [("optional_value", "optional(V).() -> V", _value)],
            "hasValue": [("optional_hasValue", "optional(V).() -> bool", lambda optional: optional is not NONE)],
            "or": [
                (
                    "optional_or_optional",
                    "optional(V).(optional(V)) -> optional(V)",
                    lambda first, second: second if first is NONE else first,
                )
            ],
            "orValue": [
                (
                    "optional_orValue_value",
                    "optional(V).(V) -> V",
                    lambda first, second: second if first is NONE else first.value,
                )
            ],
            "_[?_]": [
                ("list_optindex_optional_int", "(list(V), int) -> optional(V)", optional_index),
                ("optional_list_optindex_optional_int", "(optional(list(V)), int) -> optional(V)", optional_index),
                ("map_optindex_optional_value", "(map(K, V), K) -> optional(V)", optional_index),
                ("optional_map_optindex_optional_value", "(optional(map(K, V)), K) -> optional(V)", optional_index),
            ],
            "_[_]": [
                ("optional_list_index_int", "(optional(list(V)), int) -> optional(V)", index),
                ("optional_map_index_value", "(optional(map(K, V)), K) -> optional(V)", index),
            ],
        }
    ),
    types={"optional_type": types.optional_of(types.DYN)},
)
