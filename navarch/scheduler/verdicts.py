"""What filter plugins say of all rows for pods of one template, as arrays, and what that comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from navarch.scheduler.framework import BoolArray, IntArray, Plugin, Rejection, Reuse
from navarch.scheduler.runtime import Fit

KNOWN_LIMIT = 1024
"""How many different amounts are remembered of what a plugin says."""

Amounts = tuple[int, ...]
T = TypeVar("T")


def remember(known: dict[Amounts, T], amounts: Amounts, said: T) -> None:
    if len(known) >= KNOWN_LIMIT:
        known.clear()
    known[amounts] = said


@dataclass(slots=True)
class Verdict:
    """What one filter plugin says of all rows."""

    plugin: Plugin
    reuse: Reuse
    reasons: dict[tuple[str, bool], BoolArray] = field(default_factory=dict)
    """(reason, is it resolvable) -> rows."""
    failed: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    known: dict[Amounts, list[Rejection]] = field(default_factory=dict)
    """What a plugin that looks at amounts only has said of one node: there are many that are equal."""

    def take(self, found: list[Rejection], size: int, rows: IntArray | None) -> None:
        """Note what was found of some rows, or (None) of all."""
        if rows is None:
            self.reasons.clear()
            self.failed = np.zeros(size, np.bool_)
            for rejection in found:
                self._note(rejection, slice(None), size)
            return
        for hits in self.reasons.values():
            hits[rows] = False
        self.failed[rows] = False
        for rejection in found:
            self._note(rejection, rows, size)

    def take_row(self, found: list[Rejection], size: int, row: int) -> bool:
        """Note what was found of one row; whether it is accepted."""
        if self.failed[row]:
            for hits in self.reasons.values():
                hits[row] = False
        elif not found:
            return True
        is_failed = False
        for rejection in found:
            if rejection.nodes:
                is_failed = True
                key = (rejection.reason, rejection.is_resolvable)
                if key not in self.reasons:
                    self.reasons[key] = np.zeros(size, np.bool_)
                self.reasons[key][row] = True
        self.failed[row] = is_failed
        return not is_failed

    def _note(self, rejection: Rejection, rows: IntArray | slice, size: int) -> None:
        if rejection.nodes.any():
            key = (rejection.reason, rejection.is_resolvable)
            hits = self.reasons.get(key)
            if hits is None:
                hits = self.reasons[key] = np.zeros(size, np.bool_)
            hits[rows] |= rejection.nodes
            self.failed[rows] |= rejection.nodes


class Feasible:
    """Which rows no plugin rejects."""

    __slots__ = ("_rows", "count", "hits")

    def __init__(self, size: int) -> None:
        self.hits: BoolArray = np.zeros(size, np.bool_)
        self.count = 0
        self._rows: IntArray | None = None

    @property
    def rows(self) -> IntArray:
        """Those rows; the same array as long as they are the same. Not to be changed."""
        if self._rows is None:
            self._rows = np.flatnonzero(self.hits)
        return self._rows

    def flip(self, row: int) -> None:
        """That row is what it was not."""
        is_feasible = not self.hits.item(row)
        self.hits[row] = is_feasible
        self.count += 1 if is_feasible else -1
        self._rows = None

    def put(self, at: IntArray | slice, hits: BoolArray) -> bool:
        """What holds of some rows now; whether it is the same as before."""
        if bool((hits == self.hits[at]).all()):
            return True
        self.hits[at] = hits
        self.count = int(np.count_nonzero(self.hits))
        self._rows = None
        return False


def tell(fit: Fit, plugin: Plugin, reasons: dict[tuple[str, bool], BoolArray], alive: BoolArray) -> None:
    """Add a plugin's reasons to a verdict, of the rows that no plugin before it has rejected."""
    failed = unresolvable = None
    for (reason, is_resolvable), hits in reasons.items():
        hit = hits & alive
        count = int(np.count_nonzero(hit))
        if not count:
            continue
        fit.reasons[reason] += count
        failed = hit if failed is None else failed | hit
        if not is_resolvable:
            unresolvable = hit if unresolvable is None else unresolvable | hit
    if failed is not None:
        fit.plugins.add(plugin.name)
        fit.resolvable |= failed if unresolvable is None else failed & ~unresolvable
