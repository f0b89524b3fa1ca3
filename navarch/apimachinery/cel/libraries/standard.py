"""The language's own operators and functions (cel-spec, doc/langdef.md, "List of Standard Definitions")."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from navarch.apimachinery.cel import moments, types
from navarch.apimachinery.cel.declarations import Implementation, Library, functions
from navarch.apimachinery.cel.errors import CostLimitError, EvaluationError
from navarch.apimachinery.cel.libraries import conversions
from navarch.apimachinery.cel.macros import MAP_INSERT, NOT_STRICTLY_FALSE
from navarch.apimachinery.cel.regular import matcher
from navarch.apimachinery.cel.values import (
    INT_MAX,
    INT_MIN,
    NO_SUCH_OVERLOAD,
    NONE,
    UINT_MAX,
    Duration,
    MapList,
    Optional,
    SetList,
    Timestamp,
    UInt,
    contains,
    equal,
    map_key,
    type_of,
)

Row = tuple[str, str, Implementation]


def checked_int(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise EvaluationError("integer overflow")


def checked_uint(value: int) -> UInt:
    if 0 <= value <= UINT_MAX:
        return UInt(value)
    raise EvaluationError("unsigned integer overflow")


def _quotient(first: int, second: int) -> int:
    if second == 0:
        raise EvaluationError("division by zero")
    found = abs(first) // abs(second)
    return found if (first < 0) == (second < 0) else -found


def _remainder(first: int, second: int) -> int:
    if second == 0:
        raise EvaluationError("modulus by zero")
    found = abs(first) % abs(second)
    return -found if first < 0 else found


def _divide_double(first: float, second: float) -> float:
    try:
        return first / second
    except ZeroDivisionError:
        if first == 0 or first != first:
            return float("nan")
        negative = (first < 0) != (str(second)[0] == "-")
        return float("-inf") if negative else float("inf")


LONGEST = 2_000_000
"""Elements of a list that is joined: more than a request can have, and more than could be looked at within any limit."""


def add_lists(first: list[Any], second: list[Any]) -> list[Any]:
    if len(first) + len(second) > LONGEST:
        raise CostLimitError
    return first + second if isinstance(first, SetList | MapList) else [*first, *second]


def _integers(calculate: Callable[[int, int], int]) -> tuple[Implementation, Implementation]:
    return (lambda a, b: checked_int(calculate(a, b))), (lambda a, b: checked_uint(calculate(a, b)))


_ADD, _ADD_UINT = _integers(operator.add)
_SUBTRACT, _SUBTRACT_UINT = _integers(operator.sub)
_MULTIPLY, _MULTIPLY_UINT = _integers(operator.mul)
_DIVIDE, _DIVIDE_UINT = _integers(_quotient)
_MODULO, _MODULO_UINT = _integers(_remainder)


def _later(first: Timestamp, second: Duration) -> Timestamp:
    return moments.timestamp(first.nanoseconds + second.nanoseconds)


def _between(first: Timestamp, second: Timestamp) -> Duration:
    return moments.duration(first.nanoseconds - second.nanoseconds)


_ARITHMETIC: dict[str, list[Row]] = {
    "_+_": [
        ("add_int64", "(int, int) -> int", _ADD),
        ("add_uint64", "(uint, uint) -> uint", _ADD_UINT),
        ("add_double", "(double, double) -> double", operator.add),
        ("add_string", "(string, string) -> string", operator.add),
        ("add_bytes", "(bytes, bytes) -> bytes", operator.add),
        ("add_list", "(list(A), list(A)) -> list(A)", add_lists),
        ("add_timestamp_duration", "(timestamp, duration) -> timestamp", _later),
        ("add_duration_timestamp", "(duration, timestamp) -> timestamp", lambda a, b: _later(b, a)),
        (
            "add_duration_duration",
            "(duration, duration) -> duration",
            lambda a, b: moments.duration(a.nanoseconds + b.nanoseconds),
        ),
    ],
    "_-_": [
        ("subtract_int64", "(int, int) -> int", _SUBTRACT),
        ("subtract_uint64", "(uint, uint) -> uint", _SUBTRACT_UINT),
        ("subtract_double", "(double, double) -> double", operator.sub),
        ("subtract_timestamp_timestamp", "(timestamp, timestamp) -> duration", _between),
        (
            "subtract_timestamp_duration",
            "(timestamp, duration) -> timestamp",
            lambda a, b: moments.timestamp(a.nanoseconds - b.nanoseconds),
        ),
        (
            "subtract_duration_duration",
            "(duration, duration) -> duration",
            lambda a, b: moments.duration(a.nanoseconds - b.nanoseconds),
        ),
    ],
    "_*_": [
        ("multiply_int64", "(int, int) -> int", _MULTIPLY),
        ("multiply_uint64", "(uint, uint) -> uint", _MULTIPLY_UINT),
        ("multiply_double", "(double, double) -> double", operator.mul),
    ],
    "_/_": [
        ("divide_int64", "(int, int) -> int", _DIVIDE),
        ("divide_uint64", "(uint, uint) -> uint", _DIVIDE_UINT),
        ("divide_double", "(double, double) -> double", _divide_double),
    ],
    "_%_": [
        ("modulo_int64", "(int, int) -> int", _MODULO),
        ("modulo_uint64", "(uint, uint) -> uint", _MODULO_UINT),
    ],
    "-_": [
        ("negate_int64", "(int) -> int", lambda value: checked_int(-value)),
        ("negate_double", "(double) -> double", operator.neg),
    ],
}

_ORDERED = ("bool", "int64", "uint64", "double", "string", "bytes", "timestamp", "duration")
_CEL_NAMES = {"int64": "int", "uint64": "uint"}
_MIXED = (
    ("int64", "double"),
    ("int64", "uint64"),
    ("uint64", "double"),
    ("uint64", "int64"),
    ("double", "int64"),
    ("double", "uint64"),
)


def _relations() -> Iterator[tuple[str, list[Row]]]:
    for sign, verb, relation in (
        ("<", "less", operator.lt),
        ("<=", "less_equals", operator.le),
        (">", "greater", operator.gt),
        (">=", "greater_equals", operator.ge),
    ):
        rows: list[Row] = []
        for name in _ORDERED:
            cel = _CEL_NAMES.get(name, name)
            rows.append((f"{verb}_{name}", f"({cel}, {cel}) -> bool", relation))
        for first, second in _MIXED:
            arguments = ", ".join(_CEL_NAMES.get(name, name) for name in (first, second))
            rows.append((f"{verb}_{first}_{second}", f"({arguments}) -> bool", relation))
        yield f"_{sign}_", rows


def optional_index(container: Any, key: Any) -> Optional:
    """``container[?key]``: none where there is nothing; an optional container is looked into. Raises EvaluationError."""
    if isinstance(container, Optional):
        if container is NONE:
            return NONE
        container = container.value
    if isinstance(container, Mapping):
        known = map_key(key)
        return Optional(container[known]) if known in container else NONE
    if isinstance(container, list) and key.__class__ is int and not 0 <= key < len(container):
        return NONE
    return Optional(index(container, key))


def index(container: Any, key: Any) -> Any:
    """``container[key]`` of a list or map, or of an optional one. Raises EvaluationError."""
    if isinstance(container, list):
        position = _position(key)
        if 0 <= position < len(container):
            return container[position]
        raise EvaluationError(f"index out of bounds: {position}")
    if isinstance(container, Mapping):
        try:
            return container[map_key(key)]
        except KeyError:
            raise EvaluationError(f"no such key: {conversions.shown(key)}") from None
        except TypeError:
            raise EvaluationError(NO_SUCH_OVERLOAD) from None
    if isinstance(container, Optional):
        return optional_index(container, key)
    raise EvaluationError(NO_SUCH_OVERLOAD)


def _position(key: Any) -> int:
    if key.__class__ is int or isinstance(key, UInt):
        return int(key)
    if key.__class__ is float and key.is_integer():
        return int(key)
    raise EvaluationError(f"unsupported index type '{type_of(key)}' in list")


def _in_map(key: Any, mapping: Mapping[Any, Any]) -> bool:
    try:
        return map_key(key) in mapping
    except TypeError:
        raise EvaluationError(NO_SUCH_OVERLOAD) from None


def _insert(mapping: Mapping[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    known = map_key(key)
    if known in mapping:
        raise EvaluationError(f"insert failed: key {conversions.shown(key)} already exists")
    return {**mapping, known: value}


def _insert_all(mapping: Mapping[Any, Any], entries: Mapping[Any, Any]) -> dict[Any, Any]:
    for key in entries:
        if key in mapping:
            raise EvaluationError(f"insert failed: key {conversions.shown(key)} already exists")
    return {**mapping, **entries}


_GENERAL: dict[str, list[Row]] = {
    "_?_:_": [("conditional", "(bool, A, A) -> A", lambda condition, first, second: first if condition else second)],
    "_&&_": [("logical_and", "(bool, bool) -> bool", lambda first, second: first and second)],
    "_||_": [("logical_or", "(bool, bool) -> bool", lambda first, second: first or second)],
    "!_": [("logical_not", "(bool) -> bool", operator.not_)],
    NOT_STRICTLY_FALSE: [("not_strictly_false", "(bool) -> bool", lambda value: value)],
    "_==_": [("equals", "(A, A) -> bool", equal)],
    "_!=_": [("not_equals", "(A, A) -> bool", lambda first, second: not equal(first, second))],
    "@in": [
        ("in_list", "(A, list(A)) -> bool", lambda element, elements: contains(elements, element)),
        ("in_map", "(A, map(A, B)) -> bool", _in_map),
    ],
    "_[_]": [
        ("index_list", "(list(A), int) -> A", index),
        ("index_map", "(map(A, B), A) -> B", index),
    ],
    MAP_INSERT: [
        ("@mapInsert_map_key_value", "(map(K, V), K, V) -> map(K, V)", _insert),
        ("@mapInsert_map_map", "(map(K, V), map(K, V)) -> map(K, V)", _insert_all),
    ],
    "type": [("type", "(A) -> type(A)", type_of)],
    "dyn": [("to_dyn", "(A) -> dyn", lambda value: value)],
    "size": [
        ("size_string", "(string) -> int", len),
        ("size_bytes", "(bytes) -> int", len),
        ("size_list", "(list(A)) -> int", len),
        ("size_map", "(map(A, B)) -> int", len),
        ("string_size", "string.() -> int", len),
        ("bytes_size", "bytes.() -> int", len),
        ("list_size", "list(A).() -> int", len),
        ("map_size", "map(A, B).() -> int", len),
    ],
    "contains": [("contains_string", "string.(string) -> bool", operator.contains)],
    "startsWith": [("starts_with_string", "string.(string) -> bool", str.startswith)],
    "endsWith": [("ends_with_string", "string.(string) -> bool", str.endswith)],
    "matches": [
        ("matches", "(string, string) -> bool", lambda text, pattern: matcher(pattern)(text)),
        ("matches_string", "string.(string) -> bool", lambda text, pattern: matcher(pattern)(text)),
    ],
}

_PARTS: dict[str, tuple[str, Callable[[Any], int]]] = {
    "getFullYear": ("timestamp_to_year", lambda moment: moment.year),
    "getMonth": ("timestamp_to_month", lambda moment: moment.month - 1),
    "getDayOfYear": ("timestamp_to_day_of_year", lambda moment: moment.timetuple().tm_yday - 1),
    "getDayOfMonth": ("timestamp_to_day_of_month", lambda moment: moment.day - 1),
    "getDate": ("timestamp_to_day_of_month_1_based", lambda moment: moment.day),
    "getDayOfWeek": ("timestamp_to_day_of_week", lambda moment: moment.isoweekday() % 7),
    "getHours": ("timestamp_to_hours", lambda moment: moment.hour),
    "getMinutes": ("timestamp_to_minutes", lambda moment: moment.minute),
    "getSeconds": ("timestamp_to_seconds", lambda moment: moment.second),
}
_DURATION_UNITS = {"getHours": 3600 * 10**9, "getMinutes": 60 * 10**9, "getSeconds": 10**9}


def _accessors() -> Iterator[tuple[str, list[Row]]]:
    for name, (id_, part) in _PARTS.items():
        rows: list[Row] = [
            (id_, "timestamp.() -> int", lambda value, part=part: part(moments.local(value))),
            (f"{id_}_with_tz", "timestamp.(string) -> int", lambda value, zone, part=part: part(moments.local(value, zone))),
        ]
        if name in _DURATION_UNITS:
            unit = _DURATION_UNITS[name]
            id_ = f"duration_to_{name[3:].lower()}"
            rows.append((id_, "duration.() -> int", lambda value, unit=unit: _quotient(value.nanoseconds, unit)))
        yield name, rows
    yield (
        "getMilliseconds",
        [
            ("timestamp_to_milliseconds", "timestamp.() -> int", moments.milliseconds),
            ("timestamp_to_milliseconds_with_tz", "timestamp.(string) -> int", lambda value, zone: moments.milliseconds(value)),
            ("duration_to_milliseconds", "duration.() -> int", lambda value: _quotient(value.nanoseconds, 10**6) % 1000),
        ],
    )


LIBRARY = Library(
    "stdlib",
    functions({**_ARITHMETIC, **dict(_relations()), **_GENERAL, **conversions.TABLE, **dict(_accessors())}),
    types={name: type_ for name, type_ in types.BY_NAME.items() if name != "dyn"},
)
