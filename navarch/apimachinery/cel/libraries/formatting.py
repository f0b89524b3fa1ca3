"""``"…%s…".format([…])``: clauses %s %d %f %e %b %x %X %o, with a precision where that means something (cel-go's
ext/formatting).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from navarch.apimachinery.cel import values
from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.libraries.conversions import shown
from navarch.apimachinery.cel.types import Type
from navarch.apimachinery.cel.values import Duration, Timestamp, UInt, type_of

PRECISION = 6
PRECISION_LIMIT = 1000
_CLAUSE = re.compile(r"%(?:\.(\d{1,9}))?(.?)", re.DOTALL)
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\a": r"\a", "\b": r"\b", "\f": r"\f", "\v": r"\v", "\\": r"\\", '"': r"\""}

_STRINGS = (
    "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
)
_INTEGERS, _OCTAL = "decimal clause can only be used on integers", "octal clause can only be used on integers"
_DOUBLES = "clause can only be used on doubles"
_BINARY = "only integers and bools can be formatted as binary"
_HEX = "only integers, byte buffers, and strings can be formatted as hex"
_SHOWN = frozenset({"list", "map", "int", "uint", "double", "bool", "string", "timestamp", "bytes", "duration", "type", "null"})
_KINDS = {
    "s": (_SHOWN, _STRINGS),
    "d": (frozenset({"int", "uint"}), _INTEGERS),
    "f": (frozenset({"double", "string"}), f"fixed-point {_DOUBLES}"),
    "e": (frozenset({"double", "string"}), f"scientific {_DOUBLES}"),
    "b": (frozenset({"int", "uint", "bool"}), _BINARY),
    "x": (frozenset({"int", "uint", "string", "bytes"}), _HEX),
    "X": (frozenset({"int", "uint", "string", "bytes"}), _HEX),
    "o": (frozenset({"int", "uint"}), _OCTAL),
}
"""The types that a clause can be for, and what is said of others."""


def format_string(template: str, arguments: Sequence[Any]) -> str:
    """Raises EvaluationError if a clause has no argument, or one that it is not for."""
    position = 0

    def clause(match: re.Match[str]) -> str:
        nonlocal position
        precision, verb = match.groups()
        if verb == "%" and precision is None:
            return "%"
        if position >= len(arguments):
            raise EvaluationError(f"index {position} out of range")
        if not verb:
            raise EvaluationError("unexpected end of string")
        argument = arguments[position]
        position += 1
        if precision is not None and int(precision) > PRECISION_LIMIT:
            raise EvaluationError(f"could not parse formatting clause: precision {precision} exceeds {PRECISION_LIMIT}")
        write = _CLAUSES.get(verb)
        if write is None:
            raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
        try:
            return write(argument, PRECISION if precision is None else int(precision))
        except _Unfit as error:
            raise EvaluationError(f"error during formatting: {error}, was given {type_of(argument).name}") from None

    return _CLAUSE.sub(clause, template)


def type_error(template: str, arguments: Sequence[Type]) -> tuple[int | None, str] | None:
    """What is wrong with a call of these arguments, whatever their values are: the index of the one it is about, and why."""
    position = 0
    for match in _CLAUSE.finditer(template):
        precision, verb = match.groups()
        if verb == "%" and precision is None:
            continue
        if not verb:
            return None, "unexpected end of string"
        if position >= len(arguments):
            return None, f"index {position} out of range"
        if verb not in _KINDS:
            return None, f'could not parse formatting clause: unrecognized formatting clause "{verb}"'
        kinds, only = _KINDS[verb]
        found = arguments[position]
        if found.kind not in kinds and found.kind != "dyn":
            return position, f"error during formatting: {only}, was given {found.name}"
        position += 1
    if position < len(arguments):
        return None, f"too many arguments supplied to string.format (expected {position}, got {len(arguments)})"
    return None


class _Unfit(Exception):
    """The clause is not for such an argument."""


def _string(value: Any, precision: int = PRECISION) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_nested, value))}]"
    if isinstance(value, Mapping):
        entries = sorted((_nested(key), _nested(value[values.map_key(key)])) for key in values.keys(value))
        return "{" + ", ".join(f"{key}:{entry}" for key, entry in entries) + "}"
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Type):
        return value.name
    if value is None or isinstance(value, bool | int | float | str | Timestamp | Duration):
        return shown(value)
    raise _Unfit(_STRINGS)


def _nested(value: Any) -> str:
    """Within a list or map, as a literal."""
    if isinstance(value, str | bytes):
        text = _string(value)
        quoted = '"' + "".join(_ESCAPES.get(letter, letter) for letter in text) + '"'
        return quoted if isinstance(value, str) else f"b{quoted}"
    if isinstance(value, float):
        return f"{value:.{PRECISION}f}" if math.isfinite(value) else f'"{shown(value)}"'
    if isinstance(value, Timestamp | Duration):
        return f'{"timestamp" if isinstance(value, Timestamp) else "duration"}("{shown(value)}")'
    return _string(value)


def _decimal(value: Any, precision: int) -> str:
    if value.__class__ in (int, UInt):
        return str(int(value))
    raise _Unfit(_INTEGERS)


def _double(value: Any, clause: str) -> float:
    if value.__class__ is float:
        return float(value)
    if value in _NOT_FINITE:
        return float(value)
    raise _Unfit(f"{clause} {_DOUBLES}")


def _fixed(value: Any, precision: int) -> str:
    number = _double(value, "fixed-point")
    return f"{number:,.{precision}f}" if math.isfinite(number) else _not_finite(number)


def _scientific(value: Any, precision: int) -> str:
    number = _double(value, "scientific")
    if not math.isfinite(number):
        return _not_finite(number)
    mantissa, _, exponent = f"{number:.{precision}e}".partition("e")
    return f"{mantissa}\u202f×\u202f10{exponent.lstrip('+').translate(_SUPERSCRIPTS)}"


def _not_finite(number: float) -> str:
    return "NaN" if math.isnan(number) else ("∞" if number > 0 else "-∞")


def _binary(value: Any, precision: int) -> str:
    if isinstance(value, int):
        return f"{int(value):b}"
    raise _Unfit(_BINARY)


def _hexadecimal(value: Any, precision: int) -> str:
    if isinstance(value, str | bytes):
        return (value.encode() if isinstance(value, str) else value).hex()
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{int(value):x}"
    raise _Unfit(_HEX)


def _octal(value: Any, precision: int) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{int(value):o}"
    raise _Unfit(_OCTAL)


_CLAUSES: dict[str, Callable[[Any, int], str]] = {
    "s": _string,
    "d": _decimal,
    "f": _fixed,
    "e": _scientific,
    "b": _binary,
    "x": _hexadecimal,
    "X": lambda value, precision: _hexadecimal(value, precision).upper(),
    "o": _octal,
}
