"""What a profile's plugins say of every node for pods of one template, kept from pod to pod.

Pods of equal template get equal answers as long as nothing changes. So verdicts and scores are kept as arrays by row, and
when the next pod of the template comes, only the rows are asked about again that the snapshot's log names since. What a
plugin allows to be kept, and until when, is its `reuse`; plugins that allow nothing are asked by `cycle.py` for each pod.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

import numpy as np

from navarch.scheduler.framework import BoolArray, CycleState, IntArray, Plugin, Rejection, Reuse, Wider
from navarch.scheduler.nodes import Nodes, OneNode
from navarch.scheduler.podinfo import PodInfo, PodTemplate
from navarch.scheduler.runtime import Filtered, Fit, Framework, keeps_room, listed, pre_filter
from navarch.scheduler.snapshot import Change, Snapshot

CHANGES_LIMIT = 256
"""With more of them than this everything is asked anew."""
MEMORY_LIMIT_BYTES = 64 << 20
BYTES_PER_ROW = 96
"""About, of one template's arrays."""
MIN_TEMPLATES = 8
SINGLE_ROWS = 12
"""Up to so many rows are judged one by one; more, too, if pods are waited for there, which is dear in columns."""
NARROW_ROWS = 64
"""A template that PreFilter leaves so few rows is not worth keeping arrays for."""
KNOWN_LIMIT = 1024
"""How many different amounts are remembered of what a plugin says."""
FOLLOWED_TEMPLATES_LIMIT = 256

Amounts = tuple[int, ...]
T = TypeVar("T")


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


