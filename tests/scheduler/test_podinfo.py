"""What a pod means to the scheduler."""

from __future__ import annotations

import pytest

from navarch.apimachinery.errors import Object
from navarch.scheduler.podinfo import PodInfo


def pod(asked: str, status: Object) -> Object:
    container = {"name": "c", "image": "a", "resources": {"requests": {"cpu": asked}}}
    metadata = {"name": "p", "namespace": "default", "uid": "u"}
    return {"metadata": metadata, "spec": {"containers": [container], "nodeName": "n"}, "status": status}


def told(allocated: str, actual: str, reason: str = "") -> Object:
    container = {"name": "c", "allocatedResources": {"cpu": allocated}, "resources": {"requests": {"cpu": actual}}}
    conditions = [{"type": "PodResizePending", "status": "True", "reason": reason}] if reason else []
    return {"containerStatuses": [container], "conditions": conditions}


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("1", {}, 1000),
        ("1", told("1", "1"), 1000),
        ("2", told("1", "1"), 2000),
        ("1", told("1", "2"), 2000),
        ("1", told("3", "2"), 3000),
        ("4", told("1", "1", "Deferred"), 4000),
        ("4", told("1", "1", "Infeasible"), 1000),
    ],
)
def test_a_pod_that_is_resized_counts_with_the_larger_of_what_it_has_and_is_to_have(
    asked: str, status: Object, expected: int
) -> None:
    info = PodInfo(pod(asked, status))
    assert info.requests["cpu"] == info.non_zero_requests[0] == expected


def test_pods_of_one_template_that_are_bound_to_one_zone_share_another() -> None:
    def made(name: str, **labels: str) -> PodInfo:
        found = pod("1", {})
        return PodInfo({**found, "metadata": {**found["metadata"], "name": name, "labels": {"app": "web", **labels}}})

    zone = "topology.kubernetes.io/zone"
    here, there, nowhere = ({"metadata": {"labels": {"os": "x", **found}}} for found in ({zone: "a"}, {zone: "b"}, {}))
    one, two = made("one"), made("two")
    assert one.bound_to(nowhere) is one
    assert one.bound_to(here).labels == {"app": "web", zone: "a"}
    assert one.bound_to(here).counts_as(two.bound_to(here))
    assert one.bound_to(here).counts_as(made("three", **{zone: "a"}))
    assert not one.bound_to(here).counts_as(two.bound_to(there))
    assert made("four", **{zone: "b"}).bound_to(here).labels[zone] == "a"
