"""NodeAffinity: nodeSelector and node affinity, required and preferred, and what the profile adds to every pod's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apimachinery.selectors import Requirement
from navarch.scheduler.events import NODE, Action, EventHint, Hint, on
from navarch.scheduler.framework import (
    SKIP,
    BoolArray,
    CycleState,
    Handle,
    IntArray,
    Plugin,
    PreFilterResult,
    Rejection,
    Reuse,
    Status,
    normalized,
    unschedulable,
)
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import NodeTerm, PodInfo, node_term

NAME_FIELD = "metadata.name"
REASON = "node(s) didn't match Pod's node affinity/selector"
REASON_ENFORCED = "node(s) didn't match scheduler-enforced node affinity"
REASON_CONFLICT = "pod affinity terms conflict"


def matches_value(requirement: Requirement, value: str | None) -> bool:
    """Whether a node whose label has this value (None: it has no such label) meets the requirement."""
    return requirement.matches({} if value is None else {requirement.key: value})


def requirement_nodes(requirement: Requirement, nodes: Nodes) -> BoolArray:
    if requirement.operator == "in":
        return nodes.label_in(requirement.key, requirement.values)
    return nodes.label_table(requirement.key, lambda value: matches_value(requirement, value))


def term_nodes(term: NodeTerm, nodes: Nodes) -> BoolArray:
    """Nodes that meet all of a term's conditions; an empty term matches none."""
    if term.is_empty:
        return nodes.none()
    found = nodes.valid
    for requirement in term.labels:
        found = found & requirement_nodes(requirement, nodes)
    for requirement in term.names:
        found = found & _named(requirement, nodes)
    return found


def _named(requirement: Requirement, nodes: Nodes) -> BoolArray:
    named = nodes.none()
    if requirement.key != NAME_FIELD:
        return named
    for name in requirement.values:
        position = nodes.position(name)
        if position is not None:
            named[position] = True
    return named if requirement.operator == "in" else ~named


def any_term_nodes(terms: Sequence[NodeTerm], nodes: Nodes) -> BoolArray:
    found = nodes.none()
    for term in terms:
        found = found | term_nodes(term, nodes)
    return found


def matching_nodes(pod: PodInfo, nodes: Nodes) -> BoolArray | None:
    """Nodes that the pod's nodeSelector and required affinity allow; None means all."""
    found: BoolArray | None = None
    for key, value in pod.node_selector.items():
        hit = requirement_nodes(Requirement(key, "in", (value,)), nodes)
        found = hit if found is None else found & hit
    if pod.required_node_terms is not None:
        hit = any_term_nodes(pod.required_node_terms, nodes)
        found = hit if found is None else found & hit
    return found


def matches(pod: PodInfo, node: Object) -> bool:
    """Whether the pod's nodeSelector and required affinity allow a node."""
    labels = meta.labels(node)
    if any(labels.get(key) != value for key, value in pod.node_selector.items()):
        return False
    return pod.required_node_terms is None or any(_term_matches(term, node, labels) for term in pod.required_node_terms)


def _term_matches(term: NodeTerm, node: Object, labels: Mapping[str, str]) -> bool:
    if term.is_empty:
        return False
    fields = {NAME_FIELD: meta.name(node)}
    return all(r.matches(labels) for r in term.labels) and all(r.key in fields and r.matches(fields) for r in term.names)


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    args_defaults: ClassVar[Object] = {"addedAffinity": None}

    def __init__(self, args: Object, handle: Handle) -> None:
        super().__init__(args, handle)
        added = args.get("addedAffinity") or meta.EMPTY
        required = added.get("requiredDuringSchedulingIgnoredDuringExecution")
        self._required = None if required is None else tuple(map(node_term, required.get("nodeSelectorTerms") or ()))
        preferred = added.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        self._preferred = tuple((item["weight"], node_term(item.get("preference") or {})) for item in preferred)

    def events_to_register(self) -> Sequence[EventHint]:
        return (on(NODE, Action.ADD | Action.NODE_LABEL, self._became_matching),)

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.NODE

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> PreFilterResult | Status | None:
        terms = pod.required_node_terms
        if terms is None and not pod.node_selector and self._required is None:
            return SKIP
        if not terms:
            return None
        wanted: set[str] = set()
        for term in terms:
            named = [set(r.values) for r in term.names if r.key == NAME_FIELD and r.operator == "in"]
            if not named:
                return None  # This term allows nodes of any name.
            wanted |= set.intersection(*named)
        if not wanted:
            return unschedulable(REASON_CONFLICT, is_resolvable=False)
        return PreFilterResult(frozenset(wanted))

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        enforced = nodes.none()
        if self._required is not None:
            enforced = ~any_term_nodes(self._required, nodes)
            yield Rejection(enforced, REASON_ENFORCED, is_resolvable=False)
        allowed = matching_nodes(pod, nodes)
        if allowed is not None:
            yield Rejection(~allowed & ~enforced, REASON, is_resolvable=False)

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        return None if self._preferred or pod.preferred_node_terms else SKIP

    def score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> IntArray:
        total = np.zeros(nodes.size, np.int64)
        for weight, term in (*self._preferred, *pod.preferred_node_terms):
            total += weight * term_nodes(term, nodes)
        return total

    def normalize_score(self, state: CycleState, pod: PodInfo, scores: IntArray, nodes: Nodes) -> IntArray:
        return normalized(scores)

    def _became_matching(self, pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
        was, now = old is not None and self._allows(pod, old), new is not None and self._allows(pod, new)
        return Hint.QUEUE if now and not was else Hint.SKIP

    def _allows(self, pod: PodInfo, node: Object) -> bool:
        labels = meta.labels(node)
        if self._required is not None and not any(_term_matches(term, node, labels) for term in self._required):
            return False
        return matches(pod, node)
