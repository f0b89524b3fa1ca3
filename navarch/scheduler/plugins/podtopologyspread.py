"""PodTopologySpread: pods of one kind spread evenly over zones, nodes or whatever a label tells apart.

Matching pods are counted by domain (nodes with equal value of a constraint's topology key), in arrays by the number of that
value, and the counts follow the pods that come and go.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apimachinery.selectors import Selector
from navarch.scheduler.defaultselector import DefaultSelectors
from navarch.scheduler.events import ASSIGNED_POD, NODE, POD, Action, EventHint, Hint, on
from navarch.scheduler.framework import (
    MAX_NODE_SCORE,
    SKIP,
    BoolArray,
    CycleState,
    Handle,
    IntArray,
    Plugin,
    Rejection,
    Reuse,
    Status,
    Wider,
)
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.plugins.nodeaffinity import matching_nodes
from navarch.scheduler.plugins.tainttoleration import has_untolerated
from navarch.scheduler.podinfo import PodInfo, SpreadConstraint, spread_constraint
from navarch.scheduler.snapshot import LabelColumn

HOSTNAME = "kubernetes.io/hostname"
SYSTEM_DEFAULTS: Sequence[Object] = (
    {"topologyKey": "kubernetes.io/hostname", "maxSkew": 3, "whenUnsatisfiable": "ScheduleAnyway"},
    {"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 5, "whenUnsatisfiable": "ScheduleAnyway"},
)
REASON = "node(s) didn't match pod topology spread constraints"
REASON_LABEL = f"{REASON} (missing required label)"


@dataclass(slots=True)
class Spread:
    """Matching pods by domain, for one constraint."""

    constraint: SpreadConstraint
    column: LabelColumn
    counts: IntArray
    """By the number of the topology key's value; for scores over single nodes by row instead."""
    eligible: BoolArray
    """Rows whose pods count."""
    domains: IntArray
    """Values that eligible nodes have."""
    by_row: bool = False
    _least: int = 0
    """What the emptiest domain has…"""
    _at_least: int = 0
    """…and how many have no more; 0: that is to be found out."""

    def clone(self) -> Spread:
        return Spread(self.constraint, self.column, self.counts.copy(), self.eligible, self.domains, self.by_row)

    @property
    def lowest(self) -> int:
        """What the emptiest domain has; 0 if there are fewer domains than there should be."""
        if len(self.domains) < max(self.constraint.min_domains, 1):
            return 0
        if not self._at_least:
            counts = self.counts[self.domains]
            self._least = int(counts.min())
            self._at_least = int(np.count_nonzero(counts == self._least))
        return self._least

    def too_full(self, pod: PodInfo, codes: Any, lowest: int | None = None) -> Any:
        """Which of these domains have as many as they may: one more of the pod's kind would be too many."""
        own = 1 if self.constraint.selector.matches(pod.labels) else 0
        return self.counts[codes] + own - (self.lowest if lowest is None else lowest) > self.constraint.max_skew

    def follow(self, pod: PodInfo, row: int, amount: int) -> bool:
        """Count a pod of that row; whether other nodes are too full, or no longer, by that."""
        code, lowest = self.column.codes.item(row), self.lowest
        was_full = self.too_full(pod, code)
        if not self.add(row, amount):
            return False
        if self.lowest == lowest:
            return self.column.is_shared and bool(self.too_full(pod, code) != was_full)
        everywhere = slice(None)
        before = self.too_full(pod, everywhere, lowest)
        before[code] = was_full
        return not np.array_equal(before, self.too_full(pod, everywhere))

    def add(self, row: int, amount: int) -> int:
        """Count a pod of that row; the domain it belongs to, 0 if to none that counts."""
        if self.by_row:
            self.counts[row] += amount
            return 0
        code = int(self.column.codes[row])
        if not self.eligible[row] or not code:
            return 0
        before = int(self.counts[code])
        after = self.counts[code] = before + amount
        if after < self._least:
            self._at_least = 0
        elif self._at_least:
            self._at_least += (after == self._least) - (before == self._least)
        return code


class Spreads(list[Spread]):
    """Those of one pod."""

    sizes: Sequence[int] = ()
    """How many domains the feasible nodes are in, by constraint."""
    requires_all_keys = True
    measured: IntArray | None = None
    """Of which nodes that is."""
    counted: BoolArray | None = None
    """Which of them have all labels; None: all."""

    def clone(self) -> Spreads:
        copy = Spreads(item.clone() for item in self)
        copy.sizes, copy.requires_all_keys = self.sizes, self.requires_all_keys
        return copy


