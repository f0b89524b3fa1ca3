"""Taints that evict."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import condition, is_ready, pod
from tests.conformance.world import NODES, Space, World

NODE, *_ = NODES
TAINT = {"key": "kubernetes.io/e2e-evict-taint-key", "value": "evictTaintVal", "effect": "NoExecute"}


def taint(world: World, taints: list[Object]) -> None:
    world.everywhere.patch("nodes", NODE, {"spec": {"taints": taints or None}})


@pytest.fixture(autouse=True)
def untainted(world: World) -> Iterator[None]:
    yield
    taint(world, [])


def run(space: Space, name: str, seconds: int) -> None:
    """A pod on the node that tolerates the taint for so long."""
    toleration = {"key": TAINT["key"], "value": TAINT["value"], "effect": "NoExecute", "tolerationSeconds": seconds}
    space.create("pods", pod(name, nodeSelector={"kubernetes.io/hostname": NODE}, tolerations=[toleration]))
    space.until_true("pods", name, is_ready)


@behaviour("Taint, Pod Eviction on taint removal")
def test_a_taint_that_goes_in_time_evicts_nobody(space: Space) -> None:
    run(space, "taint-eviction", 60)
    taint(space.world, [TAINT])
    space.world.pass_time(50)
    assert space.find("pods", "taint-eviction")
    taint(space.world, [])
    space.world.pass_time(300)
    found = space.get("pods", "taint-eviction")
    assert "deletionTimestamp" not in found["metadata"] and is_ready(found)


@behaviour("Pod Eviction, Toleration limits")
def test_pods_are_evicted_each_after_its_own_time(space: Space) -> None:
    run(space, "taint-eviction-1", 5)
    run(space, "taint-eviction-2", 30)
    since = space.get("namespaces", space.name)["metadata"]["resourceVersion"]
    taint(space.world, [TAINT])
    space.world.pass_time(4)
    assert len(space.list("pods")) == 2
    space.world.pass_time(3)
    assert [each["metadata"]["name"] for each in space.list("pods")] == ["taint-eviction-2"]
    space.world.pass_time(20)
    assert [each["metadata"]["name"] for each in space.list("pods")] == ["taint-eviction-2"]
    space.world.pass_time(5)
    assert space.list("pods") == []
    reasons = {
        condition(obj, "DisruptionTarget").get("reason")
        for type_, obj in space.events("pods", since=since)
        if type_ == "DELETED"
    }
    assert reasons == {"DeletionByTaintManager"}
