"""Files of variables, which init containers write for others (KEP-3721). Pure.

A line is ``NAME='value'``: the value stands between single quotes, may span lines, and means what it says. Blank lines and
comments are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator

MALFORMED = "invalid environment variable format"


def value(text: str, name: str) -> str:
    """The value of a variable, "" if it is not there. Raises ValueError where a line before it is not of the form."""
    lines = enumerate((line.removesuffix("\r") for line in text.split("\n")), 1)
    for number, line in lines:
        key, equals, rest = line.lstrip(" \t").partition("=")
        if (not key and not equals) or key.startswith("#"):
            continue
        if not equals:
            raise ValueError(f"{MALFORMED} at line {number}: missing '='")
        if not key.rstrip(" \t"):
            raise ValueError(f"{MALFORMED} at line {number}: empty variable name")
        if key != key.rstrip(" \t"):
            raise ValueError(f"{MALFORMED} at line {number}: whitespace before '=' is not allowed")
        if rest.startswith((" ", "\t")):
            # As in a shell: what follows is not its value.
            found = ""
        elif rest.startswith("'"):
            found = _quoted(rest[1:], number, lines)
        else:
            raise ValueError(f"{MALFORMED} at line {number}: value must be enclosed in single quotes")
        if key == name:
            return found
    return ""


def _quoted(rest: str, number: int, lines: Iterator[tuple[int, str]]) -> str:
    """What stands before the closing quote, on this line or a later one."""
    found, first = "", number
    while "'" not in rest:
        found += f"{rest}\n"
        following = next(lines, None)
        if following is None:
            raise ValueError(f"{MALFORMED} starting at line {first}: unclosed single quote")
        number, rest = following
    end, _, after = rest.partition("'")
    after = after.lstrip(" \t")
    if after and not after.startswith("#"):
        raise ValueError(f"{MALFORMED} at line {number}: unexpected content after closing quote")
    return found + end
