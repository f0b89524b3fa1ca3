"""What Go's encoding/json says of a text that is no JSON."""

from __future__ import annotations

import json
import re

NESTING_LIMIT = 10_000
_END = "unexpected end of JSON input"
_SPACE = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(r"[0-9]*")
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_LITERALS = {"t": "true", "f": "false", "n": "null"}
# What may come, and what Go says of anything else there.
_EXPECTED = {
    "value": "looking for beginning of value",
    "first value": "looking for beginning of value",
    "key": "looking for beginning of object key string",
    "first key": "looking for beginning of object key string",
    "colon": "after object key",
    "{": "after object key:value pair",
    "[": "after array element",
    "": "after top-level value",
}


class _SyntaxError(Exception):
    """With Go's words."""


def complaint(body: bytes) -> str:
    """The message of Go's SyntaxError for these bytes; "" where they are JSON."""
    # Go looks at bytes: each is a character here.
    text = body.decode("latin-1")
    try:
        _read(text)
    except _SyntaxError as error:
        return str(error)
    return ""


def _read(text: str) -> None:
    state, open_, position = "value", "", 0
    while True:
        position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
        character = text[position : position + 1]
        if not character:
            if state:
                raise _SyntaxError(_END)
            return
        if character == "," and state in ("{", "["):
            state = "key" if state == "{" else "value"
        elif character == ":" and state == "colon":
            state = "value"
        elif (character == "}" and state in ("{", "first key")) or (character == "]" and state in ("[", "first value")):
            open_ = open_[:-1]
            state = open_[-1:]
        elif character in "{[" and state in ("value", "first value"):
            open_ += character
            if len(open_) > NESTING_LIMIT:
                raise _SyntaxError("exceeded max depth")
            state = "first key" if character == "{" else "first value"
        elif character == '"' and state in ("key", "first key"):
            position = _string(text, position) - 1
            state = "colon"
        elif state in ("value", "first value"):
            position = _scalar(text, position) - 1
            state = open_[-1:]
        else:
            raise _unexpected(text, position, _EXPECTED[state])
        position += 1


def _scalar(text: str, position: int) -> int:
    """The place after what is neither an object nor an array."""
    character = text[position]
    if character == '"':
        return _string(text, position)
    if character in "-0123456789":
        return _number(text, position)
    literal = _LITERALS.get(character)
    if literal is None:
        raise _unexpected(text, position, _EXPECTED["value"])
    for expected in literal:
        if text[position : position + 1] != expected:
            raise _unexpected(text, position, f"in literal {literal} (expecting '{expected}')")
        position += 1
    return position


def _string(text: str, position: int) -> int:
    position += 1
    while True:
        position = _PLAIN.match(text, position).end()  # type: ignore[union-attr]
        character = text[position : position + 1]
        if character == '"':
            return position + 1
        if character != "\\":
            raise _unexpected(text, position, "in string literal")
        position += 1
        if text[position : position + 1] == "u":
            for place in range(position + 1, position + 5):
                if text[place : place + 1] not in _HEXADECIMAL:
                    raise _unexpected(text, place, "in \\u hexadecimal character escape")
            position += 4
        elif text[position : position + 1] not in tuple('bfnrt\\/"'):
            raise _unexpected(text, position, "in string escape code")
        position += 1


def _number(text: str, position: int) -> int:
    if text[position] == "-":
        position += 1
        _require_digit(text, position, "in numeric literal")
    # Nothing follows a leading zero: what does is after the number.
    position = position + 1 if text[position] == "0" else _digits(text, position)
    if text[position : position + 1] == ".":
        position += 1
        _require_digit(text, position, "after decimal point in numeric literal")
        position = _digits(text, position)
    if text[position : position + 1] in ("e", "E"):
        position += 1
        if text[position : position + 1] in ("+", "-"):
            position += 1
        _require_digit(text, position, "in exponent of numeric literal")
        position = _digits(text, position)
    return position


def _digits(text: str, position: int) -> int:
    return _DIGITS.match(text, position).end()  # type: ignore[union-attr]


def _require_digit(text: str, position: int, where: str) -> None:
    if not text[position : position + 1] or text[position] not in "0123456789":
        raise _unexpected(text, position, where)


def _unexpected(text: str, position: int, where: str) -> _SyntaxError:
    character = text[position : position + 1]
    return _SyntaxError(f"invalid character {_quoted(character)} {where}" if character else _END)


def _quoted(character: str) -> str:
    """As Go quotes one byte."""
    if character in "'\"":
        return "'\\''" if character == "'" else "'\"'"
    if character.isprintable() or character in "\n\r\t\b\f":
        return f"'{json.dumps(character, ensure_ascii=False)[1:-1]}'"
    if character in "\a\v":
        return "'\\a'" if character == "\a" else "'\\v'"
    code = ord(character)
    return f"'\\x{code:02x}'" if code < 0x80 else f"'\\u{code:04x}'"
