"""What a profile's plugins say of every node for pods of one template, kept from pod to pod.

Pods of equal template get equal answers as long as nothing changes. So verdicts and scores are kept as arrays by row, and
when the next pod of the template comes, only the rows are asked about again that the snapshot's log names since. What a
plugin allows to be kept, and until when, is its `reuse`; plugins that allow nothing are asked by `cycle.py` for each pod.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from navarch.scheduler.framework import BoolArray, CycleState, IntArray, Plugin, Rejection, Reuse
from navarch.scheduler.nodes import Nodes, OneNode
from navarch.scheduler.podinfo import PodInfo, PodTemplate
from navarch.scheduler.runtime import Fit, Framework, keeps_room, listed, pre_filter
from navarch.scheduler.snapshot import Change, Snapshot

CHANGES_LIMIT = 256
"""With more of them than this everything is asked anew."""
MEMORY_LIMIT_BYTES = 64 << 20
BYTES_PER_ROW = 96
"""About, of one template's arrays."""
MIN_TEMPLATES = 8
SINGLE_ROWS = 4
"""Up to so many rows are judged one by one."""
NARROW_ROWS = 64
"""A template that PreFilter leaves so few rows is not worth keeping arrays for."""


@dataclass(slots=True)
class Verdict:
    """What one filter plugin says of all rows."""

    plugin: Plugin
    reuse: Reuse
    reasons: dict[tuple[str, bool], BoolArray] = field(default_factory=dict)
    """(reason, is it resolvable) -> rows."""
    failed: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))

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
        for hits in self.reasons.values():
            hits[row] = False
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
        kept = [plugin for plugin in framework.points["preFilter"] if plugin.reuse(pod) is not Reuse.NEVER]
        self.filtered = pre_filter(framework, pod, snapshot, self.state, kept)
        self.fresh_pre_filters = [p for p in framework.points["preFilter"] if p.reuse(pod) is Reuse.NEVER]
        self.fresh_filters = [p for p in framework.points["filter"] if p.reuse(pod) is Reuse.NEVER]
        self.fresh_scores = [p for p in framework.points["score"] if p.reuse(pod) is Reuse.NEVER]
        self._followers = [plugin for plugin in framework.followers if plugin.reuse(pod) is Reuse.CLUSTER]
        self._fit: Fit | None = None
        self._wanted = snapshot.valid[: self._size]
        self.verdicts: list[Verdict] = []
        self.scores: list[Score] = []
        self.feasible: BoolArray = np.zeros(self._size, np.bool_)
        self.total: IntArray = np.zeros(0, np.int64)
        self._has_scores = False
        if self.is_worth_it:
            self._begin(pod)

    @property
    def is_worth_it(self) -> bool:
        """Whether there is something to keep."""
        wanted = self.filtered.wanted
        return self.filtered.rejected is None and (wanted is None or len(wanted) > NARROW_ROWS)

    def _begin(self, pod: PodInfo) -> None:
        snapshot = self.snapshot
        self._wanted = snapshot.valid[: self._size].copy()
        if self.filtered.wanted is not None:
            self._wanted[:] = False
            self._wanted[self.filtered.wanted] = True
        for plugin in self._framework.points["filter"]:
            reuse = plugin.reuse(pod)
            if reuse is not Reuse.NEVER:
                self.verdicts.append(Verdict(plugin, reuse))
        self._moving = [verdict for verdict in self.verdicts if verdict.reuse is not Reuse.NODE]
        self._judge(pod, None, self.verdicts)
        self._settled: BoolArray = self._wanted.copy()
        for verdict in self.verdicts:
            if verdict.reuse is Reuse.NODE and verdict.failed.any():
                self._settled &= ~verdict.failed
        self._sum_up(None)

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
        rows = np.array(sorted({change.row for change in changes}), np.int64)
        wider = self._follow(pod, changes)
        self._fit = None
        if len(rows) <= SINGLE_ROWS and not wider and not any(row in self.snapshot.nominated for row in rows.tolist()):
            for row in rows.tolist():
                self._take_row(pod, row)
            return
        partly = [v for v in self.verdicts if v.reuse is not Reuse.NODE and v.plugin not in wider]
        before = self.feasible.copy() if wider else self.feasible[rows]
        self._judge(pod, rows, partly)
        wholly = [verdict for verdict in self.verdicts if verdict.plugin in wider]
        self._judge(pod, None, wholly)
        self._sum_up(None if wholly else rows)
        is_same = bool((before == (self.feasible if wider else self.feasible[rows])).all())
        if self._has_scores and not self.feasible.any():
            self._has_scores = False  # There is nothing to score, nor to normalize by.
        if self._has_scores:
            self._rescore(pod, rows, wider, is_same)

    def _take_row(self, pod: PodInfo, row: int) -> None:
        """What `_take` does, for one row that no other depends on."""
        one, alone = OneNode(self.snapshot, row), None
        was_feasible, is_feasible = bool(self.feasible[row]), bool(self._settled[row])
        for verdict in self._moving:
            if verdict.plugin.name in self.filtered.skipped:
                continue
            if verdict.plugin.scalar:
                found = self._framework.filter_nodes(verdict.plugin, self.state, pod, one)
            else:
                alone = alone or Nodes(self.snapshot, one.rows)
                found = self._framework.filter_nodes(verdict.plugin, self.state, pod, alone)
            is_feasible &= verdict.take_row(found, self._size, row)
        self.feasible[row] = is_feasible
        if not self._has_scores:
            return
        if was_feasible != is_feasible:
            self._has_scores = bool(self.feasible.any())  # With none there is nothing to normalize by.
            if self._has_scores:
                self._rescore(pod, one.rows, set(), is_same=False)
            return
        self._rescore_row(pod, one, alone)

    def _rescore_row(self, pod: PodInfo, one: OneNode, alone: Nodes | None) -> None:
        row, total, stale = one.row, 0, []
        for score in self.scores:
            if score.is_silent:
                continue
            if score.reuse is not Reuse.NODE:
                if score.plugin.scalar:
                    fresh = self._framework.score_nodes(score.plugin, self.state, pod, one)
                else:
                    alone = alone or Nodes(self.snapshot, one.rows)
                    fresh = self._framework.score_nodes(score.plugin, self.state, pod, alone)[0]
                if score.is_normalized:
                    if fresh != score.raw[row]:
                        stale.append(score)
                        score.is_flat = False
                else:
                    score.final[row] = fresh * score.weight
                score.raw[row] = fresh
            total += int(score.final[row])
        if stale:
            chosen = Nodes(self.snapshot, np.flatnonzero(self.feasible))
            for score in stale:
                self._finish(pod, score, chosen)
            self._total(None)
        else:
            self.total[row] = total if self.feasible[row] else -1

    def _follow(self, pod: PodInfo, changes: list[Change]) -> set[Plugin]:
        """Let plugins that look at other nodes know who came and left; those that must look at all rows again."""
        wider: set[Plugin] = set()
        names = self.snapshot.names
        for plugin in self._followers:
            skipped = plugin.name in self.filtered.skipped
            is_wider = False
            for change in changes:
                if change.info is not None:
                    point, follow = ("AddPod", plugin.add_pod) if change.sign > 0 else ("RemovePod", plugin.remove_pod)
                    is_wider |= self._framework.call(plugin, point, follow, self.state, pod, change.info, names[change.row])
            if is_wider:
                wider.add(plugin)
                if skipped:
                    # It had nothing to say about such pods; now it may have.
                    self._unskip(pod, plugin)
        return wider

    def _unskip(self, pod: PodInfo, plugin: Plugin) -> None:
        again = pre_filter(self._framework, pod, self.snapshot, self.state, [plugin])
        if plugin.name not in again.skipped:
            self.filtered.skipped.discard(plugin.name)
            self.filtered.active = [p for p in self._framework.points["filter"] if p.name not in self.filtered.skipped]

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

    def _sum_up(self, rows: IntArray | None) -> None:
        at = slice(None) if rows is None else rows
        feasible = self._settled[at].copy()
        for verdict in self.verdicts:
            if verdict.reuse is not Reuse.NODE and verdict.reasons:
                feasible &= ~verdict.failed[at]
        self.feasible[at] = feasible

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
        return np.flatnonzero(self.total == self.total.max())

    def _score_all(self, pod: PodInfo) -> None:
        framework = self._framework
        before = {plugin.name for plugin in framework.points["preScore"]}
        self.scores = [
            Score(plugin, plugin.reuse(pod), framework.weights[plugin.name], framework.normalizes(plugin))
            for plugin in framework.points["score"]
        ]
        chosen = Nodes(self.snapshot, np.flatnonzero(self.feasible))
        for score in self.scores:
            self._ask(pod, score, chosen, score.plugin.name in before)
            self._finish(pod, score, chosen)
        self._total(None)

    def _ask(self, pod: PodInfo, score: Score, chosen: Nodes, has_pre_score: bool) -> None:
        plugin = score.plugin
        score.is_silent = has_pre_score and not self._framework.pre_score(plugin, self.state, pod, chosen)
        if score.is_silent:
            score.is_flat, score.final = True, np.zeros(0, np.int64)
        else:
            score.raw = self._framework.score_nodes(plugin, self.state, pod, Nodes(self.snapshot)).copy()
            score.is_flat = not score.raw.any()

    def _finish(self, pod: PodInfo, score: Score, chosen: Nodes) -> None:
        """Normalize and weigh all rows."""
        if score.is_silent:
            return
        if not score.is_normalized:
            score.final = score.raw * score.weight
            return
        scores = self._framework.normalize(score.plugin, self.state, pod, score.raw[chosen.rows], chosen)
        score.final = np.zeros(self._size, np.int64)
        score.final[chosen.rows] = scores * score.weight
        if score.is_flat and not score.plugin.score_by_feasible and len(scores):
            # Whichever nodes are feasible, it is the same for all.
            score.final[:] = score.final[chosen.rows[0]]

    def _rescore(self, pod: PodInfo, rows: IntArray, wider: set[Plugin], is_same: bool) -> None:
        """Scores after a change: of those rows, and what depends on which rows are feasible."""
        framework = self._framework
        everything_changed = False
        some, chosen = Nodes(self.snapshot, rows), None
        before = {plugin.name for plugin in framework.points["preScore"]}
        for score in self.scores:
            plugin, is_stale = score.plugin, False
            if plugin in wider or (plugin.score_by_feasible and not is_same and not score.is_silent):
                chosen = chosen or Nodes(self.snapshot, np.flatnonzero(self.feasible))
                self._ask(pod, score, chosen, plugin.name in before)
                is_stale = True
            elif not score.is_silent and score.reuse is not Reuse.NODE:
                fresh = framework.score_nodes(plugin, self.state, pod, some)
                is_stale = score.is_normalized and bool((fresh != score.raw[rows]).any())
                score.raw[rows] = fresh
                score.is_flat = score.is_flat and not fresh.any()
                if not score.is_normalized:
                    score.final[rows] = fresh * score.weight
            if score.is_silent:
                everything_changed |= is_stale
            elif is_stale or (score.is_normalized and not is_same and not score.is_flat):
                chosen = chosen or Nodes(self.snapshot, np.flatnonzero(self.feasible))
                self._finish(pod, score, chosen)
                everything_changed = True
        self._total(None if everything_changed or wider else rows)

    def _total(self, rows: IntArray | None) -> None:
        at = slice(None) if rows is None else rows
        if rows is None:
            self.total = np.zeros(self._size, np.int64)
        else:
            self.total[rows] = 0
        for score in self.scores:
            if not score.is_silent:
                self.total[at] += score.final[at]
        self.total[at] = np.where(self.feasible[at], self.total[at], -1)


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
        found = self._kept.pop(key, None)
        try:
            if found is None or not found.update(pod):
                found = Vectors(framework, pod, self.snapshot)
        except Exception:
            # It may be half done.
            self._kept.pop(key, None)
            raise
        if found.is_worth_it:
            self._kept[key] = found
            limit = max(MIN_TEMPLATES, MEMORY_LIMIT_BYTES // (BYTES_PER_ROW * max(self.snapshot.size, 1)))
            while len(self._kept) > limit:
                self._kept.popitem(last=False)
        return found
