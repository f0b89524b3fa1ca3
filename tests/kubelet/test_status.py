"""A pod's status."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.kubelet import status
from navarch.kubelet.probes import ContainerProbes
from navarch.kubelet.runtime_pod import Container, RuntimePod
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


def test_a_final_phase_stays() -> None:
    done = pod(status={"phase": "Succeeded"})
    assert make(done, NOTHING)["phase"] == "Succeeded"


def test_a_pod_that_is_ended_by_the_node_fails_with_its_reason() -> None:
    made = make(pod(), runtime(ran(state="exited")), terminating=True, terminated=True, reason="Evicted", message="low")
    assert (made["phase"], made["reason"], made["message"]) == ("Failed", "Evicted", "low")
    # While it still runs it has not failed yet, but is not ready any more.
    ending = make(pod(), runtime(ran()), terminating=True, reason="Evicted", message="low")
    assert ending["phase"] == "Running" and "reason" not in ending
    assert condition(ending, "Ready")["reason"] == "PodFailed"


def test_a_pod_has_not_failed_while_anything_of_it_runs() -> None:
    a_pod = pod(init=(sidecar("s"), container("i")), restartPolicy="Never", status={"phase": "Pending"})
    lost = ran("i", state="exited", code=1)
    made = make(a_pod, runtime(ran("s"), lost))
    assert made["phase"] == "Pending"
    assert condition(made, "Ready")["reason"] == "PodFailed"
    assert make(a_pod, runtime(ran("s", state="exited"), lost))["phase"] == "Failed"


def test_a_deleted_pod_that_ends_well_has_succeeded() -> None:
    assert make(pod(), runtime(ran(state="exited")), terminating=True, terminated=True)["phase"] == "Succeeded"
    made = make(pod(), runtime(ran(state="exited", code=143)), terminating=True, terminated=True)
    assert made["phase"] == "Failed"


def test_what_the_runtime_has_lost_is_told() -> None:
    old = {"name": "c", "state": {"running": {"startedAt": "x"}}, "restartCount": 2, "image": "c:1", "imageID": "sha256:1"}
    lost = pod(status={"phase": "Running", "containerStatuses": [old]})
    made = make(lost, runtime())
    found = state_of(made)
    assert made["phase"] == "Running" and found["restartCount"] == 3
    assert found["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert found["lastState"]["terminated"] == {
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was deleted.  The container used to be Running",
        "exitCode": 137,
        "startedAt": None,
        "finishedAt": None,
    }
    # It is told once.
    assert state_of(make({**lost, "status": made}, runtime()))["restartCount"] == 3
    lost["metadata"]["deletionTimestamp"] = "2026-05-01T12:00:00Z"
    assert state_of(make(lost, runtime(), terminating=True))["restartCount"] == 2


def test_when_a_pod_is_over_what_is_not_known_to_have_ended_has_failed() -> None:
    made = make(pod(container("a"), container("b")), runtime(ran("a", "exited")), terminating=True, terminated=True)
    assert made["phase"] == "Failed" and state_of(made, "a")["state"]["terminated"]["exitCode"] == 0
    assert state_of(made, "b")["state"]["terminated"] == {
        "reason": "ContainerStatusUnknown",
        "message": "The container could not be located when the pod was terminated",
        "exitCode": 137,
        "startedAt": None,
        "finishedAt": None,
    }


@pytest.mark.parametrize(
    ("runs", "ended"),
    [
        ((), {"i"}),
        ((ran("i", "exited", code=1),), {"i"}),
        ((ran("i", "exited"), ran("j", "exited", code=1)), {"i", "j"}),
        ((ran("i", "exited"), ran("j", "exited")), {"i", "j", "c"}),
    ],
)
def test_of_a_pod_that_is_over_what_has_not_begun_still_waits(runs: tuple[Container, ...], ended: set[str]) -> None:
    both = pod(init=(container("i"), container("j")))
    made = make(both, runtime(*runs), terminating=True, terminated=True)
    assert made["phase"] == "Failed"
    assert {name for name in ("i", "j", "c") if "terminated" in state_of(made, name)["state"]} == ended


def test_init_containers_that_were_cleared_away_have_ended_once_others_have_begun() -> None:
    both = pod(init=(container("i"), sidecar("s")))
    made = make(both, runtime(ran("s"), ran()))
    assert state_of(made, "i")["state"]["terminated"] == {
        "reason": "Completed",
        "message": "Unable to get init container status from container runtime and pod has been initialized, "
        "treat it as exited normally",
        "exitCode": 0,
        "startedAt": None,
        "finishedAt": None,
    }
    assert made["phase"] == "Running" and condition(made, "Initialized")["status"] == "True"


def test_containers_are_told_in_the_order_of_their_names_and_init_containers_in_theirs() -> None:
    made = make(pod(container("b"), container("a"), init=(container("z"), container("y"))), NOTHING)
    assert [found["name"] for found in made["containerStatuses"]] == ["a", "b"]
    assert [found["name"] for found in made["initContainerStatuses"]] == ["z", "y"]
    assert condition(made, "ContainersReady")["message"] == "containers with unready status: [b a]"


def test_a_container_that_was_made_but_does_not_run_waits_without_a_reason() -> None:
    assert state_of(make(pod(), runtime(ran(state="created"))))["state"] == {"waiting": {}}


def test_a_state_that_the_runtime_does_not_know_is_an_end_if_the_container_ran() -> None:
    assert state_of(make(pod(), runtime(ran(state="unknown"))))["state"] == {"waiting": {}}
    old = {"name": "c", "state": {"running": {"startedAt": "x"}}, "restartCount": 2}
    found = state_of(make(pod(status={"containerStatuses": [old]}), runtime(ran(state="unknown"))))
    assert found["state"]["terminated"]["reason"] == "ContainerStatusUnknown" and found["restartCount"] == 3


def test_messages_of_many_containers_share_the_room_there_is() -> None:
    names = ("a", "b", "c", "d")
    state = runtime(*(ran(name, "exited", code=1, message="no") for name in names))
    made = make(pod(*map(container, names)), state, messages={f"{name}-0": "m" * 4096 for name in names})
    assert state_of(made, "d")["state"]["terminated"]["message"] == "no: " + "m" * (3072 - 4)


def test_a_reason_belongs_to_its_phase() -> None:
    told = {"phase": "Pending", "reason": "Why", "message": "because"}
    made = make(pod(status=told), NOTHING)
    assert (made["reason"], made["message"]) == ("Why", "because")
    made = make(pod(status=told), runtime(ran()))
    assert "reason" not in made and "message" not in made


def test_host_network_pods_have_the_nodes_address() -> None:
    host = replace(SANDBOX, ips=(), host_network=True)
    made = make(pod(hostNetwork=True), runtime(ran(), sandboxes=(host,)))
    assert made["podIP"] == "10.0.0.1"


def test_the_address_of_a_finished_pod_is_kept() -> None:
    done = pod(status={"phase": "Running", "podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}]}, restartPolicy="Never")
    made = make(done, runtime(ran(state="exited"), sandboxes=(replace(SANDBOX, ready=False),)))
    assert made["phase"] == "Succeeded" and made["podIP"] == "10.244.0.5"


def test_mounts_resources_and_users_of_containers_are_shown() -> None:
    wanted = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
    mounted = container(resources=wanted, volumeMounts=[{"name": "v", "mountPath": "/v", "readOnly": True}])
    user = {"linux": {"uid": 0, "gid": 0, "supplementalGroups": [0]}}
    for state in (ran(user=user), ran(state="exited", user=user)):
        found = state_of(make(pod(mounted), runtime(state)))
        assert found["resources"] == wanted and found["allocatedResources"] == {"cpu": "1"} and found["user"] == user
    assert found["volumeMounts"] == [{"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": "Disabled"}]


@pytest.mark.parametrize(
    ("wanted", "supported", "told"),
    [
        ("Enabled", True, "Enabled"),
        ("IfPossible", True, "Enabled"),
        ("IfPossible", False, "Disabled"),
        ("Disabled", True, "Disabled"),
    ],
)
def test_how_far_down_a_mount_is_read_only_is_told(wanted: str, supported: bool, told: str) -> None:
    mount = {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": wanted}
    made = make(pod(container(volumeMounts=[mount])), runtime(ran()), recursive_read_only=supported)
    assert state_of(made)["volumeMounts"] == [{**mount, "recursiveReadOnly": told}]


def test_resources_of_the_whole_pod_are_told() -> None:
    def asking(name: str, requests: Object, limits: Object) -> Object:
        return container(name, resources={"requests": requests, "limits": limits})

    both = pod(
        asking("a", {"cpu": "100m", "memory": "64Mi"}, {"cpu": "1", "memory": "64Mi"}),
        asking("b", {"cpu": "150m", "ephemeral-storage": "1Gi"}, {"cpu": "1"}),
    )
    allocated = {"cpu": "250m", "memory": "64Mi", "ephemeral-storage": "1Gi"}
    waiting = make(both, NOTHING)
    assert waiting["allocatedResources"] == allocated
    assert waiting["resources"] == {"requests": allocated, "limits": {"cpu": "2", "memory": "64Mi"}}
    # What its cgroup is not told is not in force: not every container has a limit of memory.
    running = make(both, runtime(ran("a"), ran("b")))
    assert running["allocatedResources"] == allocated
    assert running["resources"] == {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "2"}}
    patched = status.patch(waiting, running, "u-1")
    assert patched is not None
    assert patched["status"]["resources"] == {"requests": {"ephemeral-storage": None}, "limits": {"memory": None}}
    nothing = make(pod(), runtime(ran()))
    assert nothing["resources"] == {} and "allocatedResources" not in nothing


def test_resources_of_a_pod_that_has_its_own_are_those() -> None:
    whole = pod(resources={"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}})
    made = make(whole, runtime(ran()))
    assert made["allocatedResources"] == {"cpu": "1"}
    assert made["resources"] == whole["spec"]["resources"]


def test_a_patch_holds_only_what_changed_and_leaves_others_conditions_alone() -> None:
    old = make(pod(), NOTHING)
    assert status.patch(old, old, "u-1") is None
    untold = [{key: value for key, value in entry.items() if value is not None} for entry in old["conditions"]]
    assert status.patch({**old, "conditions": untold}, old, "u-1") is None, "what nobody has told is the same as null"
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
