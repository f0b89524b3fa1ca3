"""The conditions of a pod that the kubelet says."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.kubelet import status
from navarch.kubelet.runtime_pod import RuntimePod
from navarch.kubelet.status import View
from tests.kubelet.pods import NOTHING, NOW, container, pod, ran, runtime


def make(a_pod: Object, state: RuntimePod, **view: Any) -> Object:
    return status.make(a_pod, state, View(now=NOW, host_ip="10.0.0.1", **view))


def condition(made: Object, type_: str) -> Object:
    found = meta.find(made["conditions"], "type", type_)
    assert found is not None
    return found


def test_readiness_gates_hold_back_ready_only() -> None:
    gated = pod(readinessGates=[{"conditionType": "example.com/ok"}])
    made = make(gated, runtime(ran()))
    assert condition(made, "ContainersReady")["status"] == "True"
    assert condition(made, "Ready")["reason"] == "ReadinessGatesNotReady"
    assert 'readiness gate "example.com/ok" does not exist' in condition(made, "Ready")["message"]
    gated["status"] = {"conditions": [{"type": "example.com/ok", "status": "True"}]}
    assert condition(make(gated, runtime(ran())), "Ready")["status"] == "True"
    two = pod(readinessGates=[{"conditionType": "a"}, {"conditionType": "b"}])
    two["status"] = {"conditions": [{"type": "b", "status": "False"}]}
    assert condition(make(two, runtime(ran())), "Ready")["message"] == (
        'corresponding condition of pod readiness gate "a" does not exist., '
        'the status of pod readiness gate "b" is not "True", but False'
    )


def test_the_time_of_a_condition_changes_with_its_status_only() -> None:
    first = make(pod(), NOTHING)
    again = status.make(pod(status=first), NOTHING, View(now=NOW.replace(minute=30), host_ip="10.0.0.1"))
    assert again == first
    running = status.make(pod(status=first), runtime(ran()), View(now=NOW.replace(minute=30), host_ip="10.0.0.1"))
    assert condition(running, "Ready")["lastTransitionTime"] == "2026-05-01T12:30:00Z"
    assert condition(running, "PodScheduled")["lastTransitionTime"] == "2026-05-01T12:00:00Z"


def test_conditions_tell_which_generation_they_are_of() -> None:
    scheduled = {
        "type": "PodScheduled",
        "status": "True",
        "observedGeneration": 1,
        "lastProbeTime": None,
        "lastTransitionTime": "2026-05-01T11:00:00Z",
    }
    resized = pod(status={"conditions": [scheduled]})
    resized["metadata"]["generation"] = 2
    made = make(resized, runtime(ran()))
    assert condition(made, "PodScheduled") == {**scheduled, "observedGeneration": 2}
    assert {found["observedGeneration"] for found in made["conditions"]} == {2}


def test_a_pod_that_has_succeeded_is_complete_with_and_without_init_containers() -> None:
    for init in ((), (container("i"),)):
        ended = [ran(one["name"], "exited") for one in init]
        made = make(pod(init=init, restartPolicy="Never"), runtime(*ended, ran(state="exited")))
        assert {condition(made, type_)["reason"] for type_ in ("Initialized", "Ready", "ContainersReady")} == {"PodCompleted"}


def test_a_pod_that_is_over_before_it_ran_was_not_ready_then() -> None:
    made = make(pod(), NOTHING, terminating=True, terminated=True)
    assert made["phase"] == "Failed" and condition(made, "Ready")["reason"] == "ContainersNotReady"
