"""Counts over an informer's objects, kept up with each change: for whoever would else go through all of them each time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from navarch.apimachinery.errors import Object

Fact = TypeVar("Fact", bound=Hashable)


class Tally(Generic[Fact]):
    """How many objects with the same value, as of an index, are alike in a fact. `changed` is to hear of each change."""

    def __init__(self, values: Callable[[Object], Iterable[str]], fact: Callable[[Object], Fact]) -> None:
        self._values, self._fact = values, fact
        self._counts: dict[str, dict[Fact, int]] = {}

    def of(self, value: str) -> Mapping[Fact, int]:
        """Of the objects for which `values` yields this one."""
        return self._counts.get(value, {})

    def changed(self, old: Object | None, new: Object | None) -> None:
        before, after = self._counted(old), self._counted(new)
        # Most changes are of what nobody counts.
        if before != after:
            if before is not None:
                self._add(*before, -1)
            if after is not None:
                self._add(*after, 1)

    def _counted(self, obj: Object | None) -> tuple[tuple[str, ...], Fact] | None:
        return None if obj is None else (tuple(self._values(obj)), self._fact(obj))

    def _add(self, values: tuple[str, ...], fact: Fact, number: int) -> None:
        for value in values:
            counts = self._counts.setdefault(value, {})
            count = counts.get(fact, 0) + number
            if count:
                counts[fact] = count
                continue
            del counts[fact]
            if not counts:
                del self._counts[value]
