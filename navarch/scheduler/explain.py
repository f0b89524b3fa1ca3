"""Why a pod goes where it goes: what every plugin says of every node, and the score table.

Nothing is decided or changed by it. A pod that has a node already is judged as if it were to be placed anew, the other pods
being where they are now. Unlike in scheduling, a plugin is asked of a node also if another has rejected it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from navarch.apimachinery.errors import Object
from navarch.scheduler.cycle import run_filters
from navarch.scheduler.framework import PLACED, BoolArray, CycleState, IntArray, Plugin
from navarch.scheduler.isolation import PluginError
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.runtime import Filtered, Framework, pre_filter
from navarch.scheduler.snapshot import Snapshot


@dataclass(slots=True)
class Verdict:
    """One plugin's rejection of nodes, for one reason."""

    plugin: str
    reason: str
    is_resolvable: bool
    nodes: BoolArray


@dataclass(slots=True)
class Score:
    """One plugin's score of the feasible rows."""

    plugin: str
    weight: int
    raw: IntArray
    normalized: IntArray


@dataclass(slots=True)
class Explanation:
    """What is known of one pod and all nodes; arrays are by the snapshot's rows."""

    pod: PodInfo
    message: str
    """Why no node can take it; "" if one can."""
    rejected_by: str = ""
    """The plugin that rejected the pod before any node was looked at."""
    verdicts: list[Verdict] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    """Plugins that failed, and how."""
    feasible: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    rows: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    """The feasible ones."""
    scores: list[Score] = field(default_factory=list)
    could_fit_empty: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Nodes that could take it if no other pod were in its way."""

    @property
    def totals(self) -> IntArray:
        total = np.zeros(len(self.rows), np.int64)
        for score in self.scores:
            total += score.weight * score.normalized
        return total

    def rejected(self, plugin: str, reason: str = "") -> BoolArray:
        """The rows that a plugin rejects, for that reason or any."""
        found = np.zeros(len(self.feasible), np.bool_)
        for verdict in self.verdicts:
            if verdict.plugin == plugin and reason in ("", verdict.reason):
                found |= verdict.nodes
        return found

    def rejected_only_by(self, plugin: str) -> BoolArray:
        """Rows that would be feasible but for that plugin."""
        found = self.rejected(plugin)
        for verdict in self.verdicts:
            if verdict.plugin != plugin:
                found &= ~verdict.nodes
        return found


@contextmanager
def without(snapshot: Snapshot, pod: PodInfo) -> Iterator[str]:
    """As if the pod were on no node yet; gives the node it is on, or ""."""
    placed = snapshot.placed(pod.uid)
    name = "" if placed is None else snapshot.names[placed.row]
    info = pod if placed is None else placed.info
    with snapshot.supposing():
        try:
            if name:
                snapshot.remove_pod(pod.uid)
            yield name
        finally:
            if name:
                snapshot.add_pod(info, name)


def explain(framework: Framework, snapshot: Snapshot, pod: PodInfo) -> Explanation:
    """Raises PluginError if PreFilter fails."""
    is_placed, pod = bool(pod.node_name), pod.unbound()
    with without(snapshot, pod) as name:
        filtered = pre_filter(framework, pod, snapshot, _state(is_placed))
        if name:
            _forget(framework, filtered, pod, name)
        found = Explanation(pod, "")
        if filtered.rejected is None:
            _judge(framework, filtered, snapshot, found)
        else:
            found.rejected_by, found.message = filtered.rejected.plugin, filtered.rejected.message
            found.feasible = np.zeros(snapshot.size, np.bool_)
            found.message = f"0/{snapshot.count} nodes are available: {filtered.rejected.message}."
        if not snapshot.count:
            found.message = "no nodes available to schedule pods"
        found.could_fit_empty = _could_fit_empty(framework, snapshot.emptied(), pod, is_placed)
        return found


def _state(is_placed: bool) -> CycleState:
    state = CycleState()
    state.write(PLACED, is_placed)
    return state


def _forget(framework: Framework, filtered: Filtered, pod: PodInfo, name: str) -> None:
    """Plugins that count pods must not count the pod itself."""
    for plugin in framework.followers:
        if plugin.name not in filtered.skipped:
            framework.call(plugin, "RemovePod", plugin.remove_pod, filtered.state, pod, pod, name)


def _judge(framework: Framework, filtered: Filtered, snapshot: Snapshot, found: Explanation) -> None:
    nodes, pod = Nodes(snapshot), found.pod
    found.feasible = snapshot.valid[: snapshot.size].copy()
    if filtered.wanted is not None:
        unwanted = found.feasible.copy()
        unwanted[filtered.wanted] = False
        reason = f"node(s) didn't satisfy plugin(s) [{' '.join(sorted(filtered.narrowing))}]"
        found.verdicts.append(Verdict(filtered.narrowing[0], reason, False, unwanted))
    for plugin in filtered.active:
        try:
            _ask(framework, plugin, filtered.state, nodes, found)
        except PluginError as error:
            found.errors[plugin.name] = str(error)
    for verdict in found.verdicts:
        found.feasible &= ~verdict.nodes
    found.rows = np.flatnonzero(found.feasible)
    if len(found.rows):
        _score(framework, filtered.state.clone(), Nodes(snapshot, found.rows), found)
    elif found.errors:
        found.message = "; ".join(found.errors.values())
    else:
        found.message = run_filters(framework, pod, snapshot, filtered).message


def _ask(framework: Framework, plugin: Plugin, state: CycleState, nodes: Nodes, found: Explanation) -> None:
    for rejection in framework.filter_nodes(plugin, state, found.pod, nodes):
        rows = np.broadcast_to(np.asarray(rejection.nodes, np.bool_), nodes.size) & nodes.valid
        if rows.any():
            found.verdicts.append(Verdict(plugin.name, rejection.reason, rejection.is_resolvable, rows))


def _score(framework: Framework, state: CycleState, nodes: Nodes, found: Explanation) -> None:
    pod = found.pod
    try:
        silent = {plugin.name for plugin in framework.points["preScore"] if not framework.pre_score(plugin, state, pod, nodes)}
        for plugin in framework.points["score"]:
            if plugin.name in silent:
                continue
            answer: Any = framework.score_nodes(plugin, state, pod, nodes)
            raw = np.broadcast_to(np.asarray(answer, np.int64), nodes.size).copy()
            scores = np.asarray(framework.normalize(plugin, state, pod, raw, nodes), np.int64)
            found.scores.append(Score(plugin.name, framework.weights[plugin.name], raw, scores))
    except PluginError as error:
        found.errors[error.plugin] = str(error)


ABOUT_OTHERS = frozenset(
    {"InterPodAffinity", "PodTopologySpread", "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "DynamicResources"}
)
"""What these say may change with other pods, claims and volumes, whatever the node is like."""


def _could_fit_empty(framework: Framework, empty: Snapshot, pod: PodInfo, is_placed: bool) -> BoolArray:
    """Nodes that would take the pod if there were nothing else in the cluster."""
    plugins = [plugin for plugin in framework.points["preFilter"] if plugin.name not in ABOUT_OTHERS]
    found = empty.valid[: empty.size].copy()
    try:
        filtered = pre_filter(framework, pod, empty, _state(is_placed), plugins)
        if filtered.rejected is not None:
            return np.zeros(empty.size, np.bool_)
        if filtered.wanted is not None:
            found[:] = False
            found[filtered.wanted] = True
        nodes = Nodes(empty)
        for plugin in filtered.active:
            if plugin.name not in ABOUT_OTHERS:
                for rejection in framework.filter_nodes(plugin, filtered.state, pod, nodes):
                    found &= ~np.asarray(rejection.nodes, np.bool_)
    except PluginError:
        pass  # It has been told of already.
    return found


def as_object(found: Explanation, snapshot: Snapshot, changes: list[Object]) -> Object:
    """As JSON, for people and programs."""
    valid = np.flatnonzero(snapshot.valid[: snapshot.size]).tolist()
    rejections: dict[int, list[Object]] = {}
    for verdict in found.verdicts:
        for row in np.flatnonzero(verdict.nodes).tolist():
            entry = {"plugin": verdict.plugin, "reason": verdict.reason, "preemptionMightHelp": verdict.is_resolvable}
            rejections.setdefault(row, []).append(entry)
    scores = {int(row): position for position, row in enumerate(found.rows.tolist())}
    totals = found.totals
    nodes = []
    for row in sorted(valid, key=lambda row: (-int(totals[scores[row]]) if row in scores else 1, snapshot.names[row])):
        entry = {"name": snapshot.names[row], "fits": row in scores, "rejections": rejections.get(row, [])}
        if row in scores:
            entry["score"] = int(totals[scores[row]])
            entry["scores"] = {score.plugin: _shown(score, scores[row]) for score in found.scores}
        nodes.append(entry)
    could = np.flatnonzero(found.could_fit_empty).tolist()
    told: Object = {
        "pod": {"namespace": found.pod.namespace, "name": found.pod.name, "uid": found.pod.uid},
        "scheduler": found.pod.scheduler_name,
        "message": found.message,
        "nodes": nodes,
        "changes": changes,
        "fitsEmptyNodes": {"count": len(could), "of": len(valid)},
    }
    if found.rejected_by:
        told["rejectedBy"] = found.rejected_by
    if found.errors:
        told["errors"] = found.errors
    return told


def _shown(score: Score, position: int) -> Object:
    normal = int(score.normalized[position])
    return {"raw": int(score.raw[position]), "normalized": normal, "weight": score.weight, "weighted": normal * score.weight}