class PodTopologySpread(Plugin):
    name = "PodTopologySpread"
    scalar = True
    args_defaults: ClassVar[Object] = {"defaultConstraints": [], "defaultingType": "System"}
    score_by_feasible = True
    SCORES = "PodTopologySpread/scores"

    def __init__(self, args: Object, handle: Handle) -> None:
        super().__init__(args, handle)
        self._system_defaulted = args.get("defaultingType", "System") == "System"
        self._defaults: Sequence[Object] = SYSTEM_DEFAULTS if self._system_defaulted else args.get("defaultConstraints") or ()
        self._selectors = DefaultSelectors(handle.informers, handle.snapshot.forget)

    def events_to_register(self) -> Sequence[EventHint]:
        return (
            on(ASSIGNED_POD, Action.ADD | Action.DELETE | Action.LABEL, self._counts),
            on(NODE, Action.ADD | Action.DELETE | Action.NODE_LABEL | Action.NODE_TAINT, self._has_keys),
            on(POD, Action.LABEL),
        )

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.CLUSTER

    def constraints(self, pod: PodInfo, *, hard: bool) -> list[SpreadConstraint]:
        """The pod's own, or else the profile's for all pods of its Services and its controller."""
        found: Iterable[SpreadConstraint] = pod.spread_constraints
        if not found and self._defaults:
            selector = self._selectors.of(pod)
            found = () if selector is None else (_with_selector(item, selector) for item in self._defaults)
        return [constraint for constraint in found if constraint.is_hard == hard]

    # Filtering.

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        hard = self.constraints(pod, hard=True)
        spreads = Spreads()
        labelled = _with_all_keys(hard, nodes)
        for constraint in hard:
            eligible = labelled & _eligible(constraint, pod, nodes)
            spreads.append(_by_domain(constraint, eligible, pod, nodes))
        state.write(self.name, spreads)
        return None if hard else SKIP

    def follows(self, pod: PodInfo, other: PodInfo) -> bool:
        if other.namespace != pod.namespace:
            return False
        constraints = (*self.constraints(pod, hard=True), *self.constraints(pod, hard=False))
        return any(constraint.counts(other.labels) for constraint in constraints)

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node_name: str) -> Wider:
        return self._update(state, pod, added, node_name, 1)

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node_name: str) -> Wider:
        return self._update(state, pod, removed, node_name, -1)

    def _update(self, state: CycleState, pod: PodInfo, other: PodInfo, node_name: str, amount: int) -> Wider:
        if other.namespace != pod.namespace or other.is_terminating:
            return Wider.NOTHING
        hard: Spreads = state.read(self.name, Spreads)
        soft: Spreads | None = state.get(self.SCORES)
        wider, row = Wider.NOTHING, self.handle.snapshot.rows[node_name]
        for spread in hard:
            if spread.constraint.counts(other.labels) and spread.follow(pod, row, amount):
                wider |= Wider.VERDICTS
        for spread in soft or ():
            if spread.constraint.counts(other.labels) and spread.add(row, amount) and spread.column.is_shared:
                wider |= Wider.SCORES
        return wider

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        rejected = nodes.none()
        for spread in state.read(self.name, Spreads):
            codes = nodes.take(spread.column.codes)
            missing = (codes == 0) & ~rejected
            yield Rejection(missing, REASON_LABEL, is_resolvable=False)
            skewed = spread.too_full(pod, codes) & (codes > 0) & ~rejected
            yield Rejection(skewed, REASON)
            rejected = rejected | missing | skewed

    # Scoring.

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        spreads: Spreads | None = state.get(self.SCORES)
        if spreads is None:
            spreads = self._soft_spreads(pod, Nodes(nodes.snapshot))
            state.write(self.SCORES, spreads)
        if not spreads:
            return SKIP
        if spreads.measured is nodes.rows:
            return None  # The same nodes as the last time; what is counted there does not matter here.
        counted, spreads.counted = nodes.rows, None
        if spreads.requires_all_keys:
            labelled = _with_all_keys([spread.constraint for spread in spreads], nodes)
            if not labelled.all():
                counted, spreads.counted = counted[labelled], labelled
        spreads.measured = nodes.rows
        # A missing label counts as one more value where pods need not have all of them.
        spreads.sizes = [
            len(counted) if spread.by_row else int(np.count_nonzero(np.bincount(spread.column.codes[counted])))
            for spread in spreads
        ]
        return None

    def _soft_spreads(self, pod: PodInfo, everything: Nodes) -> Spreads:
        soft = self.constraints(pod, hard=False)
        spreads = Spreads()
        # A pod's own constraints leave aside nodes without one of their labels; the system's take nodes as they are.
        spreads.requires_all_keys = bool(pod.spread_constraints) or not self._system_defaulted
        labelled = _with_all_keys(soft, everything) if spreads.requires_all_keys else everything.valid
        for constraint in soft:
            if constraint.topology_key == HOSTNAME:
                counts = everything.snapshot.pods_matching(pod.namespace, constraint.counts)
                column = everything.snapshot.label_column(HOSTNAME)
                spreads.append(Spread(constraint, column, counts, labelled, counts[:0], by_row=True))
            else:
                eligible = labelled & _eligible(constraint, pod, everything)
                spreads.append(_by_domain(constraint, eligible, pod, everything))
        return spreads

    def score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Any:
        spreads = state.read(self.SCORES, Spreads)
        total: Any = 0.0
        for spread, size in zip(spreads, spreads.sizes, strict=True):
            codes = nodes.take(spread.column.codes)
            counts = nodes.take(spread.counts) if spread.by_row else spread.counts
            weighted = counts * math.log(size + 2) + (spread.constraint.max_skew - 1)
            if spread.by_row:
                total = total + (codes > 0) * weighted
                continue
            # There are fewer domains than nodes; those without the label are in none.
            weighted[0] = 0.0
            if len(spreads) == 1:
                return _rounded(weighted)[codes]
            total = total + weighted[codes]
        return _rounded(total)

    def normalize_score(self, state: CycleState, pod: PodInfo, scores: IntArray, nodes: Nodes) -> IntArray:
        spreads = state.read(self.SCORES, Spreads)
        relevant = scores if spreads.counted is None else scores[spreads.counted]
        if not len(relevant):
            return np.zeros(len(scores), np.int64)
        low, high = int(relevant.min()), int(relevant.max())
        if not high:
            found = np.full(len(scores), MAX_NODE_SCORE, np.int64)
        elif spreads.counted is None and high - low < len(scores):
            # There are fewer different scores than nodes.
            found = (MAX_NODE_SCORE * np.arange(high, low - 1, -1) // high)[scores - low]
        else:
            found = MAX_NODE_SCORE * (high + low - scores) // high
        return found if spreads.counted is None else np.where(spreads.counted, found, 0)

    # Queueing.

    def _counts(self, pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
        """Whether a pod that came, left or has other labels is one that the pod's constraints count."""
        hard = self.constraints(pod, hard=True)
        obj = new if new is not None else old
        if obj is None or meta.namespace(obj) != pod.namespace:
            return Hint.SKIP
        before = [c.selector.matches(meta.labels(old)) if old is not None else False for c in hard]
        after = [c.selector.matches(meta.labels(new)) if new is not None else False for c in hard]
        return Hint.QUEUE if before != after else Hint.SKIP

    def _has_keys(self, pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
        """Whether a node counts, or did, for all of the pod's constraints."""
        hard = self.constraints(pod, hard=True)
        was, now = (obj is not None and all(c.topology_key in meta.labels(obj) for c in hard) for obj in (old, new))
        if old is not None and new is not None and was and now:
            changed = any(meta.labels(old)[c.topology_key] != meta.labels(new)[c.topology_key] for c in hard)
            taints_count = any(c.honors_taints for c in hard) and old["spec"].get("taints") != new["spec"].get("taints")
            affinity_counts = meta.labels(old) != meta.labels(new)
            return Hint.QUEUE if changed or taints_count or affinity_counts else Hint.SKIP
        return Hint.QUEUE if was or now else Hint.SKIP


def _rounded(points: Any) -> Any:
    return np.floor(points + 0.5).astype(np.int64)


def _with_selector(constraint: Object, selector: Selector) -> SpreadConstraint:
    return replace(spread_constraint(constraint, meta.EMPTY), selector=selector)


def _by_domain(constraint: SpreadConstraint, eligible: BoolArray, pod: PodInfo, nodes: Nodes) -> Spread:
    snapshot = nodes.snapshot
    column = snapshot.label_column(constraint.topology_key)
    codes = nodes.take(column.codes)
    pods = snapshot.pods_matching(pod.namespace, constraint.counts)
    counted = eligible & (codes > 0)
    size = len(column.values)
    sums = np.bincount(codes[counted], weights=pods[counted], minlength=size).astype(np.int64)
    return Spread(constraint, column, sums, eligible, np.flatnonzero(np.bincount(codes[counted], minlength=size)))


def _with_all_keys(constraints: Iterable[SpreadConstraint], nodes: Nodes) -> BoolArray:
    found = nodes.valid
    for constraint in constraints:
        found = found & (nodes.label_codes(constraint.topology_key) > 0)
    return found


def _eligible(constraint: SpreadConstraint, pod: PodInfo, nodes: Nodes) -> BoolArray:
    """Nodes that count for a constraint, by its policies on node affinity and taints (KEP-3094)."""
    found = nodes.valid
    if constraint.honors_affinity:
        matching = matching_nodes(pod, nodes)
        found = found if matching is None else found & matching
    if constraint.honors_taints:
        found = found & ~nodes.taint_table(lambda taints: has_untolerated(pod, taints)).astype(np.bool_)
    return found
