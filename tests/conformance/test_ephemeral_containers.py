"""Containers that are added to a running pod."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import pod
from tests.conformance.test_pods import STRATEGIC, until_running
from tests.conformance.world import Space

PART, POD = "ephemeralcontainers", "ephemeral-containers-target-pod"
DEBUGGER = {"name": "debugger", "image": "registry.example/busybox:1", "stdin": True, "tty": True}


def debugged(space: Space) -> Object:
    """A pod, once its ephemeral container runs."""
    assert space.create("pods", pod(POD))["metadata"]["generation"] == 1
    until_running(space, POD)
    space.patch("pods", POD, {"spec": {"ephemeralContainers": [DEBUGGER]}}, PART, content_type=STRATEGIC)
    found = until_all_run(space, 1)
    assert found["metadata"]["generation"] == 2
    return found


def until_all_run(space: Space, count: int) -> Object:
    def run(found: Object) -> bool:
        statuses = found["status"].get("ephemeralContainerStatuses") or ()
        return len(statuses) == count and all("running" in each["state"] for each in statuses)

    return space.until_true("pods", POD, run)


@behaviour("Ephemeral Container Creation")
def test_a_container_is_started_in_a_running_pod(space: Space) -> None:
    (status,) = debugged(space)["status"]["ephemeralContainerStatuses"]
    assert (status["name"], status["image"]) == ("debugger", DEBUGGER["image"])


@behaviour("Ephemeral Container, update ephemeral containers")
def test_another_container_is_started_beside_it(space: Space) -> None:
    debugged(space)
    assert [each["name"] for each in space.get("pods", POD, PART)["spec"]["ephemeralContainers"]] == ["debugger"]
    second = {"name": "debugger2", "image": "registry.example/agnhost:1", "terminationMessagePolicy": "File"}
    space.change("pods", POD, lambda found: found["spec"]["ephemeralContainers"].append(second), PART)
    found = space.get("pods", POD, PART)
    assert [each["name"] for each in found["spec"]["ephemeralContainers"]] == ["debugger", "debugger2"]
    until_all_run(space, 2)
