"""Where pods may go."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import condition, container, pod
from tests.conformance.world import NODES, Space

NODE, *_ = NODES


def on_node(found: Object) -> str:
    return str(found["spec"].get("nodeName", ""))


def is_unschedulable(space: Space, name: str) -> None:
    found = space.until_true("pods", name, lambda found: condition(found, "PodScheduled"))
    assert condition(found, "PodScheduled")["reason"] == "Unschedulable"
    space.world.pass_time(60)
    assert on_node(space.get("pods", name)) == ""


@behaviour("Scheduler, resource limits")
def test_a_pod_that_fits_nowhere_is_not_scheduled(space: Space) -> None:
    for node in NODES:
        space.patch(
            "nodes",
            node,
            {"status": {"capacity": {"example.com/beard": "1000"}, "allocatable": {"example.com/beard": "1000"}}},
            "status",
        )

    def bearded(name: str, amount: str, **spec: Any) -> Object:
        resources = {"requests": {"example.com/beard": amount}, "limits": {"example.com/beard": amount}}
        return {"metadata": {"name": name}, "spec": {"containers": [container(resources=resources)], **spec}}

    for node in NODES:
        space.create("pods", bearded(f"filler-{node}", "700", nodeSelector={"kubernetes.io/hostname": node}))
        space.until_true("pods", f"filler-{node}", on_node)
    space.create("pods", bearded("additional-pod", "500"))
    is_unschedulable(space, "additional-pod")
    space.delete("pods", f"filler-{NODE}")
    assert on_node(space.until_true("pods", "additional-pod", on_node)) == NODE


@behaviour("Scheduler, node selector not matching")
def test_a_pod_whose_selector_no_node_matches_is_not_scheduled(space: Space) -> None:
    space.create("pods", pod("restricted-pod", nodeSelector={"label": "nonempty"}))
    is_unschedulable(space, "restricted-pod")


@behaviour("Scheduler, node selector matching")
def test_a_pod_goes_to_the_node_that_its_selector_matches(space: Space) -> None:
    label = f"kubernetes.io/e2e-{space.name}"
    space.patch("nodes", NODE, {"metadata": {"labels": {label: "42"}}})
    space.create("pods", pod("with-labels", nodeSelector={label: "42"}))
    assert on_node(space.until_true("pods", "with-labels", on_node)) == NODE


@behaviour("Scheduling, HostPort and Protocol match, HostIPs different but one is default HostIP (0.0.0.0)")
def test_a_host_port_of_all_addresses_conflicts_with_that_of_one(space: Space) -> None:
    def with_port(name: str, address: str) -> Object:
        port = {"containerPort": 8080, "hostPort": 54322, "protocol": "TCP", "hostIP": address}
        selector = {"kubernetes.io/hostname": NODE}
        return {"metadata": {"name": name}, "spec": {"nodeSelector": selector, "containers": [container(ports=[port])]}}

    space.create("pods", with_port("pod4", ""))
    space.until_true("pods", "pod4", on_node)
    space.create("pods", with_port("pod5", NODES[NODE]))
    is_unschedulable(space, "pod5")
