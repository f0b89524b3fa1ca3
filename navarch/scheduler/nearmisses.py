"""What single change would let a pod that fits nowhere be placed; sought among nodes that one plugin alone rejects. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from navarch.apimachinery.errors import Object
from navarch.apimachinery.selectors import Requirement
from navarch.scheduler.explain import Explanation
from navarch.scheduler.framework import BoolArray
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.plugins.nodeaffinity import requirement_nodes, term_nodes
from navarch.scheduler.plugins.tainttoleration import SOFT
from navarch.scheduler.podinfo import NodeTerm
from navarch.scheduler.snapshot import PODS, Snapshot

NODES_SHOWN = 5
CHANGES_LIMIT = 20


@dataclass(frozen=True, slots=True)
class Change:
    """One change, and the nodes that would then take the pod."""

    text: str
    kind: str
    nodes: BoolArray
    amount: float = 0.0
    """How much of it is needed, relative to what the pod asks for; the least is the nearest."""


def near_misses(found: Explanation, snapshot: Snapshot) -> list[Object]:
    """The nearest first: the smallest shortage of each resource, then what opens most nodes. Nothing if the pod fits."""
    if len(found.rows) or found.rejected_by:
        return []
    nodes = Nodes(snapshot)
    changes = [
        *_resources(found, nodes),
        *_taints(found, nodes),
        *_affinity(found, nodes),
        *_others(found),
    ]
    changes.sort(key=lambda change: (change.amount, -int(change.nodes.sum()), change.text))
    return [_shown(change, snapshot) for change in changes[:CHANGES_LIMIT]]


def _shown(change: Change, snapshot: Snapshot) -> Object:
    rows = np.flatnonzero(change.nodes).tolist()
    names = [snapshot.names[row] for row in rows[:NODES_SHOWN]]
    return {"change": change.text, "kind": change.kind, "nodeCount": len(rows), "nodes": names}


def _resources(found: Explanation, nodes: Nodes) -> Iterator[Change]:
    """The node with the smallest shortage of each resource that alone is short."""
    only = found.rejected_only_by("NodeResourcesFit")
    short = {}
    for resource, amount in {**found.pod.requests, PODS: 1}.items():
        column = nodes.resource_column(resource)
        if column is not None and amount:
            missing = nodes.requested[:, column] + amount - nodes.allocatable[:, column]
            # What a node does not offer may come from elsewhere, and then nobody misses it.
            is_missed = found.rejected("NodeResourcesFit", f"Insufficient {resource}") if resource != PODS else True
            short[resource] = np.where((missing > 0) & is_missed, missing, 0)
    for resource, missing in short.items():
        others = np.zeros(nodes.size, np.bool_)
        for other, lacking in short.items():
            if other != resource:
                others |= lacking > 0
        candidates = np.flatnonzero(only & ~others & (missing > 0))
        if not len(candidates):
            continue
        row = int(candidates[missing[candidates].argmin()])
        chosen = np.zeros(nodes.size, np.bool_)
        chosen[row] = True
        shortage = int(missing[row])
        asked = found.pod.requests.get(resource, 1)
        text = f"{nodes.snapshot.names[row]} would fit with {shown_amount(resource, shortage)} more {resource}"
        yield Change(text, "resources", chosen, min(shortage / asked, 1.0))


def shown_amount(resource: str, amount: int) -> str:
    """``200m`` of CPU, ``512Mi`` of memory; rounded up."""
    if resource == "cpu":
        return f"{amount}m" if amount % 1000 else str(amount // 1000)
    if resource in ("memory", "ephemeral-storage"):
        for unit, size in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
            if amount >= size:
                return f"{-(-amount * 10 // size) / 10:g}{unit}"
    return str(amount)


def _taints(found: Explanation, nodes: Nodes) -> Iterator[Change]:
    """Taints that alone keep the pod away, each with all nodes it would then have."""
    only = found.rejected_only_by("TaintToleration")
    cordoned = found.rejected_only_by("NodeUnschedulable")
    if cordoned.any():
        yield Change("allowing pods on cordoned nodes again (kubectl uncordon)", "unschedulable", cordoned, 1.0)
    if not only.any():
        return
    tolerations = found.pod.tolerations
    by_taint: dict[tuple[str, str, str], BoolArray] = {}
    for code, taints in enumerate(nodes.snapshot.taint_sets):
        hard = [taint for taint in taints if taint[2] != SOFT and not any(t.tolerates(*taint) for t in tolerations)]
        rows = only & (nodes.take(nodes.snapshot.taint_codes) == code)
        if len(hard) == 1 and rows.any():
            by_taint[hard[0]] = by_taint.get(hard[0], nodes.none()) | rows
    for (key, value, effect), rows in by_taint.items():
        shown = f"{key}={value}:{effect}" if value else f"{key}:{effect}"
        yield Change(f"tolerating the taint {shown}", "taint", rows, 1.0)


def _affinity(found: Explanation, nodes: Nodes) -> Iterator[Change]:
    """Conditions of nodeSelector and required affinity without which there would be nodes."""
    only = found.rejected_only_by("NodeAffinity")
    if not only.any():
        return
    pod = found.pod
    selector = {key: requirement_nodes(Requirement(key, "in", (value,)), nodes) for key, value in pod.node_selector.items()}
    terms = pod.required_node_terms
    in_terms = nodes.valid if terms is None else _any_of(terms, nodes)
    for key, value in pod.node_selector.items():
        rows = only & in_terms & _all_but(selector, key, nodes)
        if rows.any():
            yield Change(f"leaving out the nodeSelector {key}={value}", "nodeSelector", rows, 1.0)
    selected = _all_but(selector, None, nodes)
    for term in terms or ():
        for requirement in (*term.labels, *term.names):
            rest = NodeTerm(
                tuple(item for item in term.labels if item is not requirement),
                tuple(item for item in term.names if item is not requirement),
            )
            rows = only & selected & (nodes.valid if rest.is_empty else term_nodes(rest, nodes))
            if rows.any():
                yield Change(f"leaving out the node affinity {requirement}", "nodeAffinity", rows, 1.0)


def _any_of(terms: tuple[NodeTerm, ...], nodes: Nodes) -> BoolArray:
    found = nodes.none()
    for term in terms:
        found = found | term_nodes(term, nodes)
    return found


def _all_but(selector: Mapping[str, BoolArray], key: str | None, nodes: Nodes) -> BoolArray:
    found = nodes.valid
    for name, rows in selector.items():
        if name != key:
            found = found & rows
    return found


SPECIFIC = frozenset({"NodeResourcesFit", "TaintToleration", "NodeUnschedulable", "NodeAffinity"})


def _others(found: Explanation) -> Iterator[Change]:
    """Of any other plugin, what it says as a whole."""
    reasons: dict[str, set[str]] = {}
    for verdict in found.verdicts:
        reasons.setdefault(verdict.plugin, set()).add(verdict.reason)
    for plugin, told in reasons.items():
        rows = found.rejected_only_by(plugin)
        if plugin not in SPECIFIC and rows.any():
            yield Change(f"{plugin} alone is in the way: {', '.join(sorted(told))}", plugin, rows, 2.0)
