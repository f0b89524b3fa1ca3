"""One scheduling cycle: filter all nodes, score those that are left, take the best; ties are decided at random.

What may be kept from earlier pods of equal template comes from `vectors.py`; plugins that allow no such thing are asked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import numpy as np

from navarch.scheduler.framework import BoolArray, CycleState, IntArray, Plugin, Rejection
from navarch.scheduler.nodes import Nodes, OneNode
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.runtime import Filtered, Fit, Framework, keeps_room, listed, pre_filter
from navarch.scheduler.snapshot import Snapshot
from navarch.scheduler.vectors import Templates, Vectors
from navarch.scheduler.verdicts import tell


class Decision(NamedTuple):
    """Where a pod goes; or, if `node` is empty, why nowhere."""

    node: str
    fit: Fit
    filtered: Filtered

    @property
    def state(self) -> CycleState:
        return self.filtered.state


def schedule(framework: Framework, templates: Templates, pod: PodInfo, random: Random, nominated: str = "") -> Decision:
    """Decide for one pod. `nominated`: the node it waits to be freed for it, if any. Raises PluginError."""
    vectors = templates.of(framework, pod)
    filtered = _for_this_pod(framework, pod, vectors)
    snapshot = vectors.snapshot
    nominated = nominated or pod.nominated_node_name
    fresh = [plugin for plugin in vectors.fresh_filters if plugin.name not in filtered.skipped]
    if filtered.rejected is not None:
        return Decision("", _rejected(filtered, snapshot), filtered)
    if filtered.wanted is not None and (not vectors.is_worth_it or filtered.wanted is not vectors.filtered.wanted):
        rows = _accepted_of(framework, filtered, pod, snapshot, filtered.wanted)
        fit = Fit(vectors.feasible.hits, snapshot.count) if len(rows) else run_filters(framework, pod, snapshot, filtered)
        return _choose(framework, filtered, pod, snapshot, fit, rows, random, nominated)
    count = vectors.feasible.count
    row = snapshot.rows.get(nominated)
    if row is not None and not fresh and vectors.feasible.hits[row]:
        # What it took victims for comes first, if it still fits.
        return Decision(snapshot.names[row], Fit(vectors.feasible.hits, snapshot.count), filtered)
    if fresh or vectors.fresh_scores or nominated or count <= 1:
        rows = vectors.feasible.rows
        if fresh and count:
            rows = _accepted(framework, fresh, filtered.state, pod, Nodes(snapshot, rows))
        if not len(rows):
            fit = run_filters(framework, pod, snapshot, filtered, vectors) if fresh else vectors.fit()
            return Decision("", fit, filtered)
        fit = Fit(vectors.feasible.hits, snapshot.count)
        if nominated or not _are_silent(framework, vectors.fresh_scores, filtered, pod, snapshot, rows):
            return _choose(framework, filtered, pod, snapshot, fit, rows, random, nominated)
        if len(rows) < count:
            best = vectors.scores.best_among(pod, rows)
            if best is not None:
                return Decision(snapshot.names[_one_of(best, random)], fit, filtered)
            return _choose(framework, filtered, pod, snapshot, fit, rows, random, nominated)
    return Decision(
        snapshot.names[vectors.scores.one_of_the_best(pod, random)], Fit(vectors.feasible.hits, snapshot.count), filtered
    )


def _are_silent(
    framework: Framework, plugins: Sequence[Plugin], filtered: Filtered, pod: PodInfo, snapshot: Snapshot, rows: IntArray
) -> bool:
    """Whether none of these has anything to say about which of the rows is better."""
    asking = framework.points["preScore"]
    return all(
        plugin in asking and not framework.pre_score(plugin, CycleState(filtered.state), pod, Nodes(snapshot, rows))
        for plugin in plugins
    )


def _accepted_of(framework: Framework, filtered: Filtered, pod: PodInfo, snapshot: Snapshot, rows: IntArray) -> IntArray:
    """Which of a few rows no plugin rejects."""
    if any(keeps_room(snapshot.nominated.get(row, {}), pod) for row in rows.tolist()):
        return np.array([row for row in rows.tolist() if judge_row(framework, filtered, pod, snapshot, row)], np.int64)
    if len(rows) == 1:
        return rows if _accepts(framework, filtered, pod, snapshot, int(rows[0])) else rows[:0]
    return _accepted(framework, filtered.active, filtered.state, pod, Nodes(snapshot, rows))


def _accepts(framework: Framework, filtered: Filtered, pod: PodInfo, snapshot: Snapshot, row: int) -> bool:
    """Whether no plugin rejects that one row."""
    one, nodes = OneNode(snapshot, row), Nodes(snapshot, np.array([row], np.int64))
    for plugin in filtered.active:
        if plugin.scalar:
            if any(found.nodes for found in framework.filter_nodes(plugin, filtered.state, pod, one)):
                return False
        elif any(found.nodes[0] for found in framework.filter_nodes(plugin, filtered.state, pod, nodes)):
            return False
    return True


def feasible_rows(framework: Framework, templates: Templates, pod: PodInfo) -> tuple[IntArray, Fit, Filtered]:
    """The nodes that all plugins accept, before anything is chosen."""
    vectors = templates.of(framework, pod)
    filtered = _for_this_pod(framework, pod, vectors)
    if filtered.rejected is not None:
        return np.zeros(0, np.int64), _rejected(filtered, vectors.snapshot), filtered
    fit = run_filters(framework, pod, vectors.snapshot, filtered, vectors if vectors.is_worth_it else None)
    return np.flatnonzero(fit.feasible), fit, filtered


def any_fit(framework: Framework, templates: Templates, pod: PodInfo) -> bool:
    """Whether some node may take a pod of that template, beside those for which room is kept."""
    vectors = templates.of(framework, pod)
    return not vectors.is_worth_it or vectors.feasible.count > 0


def may_fit(framework: Framework, templates: Templates, pod: PodInfo) -> bool:
    """Whether some node may take a pod; for certain only as far as plugins let it be known of all pods of the template."""
    snapshot = templates.snapshot
    # Its own nomination takes no room from it.
    with snapshot.without_nomination(pod.uid):
        vectors = templates.of(framework, pod)
        if vectors.is_worth_it:
            return vectors.feasible.count > 0
        filtered = _for_this_pod(framework, pod, vectors)
        if filtered.rejected is not None or filtered.wanted is None:
            return True
        return any(judge_row(framework, filtered, pod, snapshot, row) for row in filtered.wanted.tolist())


def _for_this_pod(framework: Framework, pod: PodInfo, vectors: Vectors) -> Filtered:
    """What PreFilter says of the template, and what plugins say that want to see each pod."""
    kept = vectors.filtered
    state = CycleState(vectors.state)
    plugins = vectors.fresh_pre_filters
    if not plugins or kept.is_hopeless:
        return Filtered(state, kept.active, kept.skipped, kept.wanted, kept.narrowing, kept.rejected)
    own = pre_filter(framework, pod, vectors.snapshot, state, plugins)
    skipped = kept.skipped | own.skipped
    active = [plugin for plugin in framework.points["filter"] if plugin.name not in skipped]
    wanted = kept.wanted if own.wanted is None else own.wanted
    if kept.wanted is not None and own.wanted is not None:
        wanted = np.intersect1d(kept.wanted, own.wanted)
    return Filtered(state, active, skipped, wanted, [*kept.narrowing, *own.narrowing], own.rejected or kept.rejected)


def _rejected(filtered: Filtered, snapshot: Snapshot) -> Fit:
    """PreFilter has rejected the pod as such."""
    status = filtered.rejected
    assert status is not None
    nothing = np.zeros(snapshot.size, np.bool_)
    # Where a pod less might make a difference, it might on any node.
    resolvable = nothing if filtered.is_hopeless else snapshot.valid[: snapshot.size].copy()
    return Fit(nothing, snapshot.count, plugins={status.plugin}, resolvable=resolvable, pre_filter_message=status.message)


def _choose(
    framework: Framework,
    filtered: Filtered,
    pod: PodInfo,
    snapshot: Snapshot,
    fit: Fit,
    rows: IntArray,
    random: Random,
    nominated: str,
) -> Decision:
    """The best of these rows, by scores that are made for this one pod."""
    if not len(rows):
        return Decision("", fit, filtered)
    row = snapshot.rows.get(nominated)
    if row is not None and row in rows:
        # What it took victims for comes first, if it still fits.
        return Decision(snapshot.names[row], fit, filtered)
    if len(rows) > 1:
        # Of a copy: what is kept for the template knows of other feasible nodes.
        scores = run_scores(framework, filtered.state.clone(), pod, snapshot, rows)
        rows = rows[scores == scores.max()]
    return Decision(snapshot.names[_one_of(rows, random)], fit, filtered)


def _one_of(rows: IntArray, random: Random) -> int:
    return int(rows[random.randrange(len(rows)) if len(rows) > 1 else 0])


def run_filters(
    framework: Framework, pod: PodInfo, snapshot: Snapshot, filtered: Filtered, vectors: Vectors | None = None
) -> Fit:
    """Ask every plugin; a node's reasons are those of the first plugin that rejects it. `vectors`: what is known already."""
    fit = Fit(snapshot.valid[: snapshot.size].copy(), snapshot.count, resolvable=np.zeros(snapshot.size, np.bool_))
    if filtered.wanted is not None:
        dropped = snapshot.count - len(filtered.wanted)
        if dropped:
            fit.plugins.update(filtered.narrowing)
            fit.reasons[f"node(s) didn't satisfy plugin(s) {listed(filtered.narrowing)}"] += dropped
        fit.feasible[:] = False
        fit.feasible[filtered.wanted] = True
    for row in [row for row, pods in snapshot.nominated.items() if fit.feasible[row] and keeps_room(pods, pod)]:
        _ask_with_nominated(framework, pod, snapshot, filtered, fit, row)
    known = {} if vectors is None else {verdict.plugin.name: verdict for verdict in vectors.verdicts}
    for plugin in filtered.active:
        rows = np.flatnonzero(fit.feasible)
        if not len(rows):
            break
        if plugin.name in known:
            tell(fit, plugin, known[plugin.name].reasons, fit.feasible)
            fit.feasible &= ~known[plugin.name].failed
        else:
            _ask(framework, (plugin,), filtered.state, pod, Nodes(snapshot, rows), fit)
    return fit


