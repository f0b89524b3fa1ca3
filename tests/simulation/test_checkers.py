"""Checkers find what they are for, and nothing in what is right. Each is told of changes by hand."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from navarch.simulation.checkers import every
from navarch.simulation.checkers.addresses import Addresses
from navarch.simulation.checkers.bindings import Bindings
from navarch.simulation.checkers.budgets import Budgets
from navarch.simulation.checkers.capacity import Capacity
from navarch.simulation.checkers.checker import Checker
from navarch.simulation.checkers.garbage import Garbage
from navarch.simulation.checkers.identities import Identities
from navarch.simulation.checkers.quotas import Quotas
from navarch.simulation.checkers.revisions import Revisions
from navarch.simulation.checkers.surplus import Surplus
from navarch.simulation.observer import Seen

Object = dict[str, Any]


class World:
    """One checker, and what it finds."""

    def __init__(self, checker: type[Checker], **cluster: Any) -> None:
        self.found: list[str] = []
        state: Any = SimpleNamespace(cluster=SimpleNamespace(**cluster))
        self._checker = checker(state, lambda name, message: self.found.append(f"{name}: {message}"))
        self._revision = 0
        self.at = 0.0

    def see(self, type_: str, resource: str, obj: Object, *, revision: int = 0) -> None:
        self._revision = revision or self._revision + 1
        metadata = {"resourceVersion": str(self._revision), **obj["metadata"]}
        self._checker.changed(Seen(self.at, type_, self._revision, resource, {**obj, "metadata": metadata}))


def make(kind: str, name: str, *, owner: Object | None = None, **fields: Any) -> Object:
    metadata: Object = {"name": name, "namespace": "a", "uid": fields.pop("uid", f"uid-{name}")}
    metadata |= fields.pop("metadata", {})
    if owner is not None:
        reference = {"kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        metadata["ownerReferences"] = [{**reference, "controller": True, "blockOwnerDeletion": True}]
    return {"kind": kind, "metadata": metadata, "spec": {}, **fields}


def pod(name: str = "p", node: str = "", phase: str = "Running", **fields: Any) -> Object:
    cpu = fields.pop("cpu", "1")
    containers = [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]
    spec: Object = {"containers": containers, **({"nodeName": node} if node else {})}
    return make("Pod", name, spec=spec, status={"phase": phase, **fields.pop("status", {})}, **fields)


def test_every_checker_has_a_name_of_its_own() -> None:
    names = [checker.name for checker in every.checkers()]
    assert len(set(names)) == len(names) == 12


def test_revisions() -> None:
    world = World(Revisions)
    world.see("ADDED", "pods", pod("p"))
    world.see("ADDED", "pods", pod("q"))
    world.see("DELETED", "pods", pod("p"))
    world.see("ADDED", "pods", pod("p"))
    world.see("MODIFIED", "nodes", make("Node", "n"), revision=1)
    assert world.found == []
    world.see("MODIFIED", "pods", pod("p"), revision=3)
    world.see("ADDED", "pods", pod("p"), revision=9)
    assert world.found == ["Pod a/p: revision 3 comes after 4", "Pod a/p: it was added, and was there already"]


def test_bindings() -> None:
    world = World(Bindings)
    for node in ("", "one", "one"):
        world.see("MODIFIED", "pods", pod(node=node))
    assert world.found == []
    world.see("MODIFIED", "pods", pod(node="two"))
    assert world.found == ["Pod a/p: it was bound to one, and then to two"]


def test_capacity() -> None:
    world = World(Capacity)
    world.see("ADDED", "nodes", make("Node", "n", status={"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "10"}}))
    for name in "pq":
        world.see("MODIFIED", "pods", pod(name, node="n"))
    world.see("MODIFIED", "pods", pod("p", node="n", phase="Succeeded"))
    world.see("MODIFIED", "pods", pod("r", node="n"))
    world.see("ADDED", "pods", pod("chosen", node="n"))
    assert world.found == []
    world.see("DELETED", "pods", pod("chosen", node="n"))
    world.see("MODIFIED", "pods", pod("s", node="n"))
    assert world.found == ["Pod a/s: with it the pods of n ask for more than the node has"]


def test_identities() -> None:
    old = SimpleNamespace(is_running=True)
    world = World(Identities, nodes={"one": SimpleNamespace(pods={"uid-1": old}), "two": SimpleNamespace(pods={})})
    owner = make("StatefulSet", "db")
    world.see("MODIFIED", "pods", pod("db-0", node="one", owner=owner, uid="uid-1"))
    world.see("MODIFIED", "pods", pod("db-0", node="two", owner=owner, uid="uid-2"))
    assert world.found == ["Pod a/db-0: it runs on two while the one before it still runs on one"]
    old.is_running = False
    world.see("MODIFIED", "pods", pod("db-0", node="two", owner=owner, uid="uid-3"))
    assert len(world.found) == 1


def budget(allowed: int, *disrupted: str) -> Object:
    status = {"disruptionsAllowed": allowed, "disruptedPods": dict.fromkeys(disrupted, "")}
    return make("PodDisruptionBudget", "b", spec={"selector": {"matchLabels": {"app": "web"}}}, status=status)


def guarded(name: str, *, evicted: bool) -> Object:
    conditions = [{"type": "Ready", "status": "True"}]
    if evicted:
        conditions.append({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"})
    return pod(name, node="n", status={"conditions": conditions}, metadata={"labels": {"app": "web"}})


def test_budgets() -> None:
    world = World(Budgets)
    world.see("ADDED", "poddisruptionbudgets.policy", budget(1))
    for name in "pqr":
        world.see("MODIFIED", "pods", guarded(name, evicted=False))
    world.see("MODIFIED", "poddisruptionbudgets.policy", budget(0, "p"))
    world.see("MODIFIED", "pods", guarded("p", evicted=True))
    going = guarded("s", evicted=False)
    world.see("MODIFIED", "pods", {**going, "metadata": {**going["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    world.see("MODIFIED", "pods", guarded("s", evicted=True))
    assert world.found == [], "who goes already needs nobody's leave"
    world.see("MODIFIED", "poddisruptionbudgets.policy", budget(0, "p", "q"))
    world.see("MODIFIED", "pods", guarded("r", evicted=True))
    assert world.found == [
        "PodDisruptionBudget a/b: q may go, where only 0 might",
        "Pod a/r: it is evicted, and PodDisruptionBudget a/b has not been asked",
    ]


def test_quotas() -> None:
    world = World(Quotas)
    world.see("ADDED", "pods", pod("p", cpu="2"))
    hard = {"pods": "3", "requests.cpu": "4", "count/jobs.batch": "1"}
    world.see("ADDED", "resourcequotas", make("ResourceQuota", "q", status={"hard": hard}))
    world.see("ADDED", "pods", pod("q", cpu="1500m"))
    world.see("ADDED", "jobs.batch", make("Job", "j"))
    assert world.found == []
    world.see("ADDED", "pods", pod("r"))
    world.see("ADDED", "jobs.batch", make("Job", "k"))
    assert world.found == [
        "Pod a/r: ResourceQuota q allows 4 of requests.cpu, and this is one too many",
        "Job a/k: ResourceQuota q allows 1 of count/jobs.batch, and this is one too many",
    ]


@pytest.mark.parametrize(
    ("resource", "made"),
    [
        ("services", lambda name: make("Service", name, spec={"clusterIPs": ["10.0.0.1"]})),
        ("services", lambda name: make("Service", name, spec={"clusterIPs": ["None"], "ports": [{"nodePort": 30000}]})),
        ("nodes", lambda name: make("Node", name, spec={"podCIDRs": ["10.1.0.0/24"]})),
        ("pods", lambda name: pod(name, node="n", status={"podIP": "10.1.0.2"})),
    ],
)
def test_addresses(resource: str, made: Callable[[str], Object]) -> None:
    world = World(Addresses)
    world.see("ADDED", resource, made("one"))
    world.see("DELETED", resource, made("one"))
    world.see("ADDED", resource, made("two"))
    assert world.found == []
    world.see("ADDED", resource, made("three"))
    assert len(world.found) == 1 and world.found[0].endswith("two too")


def test_surplus() -> None:
    lines = SimpleNamespace(has_lost_answers=False)
    world = World(Surplus, network=lines)
    owner = make("ReplicaSet", "rs", spec={"replicas": 2})
    world.see("ADDED", "replicasets.apps", owner)
    for name in "pq":
        world.see("ADDED", "pods", pod(name, owner=owner))
    world.see("MODIFIED", "pods", pod("p", phase="Failed", owner=owner))
    world.see("ADDED", "pods", pod("r", owner=owner))
    world.see("MODIFIED", "replicasets.apps", {**owner, "spec": {"replicas": 1}})
    assert world.found == []
    world.see("ADDED", "pods", pod("s", owner=owner))
    assert world.found == ["Pod a/s: ReplicaSet rs asks for 2, and has 3 with it"]
    world.at = 1000.0
    world.see("DELETED", "pods", pod("s", owner=owner))
    world.see("DELETED", "pods", pod("r", owner=owner))
    world.see("ADDED", "pods", pod("t", owner=owner))
    assert world.found[1:] == ["Pod a/t: ReplicaSet rs asks for 1, and has 2 with it"]
    lines.has_lost_answers = True
    world.see("ADDED", "pods", pod("u", owner=owner))
    assert len(world.found) == 2


def test_garbage() -> None:
    world = World(Garbage)
    going = {"deletionTimestamp": "2030-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"]}
    owner = make("ReplicaSet", "rs")
    world.see("ADDED", "pods", pod("p", owner=owner))
    world.see("MODIFIED", "replicasets.apps", make("ReplicaSet", "rs", metadata=going))
    world.see("DELETED", "pods", pod("p", owner=owner))
    world.see("DELETED", "replicasets.apps", make("ReplicaSet", "rs", metadata=going))
    assert world.found == []
    world.see("ADDED", "pods", pod("p", owner=owner))
    world.see("MODIFIED", "replicasets.apps", make("ReplicaSet", "rs", metadata=going))
    world.see("DELETED", "replicasets.apps", make("ReplicaSet", "rs", metadata=going))
    assert world.found == ["ReplicaSet a/rs: it is gone before Pod a/p, which blocks its deletion"]
