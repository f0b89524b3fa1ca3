"""Functions of strings (cel-go's ext/strings, version 2). Positions count code points."""

from __future__ import annotations

import re
from collections.abc import Sequence

from navarch.apimachinery.cel.declarations import Library, functions
from navarch.apimachinery.cel.errors import CostLimitError, EvaluationError
from navarch.apimachinery.cel.libraries.formatting import format_string

LONGEST = 10_000_000
"""Characters of a text that a function makes."""
_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER = {code + 32: code for code in _LOWER}
_QUOTED = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v", "\\": r"\\", '"': r"\""}
_TO_QUOTE = re.compile(r'[\a\b\f\n\r\t\v\\"]')


def _check(position: int, limit: int) -> None:
    if not 0 <= position <= limit:
        raise EvaluationError(f"index out of range: {position}")


def _char_at(text: str, position: int) -> str:
    _check(position, len(text))
    return text[position : position + 1]


def _index_of(text: str, part: str, offset: int = 0) -> int:
    if not part:
        return offset
    if not text and offset == 0:
        return -1
    _check(offset, len(text) - 1)
    return text.find(part, offset)


def _last_index_of(text: str, part: str) -> int:
    return text.rfind(part) if part else len(text)


def _last_index_of_offset(text: str, part: str, offset: int) -> int:
    if not part:
        return offset
    _check(offset, len(text) - 1)
    return text.rfind(part, 0, offset + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    found = text.count(old)
    if count >= 0:
        found = min(found, count)
    _check_length(len(text) + found * (len(new) - len(old)))
    return text.replace(old, new, count)


def _check_length(length: int) -> None:
    """Of a result whose cost does not tell how long it is. Longer ones could not be read within any limit."""
    if length > LONGEST:
        raise CostLimitError


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    return list(text) if limit < 0 or limit >= len(text) else [*text[: limit - 1], text[limit - 1 :]]


def _substring(text: str, start: int) -> str:
    _check(start, len(text))
    return text[start:]


def _substring_range(text: str, start: int, end: int) -> str:
    if start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    _check(start, len(text))
    _check(end, len(text))
    return text[start:end]


def _join(parts: Sequence[str], separator: str = "") -> str:
    try:
        _check_length(sum(map(len, parts)) + len(separator) * len(parts))
        return separator.join(parts)
    except TypeError:
        raise EvaluationError("unsupported type conversion from list to strings") from None


def quote(text: str) -> str:
    """In double quotes, with escapes."""
    return '"' + _TO_QUOTE.sub(lambda match: _QUOTED[match.group()], text) + '"'


LIBRARY = Library(
    "cel.lib.ext.strings",
    functions(
        {
            "charAt": [("string_char_at_int", "string.(int) -> string", _char_at)],
            "indexOf": [
                ("string_index_of_string", "string.(string) -> int", _index_of),
                ("string_index_of_string_int", "string.(string, int) -> int", _index_of),
            ],
            "lastIndexOf": [
                ("string_last_index_of_string", "string.(string) -> int", _last_index_of),
                ("string_last_index_of_string_int", "string.(string, int) -> int", _last_index_of_offset),
            ],
            "lowerAscii": [("string_lower_ascii", "string.() -> string", lambda text: text.translate(_LOWER))],
            "upperAscii": [("string_upper_ascii", "string.() -> string", lambda text: text.translate(_UPPER))],
            "replace": [
                ("string_replace_string_string", "string.(string, string) -> string", _replace),
                ("string_replace_string_string_int", "string.(string, string, int) -> string", _replace),
            ],
            "split": [
                ("string_split_string", "string.(string) -> list(string)", _split),
                ("string_split_string_int", "string.(string, int) -> list(string)", _split),
            ],
            "substring": [
                ("string_substring_int", "string.(int) -> string", _substring),
                ("string_substring_int_int", "string.(int, int) -> string", _substring_range),
            ],
            "trim": [("string_trim", "string.() -> string", lambda text: text.strip(_SPACE))],
            "join": [
                ("list_join", "list(string).() -> string", _join),
                ("list_join_string", "list(string).(string) -> string", _join),
            ],
            "format": [("string_format", "string.(list(dyn)) -> string", format_string)],
            "strings.quote": [("strings_quote", "(string) -> string", quote)],
        }
    ),
)
