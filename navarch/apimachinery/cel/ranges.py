"""Ranges of sizes and costs, in 64 bits: what would be more is the largest number."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

LARGEST = 2**64 - 1


class Range(NamedTuple):
    """From `min` to `max`. Sums and products are those of the ends."""

    min: int
    max: int

    def __add__(self, other: Range) -> Range:  # type: ignore[override]
        return Range(min(self.min + other.min, LARGEST), min(self.max + other.max, LARGEST))

    def __mul__(self, other: Range) -> Range:  # type: ignore[override]
        return Range(min(self.min * other.min, LARGEST), min(self.max * other.max, LARGEST))

    def scaled(self, factor: float) -> Range:
        """Rounded up."""
        return Range(_scaled(self.min, factor), _scaled(self.max, factor))

    def union(self, other: Range) -> Range:
        return Range(min(self.min, other.min), max(self.max, other.max))

    @classmethod
    def spanning(cls, ranges: Iterable[Range]) -> Range:
        """All of them; nothing if there are none."""
        known = list(ranges)
        return Range(min(each.min for each in known), max(each.max for each in known)) if known else NOTHING


def _scaled(value: int, factor: float) -> int:
    return min(math.ceil(value * factor), LARGEST)


def fixed(value: int) -> Range:
    return Range(value, value)


NOTHING, ONE, UNKNOWN = fixed(0), fixed(1), Range(0, LARGEST)
