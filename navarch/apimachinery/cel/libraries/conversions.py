"""Conversions between types: ``int(x)``, ``string(x)``, ``timestamp(x)`` … Numbers are read and written as Go does."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

from navarch.apimachinery.cel import moments, types
from navarch.apimachinery.cel.declarations import Implementation
from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.types import Type
from navarch.apimachinery.cel.values import INT_MAX, INT_MIN, UINT_MAX, Duration, Timestamp, UInt, type_of

Row = tuple[str, str, Implementation]

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_UNSIGNED = re.compile(r"[0-9]+", re.ASCII)
_DOUBLE = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|infinity)|nan", re.ASCII | re.IGNORECASE)
_TRUE, _FALSE = frozenset({"1", "t", "T", "TRUE", "true", "True"}), frozenset({"0", "f", "F", "FALSE", "false", "False"})
# Longer text is no number of 64 bits, and would be read slowly.
_DIGITS_LIMIT = 400
_EXPONENT_FROM = 6


def _failed(value: Any, wanted: str) -> NoReturn:
    raise EvaluationError(f"type conversion error from '{type_of(value).name}' to '{wanted}'")


def _whole(value: float) -> int:
    if not math.isfinite(value):
        raise EvaluationError("integer overflow")
    return int(value)


def _int(value: float) -> int:
    # The largest double below 2^63 is the last that surely was meant.
    if not INT_MIN < value < INT_MAX and not isinstance(value, int):
        raise EvaluationError("integer overflow")
    found = _whole(value)
    if not INT_MIN <= found <= INT_MAX:
        raise EvaluationError("integer overflow")
    return found


def _int_of_string(value: str) -> int:
    if _INTEGER.fullmatch(value) and len(value) < _DIGITS_LIMIT and INT_MIN <= int(value) <= INT_MAX:
        return int(value)
    _failed(value, "int")


def _uint(value: float) -> UInt:
    if not math.isfinite(value) or not 0 <= value <= UINT_MAX or (isinstance(value, float) and value >= UINT_MAX):
        raise EvaluationError("unsigned integer overflow")
    return UInt(value)


def _uint_of_string(value: str) -> UInt:
    if _UNSIGNED.fullmatch(value) and len(value) < _DIGITS_LIMIT and int(value) <= UINT_MAX:
        return UInt(value)
    _failed(value, "uint")


def _double_of_string(value: str) -> float:
    if _DOUBLE.fullmatch(value):
        found = float(value)
        if math.isfinite(found) or value[-1] in "fFyYnN":
            return found
    _failed(value, "double")


def _bool_of_string(value: str) -> bool:
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    _failed(value, "bool")


def _bytes_to_string(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


def _moment(parse: Callable[[str], Any], wanted: Type) -> Callable[[str], Any]:
    def convert(value: str) -> Any:
        try:
            return parse(value)
        except ValueError:
            _failed(value, wanted.name)

    return convert


def double_text(value: float) -> str:
    """As Go's ``%g``: the shortest digits that mean this number."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
    digits, _, exponent_text = f"{value!r}".partition("e")
    sign = "-" if digits.startswith("-") else ""
    whole, _, fraction = digits.lstrip("-").partition(".")
    significant = (whole + fraction).lstrip("0")
    if not significant:
        return f"{sign}0"
    exponent = int(exponent_text or 0) + (
        len(whole) - 1 if whole.strip("0") else -(len(fraction) - len(fraction.lstrip("0"))) - 1
    )
    significant = significant.rstrip("0")
    if exponent < -4 or exponent >= _EXPONENT_FROM:
        mantissa = significant[0] + ("." + significant[1:] if len(significant) > 1 else "")
        return f"{sign}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{significant}"
    whole, fraction = significant[: exponent + 1].ljust(exponent + 1, "0"), significant[exponent + 1 :]
    return sign + whole + (f".{fraction}" if fraction else "")


def shown(value: Any) -> str:
    """A scalar as messages show it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, Timestamp):
        return moments.show_timestamp(value)
    if isinstance(value, Duration):
        return moments.show_duration(value)
    return "null" if value is None else str(value)


def _same(value: Any) -> Any:
    return value


TABLE: dict[str, list[Row]] = {
    "bool": [
        ("bool_to_bool", "(bool) -> bool", _same),
        ("string_to_bool", "(string) -> bool", _bool_of_string),
    ],
    "bytes": [
        ("bytes_to_bytes", "(bytes) -> bytes", _same),
        ("string_to_bytes", "(string) -> bytes", str.encode),
    ],
    "double": [
        ("double_to_double", "(double) -> double", _same),
        ("int64_to_double", "(int) -> double", float),
        ("string_to_double", "(string) -> double", _double_of_string),
        ("uint64_to_double", "(uint) -> double", float),
    ],
    "duration": [
        ("duration_to_duration", "(duration) -> duration", _same),
        ("int64_to_duration", "(int) -> duration", Duration),
        ("string_to_duration", "(string) -> duration", _moment(moments.parse_duration, types.DURATION)),
    ],
    "int": [
        ("int64_to_int64", "(int) -> int", _same),
        ("double_to_int64", "(double) -> int", _int),
        ("duration_to_int64", "(duration) -> int", lambda value: value.nanoseconds),
        ("string_to_int64", "(string) -> int", _int_of_string),
        ("timestamp_to_int64", "(timestamp) -> int", lambda value: value.nanoseconds // moments.SECOND),
        ("uint64_to_int64", "(uint) -> int", _int),
    ],
    "string": [
        ("string_to_string", "(string) -> string", _same),
        ("bool_to_string", "(bool) -> string", shown),
        ("bytes_to_string", "(bytes) -> string", _bytes_to_string),
        ("double_to_string", "(double) -> string", shown),
        ("duration_to_string", "(duration) -> string", shown),
        ("int64_to_string", "(int) -> string", shown),
        ("timestamp_to_string", "(timestamp) -> string", shown),
        ("uint64_to_string", "(uint) -> string", shown),
    ],
    "timestamp": [
        ("timestamp_to_timestamp", "(timestamp) -> timestamp", _same),
        ("int64_to_timestamp", "(int) -> timestamp", lambda value: moments.timestamp(value * moments.SECOND)),
        ("string_to_timestamp", "(string) -> timestamp", _moment(moments.parse_timestamp, types.TIMESTAMP)),
    ],
    "uint": [
        ("uint64_to_uint64", "(uint) -> uint", _same),
        ("double_to_uint64", "(double) -> uint", _uint),
        ("int64_to_uint64", "(int) -> uint", _uint),
        ("string_to_uint64", "(string) -> uint", _uint_of_string),
    ],
}
