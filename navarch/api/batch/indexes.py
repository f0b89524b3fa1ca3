"""Sets of completion indexes as Jobs write them (``1,3-5,7``): what is wrong with one, and where two overlap."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_NUMBER = re.compile(r"[+-]?[0-9]+\Z")

Interval = tuple[int, int]
"""The first and the last index."""


def count(text: str, completions: int) -> int:
    """How many indexes a set has. Raises ValueError with what is wrong with it."""
    total, last = 0, None
    for part in text.split(",") if text else ():
        first, end = _interval(part, completions)
        if last is not None and last >= first:
            raise ValueError(_unordered(last, first))
        total, last = total + end - first + 1, end
    return total


def overlap(one: str, other: str, completions: int) -> int | None:
    """The first index that is found in both sets; None if there is none. What makes no sense is passed over."""
    ones, others = _sound(one, completions), _sound(other, completions)
    mine, theirs = next(ones, None), next(others, None)
    while mine is not None and theirs is not None:
        if mine[0] <= theirs[1] and theirs[0] <= mine[1]:
            return max(mine[0], theirs[0])
        if mine[0] <= theirs[0]:
            mine = next(ones, None)
        else:
            theirs = next(others, None)
    return None


def _sound(text: str, completions: int) -> Iterator[Interval]:
    for part in text.split(",") if text else ():
        try:
            yield _interval(part, completions)
        except ValueError:
            continue


def _interval(text: str, completions: int) -> Interval:
    limits = text.split("-")
    if len(limits) > 2:
        quoted = json.dumps(text)
        raise ValueError(
            f"the fragment {quoted} violates the requirement that an index interval can have at most two parts separated by '-'"
        )
    numbers = [_index(limit, completions) for limit in limits]
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        raise ValueError(_unordered(*numbers))
    return numbers[0], numbers[-1]


def _index(text: str, completions: int) -> int:
    if not _NUMBER.match(text):
        raise ValueError(f"cannot convert string to integer for index: {json.dumps(text)}")
    if int(text) >= completions:
        raise ValueError(f"too large index: {json.dumps(text)}")
    return int(text)


def _unordered(previous: int, current: int) -> str:
    return f"non-increasing order, previous: {previous}, current: {current}"