def judge_row(framework: Framework, filtered: Filtered, pod: PodInfo, snapshot: Snapshot, row: int) -> bool:
    """Whether the pod fits that node as things are (or are supposed to be)."""
    if keeps_room(snapshot.nominated.get(row, {}), pod):
        fit = Fit(snapshot.valid[: snapshot.size].copy(), snapshot.count, resolvable=np.zeros(snapshot.size, np.bool_))
        _ask_with_nominated(framework, pod, snapshot, filtered, fit, row)
        if not fit.feasible[row]:
            return False
    return bool(snapshot.valid[row]) and _accepts(framework, filtered, pod, snapshot, row)


def reasons_against(framework: Framework, filtered: Filtered, pod: PodInfo, snapshot: Snapshot, row: int) -> tuple[str, ...]:
    """Why the pod does not fit that node as things are (or are supposed to be); nothing if it does."""
    fit = Fit(snapshot.valid[: snapshot.size].copy(), snapshot.count, resolvable=np.zeros(snapshot.size, np.bool_))
    if keeps_room(snapshot.nominated.get(row, {}), pod):
        _ask_with_nominated(framework, pod, snapshot, filtered, fit, row)
    if fit.feasible[row]:
        _ask(framework, filtered.active, filtered.state, pod, Nodes(snapshot, np.array([row])), fit)
    return tuple(fit.reasons)


