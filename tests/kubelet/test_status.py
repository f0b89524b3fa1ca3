"""A pod's status."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.kubelet import status
from navarch.kubelet.probes import ContainerProbes
from navarch.kubelet.runtime_pod import RuntimePod
from navarch.kubelet.status import View, Waiting
from tests.kubelet.pods import NOTHING, NOW, SANDBOX, container, pod, ran, runtime, sidecar


def make(a_pod: Object, state: RuntimePod, **view: Any) -> Object:
    return status.make(a_pod, state, View(now=NOW, host_ip="10.0.0.1", **view))


def condition(made: Object, type_: str) -> Object:
    found = meta.find(made["conditions"], "type", type_)
    assert found is not None
    return found


def state_of(made: Object, name: str = "c") -> Object:
    for group in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        found = meta.find(made.get(group) or (), "name", name)
        if found is not None:
            return found
    raise AssertionError(name)


def test_a_pod_that_has_just_come_is_pending() -> None:
    made = make(pod(), NOTHING)
    assert made["phase"] == "Pending" and made["startTime"] == "2026-05-01T12:00:00Z"
    assert "podIP" not in made and made["hostIP"] == "10.0.0.1" and made["observedGeneration"] == 1
    assert state_of(made)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert condition(made, "PodReadyToStartContainers")["status"] == "False"
    assert condition(made, "Initialized")["status"] == "True"
    assert condition(made, "Ready")["reason"] == "ContainersNotReady"


def test_a_pod_that_runs_is_ready() -> None:
    made = make(pod(), runtime(ran()))
    assert made["phase"] == "Running" and made["podIPs"] == [{"ip": "10.244.0.5"}]
    found = state_of(made)
    assert found["ready"] and found["started"] and found["containerID"] == "containerd://c-0"
    assert found["state"] == {"running": {"startedAt": "2026-05-01T11:58:20Z"}}
    assert {entry["status"] for entry in made["conditions"]} == {"True"}


def test_containers_wait_for_init_containers() -> None:
    made = make(pod(init=(container("i"),)), runtime(ran("i")))
    assert made["phase"] == "Pending"
    assert state_of(made)["state"]["waiting"]["reason"] == "PodInitializing"
    assert condition(made, "Initialized")["message"] == "containers with incomplete status: [i]"
    made = make(pod(init=(container("i"),)), runtime(ran("i", "exited"), ran()))
    assert made["phase"] == "Running" and condition(made, "Initialized")["status"] == "True"
    assert state_of(made, "i")["ready"]


def test_readiness_is_what_the_probe_says() -> None:
    probed = pod(container(readinessProbe={}))
    made = make(probed, runtime(ran()))
    assert not state_of(made)["ready"] and made["phase"] == "Running"
    assert condition(made, "ContainersReady")["message"] == "containers with unready status: [c]"
    made = make(probed, runtime(ran()), probes={"c-0": ContainerProbes({"readiness": "success"})})
    assert state_of(made)["ready"]


def test_a_container_that_has_not_started_is_not_ready() -> None:
    probed = pod(container(startupProbe={}))
    found = state_of(make(probed, runtime(ran())))
    assert not found["started"] and not found["ready"]


def test_readiness_gates_hold_back_ready_only() -> None:
    gated = pod(readinessGates=[{"conditionType": "example.com/ok"}])
    made = make(gated, runtime(ran()))
    assert condition(made, "ContainersReady")["status"] == "True"
    assert condition(made, "Ready")["reason"] == "ReadinessGatesNotReady"
    assert 'readiness gate "example.com/ok" does not exist' in condition(made, "Ready")["message"]
    gated["status"] = {"conditions": [{"type": "example.com/ok", "status": "True"}]}
    assert condition(make(gated, runtime(ran())), "Ready")["status"] == "True"


def test_a_container_in_back_off_waits_and_shows_its_last_end() -> None:
    state = runtime(ran(state="exited", code=2, attempt=1), ran(state="exited", code=1, attempt=0))
    made = make(pod(), state, waiting={"c": Waiting("CrashLoopBackOff", "back-off 10s")})
    found = state_of(made)
    assert found["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert found["lastState"]["terminated"]["exitCode"] == 2 and found["restartCount"] == 1
    assert made["phase"] == "Running"


def test_a_container_that_is_restarted_shows_its_last_end() -> None:
    made = make(pod(), runtime(ran(attempt=1), ran(state="exited", code=9, attempt=0)))
    assert state_of(made)["lastState"]["terminated"]["exitCode"] == 9
    assert state_of(made)["restartCount"] == 1


def test_an_image_that_cannot_be_had_keeps_the_pod_pending() -> None:
    made = make(pod(), runtime(), waiting={"c": Waiting("ErrImagePull", "no such image")})
    assert made["phase"] == "Pending"
    assert state_of(made)["state"]["waiting"] == {"reason": "ErrImagePull", "message": "no such image"}


@pytest.mark.parametrize(
    ("policy", "codes", "phase"),
    [
        ("Never", (0, 0), "Succeeded"),
        ("Never", (0, 1), "Failed"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("OnFailure", (0, 1), "Running"),
        ("Always", (0, 0), "Running"),
    ],
)
def test_the_phase_of_a_pod_whose_containers_have_ended(policy: str, codes: tuple[int, int], phase: str) -> None:
    state = runtime(ran("a", "exited", code=codes[0]), ran("b", "exited", code=codes[1]))
    assert make(pod(container("a"), container("b"), restartPolicy=policy), state)["phase"] == phase


def test_a_pod_succeeds_beside_its_sidecars() -> None:
    both = pod(init=(sidecar("s"),), restartPolicy="Never")
    made = make(both, runtime(ran("s"), ran("c", "exited")))
    assert made["phase"] == "Succeeded"
    assert condition(made, "Ready")["reason"] == "PodCompleted"


def test_a_failed_init_container_fails_a_pod_that_never_restarts() -> None:
    state = runtime(ran("i", "exited", code=1))
    assert make(pod(init=(container("i"),), restartPolicy="Never"), state)["phase"] == "Failed"
    assert make(pod(init=(container("i"),)), state)["phase"] == "Pending"


def test_a_final_phase_stays() -> None:
    done = pod(status={"phase": "Succeeded"})
    assert make(done, NOTHING)["phase"] == "Succeeded"


def test_a_pod_that_is_ended_by_the_node_fails_with_its_reason() -> None:
    made = make(pod(), runtime(ran(state="exited")), terminating=True, terminated=True, reason="Evicted", message="low")
    assert (made["phase"], made["reason"], made["message"]) == ("Failed", "Evicted", "low")
    # While it still runs it has not failed yet.
    assert make(pod(), runtime(ran()), terminating=True, reason="Evicted")["phase"] == "Running"


def test_a_deleted_pod_that_ends_well_has_succeeded() -> None:
    assert make(pod(), runtime(ran(state="exited")), terminating=True, terminated=True)["phase"] == "Succeeded"
    made = make(pod(), runtime(ran(state="exited", code=143)), terminating=True, terminated=True)
    assert made["phase"] == "Failed"


def test_what_the_runtime_has_lost_is_told() -> None:
    old = {"name": "c", "state": {"running": {"startedAt": "x"}}, "restartCount": 2, "image": "c:1", "imageID": "sha256:1"}
    lost = pod(status={"containerStatuses": [old]})
    found = state_of(make(lost, runtime()))
    assert found["restartCount"] == 3
    assert found["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    ended = state_of(make(lost, runtime(), terminating=True))
    assert ended["state"]["terminated"]["exitCode"] == 137 and ended["restartCount"] == 2


def test_host_network_pods_have_the_nodes_address() -> None:
    host = replace(SANDBOX, ips=(), host_network=True)
    made = make(pod(hostNetwork=True), runtime(ran(), sandboxes=(host,)))
    assert made["podIP"] == "10.0.0.1"


def test_the_address_of_a_finished_pod_is_kept() -> None:
    done = pod(status={"phase": "Running", "podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}]}, restartPolicy="Never")
    made = make(done, runtime(ran(state="exited"), sandboxes=(replace(SANDBOX, ready=False),)))
    assert made["phase"] == "Succeeded" and made["podIP"] == "10.244.0.5"


def test_the_time_of_a_condition_changes_with_its_status_only() -> None:
    first = make(pod(), NOTHING)
    again = status.make(pod(status=first), NOTHING, View(now=NOW.replace(minute=30), host_ip="10.0.0.1"))
    assert again == first
    running = status.make(pod(status=first), runtime(ran()), View(now=NOW.replace(minute=30), host_ip="10.0.0.1"))
    assert condition(running, "Ready")["lastTransitionTime"] == "2026-05-01T12:30:00Z"
    assert condition(running, "PodScheduled")["lastTransitionTime"] == "2026-05-01T12:00:00Z"


def test_mounts_and_resources_of_a_running_container_are_shown() -> None:
    wanted = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
    mounted = container(resources=wanted, volumeMounts=[{"name": "v", "mountPath": "/v", "readOnly": True}])
    found = state_of(make(pod(mounted), runtime(ran())))
    assert found["resources"] == wanted and found["allocatedResources"] == {"cpu": "1"}
    assert found["volumeMounts"] == [{"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": "Disabled"}]


def test_a_patch_holds_only_what_changed_and_leaves_others_conditions_alone() -> None:
    old = make(pod(), NOTHING)
    assert status.patch(old, old, "u-1") is None
    new = make(pod(status=old), runtime(ran()))
    other = {"type": "example.com/ok", "status": "True"}
    found = status.patch({**old, "conditions": [*old["conditions"], other]}, new, "u-1")
    assert found is not None and found["metadata"] == {"uid": "u-1"}
    assert "startTime" not in found["status"] and found["status"]["phase"] == "Running"
    assert {entry["type"] for entry in found["status"]["conditions"]} == {
        "PodReadyToStartContainers",
        "Ready",
        "ContainersReady",
    }
    ready = meta.find(found["status"]["conditions"], "type", "Ready")
    assert ready is not None and ready["reason"] is None and ready["message"] is None


def test_an_address_that_is_gone_is_taken_away() -> None:
    found = status.patch({"podIPs": [{"ip": "1"}]}, {"podIPs": [{"ip": "2"}]}, "u")
    assert found is not None and found["status"]["podIPs"] == [{"ip": "2"}, {"$patch": "delete", "ip": "1"}]
