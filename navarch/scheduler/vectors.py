"""What a profile's plugins say of every node for pods of one template, kept from pod to pod.

Pods of equal template get equal answers as long as nothing changes. So verdicts and scores are kept as arrays by row, and
when the next pod of the template comes, only the rows are asked about again that the snapshot's log names since. What a
plugin allows to be kept, and until when, is its `reuse`; plugins that allow nothing are asked by `cycle.py` for each pod.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from navarch.scheduler.framework import BoolArray, CycleState, IntArray, Plugin, Rejection, Reuse, Wider
from navarch.scheduler.nodes import Nodes, OneNode
from navarch.scheduler.podinfo import PodInfo, PodTemplate
from navarch.scheduler.runtime import Filtered, Fit, Framework, keeps_room, listed, pre_filter
from navarch.scheduler.scores import Scores
from navarch.scheduler.snapshot import Change, Snapshot
from navarch.scheduler.verdicts import Feasible, Verdict, remember, tell

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
FOLLOWED_TEMPLATES_LIMIT = 256


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
        self.feasible = Feasible(self._size)
        self.scores = Scores(framework, snapshot, self.state, self._reuse, self.feasible)
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
            # With none there is nothing to normalize by.
            self.scores.are_there = self.scores.are_there and self.feasible.count > 0
        if self.scores.are_there:
            if self.snapshot.nominated:
                # Scores are those of nodes as they are.
                ones = [OneNode(self.snapshot, one.row) if one.row in self.snapshot.nominated else one for one in ones]
            self.scores.update(pod, touched, ones, scored_wider, is_same, bool(wider))

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
            if is_feasible != self.feasible.hits.item(one.row) and not wider:
                self.feasible.flip(one.row)
                is_same = False
        return is_same

    def _judge_one(self, pod: PodInfo, verdict: Verdict, one: OneNode) -> list[Rejection]:
        plugin = verdict.plugin
        if not plugin.amounts_only:
            return self._framework.filter_nodes(plugin, self.state, pod, one)
        found = verdict.known.get(one.amounts)
        if found is None:
            found = self._framework.filter_nodes(plugin, self.state, pod, one)
            remember(verdict.known, one.amounts, found)
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
        return self.feasible.put(at, feasible)

    def fit(self) -> Fit:
        """The verdicts in words: a row's reasons are those of the first plugin that rejects it."""
        if self._fit is None:
            self._fit = self._tell()
        return self._fit

    def _tell(self) -> Fit:
        snapshot, size = self.snapshot, self._size
        fit = Fit(self.feasible.hits.copy(), snapshot.count, resolvable=np.zeros(size, np.bool_))
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


def _is_worth_it(filtered: Filtered) -> bool:
    """Whether a template is to be kept of which PreFilter has said that."""
    return filtered.rejected is None and (filtered.wanted is None or len(filtered.wanted) > NARROW_ROWS)


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
