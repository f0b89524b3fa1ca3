"""What a plugin is, and how the plugins of a profile together judge all nodes for one pod.

Extension points carry the names of the scheduling framework (KEP-624). `filter` and `score` look at every node in one call:
the first as arrays of rejected nodes with the reason, the second as an array of scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from navarch.scheduler.events import ClusterEvent
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import BoolArray, FloatArray, Snapshot

MAX_NODE_SCORE = 100


@dataclass(slots=True)
class Rejection:
    """Nodes that a plugin rules out, for one reason."""

    nodes: BoolArray
    reason: str
    is_resolvable: bool = True
    """Whether taking other pods off such a node might help."""


class Plugin:
    """One rule about where pods go."""

    name: str = ""
    weight: int = 0
    """How much its score counts; 0 for plugins without one."""
    events: frozenset[ClusterEvent] = frozenset()
    """What may make a pod fit that this plugin rejected."""

    def pre_filter(self, pod: PodInfo, snapshot: Snapshot) -> BoolArray | None:
        """Which nodes are to be looked at; None means all."""
        return None

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Iterable[Rejection]:
        """Which nodes cannot take the pod. Where reasons overlap, a node has several."""
        return ()

    def score(self, pod: PodInfo, snapshot: Snapshot, feasible: BoolArray) -> FloatArray | None:
        """How good each node is, from 0 to 100; only entries of `feasible` nodes mean anything. None: all the same."""
        return None


@dataclass(slots=True)
class Fit:
    """What the filters say about one pod."""

    feasible: BoolArray
    nodes: int
    reasons: Counter[str] = field(default_factory=Counter)
    """Reason -> how many nodes."""
    plugins: set[str] = field(default_factory=set)
    """Those that rejected a node."""
    resolvable: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    """Rejected nodes where removing pods might help."""

    @property
    def message(self) -> str:
        """Why no node can take the pod."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        return unavailable(self.nodes, self.reasons)


def unavailable(nodes: int, reasons: Counter[str]) -> str:
    """Kubernetes' sentence about nodes that cannot take a pod."""
    texts = sorted(f"{count} {reason}" for reason, count in reasons.items())
    return f"0/{nodes} nodes are available" + (f": {', '.join(texts)}." if texts else ".")


def normalized(scores: FloatArray, feasible: BoolArray, *, reverse: bool = False) -> FloatArray:
    """Scores stretched so that the best feasible node has 100; with `reverse` the lowest is the best."""
    highest = scores[feasible].max(initial=0)
    if highest <= 0:
        return np.full(len(scores), float(MAX_NODE_SCORE if reverse else 0))
    stretched: FloatArray = np.floor(scores * MAX_NODE_SCORE / highest)
    return MAX_NODE_SCORE - stretched if reverse else stretched


def run_filters(plugins: Sequence[Plugin], pod: PodInfo, snapshot: Snapshot) -> Fit:
    """Ask every plugin about all nodes; a node's reasons are those of the first plugin that rejects it."""
    alive = snapshot.valid.copy()
    fit = Fit(alive, snapshot.count, resolvable=np.zeros(snapshot.size, np.bool_))
    narrowed = []
    for plugin in plugins:
        wanted = plugin.pre_filter(pod, snapshot)
        if wanted is not None:
            if (dropped := int((alive & ~wanted).sum())) > 0:
                narrowed.append(plugin.name)
                fit.plugins.add(plugin.name)
                fit.reasons[f"node(s) didn't satisfy plugin(s) [{plugin.name}]"] += dropped
            alive &= wanted
    for plugin in plugins:
        if not alive.any():
            break
        failed = np.zeros(snapshot.size, np.bool_)
        unresolvable = np.zeros(snapshot.size, np.bool_)
        for rejection in plugin.filter(pod, snapshot):
            hit = rejection.nodes & alive
            count = int(hit.sum())
            if count:
                fit.reasons[rejection.reason] += count
                failed |= hit
                if not rejection.is_resolvable:
                    unresolvable |= hit
        if failed.any():
            fit.plugins.add(plugin.name)
            fit.resolvable |= failed & ~unresolvable
            alive &= ~failed
    fit.feasible = alive
    return fit


def run_scores(plugins: Sequence[Plugin], pod: PodInfo, snapshot: Snapshot, feasible: BoolArray) -> FloatArray:
    """The weighted sum of all plugins' scores."""
    total = np.zeros(snapshot.size)
    for plugin in plugins:
        if plugin.weight:
            scores = plugin.score(pod, snapshot, feasible)
            if scores is not None:
                total += plugin.weight * scores
    return total
