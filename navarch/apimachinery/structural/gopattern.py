"""Regular expressions of Go (RE2), run by Python's engine: what the two write differently is rewritten.

Of Unicode's classes the general categories are known (``\\pL``, ``\\p{Lu}``), scripts (``\\p{Greek}``) are not.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import lru_cache

_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7F",
    "blank": r"\t ",
    "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t\n\v\f\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
# What Go's Perl classes hold: ASCII only.
_CLASSES = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\f\r "}
_UNSUPPORTED = re.compile(r"\(\?(=|!|<=|<!|P=|\(|>|#)")


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, to be searched with. Raises ValueError with what Go says where it is none."""
    try:
        return re.compile(_rewritten(pattern), re.ASCII)
    except re.error as error:
        raise ValueError(_said(pattern, error)) from None


def _said(pattern: str, error: re.error) -> str:
    """What regexp/syntax says of the mistakes that are often made."""
    text = str(error)
    if "unterminated character set" in text:
        return f"error parsing regexp: missing closing ]: `{pattern[error.pos or 0 :]}`"
    if "missing )" in text:
        return f"error parsing regexp: missing closing ): `{pattern}`"
    if "unbalanced parenthesis" in text:
        return f"error parsing regexp: unexpected ): `{pattern}`"
    if "nothing to repeat" in text:
        return f"error parsing regexp: missing argument to repetition operator: `{pattern[error.pos or 0 :][:1]}`"
    if "multiple repeat" in text:
        place = error.pos or 0
        return f"error parsing regexp: invalid nested repetition operator: `{pattern[max(place - 1, 0) : place + 1]}`"
    if "bad character range" in text:
        return f"error parsing regexp: invalid character class range: `{text.split('range ')[1].split(' at')[0]}`"
    if "bad escape (end of pattern)" in text:
        return "error parsing regexp: trailing backslash at end of expression: ``"
    if "bad escape" in text:
        return f"error parsing regexp: invalid escape sequence: `{text.split('bad escape ')[1].split(' ')[0]}`"
    return f"error parsing regexp: invalid or unsupported Perl syntax: `{pattern}`"


def _rewritten(pattern: str) -> str:
    found = _UNSUPPORTED.search(pattern)
    if found is not None and not _is_escaped(pattern, found.start()):
        shown = pattern[found.start() : found.start() + len("(?") + 1]
        raise ValueError(f"error parsing regexp: invalid or unsupported Perl syntax: `{shown}`")
    out: list[str] = []
    place, in_class = 0, False
    while place < len(pattern):
        character = pattern[place]
        if character == "\\" and place + 1 < len(pattern):
            piece, place = _escape(pattern, place, in_class)
            out.append(piece)
            continue
        if in_class and pattern.startswith("[:", place):
            end = pattern.find(":]", place)
            name = pattern[place + 2 : end] if end > 0 else ""
            if name.lstrip("^") in _POSIX and not name.startswith("^"):
                out.append(_POSIX[name])
                place = end + 2
                continue
        if in_class:
            if character == "]":
                in_class = False
            elif character == "[":
                character = "\\["
        elif character == "[":
            in_class = True
            out.append(character)
            place += 1
            if pattern.startswith("^", place):
                out.append("^")
                place += 1
            # The first is meant as itself.
            if pattern.startswith("]", place):
                out.append("\\]")
                place += 1
            continue
        elif character == "$":
            # At the end only, and not before a last line break.
            character = r"\Z"
        elif pattern.startswith("(?<", place):
            # Only a group with a name: what looks behind was refused.
            character = "(?P<"
            place += 2
        out.append(character)
        place += 1
    return "".join(out)


def _is_escaped(pattern: str, place: int) -> bool:
    backslashes = len(pattern[:place]) - len(pattern[:place].rstrip("\\"))
    return backslashes % 2 == 1


def _escape(pattern: str, place: int, in_class: bool) -> tuple[str, int]:
    """What stands for an escape, and where it ends."""
    letter = pattern[place + 1]
    if letter.lower() in _CLASSES:
        inner = _CLASSES[letter.lower()]
        if letter.islower():
            return (inner if in_class else f"[{inner}]"), place + 2
        # A class within a class cannot be turned round.
        return (f"\\{letter}" if in_class else f"[^{inner}]"), place + 2
    if letter == "z":
        return r"\Z", place + 2
    if letter == "Q":
        end = pattern.find(r"\E", place)
        end = len(pattern) if end < 0 else end
        return re.escape(pattern[place + 2 : end]), min(end + 2, len(pattern))
    if letter == "x" and pattern.startswith("{", place + 2):
        end = pattern.find("}", place)
        return re.escape(chr(int(pattern[place + 3 : end], 16))), end + 1
    if letter in "pP":
        return _unicode_class(pattern, place, in_class)
    if letter in "AbBafnrtvx01234567" or not letter.isalnum():
        return pattern[place : place + 2], place + 2
    raise ValueError(f"error parsing regexp: invalid escape sequence: `\\{letter}`")


@lru_cache(64)
def _category(name: str) -> str:
    """The characters of a general category, as they stand in a class; raises KeyError where there are none."""
    ranges: list[list[int]] = []
    for point in range(sys.maxunicode + 1):
        if unicodedata.category(chr(point)).startswith(name):
            if ranges and ranges[-1][1] == point - 1:
                ranges[-1][1] = point
            else:
                ranges.append([point, point])
    if not ranges:
        raise KeyError(name)
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def _unicode_class(pattern: str, place: int, in_class: bool) -> tuple[str, int]:
    if pattern.startswith("{", place + 2):
        end = pattern.find("}", place) + 1
        name = pattern[place + 3 : end - 1]
    else:
        end, name = place + 3, pattern[place + 2 : place + 3]
    negated = (pattern[place + 1] == "P") != name.startswith("^")
    try:
        found = _category(name.lstrip("^"))
    except KeyError:
        raise ValueError(f"error parsing regexp: invalid character class range: `{pattern[place:end]}`") from None
    if negated and in_class:
        raise ValueError(f"error parsing regexp: invalid character class range: `{pattern[place:end]}`")
    return (found if in_class else f"[{'^' if negated else ''}{found}]"), end
