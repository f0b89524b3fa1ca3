"""InterPodAffinity: pods that want to be near some pods, or away from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from navarch.scheduler.events import ClusterEvent
from navarch.scheduler.framework import MAX_NODE_SCORE, Plugin, Rejection
from navarch.scheduler.podinfo import AffinityTerm, PodInfo
from navarch.scheduler.snapshot import BoolArray, FloatArray, IntArray, PodClass, Snapshot

HARD_POD_AFFINITY_WEIGHT = 1
"""What another pod's required affinity for this one counts in scores."""


class InterPodAffinity(Plugin):
    name = "InterPodAffinity"
    weight = 2
    events = frozenset(
        {
            ClusterEvent.NODE_ADD,
            ClusterEvent.NODE_LABEL,
            ClusterEvent.POD_ADD,
            ClusterEvent.POD_DELETE,
            ClusterEvent.NAMESPACE_LABEL,
        }
    )

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Iterable[Rejection]:
        # A node is told the first of the three reasons that holds.
        rejected = np.zeros(snapshot.size, np.bool_)
        if pod.required_affinity:
            rejected = ~_affinity_nodes(pod, snapshot)
            yield Rejection(rejected, "node(s) didn't match pod affinity rules", is_resolvable=False)
        if pod.required_anti_affinity:
            near = np.zeros(snapshot.size, np.bool_)
            for term in pod.required_anti_affinity:
                near |= _domain_has(term.topology_key, _matching_pods((term,), snapshot), snapshot)
            yield Rejection(near & ~rejected, "node(s) didn't match pod anti-affinity rules")
            rejected = rejected | near
        unwelcome = np.zeros(snapshot.size, np.bool_)
        for found in snapshot.classes():
            for term in found.required_anti_affinity:
                if term.matches(pod.namespace, pod.labels, snapshot.namespace_labels):
                    unwelcome |= _domain_has(term.topology_key, _counts(found, snapshot), snapshot)
        yield Rejection(unwelcome & ~rejected, "node(s) didn't satisfy existing pods anti-affinity rules")

    def score(self, pod: PodInfo, snapshot: Snapshot, feasible: BoolArray) -> FloatArray | None:
        weights: dict[str, FloatArray] = {}
        for found in snapshot.classes():
            for key, weight in _wishes(pod, found, snapshot):
                weights[key] = weights.get(key, np.zeros(snapshot.size)) + weight * _counts(found, snapshot)
        if not weights:
            return None
        total = np.zeros(snapshot.size)
        for key, amounts in weights.items():
            codes, sums = snapshot.by_domain(key, amounts)
            total += np.where(codes > 0, sums[codes], 0)
        low, high = total[feasible].min(), total[feasible].max()
        if high == low:
            return None
        stretched: FloatArray = np.floor((total - low) * MAX_NODE_SCORE / (high - low))
        return stretched


def _counts(found: PodClass, snapshot: Snapshot) -> IntArray:
    return found.counts[: snapshot.size].astype(np.int64)


def _matching_pods(terms: Sequence[AffinityTerm], snapshot: Snapshot) -> IntArray:
    """How many pods that match all of `terms` each node has."""
    counts = np.zeros(snapshot.size, np.int64)
    for found in snapshot.classes():
        if all(term.matches(found.namespace, found.labels, snapshot.namespace_labels) for term in terms):
            counts += found.counts[: snapshot.size]
    return counts


def _domain_has(key: str, counts: IntArray, snapshot: Snapshot) -> BoolArray:
    """Nodes in whose domain (equal value of the label `key`) there is such a pod."""
    codes, sums = snapshot.by_domain(key, counts)
    return (codes > 0) & (sums[codes] > 0)


def _affinity_nodes(pod: PodInfo, snapshot: Snapshot) -> BoolArray:
    terms = pod.required_affinity
    counts = _matching_pods(terms, snapshot)
    labelled, near = snapshot.valid, snapshot.valid
    for term in terms:
        labelled = labelled & (snapshot.label_codes(term.topology_key) > 0)
        near = near & _domain_has(term.topology_key, counts, snapshot)
    counted = any(((snapshot.label_codes(term.topology_key) > 0) & (counts > 0)).any() for term in terms)
    if not counted and all(term.matches(pod.namespace, pod.labels, snapshot.namespace_labels) for term in terms):
        return labelled  # The first of pods that want to be near each other may go anywhere.
    return near


def _wishes(pod: PodInfo, found: PodClass, snapshot: Snapshot) -> Iterable[tuple[str, int]]:
    """(topology key, weight) for each wish of the pod about that class, and of that class about the pod."""
    spaces = snapshot.namespace_labels
    for weight, term in pod.preferred_affinity:
        if term.matches(found.namespace, found.labels, spaces):
            yield term.topology_key, weight
    for weight, term in pod.preferred_anti_affinity:
        if term.matches(found.namespace, found.labels, spaces):
            yield term.topology_key, -weight
    for term in found.required_affinity:
        if term.matches(pod.namespace, pod.labels, spaces):
            yield term.topology_key, HARD_POD_AFFINITY_WEIGHT
    for weight, term in found.preferred_affinity:
        if term.matches(pod.namespace, pod.labels, spaces):
            yield term.topology_key, weight
    for weight, term in found.preferred_anti_affinity:
        if term.matches(pod.namespace, pod.labels, spaces):
            yield term.topology_key, -weight
