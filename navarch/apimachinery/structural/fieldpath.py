"""Paths to a field as rules and selectable fields have them: ``.spec.hosts['a.b']`` (cel.ValidFieldPath)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from navarch.apimachinery.structural.walking import Schema, allows_more, properties, values

_ESCAPE = re.compile(r"\\.")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}
_INVALID = "does not refer to a valid field"
_ENDS = "unexpected end of JSON path"


def resolve(path: str, schema: Schema, *, may_quote: bool = True) -> tuple[tuple[str, ...], Schema | None]:
    """The steps of a path, and the schema of what is there (None: of a map's value that has none).

    `may_quote`: whether steps may be written in brackets. Raises ValueError with what is wrong.
    """
    steps: list[str] = []
    found: Schema | None = schema
    tokens = _tokens(path)
    for token in tokens:
        match token:
            case ".":
                step = _next(tokens)
            case "[":
                if not may_quote:
                    raise ValueError("array notation is not allowed")
                step = _unquoted(_next(tokens))
            case _:
                raise ValueError(f"expected [ or . but got: {token}")
        found = _below(found, step)
        steps.append(step)
        if token == "[":
            closing = _next(tokens)
            if closing != "]":
                raise ValueError(f"expected ] but got {closing}")
    return tuple(steps), found


def _below(schema: Schema | None, step: str) -> Schema | None:
    known = properties(schema) if schema is not None else {}
    if known:
        if step not in known:
            raise ValueError(_INVALID)
        return known[step]
    if schema is None or not allows_more(schema):
        raise ValueError(_INVALID)
    return values(schema)


def _tokens(path: str) -> Iterator[str]:
    """The delimiters, and what stands between them; a string in single quotes is one token."""
    place = 0
    while place < len(path):
        if path[place] in ".[]":
            yield path[place]
            place += 1
            continue
        end = place + 1
        if path[place] == "'":
            while end < len(path) and not (path[end] == "'" and path[end - 1] != "\\"):
                end += 1
            end += 1
        else:
            while end < len(path) and path[end] not in ".[]":
                end += 1
        yield path[place:end]
        place = end


def _next(tokens: Iterator[str]) -> str:
    found = next(tokens, None)
    if found is None:
        raise ValueError(_ENDS)
    return found


def _unquoted(token: str) -> str:
    if len(token) < 2 or token[0] != "'" or token[-1] != "'":
        raise ValueError(f"expected single quoted string but got {token}")

    def meant(match: re.Match[str]) -> str:
        letter = match[0][1]
        if letter not in _ESCAPED:
            raise ValueError(f"invalid string literal: invalid escape char {match[0]}")
        return _ESCAPED[letter]

    return _ESCAPE.sub(meant, token[1:-1])
