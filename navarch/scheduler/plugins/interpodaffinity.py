"""InterPodAffinity: pods that want to be near some pods, or away from them.

What counts is kept by domain (nodes with equal value of a term's topology key), in arrays by the number of that value, and
follows the pods that come and go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.scheduler.events import ASSIGNED_POD, NAMESPACE, NODE, UPDATES, Action, EventHint, Hint, on
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
from navarch.scheduler.podinfo import AffinityTerm, PodInfo
from navarch.scheduler.snapshot import PodClass, Snapshot

DEFAULT_HARD_POD_AFFINITY_WEIGHT = 1
"""What another pod's required affinity for this one counts in scores."""


class Domains:
    """An amount for each value of a topology key; 0 for nodes without it."""

    __slots__ = ("amounts", "column", "key", "snapshot")

    def __init__(self, key: str, snapshot: Snapshot) -> None:
        self.key = key
        self.snapshot = snapshot
        self.column = snapshot.label_column(key)
        self.amounts: IntArray = np.zeros(len(self.column.values), np.int64)

    def clone(self) -> Domains:
        copy = Domains.__new__(Domains)
        copy.key, copy.snapshot, copy.column, copy.amounts = self.key, self.snapshot, self.column, self.amounts.copy()
        return copy

    def add_class(self, group: PodClass, weight: int = 1) -> None:
        rows = np.fromiter(group.counts, np.int64, len(group.counts))
        counts = np.fromiter(group.counts.values(), np.int64, len(group.counts))
        np.add.at(self.amounts, self.column.codes[rows], weight * counts)
        self.amounts[0] = 0

    def add(self, row: int, amount: int) -> bool:
        """Whether the domain's amount became, or ceased to be, 0 or more than that."""
        code = int(self.column.codes[row])
        if not code:
            return False
        before = int(self.amounts[code])
        self.amounts[code] = before + amount
        return (before > 0) != (before + amount > 0)

    def of(self, nodes: Nodes) -> Any:
        """Each node's domain's amount."""
        return self.amounts[nodes.take(self.column.codes)]

    @property
    def are_shared(self) -> bool:
        """Whether several nodes may be in one domain."""
        return self.column.is_shared


@dataclass(slots=True)
class Counts:
    """What PreFilter finds out."""

    affinity: list[Domains] = field(default_factory=list)
    """By term of required affinity: pods that match all terms."""
    anti_affinity: list[Domains] = field(default_factory=list)
    """By term of required anti-affinity: pods that match it."""
    existing: dict[str, Domains] = field(default_factory=dict)
    """By topology key: terms of pods there that keep this one away."""

    def clone(self) -> Counts:
        return Counts(
            [item.clone() for item in self.affinity],
            [item.clone() for item in self.anti_affinity],
            {key: item.clone() for key, item in self.existing.items()},
        )

    @property
    def is_empty(self) -> bool:
        return not (self.affinity or self.anti_affinity or self.existing)