class Vectors:
    """The arrays of one template under one profile."""

    def __init__(self, framework: Framework, pod: PodInfo, snapshot: Snapshot) -> None:
        self.template: PodTemplate = pod.template
        self._framework = framework
        self.snapshot = snapshot
        self._size = snapshot.size
        self._layout = snapshot.layout
        self.position = snapshot.position
        self.state = CycleState()
        self._reuse = {plugin: plugin.reuse(pod) for plugin in framework.plugins.values()}
        fresh = {plugin for plugin, reuse in self._reuse.items() if reuse is Reuse.NEVER}
        kept = [plugin for plugin in framework.points["preFilter"] if plugin not in fresh]
        self.filtered = pre_filter(framework, pod, snapshot, self.state, kept)
        self.fresh_pre_filters = [plugin for plugin in framework.points["preFilter"] if plugin in fresh]
        self.fresh_filters = [plugin for plugin in framework.points["filter"] if plugin in fresh]
        self.fresh_scores = [plugin for plugin in framework.points["score"] if plugin in fresh]
        self._followers = [plugin for plugin in framework.followers if self._reuse[plugin] is Reuse.CLUSTER]
        self._concerned: dict[PodTemplate, list[Plugin]] = {}
        """Which of them pods of another template matter to."""
        self.is_worth_it = _is_worth_it(self.filtered)
        """Whether there is something to keep."""
        self._fit: Fit | None = None
        self._wanted = snapshot.valid[: self._size]
        self.verdicts: list[Verdict] = []
        self.scores: list[Score] = []
        self.feasible: BoolArray = np.zeros(self._size, np.bool_)
        self.feasible_count = 0
        self._chosen: IntArray | None = None
        """The feasible rows; the same array as long as they are the same."""
        self._totals: IntArray = np.zeros(0, np.int64)
        """The weighed sum of all scores by row; -1 where a row is not feasible."""
        self._highest = -1
        self._ties: IntArray = np.zeros(0, np.int64)
        """The rows with the highest total, in any order; empty: to be looked for."""
        self._tie_taken = 0
        """Which of them was chosen last: it is the one whose total changes next."""
        self._has_scores = False
        if self.is_worth_it:
            self._begin(pod)

    def _begin(self, pod: PodInfo) -> None:
        snapshot = self.snapshot
        self._wanted = snapshot.valid[: self._size].copy()
        if self.filtered.wanted is not None:
            self._wanted[:] = False
            self._wanted[self.filtered.wanted] = True
        for plugin in self._framework.points["filter"]:
            if self._reuse[plugin] is not Reuse.NEVER:
                self.verdicts.append(Verdict(plugin, self._reuse[plugin]))
        self._moving = [verdict for verdict in self.verdicts if verdict.reuse is not Reuse.NODE]
        self._set_asked()
        self._judge(pod, None, self.verdicts)
        self._settled: BoolArray = self._wanted.copy()
        for verdict in self.verdicts:
            if verdict.reuse is Reuse.NODE and verdict.failed.any():
                self._settled &= ~verdict.failed
        self._sum_up(None)

    def _set_asked(self) -> None:
        """Which of the plugins that look at pods have something to say about such a pod."""
        self._asked = [verdict for verdict in self._moving if verdict.plugin.name not in self.filtered.skipped]

    # Filtering.

    def update(self, pod: PodInfo) -> bool:
        """Take in what has changed; False: begin anew."""
        snapshot = self.snapshot
        if snapshot.layout != self._layout or snapshot.size != self._size:
            return False
        changes = snapshot.changes_since(self.position)
        if changes is None or len(changes) > CHANGES_LIMIT:
            return False
        if changes:
            self._take(pod, changes)
            self.position = snapshot.position
        return True

    def _take(self, pod: PodInfo, changes: list[Change]) -> None:
        self._fit = None
        wider, scored_wider = self._follow(pod, changes)
        touched = sorted({change.row for change in changes})
        is_few = len(touched) <= SINGLE_ROWS or not self.snapshot.nominated.keys().isdisjoint(touched)
        ones = [OneNode(self.snapshot, row) for row in touched] if is_few else []
        if not self._suppose_nominated(pod, ones):
            ones = []
        if ones:
            is_same = self._judge_ones(pod, ones, wider)
        else:
            rows = np.array(touched, np.int64)
            self._judge(pod, rows, [verdict for verdict in self._moving if verdict.plugin not in wider])
            is_same = bool(wider) or self._sum_up(rows)
        if wider:
            self._judge(pod, None, [verdict for verdict in self._moving if verdict.plugin in wider])
            is_same = self._sum_up(None)
        if not is_same:
            self._has_scores = self._has_scores and self.feasible_count > 0  # With none there is nothing to normalize by.
        if self._has_scores:
            if self.snapshot.nominated:
                # Scores are those of nodes as they are.
                ones = [OneNode(self.snapshot, one.row) if one.row in self.snapshot.nominated else one for one in ones]
            self._rescore(pod, touched, ones, scored_wider, is_same, bool(wider))

    def _judge_ones(self, pod: PodInfo, ones: list[OneNode], wider: set[Plugin]) -> bool:
        """Judge a few nodes, one by one; whether the same of them are feasible as before."""
        asked = [verdict for verdict in self._asked if verdict.plugin not in wider] if wider else self._asked
        is_same = True
        for one in ones:
            is_feasible = self._settled.item(one.row)
            for verdict in asked:
                if verdict.plugin.scalar:
                    is_feasible &= verdict.take_row(self._judge_one(pod, verdict, one), self._size, one.row)
                else:
                    found = self._framework.filter_nodes(verdict.plugin, self.state, pod, Nodes(self.snapshot, one.rows))
                    verdict.take(found, self._size, one.rows)
                    is_feasible &= not verdict.failed.item(one.row)
            if is_feasible != self.feasible.item(one.row) and not wider:
                self.feasible[one.row] = is_feasible
                self.feasible_count += 1 if is_feasible else -1
                self._chosen = None
                is_same = False
        return is_same

    def _judge_one(self, pod: PodInfo, verdict: Verdict, one: OneNode) -> list[Rejection]:
        plugin = verdict.plugin
        if not plugin.amounts_only:
            return self._framework.filter_nodes(plugin, self.state, pod, one)
        found = verdict.known.get(one.amounts)
        if found is None:
            found = self._framework.filter_nodes(plugin, self.state, pod, one)
            _remember(verdict.known, one.amounts, found)
        return found

    def _suppose_nominated(self, pod: PodInfo, ones: list[OneNode]) -> bool:
        """Where others wait for room, let it be as if they were there; False: that takes more than amounts."""
        for one in ones:
            waiting = self.snapshot.nominated.get(one.row)
            if waiting and keeps_room(waiting, pod):
                if not all(verdict.plugin.amounts_only for verdict in self._asked):
                    return False
                for info in waiting.values():
                    if info.priority >= pod.priority:
                        one.suppose(info, 1)
        return True

    def _follow(self, pod: PodInfo, changes: list[Change]) -> tuple[set[Plugin], set[Plugin]]:
        """Let plugins that look at other nodes know who came and left; whose verdicts, and scores, may differ anywhere."""
        wider: dict[Plugin, Wider] = {}
        names = self.snapshot.names
        for change in changes:
            if change.info is None:
                continue
            concerned = self._concerned.get(change.info.template)
            if concerned is None:
                concerned = self._find_concerned(pod, change.info)
            for plugin in concerned:
                point, follow = ("AddPod", plugin.add_pod) if change.sign > 0 else ("RemovePod", plugin.remove_pod)
                found = self._framework.call(plugin, point, follow, self.state, pod, change.info, names[change.row])
                if found is not Wider.NOTHING:
                    wider[plugin] = wider.get(plugin, Wider.NOTHING) | found
        verdicts = {plugin for plugin, found in wider.items() if found & Wider.VERDICTS}
        for plugin in verdicts:
            if plugin.name in self.filtered.skipped:
                # It had nothing to say about such pods; now it may have.
                self._unskip(pod, plugin)
        return verdicts, {plugin for plugin, found in wider.items() if found & Wider.SCORES}

    def _find_concerned(self, pod: PodInfo, other: PodInfo) -> list[Plugin]:
        if len(self._concerned) >= FOLLOWED_TEMPLATES_LIMIT:
            self._concerned.clear()
        found = [plugin for plugin in self._followers if self._framework.call(plugin, "AddPod", plugin.follows, pod, other)]
        self._concerned[other.template] = found
        return found

    def _unskip(self, pod: PodInfo, plugin: Plugin) -> None:
        again = pre_filter(self._framework, pod, self.snapshot, self.state, [plugin])
        if plugin.name not in again.skipped:
            self.filtered.skipped.discard(plugin.name)
            self.filtered.active = [p for p in self._framework.points["filter"] if p.name not in self.filtered.skipped]
            self._set_asked()

    def _judge(self, pod: PodInfo, rows: IntArray | None, verdicts: list[Verdict]) -> None:
        """Ask plugins about some rows or all; a row where others wait for room, as if they were there."""
        if not verdicts:
            return
        nodes = Nodes(self.snapshot, rows)
        for verdict in verdicts:
            if verdict.plugin.name in self.filtered.skipped:
                if len(verdict.failed) != self._size:
                    verdict.take([], self._size, None)
                continue
            found = self._framework.filter_nodes(verdict.plugin, self.state, pod, nodes)
            verdict.take(found, self._size, rows)
        waited_for = self.snapshot.nominated
        if waited_for:
            for row in waited_for if rows is None else rows.tolist():
                if row in waited_for and keeps_room(waited_for[row], pod):
                    self._judge_with_nominated(pod, row, verdicts)

    def _judge_with_nominated(self, pod: PodInfo, row: int, verdicts: list[Verdict]) -> None:
        snapshot, name = self.snapshot, self.snapshot.names[row]
        waiting = [(info, name) for info in snapshot.nominated[row].values() if info.priority >= pod.priority]
        state = self.state.clone() if self._followers else self.state
        rows = np.array([row])
        with snapshot.with_pods(waiting) as added:
            for info, _ in added:
                for plugin in self._followers:
                    self._framework.call(plugin, "AddPod", plugin.add_pod, state, pod, info, name)
            nodes = Nodes(snapshot, rows)
            for verdict in verdicts:
                if verdict.plugin.name not in self.filtered.skipped and verdict.reuse is not Reuse.NODE:
                    found = self._framework.filter_nodes(verdict.plugin, state, pod, nodes)
                    if any(rejection.nodes.any() for rejection in found):
                        verdict.take(found, self._size, rows)

    def _sum_up(self, rows: IntArray | None) -> bool:
        """What the verdicts on some rows or all come to; whether the same are feasible as before."""
        at = slice(None) if rows is None else rows
        feasible = self._settled[at].copy()
        for verdict in self._moving:
            if verdict.reasons:
                feasible &= ~verdict.failed[at]
        is_same = bool((feasible == self.feasible[at]).all())
        if not is_same:
            self.feasible[at] = feasible
            self.feasible_count = int(np.count_nonzero(self.feasible))
            self._chosen = None
        return is_same

    def fit(self) -> Fit:
        """The verdicts in words: a row's reasons are those of the first plugin that rejects it."""
        if self._fit is None:
            self._fit = self._tell()
        return self._fit

    def _tell(self) -> Fit:
        snapshot, size = self.snapshot, self._size
        fit = Fit(self.feasible.copy(), snapshot.count, resolvable=np.zeros(size, np.bool_))
        if self.filtered.wanted is not None and len(self.filtered.wanted) < snapshot.count:
            fit.plugins.update(self.filtered.narrowing)
            dropped = snapshot.count - len(self.filtered.wanted)
            fit.reasons[f"node(s) didn't satisfy plugin(s) {listed(self.filtered.narrowing)}"] += dropped
        alive = self._wanted.copy()
        for verdict in self.verdicts:
            tell(fit, verdict.plugin, verdict.reasons, alive)
            if verdict.reasons:
                alive &= ~verdict.failed
        return fit

    # Scoring.

    def best(self, pod: PodInfo) -> IntArray:
        """The feasible rows with the highest total."""
        if not self._has_scores:
            self._score_all(pod)
            self._has_scores = True
        if not len(self._ties):
            self._highest = int(self._totals.max())
            self._ties = np.flatnonzero(self._totals == self._highest)
        return self._ties

    def best_among(self, pod: PodInfo, rows: IntArray) -> IntArray | None:
        """Those of some feasible rows with the highest total; None: others being infeasible, totals would be others."""
        self.best(pod)
        for score in self.scores:
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

    def feasible_rows(self) -> IntArray:
        """The rows that are feasible; not to be changed."""
        if self._chosen is None:
            self._chosen = np.flatnonzero(self.feasible)
        return self._chosen

    def _feasible_nodes(self) -> Nodes:
        return Nodes(self.snapshot, self.feasible_rows())

    def _score_all(self, pod: PodInfo) -> None:
        framework = self._framework
        self.scores = [
            Score(plugin, self._reuse[plugin], framework.weights[plugin.name], framework.normalizes(plugin))
            for plugin in framework.points["score"]
        ]
        chosen = self._feasible_nodes()
        for score in self.scores:
            self._ask(pod, score, chosen)
            self._finish(pod, score, chosen)
        self._add_up()

    def _add_up(self) -> None:
        totals = np.zeros(self._size, np.int64)
        for score in self.scores:
            if not score.is_silent:
                totals += score.final
        if self.feasible_count < self._size:
            totals[~self.feasible] = -1
        self._totals = totals
        self._ties = self._ties[:0]

    def _ask(self, pod: PodInfo, score: Score, chosen: Nodes) -> None:
        plugin, framework = score.plugin, self._framework
        asks_before = plugin in framework.points["preScore"]
        score.is_silent = asks_before and not framework.pre_score(plugin, self.state, pod, chosen)
        if not score.is_silent:
            score.raw = framework.score_nodes(plugin, self.state, pod, Nodes(self.snapshot)).copy()
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
            return self._framework.normalize(score.plugin, self.state, pod, raw, chosen)
        # There are fewer different scores than nodes.
        values = np.arange(found.low, found.high + 1)
        return self._framework.normalize(score.plugin, self.state, pod, values, chosen)[raw - found.low]

    def _rescore(
        self, pod: PodInfo, rows: list[int], ones: list[OneNode], wider: set[Plugin], is_same: bool, is_whole: bool
    ) -> None:
        """Scores after a change: of those rows, and what depends on which rows are feasible.

        `is_same`: whether the same rows are feasible as before; if `is_whole`, any may be another.
        """
        chosen: Nodes | None = None
        for score in self.scores:
            was_silent = score.is_silent
            if was_silent and not wider:
                continue
            if score.plugin in wider or (score.plugin.score_by_feasible and not is_same and not was_silent):
                chosen = chosen or self._feasible_nodes()
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
                chosen = chosen or self._feasible_nodes()
                self._finish(pod, score, chosen)
                is_whole = True
        if is_whole:
            self._add_up()
            return
        finals = [score.final for score in self.scores if not score.is_silent]
        for row in rows:
            total = 0
            for final in finals:
                total += final.item(row)
            self._set_total(row, total if self.feasible[row] else -1)

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
        if is_stale or found is None or not self.feasible[row] or not found.replace(before, fresh):
            return True
        as_one_of_many = np.array([found.low, found.high, fresh], np.int64)
        score.final[row] = self._framework.normalize(score.plugin, self.state, pod, as_one_of_many, one)[2] * score.weight
        return False

    def _score_one(self, pod: PodInfo, score: Score, one: OneNode) -> int:
        fresh = score.known.get(one.amounts) if score.plugin.amounts_only else None
        if fresh is None:
            fresh = int(self._framework.score_nodes(score.plugin, self.state, pod, one))
            if score.plugin.amounts_only:
                _remember(score.known, one.amounts, fresh)
        return fresh

    def _rescore_rows(self, pod: PodInfo, score: Score, rows: IntArray) -> bool:
        """Scores of a few rows; likewise."""
        found = self._framework.score_nodes(score.plugin, self.state, pod, Nodes(self.snapshot, rows))
        is_changed = bool((found != score.raw[rows]).any())
        score.raw[rows] = found
        score.is_flat = score.is_flat and not found.any()
        if not score.is_normalized:
            score.final[rows] = found * score.weight
        return is_changed and score.is_normalized