def _accepted(framework: Framework, plugins: Sequence[Plugin], state: CycleState, pod: PodInfo, nodes: Nodes) -> IntArray:
    """The rows of those of these nodes that none of the plugins rejects."""
    rejected: BoolArray | None = None
    for plugin in plugins:
        for rejection in framework.filter_nodes(plugin, state, pod, nodes):
            rejected = rejection.nodes if rejected is None else rejected | rejection.nodes
    return nodes.rows if rejected is None else nodes.rows[~rejected]


def _ask(framework: Framework, plugins: Sequence[Plugin], state: CycleState, pod: PodInfo, nodes: Nodes, fit: Fit) -> None:
    """Ask about some nodes; what rejects them goes into `fit`."""
    for plugin in plugins:
        alive = np.zeros(len(fit.feasible), np.bool_)
        alive[nodes.rows] = fit.feasible[nodes.rows]
        reasons: dict[tuple[str, bool], np.ndarray[tuple[int], np.dtype[np.bool_]]] = {}
        for rejection in framework.filter_nodes(plugin, state, pod, nodes):
            _spread(rejection, nodes, len(alive), reasons)
        tell(fit, plugin, reasons, alive)
        for hits in reasons.values():
            fit.feasible &= ~hits


def _spread(
    rejection: Rejection,
    nodes: Nodes,
    size: int,
    reasons: dict[tuple[str, bool], np.ndarray[tuple[int], np.dtype[np.bool_]]],
) -> None:
    """A rejection of some nodes as one of all rows."""
    key = (rejection.reason, rejection.is_resolvable)
    if key not in reasons:
        reasons[key] = np.zeros(size, np.bool_)
    reasons[key][nodes.rows] |= rejection.nodes


def _ask_with_nominated(framework: Framework, pod: PodInfo, snapshot: Snapshot, filtered: Filtered, fit: Fit, row: int) -> None:
    """A node where pods of no lower priority wait for room must have room for them too."""
    state, name = filtered.state.clone(), snapshot.names[row]
    waiting = [
        (info, name) for info in snapshot.nominated[row].values() if info.priority >= pod.priority and info.uid != pod.uid
    ]
    with snapshot.with_pods(waiting) as added:
        for info, _ in added:
            for plugin in framework.followers:
                framework.call(plugin, "AddPod", plugin.add_pod, state, pod, info, name)
        _ask(framework, filtered.active, state, pod, Nodes(snapshot, np.array([row])), fit)


def run_scores(framework: Framework, state: CycleState, pod: PodInfo, snapshot: Snapshot, rows: IntArray) -> IntArray:
    """The weighted sum of all plugins' scores, of these rows."""
    nodes = Nodes(snapshot, rows)
    silent = {plugin.name for plugin in framework.points["preScore"] if not framework.pre_score(plugin, state, pod, nodes)}
    total = np.zeros(len(rows), np.int64)
    for plugin in framework.points["score"]:
        if plugin.name not in silent:
            scores = framework.score_nodes(plugin, state, pod, nodes)
            total += framework.weights[plugin.name] * framework.normalize(plugin, state, pod, scores, nodes)
    return total
