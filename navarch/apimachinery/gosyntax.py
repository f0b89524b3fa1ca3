"""What Go's encoding/json says of text that is no JSON.

Python's parser finds the place, as fast as it parses; what Go would have expected there follows from what it says and from the
few characters around.
"""

from __future__ import annotations

import json
import re
from typing import Any

from navarch.apimachinery.gourl import quoted

END = "unexpected end of JSON input"
_NUMBER_LENGTH = 400
"""Of longer numbers it is not looked at how they begin."""
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?\Z")
_EXPONENT = re.compile(r"[eE][+-]?")
_NOT_HEXADECIMAL = re.compile(r"[^0-9a-fA-F]")
_PAIR = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rf"{_PAIR}|(\\u[dD][89a-fA-F][0-9a-fA-F]{{2}})|\\.", re.DOTALL)
_BEGINNING, _KEY = "looking for beginning of value", "looking for beginning of object key string"
_NUMERIC, _FRACTION, _POWER = (
    "in numeric literal",
    "after decimal point in numeric literal",
    "in exponent of numeric literal",
)


class _ConstantError(Exception):
    """A number that Python would take and Go would not."""


def error(text: str) -> str:
    """What is wrong with the text; "" if it is JSON."""
    try:
        json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as found:
        return _said(text, found.msg, found.pos)
    except _ConstantError as found:
        return _of(str(found)[0], _BEGINNING) if str(found)[0] != "-" else _of("I", _NUMERIC)
    except RecursionError:
        return "exceeded max depth"
    return ""


def without_halves(text: str) -> str:
    """The text of JSON with a mark, as Go puts it, where its escapes are halves of pairs (UTF-16) that have no other half."""
    return _ESCAPE.sub(lambda found: "\\ufffd" if found.group(1) else found.group(), text)


def _refuse(constant: str) -> Any:
    raise _ConstantError(constant)


def _said(text: str, message: str, position: int) -> str:
    rest = text[position:]
    match message.split(" at")[0]:
        case "Unterminated string starting":
            return END
        case "Expecting property name enclosed in double quotes":
            return _of(rest, _KEY)
        case "Expecting ':' delimiter":
            return _of(rest, "after object key")
        case "Expecting ',' delimiter":
            return _after_value(
                text, position, "after array element" if _in_list(text, position) else "after object key:value pair"
            )
        case "Extra data":
            return _after_value(text, position, "after top-level value")
        case "Invalid control character":
            return _of(rest, "in string literal")
        case "Invalid \\escape" | "Invalid \\escape: ":
            return _of(rest[1:], "in string escape code")
        case "Invalid \\uXXXX escape":
            strange = _NOT_HEXADECIMAL.search(text, text.index("u", position) + 1)
            return _of(text[strange.start() :], "in \\u hexadecimal character escape") if strange else END
    return _no_value(rest)


def _no_value(rest: str) -> str:
    """Of what stands where a value should begin."""
    for literal in ("true", "false", "null"):
        if rest[:1] == literal[0]:
            same = next((index for index, letter in enumerate(literal) if rest[index : index + 1] != letter), 0)
            return _of(rest[same:], f"in literal {literal} (expecting '{literal[same]}')")
    return _of(rest[1:], _NUMERIC) if rest[:1] == "-" else _of(rest, _BEGINNING)


def _after_value(text: str, position: int, where: str) -> str:
    """Of what follows a value: it may be a number that does not end well."""
    rest = text[position:]
    number = _NUMBER.search(text[max(0, position - _NUMBER_LENGTH) : position]) if rest[:1] in (".", "e", "E") else None
    if number is not None and number.group(2) is None:
        if rest[0] == "." and number.group(1) is None:
            return _of(rest[1:], _FRACTION)
        if (power := _EXPONENT.match(rest)) is not None:
            return _of(rest[power.end() :], _POWER)
    return _of(rest, where)


def _in_list(text: str, position: int) -> bool:
    """Whether what is open before the position is a list: then it can be closed there as one."""
    try:
        json.loads(text[:position] + "]")
    except json.JSONDecodeError as found:
        return found.pos > position
    return True


def _of(rest: str, where: str) -> str:
    """Of the first byte of the text, which Go takes for a character."""
    if not rest:
        return END
    letter = chr(rest[0].encode("utf-8", "replace")[0])
    shown = {"'": "\\'", '"': '"'}.get(letter) or quoted(letter)[1:-1]
    return f"invalid character '{shown}' {where}"