def _is_worth_it(filtered: Filtered) -> bool:
    """Whether a template is to be kept of which PreFilter has said that."""
    return filtered.rejected is None and (filtered.wanted is None or len(filtered.wanted) > NARROW_ROWS)


def _remember(known: dict[Amounts, T], amounts: Amounts, said: T) -> None:
    if len(known) >= KNOWN_LIMIT:
        known.clear()
    known[amounts] = said


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


class Templates:
    """The vectors of the templates that came last."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._kept: OrderedDict[tuple[str, PodTemplate], Vectors] = OrderedDict()

    def of(self, framework: Framework, pod: PodInfo) -> Vectors:
        """Up to date; for a template that is not worth keeping, only what PreFilter says of it."""
        key = (framework.scheduler_name, pod.template)
        found = self._kept.get(key)
        try:
            if found is not None and found.update(pod):
                self._kept.move_to_end(key)
                return found
        except Exception:
            # It may be half done.
            del self._kept[key]
            raise
        self._kept.pop(key, None)
        found = Vectors(framework, pod, self.snapshot)
        if found.is_worth_it:
            self._kept[key] = found
            limit = max(MIN_TEMPLATES, MEMORY_LIMIT_BYTES // (BYTES_PER_ROW * max(self.snapshot.size, 1)))
            while len(self._kept) > limit:
                self._kept.popitem(last=False)
        return found
