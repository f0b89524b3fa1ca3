"""One scheduling cycle: filter all nodes, score those that are left, take the best; ties are decided at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from navarch.scheduler.framework import CycleState, IntArray, Plugin
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.runtime import Filtered, Fit, Framework, listed, pre_filter
from navarch.scheduler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a pod goes; or, if `node` is empty, why nowhere."""

    node: str
    fit: Fit
    filtered: Filtered

    @property
    def state(self) -> CycleState:
        return self.filtered.state


def schedule(framework: Framework, pod: PodInfo, snapshot: Snapshot, random: Random, nominated: str = "") -> Decision:
    """Decide for one pod. `nominated`: the node it waits to be freed for it, if any. Raises PluginError."""
    state = CycleState()
    filtered = pre_filter(framework, pod, snapshot, state)
    fit = run_filters(framework, pod, snapshot, filtered)
    rows = np.flatnonzero(fit.feasible)
    if not len(rows):
        return Decision("", fit, filtered)
    row = snapshot.rows.get(nominated or pod.nominated_node_name)
    if row is not None and fit.feasible[row]:
        # What it took victims for comes first, if it still fits.
        return Decision(snapshot.names[row], fit, filtered)
    if len(rows) > 1:
        scores = run_scores(framework, state, pod, snapshot, rows)
        rows = rows[scores == scores.max()]
    return Decision(snapshot.names[rows[random.randrange(len(rows)) if len(rows) > 1 else 0]], fit, filtered)


def run_filters(framework: Framework, pod: PodInfo, snapshot: Snapshot, filtered: Filtered) -> Fit:
    """Ask every plugin; a node's reasons are those of the first plugin that rejects it."""
    fit = Fit(snapshot.valid[: snapshot.size].copy(), snapshot.count, resolvable=np.zeros(snapshot.size, np.bool_))
    if filtered.rejected is not None:
        fit.feasible[:] = False
        fit.plugins.add(filtered.rejected.plugin)
        fit.pre_filter_message = filtered.rejected.message
        return fit
    if filtered.wanted is not None:
        dropped = snapshot.count - len(filtered.wanted)
        if dropped:
            fit.plugins.update(filtered.narrowing)
            fit.reasons[f"node(s) didn't satisfy plugin(s) {listed(filtered.narrowing)}"] += dropped
        narrowed = np.zeros(snapshot.size, np.bool_)
        narrowed[filtered.wanted] = True
        fit.feasible &= narrowed
    crowded = np.array(sorted(row for row, pods in snapshot.nominated.items() if _keeps_room(pods, pod)), np.int64)
    crowded = crowded[fit.feasible[crowded]]
    for row in crowded.tolist():
        _ask_with_nominated(framework, pod, snapshot, filtered, fit, row)
    _ask(framework, filtered.active, filtered.state, pod, Nodes(snapshot), fit)
    return fit


def judge_row(framework: Framework, filtered: Filtered, pod: PodInfo, snapshot: Snapshot, row: int) -> bool:
    """Whether the pod fits that node as things are (or are supposed to be)."""
    fit = Fit(snapshot.valid[: snapshot.size].copy(), snapshot.count, resolvable=np.zeros(snapshot.size, np.bool_))
    if _keeps_room(snapshot.nominated.get(row, {}), pod):
        _ask_with_nominated(framework, pod, snapshot, filtered, fit, row)
    _ask(framework, filtered.active, filtered.state, pod, Nodes(snapshot, np.array([row])), fit)
    return bool(fit.feasible[row])


def _keeps_room(pods: dict[str, PodInfo], pod: PodInfo) -> bool:
    """Whether a node is to be looked at as if these, which wait for its victims to go, were there already."""
    return any(other.priority >= pod.priority and other.uid != pod.uid for other in pods.values())


def _ask(framework: Framework, plugins: Sequence[Plugin], state: CycleState, pod: PodInfo, nodes: Nodes, fit: Fit) -> None:
    for plugin in plugins:
        alive = nodes.take(fit.feasible)
        if not alive.any():
            return
        failed, unresolvable = nodes.none(), nodes.none()
        for rejection in framework.filter_nodes(plugin, state, pod, nodes):
            hit = rejection.nodes & alive
            count = int(hit.sum())
            if count:
                fit.reasons[rejection.reason] += count
                failed |= hit
                if not rejection.is_resolvable:
                    unresolvable |= hit
        if failed.any():
            fit.plugins.add(plugin.name)
            fit.resolvable[nodes.rows[failed & ~unresolvable]] = True
            fit.feasible[nodes.rows[failed]] = False


def _ask_with_nominated(framework: Framework, pod: PodInfo, snapshot: Snapshot, filtered: Filtered, fit: Fit, row: int) -> None:
    """A node where pods of no lower priority wait for room must have room for them too."""
    state, name = filtered.state.clone(), snapshot.names[row]
    waiting = [
        (info, name) for info in snapshot.nominated[row].values() if info.priority >= pod.priority and info.uid != pod.uid
    ]
    with snapshot.with_pods(waiting) as added:
        for info, _ in added:
            for plugin in framework.points["preFilter"]:
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
