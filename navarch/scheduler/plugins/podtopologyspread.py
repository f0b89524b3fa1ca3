"""PodTopologySpread: pods of one kind spread evenly over zones, nodes or whatever a label tells apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from navarch.apimachinery.selectors import Selector
from navarch.scheduler.events import ClusterEvent
from navarch.scheduler.framework import MAX_NODE_SCORE, Plugin, Rejection
from navarch.scheduler.plugins.nodeaffinity import matching_nodes
from navarch.scheduler.plugins.tainttoleration import has_untolerated
from navarch.scheduler.podinfo import PodInfo, SpreadConstraint
from navarch.scheduler.snapshot import BoolArray, FloatArray, Snapshot

HOSTNAME = "kubernetes.io/hostname"
SYSTEM_DEFAULTS = (("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5))
"""(topology key, max skew) of the soft constraints that pods without any get."""


class PodTopologySpread(Plugin):
    """`default_selector` tells which pods belong with one (those of its Services and its controller); None: nobody knows."""

    name = "PodTopologySpread"
    weight = 2
    events = frozenset(
        {
            ClusterEvent.NODE_ADD,
            ClusterEvent.NODE_LABEL,
            ClusterEvent.NODE_TAINT,
            ClusterEvent.POD_ADD,
            ClusterEvent.POD_DELETE,
        }
    )

    def __init__(self, default_selector: Callable[[PodInfo], Selector | None] = lambda pod: None) -> None:
        self._default_selector = default_selector

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Iterable[Rejection]:
        hard = [constraint for constraint in pod.spread_constraints if constraint.is_hard]
        if not hard:
            return
        labelled = _with_all_keys(hard, snapshot)
        unlabelled = snapshot.valid & ~labelled
        yield Rejection(
            unlabelled,
            "node(s) didn't match pod topology spread constraints (missing required label)",
            is_resolvable=False,
        )
        skewed = np.zeros(snapshot.size, np.bool_)
        for constraint in hard:
            eligible = labelled & _eligible(constraint, pod, snapshot)
            counts = snapshot.pods_matching(pod.namespace, constraint.selector)
            codes, sums = snapshot.by_domain(constraint.topology_key, counts, eligible)
            domains = np.unique(codes[eligible])
            lowest = sums[domains].min() if len(domains) >= constraint.min_domains and len(domains) else 0
            own = 1 if constraint.selector.matches(pod.labels) else 0
            skewed |= sums[codes] + own - lowest > constraint.max_skew
        yield Rejection(skewed & labelled, "node(s) didn't match pod topology spread constraints")

    def score(self, pod: PodInfo, snapshot: Snapshot, feasible: BoolArray) -> FloatArray | None:
        constraints: Sequence[SpreadConstraint] = [item for item in pod.spread_constraints if not item.is_hard]
        is_default = not pod.spread_constraints
        if is_default:
            constraints = self._defaults(pod)
        if not constraints:
            return None
        # A pod's own constraints leave aside nodes without one of their labels; the defaults take nodes as they are.
        labelled = snapshot.valid if is_default else _with_all_keys(constraints, snapshot)
        counted = feasible & labelled
        if not counted.any():
            return None
        total = np.zeros(snapshot.size)
        for constraint in constraints:
            total += _soft_score(constraint, pod, snapshot, labelled, counted)
        total = np.round(total)
        low, high = total[counted].min(), total[counted].max()
        if high == 0:
            return np.where(counted, float(MAX_NODE_SCORE), 0.0)
        stretched: FloatArray = np.where(counted, np.floor(MAX_NODE_SCORE * (high + low - total) / high), 0.0)
        return stretched

    def _defaults(self, pod: PodInfo) -> list[SpreadConstraint]:
        selector = self._default_selector(pod)
        if selector is None or selector.is_everything or selector.nothing:
            return []
        return [SpreadConstraint(key, skew, selector, False, 1, True, False) for key, skew in SYSTEM_DEFAULTS]


def _soft_score(
    constraint: SpreadConstraint, pod: PodInfo, snapshot: Snapshot, labelled: BoolArray, counted: BoolArray
) -> FloatArray:
    """The more matching pods a node's domain has, the more; nodes without the label get nothing."""
    counts = snapshot.pods_matching(pod.namespace, constraint.selector)
    has_label = snapshot.label_codes(constraint.topology_key) > 0
    if constraint.topology_key == HOSTNAME:
        domains, amounts = int(counted.sum()), counts.astype(np.float64)
    else:
        eligible = labelled & _eligible(constraint, pod, snapshot)
        codes, sums = snapshot.by_domain(constraint.topology_key, counts, eligible)
        domains, amounts = len(np.unique(codes[counted & has_label])), sums[codes]
    weight = math.log(domains + 2)
    return np.where(has_label, amounts * weight + (constraint.max_skew - 1), 0.0)


def _with_all_keys(constraints: Iterable[SpreadConstraint], snapshot: Snapshot) -> BoolArray:
    nodes = snapshot.valid
    for constraint in constraints:
        nodes = nodes & (snapshot.label_codes(constraint.topology_key) > 0)
    return nodes


def _eligible(constraint: SpreadConstraint, pod: PodInfo, snapshot: Snapshot) -> BoolArray:
    """Nodes that count for a constraint, by its policies on node affinity and taints (KEP-3094)."""
    nodes = snapshot.valid
    if constraint.honors_affinity:
        matching = matching_nodes(pod, snapshot)
        nodes = nodes if matching is None else nodes & matching
    if constraint.honors_taints:
        nodes = nodes & ~snapshot.taint_table(lambda taints: has_untolerated(pod, taints)).astype(np.bool_)
    return nodes
