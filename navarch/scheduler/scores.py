"""What score plugins say of all rows for pods of one template, kept from pod to pod, and which rows are the best by that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

import numpy as np

from navarch.scheduler.framework import CycleState, IntArray, Plugin, Reuse
from navarch.scheduler.nodes import Nodes, OneNode
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.runtime import Framework
from navarch.scheduler.snapshot import Snapshot
from navarch.scheduler.verdicts import Amounts, Feasible, remember


@dataclass(slots=True)
class Range:
    """The lowest and the highest of some scores, and how many are that low and that high."""

    low: int
    high: int
    at_low: int
    at_high: int

    @staticmethod
    def of(scores: IntArray) -> Range:
        low, high = int(scores.min()), int(scores.max())
        return Range(low, high, int(np.count_nonzero(scores == low)), int(np.count_nonzero(scores == high)))

    def replace(self, before: int, after: int) -> bool:
        """One score is another now; False: lowest and highest may be others by that, and nothing is changed here."""
        at_low = self.at_low - (before == self.low) + (after == self.low)
        at_high = self.at_high - (before == self.high) + (after == self.high)
        if not (self.low <= after <= self.high and at_low and at_high):
            return False
        self.at_low, self.at_high = at_low, at_high
        return True


@dataclass(slots=True)
class Score:
    """What one score plugin says of all rows."""

    plugin: Plugin
    reuse: Reuse
    weight: int
    is_normalized: bool
    is_silent: bool = False
    raw: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    is_flat: bool = False
    """All are 0."""
    final: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Normalized and weighed; of infeasible rows it means nothing."""
    range: Range | None = None
    """Of `raw`, where that is all that normalized scores depend on."""
    known: dict[Amounts, int] = field(default_factory=dict)
    """As of a `Verdict`."""


