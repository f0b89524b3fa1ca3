"""Sets of completion indexes as Jobs write them (``1,3-5,7``): what is wrong with one, and where two overlap."""

from __future__ import annotations

import json
import re

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
    while ones and others:
        (first, last), (other_first, other_last) = ones[0], others[0]
        if first <= other_last and other_first <= last:
            return max(first, other_first)
        (ones if first <= other_first else others).pop(0)
    return None


def _sound(text: str, completions: int) -> list[Interval]:
    found = []
    for part in text.split(",") if text else ():
        try:
            found.append(_interval(part, completions))
        except ValueError:
            continue
    return found


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
