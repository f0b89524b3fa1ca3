"""Pods that give way to more important ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import condition, container, is_ready
from tests.conformance.world import NODES, Space, World

CLASSES, RESOURCE = "priorityclasses.scheduling.k8s.io", "scheduling.k8s.io/foo"
FAKE_CPU = "example.com/fakecpu"
PRIORITIES = {"low-priority": 1, "medium-priority": 100, "high-priority": 1000}


@pytest.fixture(scope="module", autouse=True)
def priorities(world: World) -> None:
    """Classes, and five of a resource on each node."""
    for name, value in PRIORITIES.items():
        world.everywhere.create(CLASSES, {"metadata": {"name": name}, "value": value})
    for node in NODES:
        offer(world, node, {RESOURCE: "5"})


def offer(world: World, node: str, amounts: Object) -> None:
    world.everywhere.patch("nodes", node, {"status": {"capacity": amounts, "allocatable": amounts}}, "status")


def pod(name: str, priority: str, amount: int, resource: str = RESOURCE, **spec: Any) -> Object:
    amounts = {resource: str(amount)}
    containers = [container(resources={"requests": amounts, "limits": amounts})]
    return {"metadata": {"name": name}, "spec": {"priorityClassName": priority, "containers": containers, **spec}}


def fill(space: Space) -> str:
    """Three of five of each node are taken; the name of the pod of lowest priority."""
    names = [f"pod{number}-sched-preemption" for number in range(len(NODES))]
    for number, (name, node) in enumerate(zip(names, NODES, strict=True)):
        priority = "medium-priority" if number else "low-priority"
        space.create("pods", pod(name, priority, 3, nodeSelector={"kubernetes.io/hostname": node}))
        space.until_true("pods", name, is_ready)
    return names[0]


@pytest.fixture(autouse=True)
def nodes_are_emptied(space: Space) -> Iterator[None]:
    """Whatever a test has run leaves the nodes to the next one."""
    yield
    for resource in ("replicasets.apps", "pods"):
        space.delete_all(resource, propagationPolicy="Background")
    space.until_count("pods", 0)


def only_one_gave_way(space: Space, victim: str, since: str) -> None:
    gone = [obj["metadata"]["name"] for type_, obj in space.events("pods", since=since) if type_ == "DELETED"]
    assert gone == [victim]


@behaviour("Scheduler, Basic Preemption")
def test_a_pod_of_low_priority_gives_way(space: Space) -> None:
    victim = fill(space)
    since = space.get("pods", victim)["metadata"]["resourceVersion"]
    space.create("pods", pod("preemptor-pod", "high-priority", 3))
    found = space.until_true("pods", "preemptor-pod", is_ready)
    assert found["spec"]["nodeName"] == next(iter(NODES))
    only_one_gave_way(space, victim, since)


@behaviour("Scheduler, Preemption for critical pod")
def test_a_pod_of_low_priority_gives_way_to_a_critical_one(space: Space) -> None:
    victim, system = fill(space), Space(space.world, "kube-system")
    since = space.get("pods", victim)["metadata"]["resourceVersion"]
    system.create("pods", pod("critical-pod", "system-cluster-critical", 3))
    system.until_true("pods", "critical-pod", is_ready)
    system.delete("pods", "critical-pod")
    system.until_gone("pods", "critical-pod")
    only_one_gave_way(space, victim, since)


@behaviour("Verify the DisruptionTarget condition is added to the preempted pod")
def test_a_preempted_pod_says_so(space: Space) -> None:
    node = next(iter(NODES))
    offer(space.world, node, {"example.com/one": "1"})
    held = pod("victim-pod", "low-priority", 1, "example.com/one")
    held["metadata"]["finalizers"] = ["example.com/test-finalizer"]
    space.create("pods", held)
    space.until_true("pods", "victim-pod", is_ready)
    space.create("pods", pod("preemptor-pod", "high-priority", 1, "example.com/one"))
    victim = space.until_true("pods", "victim-pod", lambda found: "deletionTimestamp" in found["metadata"])
    found = condition(victim, "DisruptionTarget")
    assert (found["status"], found["reason"]) == ("True", "PreemptionByScheduler")
    space.patch("pods", "victim-pod", {"metadata": {"finalizers": None}})
    space.until_true("pods", "preemptor-pod", is_ready)


@behaviour("Pod preemption verification")
def test_replica_sets_of_four_priorities_preempt_each_other(space: Space) -> None:
    node = next(iter(NODES))
    offer(space.world, node, {FAKE_CPU: "1000"})
    for number in range(1, 5):
        space.create(CLASSES, {"metadata": {"name": f"p{number}-{space.name}"}, "value": number})
    since = space.get("namespaces", space.name)["metadata"]["resourceVersion"]
    for number, amount in ((1, 200), (2, 300), (3, 450), (4, 500)):
        labels = {"name": f"pod{number}"}
        spec = pod("", f"p{number}-{space.name}", amount, FAKE_CPU, nodeSelector={"kubernetes.io/hostname": node})["spec"]
        template = {"metadata": {"labels": labels}, "spec": spec}
        set_spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        space.create("replicasets.apps", {"metadata": {"name": f"rs-pod{number}"}, "spec": set_spec})
        space.world.until(lambda: any(map(is_ready, space.list("pods", f"name=pod{number}"))))  # noqa: B023 - used at once
    space.world.pass_time(60)
    made = Counter(obj["metadata"]["labels"]["name"] for type_, obj in space.events("pods", since=since) if type_ == "ADDED")
    assert made == {"pod1": 2, "pod2": 2, "pod3": 1, "pod4": 1}
    running = {each["metadata"]["labels"]["name"] for each in space.list("pods") if is_ready(each)}
    assert running == {"pod3", "pod4"}


@behaviour("Scheduler, Verify PriorityClass endpoints")
def test_a_priority_class_keeps_its_value(space: Space) -> None:
    names = [f"p{number}-{space.name}" for number in (1, 2)]
    for value, name in enumerate(names, 1):
        space.create(CLASSES, {"metadata": {"name": name}, "value": value})
    assert set(names) <= {each["metadata"]["name"] for each in space.list(CLASSES)}
    for name in names:
        found = space.get(CLASSES, name)
        assert space.update(CLASSES, {**found, "value": found["value"] * 10}, code=422)["reason"] == "Invalid"
        assert space.patch(CLASSES, name, {"value": found["value"] * 10}, code=422)["reason"] == "Invalid"
        assert space.patch(CLASSES, name, {"description": "patched"})["description"] == "patched"
        updated = space.change(CLASSES, name, lambda changed: changed.update(description="updated"))
        assert updated["description"] == "updated" and updated["value"] == found["value"]
