"""The values of literals: numbers within 64 bits, strings and bytes with their escapes. ValueError where there is none."""

from __future__ import annotations

import re

from navarch.apimachinery.cel.values import INT_MAX, INT_MIN, UINT_MAX, UInt

_ESCAPE = re.compile(r"\\(?:([abfnrtv\"'\\?`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))")
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def integer(text: str, negative: bool = False) -> int:
    """``12``, ``0x1F``, with the sign before it."""
    value = int(text, 16) if text.startswith("0x") else int(text)
    value = -value if negative else value
    if not INT_MIN <= value <= INT_MAX:
        raise ValueError("invalid int literal")
    return value


def unsigned(text: str) -> UInt:
    """``12u``."""
    value = int(text[:-1], 16) if text.startswith("0x") else int(text[:-1])
    if value > UINT_MAX:
        raise ValueError("invalid uint literal")
    return UInt(value)


def double(text: str, negative: bool = False) -> float:
    value = float(text)
    if value == float("inf"):
        raise ValueError("invalid double literal")
    return -value if negative else value


def string(text: str) -> str:
    """A quoted string, raw or not. Escapes stand for code points."""
    body, raw = _body(text)
    return body if raw else _ESCAPE.sub(_code_point, body)


def bytes_(text: str) -> bytes:
    """``b"…"``. Escapes in two hexadecimal or three octal digits stand for bytes, those of code points for their UTF-8."""
    body, raw = _body(text[1:])
    if raw:
        return body.encode()
    found, end = bytearray(), 0
    for match in _ESCAPE.finditer(body):
        found += body[end : match.start()].encode()
        _, byte, *_, octal = match.groups()
        if byte or octal:
            found.append(int(byte, 16) if byte else int(octal, 8))
        else:
            found += _code_point(match).encode()
        end = match.end()
    return bytes(found + body[end:].encode())


def _body(text: str) -> tuple[str, bool]:
    raw = text[0] in "rR"
    text = text[1:] if raw else text
    width = 3 if text.startswith(('"""', "'''")) and len(text) >= 6 else 1
    return text[width:-width].replace("\r\n", "\n").replace("\r", "\n"), raw


def _code_point(match: re.Match[str]) -> str:
    simple, byte, short, long, octal = match.groups()
    if simple:
        return _SIMPLE.get(simple, simple)
    value = int(octal, 8) if octal else int(byte or short or long, 16)
    if value > 0x10FFFF or 0xD800 <= value < 0xE000:
        raise ValueError("unable to unescape string")
    return chr(value)