class Scores:
    """Those of one template under one profile."""

    def __init__(
        self,
        framework: Framework,
        snapshot: Snapshot,
        state: CycleState,
        reuse: Mapping[Plugin, Reuse],
        feasible: Feasible,
    ) -> None:
        self._framework = framework
        self._snapshot = snapshot
        self._size = snapshot.size
        self._state = state
        self._reuse = reuse
        self._feasible = feasible
        self.are_there = False
        """Whether anything has been scored."""
        self.parts: list[Score] = []
        self._totals: IntArray = np.zeros(0, np.int64)
        """The weighed sum of all scores by row; -1 where a row is not feasible."""
        self._highest = -1
        self._ties: IntArray = np.zeros(0, np.int64)
        """The rows with the highest total, in any order; empty: to be looked for."""
        self._tie_taken = 0
        """Which of them was chosen last: it is the one whose total changes next."""

    def _nodes(self) -> Nodes:
        return Nodes(self._snapshot, self._feasible.rows)

    def best(self, pod: PodInfo) -> IntArray:
        """The feasible rows with the highest total."""
        if not self.are_there:
            self._score_all(pod)
            self.are_there = True
        if not len(self._ties):
            self._highest = int(self._totals.max())
            self._ties = np.flatnonzero(self._totals == self._highest)
        return self._ties

    def best_among(self, pod: PodInfo, rows: IntArray) -> IntArray | None:
        """Those of some feasible rows with the highest total; None: others being infeasible, totals would be others."""
        self.best(pod)
        for score in self.parts:
            if not score.is_silent and (score.plugin.score_by_feasible or (score.is_normalized and not score.is_flat)):
                return None
        totals = self._totals[rows]
        found: IntArray = rows[totals == totals.max()]
        return found

    def one_of_the_best(self, pod: PodInfo, random: Random) -> int:
        rows = self.best(pod)
        self._tie_taken = random.randrange(len(rows)) if len(rows) > 1 else 0
        return int(rows[self._tie_taken])

    def _set_total(self, row: int, total: int) -> None:
        before = self._totals.item(row)
        if before == total:
            return
        self._totals[row] = total
        ties = self._ties
        if not len(ties):
            return
        if total >= self._highest:
            self._ties = np.append(ties, row) if total == self._highest else np.array([row], np.int64)
            self._highest = total
        elif before == self._highest:
            at = self._tie_taken
            if at >= len(ties) or ties[at] != row:
                at = int(np.flatnonzero(ties == row)[0])
            ties[at] = ties[-1]
            self._ties = ties[:-1]

    def totals(self) -> IntArray:
        """The weighed sum of all scores by row; -1 where a row is not feasible."""
        return self._totals

    def _score_all(self, pod: PodInfo) -> None:
        framework = self._framework
        self.parts = [
            Score(plugin, self._reuse[plugin], framework.weights[plugin.name], framework.normalizes(plugin))
            for plugin in framework.points["score"]
        ]
        chosen = self._nodes()
        for score in self.parts:
            self._ask(pod, score, chosen)
            self._finish(pod, score, chosen)
        self._add_up()

    def _add_up(self) -> None:
        totals = np.zeros(self._size, np.int64)
        for score in self.parts:
            if not score.is_silent:
                totals += score.final
        if self._feasible.count < self._size:
            totals[~self._feasible.hits] = -1
        self._totals = totals
        self._ties = self._ties[:0]

    def _ask(self, pod: PodInfo, score: Score, chosen: Nodes) -> None:
        plugin, framework = score.plugin, self._framework
        asks_before = plugin in framework.points["preScore"]
        score.is_silent = asks_before and not framework.pre_score(plugin, self._state, pod, chosen)
        if not score.is_silent:
            score.raw = framework.score_nodes(plugin, self._state, pod, Nodes(self._snapshot)).copy()
            score.is_flat = not score.raw.any()

    def _finish(self, pod: PodInfo, score: Score, chosen: Nodes) -> None:
        """Normalize and weigh all rows."""
        if score.is_silent:
            return
        if not score.is_normalized:
            score.final = score.raw * score.weight
            return
        is_all = len(chosen.rows) == self._size
        raw = score.raw if is_all else score.raw[chosen.rows]
        score.range = Range.of(raw) if score.plugin.normalized_by_range and len(raw) else None
        scores = self._normalized(pod, score, raw, chosen) * score.weight
        if is_all:
            score.final = scores
        else:
            score.final = np.zeros(self._size, np.int64)
            score.final[chosen.rows] = scores
        if score.is_flat and not score.plugin.score_by_feasible and len(scores):
            # Whichever nodes are feasible, it is the same for all.
            score.final[:] = score.final[chosen.rows[0]]

    def _normalized(self, pod: PodInfo, score: Score, raw: IntArray, chosen: Nodes) -> IntArray:
        found = score.range
        if found is None or found.high - found.low >= len(raw):
            return self._framework.normalize(score.plugin, self._state, pod, raw, chosen)
        # There are fewer different scores than nodes.
        values = np.arange(found.low, found.high + 1)
        return self._framework.normalize(score.plugin, self._state, pod, values, chosen)[raw - found.low]

    def update(
        self, pod: PodInfo, rows: list[int], ones: list[OneNode], wider: set[Plugin], is_same: bool, is_whole: bool
    ) -> None:
        """Scores after a change: of those rows, and what depends on which rows are feasible.

        `is_same`: whether the same rows are feasible as before; if `is_whole`, any may be another.
        """
        chosen: Nodes | None = None
        for score in self.parts:
            was_silent = score.is_silent
            if was_silent and not wider:
                continue
            if score.plugin in wider or (score.plugin.score_by_feasible and not is_same and not was_silent):
                chosen = chosen or self._nodes()
                self._ask(pod, score, chosen)
                is_stale = not (was_silent and score.is_silent)
            elif was_silent:
                continue
            else:
                is_stale = score.is_normalized and not is_same and not score.is_flat
                if score.reuse is Reuse.NODE:
                    pass
                elif ones and score.plugin.scalar:
                    for one in ones:
                        is_stale |= self._rescore_one(pod, score, one, is_stale)
                else:
                    is_stale |= self._rescore_rows(pod, score, np.array(rows, np.int64))
            if is_stale:
                chosen = chosen or self._nodes()
                self._finish(pod, score, chosen)
                is_whole = True
        if is_whole:
            self._add_up()
            return
        finals = [score.final for score in self.parts if not score.is_silent]
        for row in rows:
            total = 0
            for final in finals:
                total += final.item(row)
            self._set_total(row, total if self._feasible.hits[row] else -1)

    def _rescore_one(self, pod: PodInfo, score: Score, one: OneNode, is_stale: bool) -> bool:
        """The score of one row; whether others have to be normalized anew. `is_stale`: they have to be anyhow."""
        fresh, row = self._score_one(pod, score, one), one.row
        if not score.is_normalized:
            score.raw[row], score.final[row] = fresh, fresh * score.weight
            return False
        before = score.raw.item(row)
        if fresh == before:
            return False
        score.raw[row] = fresh
        score.is_flat = score.is_flat and fresh == 0
        found = score.range
        if is_stale or found is None or not self._feasible.hits[row] or not found.replace(before, fresh):
            return True
        as_one_of_many = np.array([found.low, found.high, fresh], np.int64)
        score.final[row] = self._framework.normalize(score.plugin, self._state, pod, as_one_of_many, one)[2] * score.weight
        return False

    def _score_one(self, pod: PodInfo, score: Score, one: OneNode) -> int:
        fresh = score.known.get(one.amounts) if score.plugin.amounts_only else None
        if fresh is None:
            fresh = int(self._framework.score_nodes(score.plugin, self._state, pod, one))
            if score.plugin.amounts_only:
                remember(score.known, one.amounts, fresh)
        return fresh

    def _rescore_rows(self, pod: PodInfo, score: Score, rows: IntArray) -> bool:
        """Scores of a few rows; likewise."""
        found = self._framework.score_nodes(score.plugin, self._state, pod, Nodes(self._snapshot, rows))
        is_changed = bool((found != score.raw[rows]).any())
        score.raw[rows] = found
        score.is_flat = score.is_flat and not found.any()
        if not score.is_normalized:
            score.final[rows] = found * score.weight
        return is_changed and score.is_normalized
