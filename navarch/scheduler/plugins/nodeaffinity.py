"""NodeAffinity: nodeSelector and node affinity, required and preferred."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from navarch.apimachinery.selectors import Requirement
from navarch.scheduler.events import ClusterEvent
from navarch.scheduler.framework import Plugin, Rejection, normalized
from navarch.scheduler.podinfo import NodeTerm, PodInfo
from navarch.scheduler.snapshot import BoolArray, FloatArray, Snapshot

NAME_FIELD = "metadata.name"


def matches_value(requirement: Requirement, value: str | None) -> bool:
    """Whether a node whose label has this value (None: it has no such label) meets the requirement."""
    return requirement.matches({} if value is None else {requirement.key: value})


def requirement_nodes(requirement: Requirement, snapshot: Snapshot) -> BoolArray:
    if requirement.operator == "in":
        return snapshot.label_in(requirement.key, requirement.values)
    return snapshot.label_table(requirement.key, lambda value: matches_value(requirement, value))


def term_nodes(term: NodeTerm, snapshot: Snapshot) -> BoolArray:
    """Nodes that meet all of a term's conditions; an empty term matches none."""
    if term.is_empty:
        return np.zeros(snapshot.size, np.bool_)
    nodes = snapshot.valid
    for requirement in term.labels:
        nodes = nodes & requirement_nodes(requirement, snapshot)
    for requirement in term.names:
        nodes = nodes & _named(requirement, snapshot)
    return nodes


def _named(requirement: Requirement, snapshot: Snapshot) -> BoolArray:
    if requirement.key != NAME_FIELD:
        return np.zeros(snapshot.size, np.bool_)
    named = np.zeros(snapshot.size, np.bool_)
    for name in requirement.values:
        row = snapshot.rows.get(name)
        if row is not None:
            named[row] = True
    return named if requirement.operator == "in" else ~named


def any_term_nodes(terms: Sequence[NodeTerm], snapshot: Snapshot) -> BoolArray:
    nodes = np.zeros(snapshot.size, np.bool_)
    for term in terms:
        nodes = nodes | term_nodes(term, snapshot)
    return nodes


def matching_nodes(pod: PodInfo, snapshot: Snapshot) -> BoolArray | None:
    """Nodes that the pod's nodeSelector and required affinity allow; None means all."""
    nodes: BoolArray | None = None
    for key, value in pod.node_selector.items():
        hit = requirement_nodes(Requirement(key, "in", (value,)), snapshot)
        nodes = hit if nodes is None else nodes & hit
    if pod.required_node_terms is not None:
        hit = any_term_nodes(pod.required_node_terms, snapshot)
        nodes = hit if nodes is None else nodes & hit
    return nodes


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    weight = 2
    events = frozenset({ClusterEvent.NODE_ADD, ClusterEvent.NODE_LABEL})

    def pre_filter(self, pod: PodInfo, snapshot: Snapshot) -> BoolArray | None:
        terms = pod.required_node_terms
        if not terms:
            return None
        wanted: set[str] = set()
        for term in terms:
            named = [set(r.values) for r in term.names if r.key == NAME_FIELD and r.operator == "in"]
            if not named:
                return None  # This term allows nodes of any name.
            wanted |= set.intersection(*named)
        nodes = np.zeros(snapshot.size, np.bool_)
        for name in wanted:
            if name in snapshot.rows:
                nodes[snapshot.rows[name]] = True
        return nodes

    def filter(self, pod: PodInfo, snapshot: Snapshot) -> Iterable[Rejection]:
        nodes = matching_nodes(pod, snapshot)
        if nodes is not None:
            yield Rejection(~nodes, "node(s) didn't match Pod's node affinity/selector", is_resolvable=False)

    def score(self, pod: PodInfo, snapshot: Snapshot, feasible: BoolArray) -> FloatArray | None:
        if not pod.preferred_node_terms:
            return None
        total = np.zeros(snapshot.size)
        for weight, term in pod.preferred_node_terms:
            # Unlike a required term, an empty preference matches every node.
            total += weight * (snapshot.valid if term.is_empty else term_nodes(term, snapshot))
        return normalized(total, feasible)