class InterPodAffinity(Plugin):
    name = "InterPodAffinity"
    scalar = True
    normalized_by_range = True
    args_defaults: ClassVar[Object] = {
        "hardPodAffinityWeight": DEFAULT_HARD_POD_AFFINITY_WEIGHT,
        "ignorePreferredTermsOfExistingPods": False,
    }
    SCORES = "InterPodAffinity/scores"

    def __init__(self, args: Object, handle: Handle) -> None:
        super().__init__(args, handle)
        self._hard_weight = int(args.get("hardPodAffinityWeight", DEFAULT_HARD_POD_AFFINITY_WEIGHT))
        self._ignores_existing = bool(args.get("ignorePreferredTermsOfExistingPods"))

    def events_to_register(self) -> Sequence[EventHint]:
        return (
            on(ASSIGNED_POD, Action.ADD | Action.LABEL | Action.DELETE, self._concerns),
            on(NODE, Action.ADD | Action.NODE_LABEL),
            on(NAMESPACE, UPDATES | Action.ADD),
        )

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.CLUSTER

    # Filtering.

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        snapshot, spaces = nodes.snapshot, nodes.snapshot.namespace_labels
        counts = Counts(
            [Domains(term.topology_key, snapshot) for term in pod.required_affinity],
            [Domains(term.topology_key, snapshot) for term in pod.required_anti_affinity],
        )
        if counts.affinity or counts.anti_affinity:
            for group in snapshot.classes():
                if counts.affinity and _matches_all(pod.required_affinity, group.namespace, group.labels, snapshot):
                    for domains in counts.affinity:
                        domains.add_class(group)
                for term, domains in zip(pod.required_anti_affinity, counts.anti_affinity, strict=True):
                    if term.matches(group.namespace, group.labels, spaces):
                        domains.add_class(group)
        for group in snapshot.opinionated_classes():
            for term in group.required_anti_affinity:
                if term.matches(pod.namespace, pod.labels, spaces):
                    _of_key(counts.existing, term.topology_key, snapshot).add_class(group)
        state.write(self.name, counts)
        return SKIP if counts.is_empty else None

    def follows(self, pod: PodInfo, other: PodInfo) -> bool:
        return pod.template.has_terms or other.template.has_terms

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node_name: str) -> Wider:
        return self._update(state, pod, added, node_name, 1)

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node_name: str) -> Wider:
        return self._update(state, pod, removed, node_name, -1)

    def _update(self, state: CycleState, pod: PodInfo, other: PodInfo, node_name: str, amount: int) -> Wider:
        if not self.follows(pod, other):
            return Wider.NOTHING
        snapshot, counts = self.handle.snapshot, state.read(self.name, Counts)
        spaces, row = snapshot.namespace_labels, snapshot.rows[node_name]
        is_wider = False
        if counts.affinity and _matches_all(pod.required_affinity, other.namespace, other.labels, snapshot):
            was_found = any(domains.amounts.any() for domains in counts.affinity)
            for domains in counts.affinity:
                is_wider |= domains.add(row, amount) and domains.are_shared
            is_wider |= was_found != any(domains.amounts.any() for domains in counts.affinity)
        for term, domains in zip(pod.required_anti_affinity, counts.anti_affinity, strict=True):
            if term.matches(other.namespace, other.labels, spaces):
                is_wider |= domains.add(row, amount) and domains.are_shared
        for term in other.required_anti_affinity:
            if term.matches(pod.namespace, pod.labels, spaces):
                was_empty = counts.is_empty
                domains = _of_key(counts.existing, term.topology_key, snapshot)
                is_wider |= (domains.add(row, amount) and domains.are_shared) or was_empty
        found = Wider.VERDICTS if is_wider else Wider.NOTHING
        return found | Wider.SCORES if self._update_scores(state, pod, other, row, amount) else found

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        # A node is told the first of the three reasons that holds.
        counts = state.read(self.name, Counts)
        rejected = nodes.none()
        if counts.affinity:
            rejected = ~self._near(counts, pod, nodes)
            yield Rejection(rejected, "node(s) didn't match pod affinity rules", is_resolvable=False)
        if counts.anti_affinity:
            near = _any_positive(counts.anti_affinity, nodes)
            yield Rejection(near & ~rejected, "node(s) didn't match pod anti-affinity rules")
            rejected = rejected | near
        if counts.existing:
            unwelcome = _any_positive(counts.existing.values(), nodes)
            yield Rejection(unwelcome & ~rejected, "node(s) didn't satisfy existing pods anti-affinity rules")

    def _near(self, counts: Counts, pod: PodInfo, nodes: Nodes) -> BoolArray:
        near, labelled = nodes.valid, nodes.valid
        for domains in counts.affinity:
            near = near & (domains.of(nodes) > 0)
            labelled = labelled & (nodes.take(domains.column.codes) > 0)
        is_found = any(domains.amounts.any() for domains in counts.affinity)
        if not is_found and _matches_all(pod.required_affinity, pod.namespace, pod.labels, nodes.snapshot):
            return labelled  # The first of pods that want to be near each other may go anywhere.
        return near

    # Scoring.

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        if state.get(self.SCORES) is None:
            state.write(self.SCORES, self._wishes(pod, nodes.snapshot))
        return None if state.get(self.SCORES) else SKIP

    def score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Any:
        total: Any = 0
        for domains in state.read(self.SCORES, dict).values():
            total = total + domains.of(nodes)
        return total

    def normalize_score(self, state: CycleState, pod: PodInfo, scores: IntArray, nodes: Nodes) -> IntArray:
        low, high = int(scores.min(initial=2**62)), int(scores.max(initial=-(2**62)))
        if high <= low:
            return np.zeros(len(scores), np.int64)
        # In floating point and in this order: the last digit is to be the same.
        return (MAX_NODE_SCORE * ((scores - low) / (high - low))).astype(np.int64)

    def _wishes(self, pod: PodInfo, snapshot: Snapshot) -> dict[str, Domains]:
        scores: dict[str, Domains] = {}
        has_own = bool(pod.preferred_affinity or pod.preferred_anti_affinity)
        if not has_own and self._ignores_existing:
            return scores
        for group in snapshot.classes() if has_own else snapshot.opinionated_classes():
            for key, weight in self._weights(pod, group, snapshot):
                _of_key(scores, key, snapshot).add_class(group, weight)
        return scores

    def _update_scores(self, state: CycleState, pod: PodInfo, other: PodInfo, row: int, amount: int) -> bool:
        scores: dict[str, Domains] | None = state.get(self.SCORES)
        has_own = bool(pod.preferred_affinity or pod.preferred_anti_affinity)
        if scores is None or (not has_own and self._ignores_existing):
            return False
        is_wider = False
        for key, weight in self._weights(pod, other, self.handle.snapshot):
            is_wider |= not scores
            domains = _of_key(scores, key, self.handle.snapshot)
            domains.add(row, amount * weight)
            is_wider |= domains.are_shared
        return is_wider

    def _weights(self, pod: PodInfo, other: PodInfo | PodClass, snapshot: Snapshot) -> Iterable[tuple[str, int]]:
        """(topology key, weight) for each wish of the pod about the other, and of the other about the pod."""
        spaces = snapshot.namespace_labels
        for weight, term in pod.preferred_affinity:
            if term.matches(other.namespace, other.labels, spaces):
                yield term.topology_key, weight
        for weight, term in pod.preferred_anti_affinity:
            if term.matches(other.namespace, other.labels, spaces):
                yield term.topology_key, -weight
        if self._hard_weight:
            for term in other.required_affinity:
                if term.matches(pod.namespace, pod.labels, spaces):
                    yield term.topology_key, self._hard_weight
        for weight, term in other.preferred_affinity:
            if term.matches(pod.namespace, pod.labels, spaces):
                yield term.topology_key, weight
        for weight, term in other.preferred_anti_affinity:
            if term.matches(pod.namespace, pod.labels, spaces):
                yield term.topology_key, -weight

    # Queueing.

    def _concerns(self, pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
        """A pod that came may be one this one wants to be near; one that left, one it, or that one, keeps away from."""
        spaces = self.handle.snapshot.namespace_labels
        if new is not None and pod.required_affinity and _matches_labels(pod.required_affinity, new, spaces):
            return Hint.QUEUE
        if old is None:
            return Hint.SKIP
        if any(_matches_labels((term,), old, spaces) for term in pod.required_anti_affinity):
            return Hint.QUEUE
        theirs = PodInfo(old).required_anti_affinity
        kept_away = any(term.matches(pod.namespace, pod.labels, spaces) for term in theirs)
        # With the last pod it wants to be near gone, one that matches its own affinity may be the first again.
        was_near = bool(pod.required_affinity) and _matches_labels(pod.required_affinity, old, spaces)
        return Hint.QUEUE if kept_away or was_near else Hint.SKIP


def _matches_labels(terms: Sequence[AffinityTerm], pod: Object, spaces: Mapping[str, Mapping[str, str]]) -> bool:
    return all(term.matches(meta.namespace(pod), meta.labels(pod), spaces) for term in terms)


def _matches_all(terms: Sequence[AffinityTerm], namespace: str, labels: Mapping[str, str], snapshot: Snapshot) -> bool:
    return all(term.matches(namespace, labels, snapshot.namespace_labels) for term in terms)


def _of_key(found: dict[str, Domains], key: str, snapshot: Snapshot) -> Domains:
    domains = found.get(key)
    if domains is None:
        domains = found[key] = Domains(key, snapshot)
    return domains


def _any_positive(several: Iterable[Domains], nodes: Nodes) -> BoolArray:
    found: BoolArray = nodes.none()
    for domains in several:
        found = found | (domains.of(nodes) > 0)
    return found
