"""The JSONPath of printed columns (k8s.io/client-go/util/jsonpath), as far as one of them may use it: fields, items of lists,
slices, wildcards, filters and recursive descent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Step = Callable[[Any], Iterable[Any]]
_FIELD = re.compile(r"(?:\\.|[^\\.\[\]{}\s])+")
_FILTER = re.compile(r"\?\(\s*(?P<left>.+?)\s*(?:(?P<operator>==|!=|<=|>=|<|>)\s*(?P<right>.+?)\s*)?\)\Z", re.DOTALL)
_SLICE = re.compile(r"(-?\d+)?(:(-?\d*))?(:(\d*))?\Z")


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path."""

    steps: tuple[Step, ...]

    def find(self, value: Any) -> list[Any]:
        """All that the path leads to."""
        found = [value]
        for step in self.steps:
            found = [below for item in found for below in step(item)]
        return found


@lru_cache(1024)
def parse(text: str) -> Path:
    """A path such as ``.status.conditions[?(@.type=="Ready")].status``. Raises ValueError."""
    return Path(tuple(_steps(text.removeprefix("$").removeprefix("@"))))


def _steps(text: str) -> Iterator[Step]:
    place = 0
    while place < len(text):
        if text.startswith("..", place):
            place += 2
            yield _everything
            if place < len(text) and text[place] != "[":
                step, place = _field(text, place)
                yield step
        elif text[place] == ".":
            place += 1
            if place < len(text) and text[place] != "[":
                step, place = _field(text, place)
                yield step
        elif text[place] == "[":
            end = _closing(text, place)
            yield _bracket(text[place + 1 : end].strip())
            place = end + 1
        else:
            raise ValueError(f"unrecognized character in path: {text[place]!r}")


def _field(text: str, place: int) -> tuple[Step, int]:
    if text.startswith("*", place):
        return _children, place + 1
    match = _FIELD.match(text, place)
    if match is None:
        raise ValueError(f"a field is expected at {text[place:]!r}")
    return _named(re.sub(r"\\(.)", r"\1", match[0])), match.end()


def _closing(text: str, place: int) -> int:
    """Where the bracket that opens at `place` closes."""
    depth, quote = 0, ""
    for index in range(place, len(text)):
        character = text[index]
        if quote:
            if character == quote and text[index - 1] != "\\":
                quote = ""
        elif character in "'\"":
            quote = character
        elif character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
            if not depth:
                return index
    raise ValueError("unterminated array")


def _named(name: str) -> Step:
    def step(value: Any) -> Iterable[Any]:
        return (value[name],) if isinstance(value, dict) and name in value else ()

    return step


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [item for _, item in sorted(value.items())]
    return value if isinstance(value, list) else ()


def _everything(value: Any) -> Iterator[Any]:
    yield value
    for item in _children(value):
        yield from _everything(item)


def _bracket(inner: str) -> Step:
    if inner == "*":
        return _children
    if inner.startswith("?"):
        return _filter(inner)
    if inner[:1] in "'\"" and inner:
        names = [part.strip()[1:-1] for part in inner.split(",")]
        return lambda value: [below for name in names for below in _named(name.replace("\\'", "'"))(value)]
    if "," in inner:
        steps = [_bracket(part.strip()) for part in inner.split(",")]
        return lambda value: [below for step in steps for below in step(value)]
    return _slice(inner)


def _slice(inner: str) -> Step:
    match = _SLICE.match(inner)
    if match is None or not inner:
        raise ValueError(f"invalid array index {inner}")
    start = int(match[1]) if match[1] else None
    if match[2] is None:
        index = start if start is not None else 0
        return lambda value: [value[index]] if isinstance(value, list) and -len(value) <= index < len(value) else ()
    chosen = slice(start, int(match[3]) if match[3] else None, int(match[5]) if match[5] else None)
    return lambda value: value[chosen] if isinstance(value, list) else ()


def _filter(inner: str) -> Step:
    match = _FILTER.match(inner)
    if match is None:
        raise ValueError(f"invalid filter {inner}")
    left, right = _operand(match["left"]), _operand(match["right"]) if match["right"] else None
    operator = match["operator"]

    def step(value: Any) -> Iterator[Any]:
        for item in _children(value):
            found = left(item)
            if right is None:
                if found:
                    yield item
            elif found and (wanted := right(item)) and _compares(found[0], operator, wanted[0]):
                yield item

    return step


def _operand(text: str) -> Callable[[Any], list[Any]]:
    """What one side of a comparison is for an item."""
    if text.startswith(("@", "$")):
        return parse(text).find
    if text[:1] in "'\"":
        value: Any = text[1:-1]
    elif text in ("true", "false"):
        value = text == "true"
    else:
        value = float(text) if "." in text else int(text)
    return lambda item: [value]


def _compares(one: Any, operator: str, other: Any) -> bool:
    match operator:
        case "==":
            return bool(one == other)
        case "!=":
            return bool(one != other)
    try:
        match operator:
            case "<":
                return bool(one < other)
            case "<=":
                return bool(one <= other)
            case ">":
                return bool(one > other)
        return bool(one >= other)
    except TypeError:
        return False
