"""Pods' workers, with a runtime and an API that only pretend: what happens when something fails, is late, or goes away."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.kubelet import httpget, status
from navarch.kubelet.pod_worker import PodWorker
from tests.kubelet.trial import KEY, NODE, Trial, on_a_trial


def test_a_pod_runs_is_reported_once_and_ends(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        pod = await t.running()
        writes = [request for request in t.api.requests if request == ("PATCH", "/api/v1/namespaces/default/pods/p/status")]
        assert len(writes) == 1, "a pod that starts quickly is written about once"
        assert t.status()["podIP"] == "10.244.0.1"
        await t.bench.client.delete("pods", "p", "default")
        await t.until(lambda: t.api.one("pods", KEY) is None)
        assert not t.runtime.containers and not t.runtime.sandboxes
        assert not (t.kubelet.config.pods_directory / meta.uid(pod)).exists()

    on_a_trial(test)(tmp_path)


def test_containers_are_restarted_while_the_api_server_is_away(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.api.put(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm", "namespace": "default"}, "data": {"k": "v"}}
        )
        env = [{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}}]
        volumes = [{"name": "v", "configMap": {"name": "cm"}}]
        t.add({"name": "c", "env": env, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}, volumes=volumes)
        await t.until(lambda: t.status().get("phase") == "Running")
        t.api.refuse = lambda method, path, body: ConnectionRefusedError("away")
        (first,) = t.runtime.running()
        t.runtime.exit(first, 1)
        await t.until(lambda: t.runtime.running() and t.runtime.running() != [first])
        assert t.container()["restartCount"] == 0, "nobody could be told"
        t.api.refuse = lambda method, path, body: None
        await t.until(lambda: t.container()["restartCount"] == 1)

    on_a_trial(test)(tmp_path)


def test_what_others_say_of_a_pods_state_is_put_right(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        await t.running()
        wrong = [{**c, "status": "False"} if c["type"] == "Ready" else c for c in t.status()["conditions"]]
        other = {"type": "example.com/other", "status": "True"}
        t.api.change("pods", KEY, status={**t.status(), "conditions": [*wrong, other]})
        await t.until(lambda: meta.is_condition_true(t.api.one("pods", KEY) or {}, "Ready"))
        assert other in t.status()["conditions"]

    on_a_trial(test)(tmp_path)


def test_a_defect_in_telling_does_not_end_the_work_on_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(t: Trial) -> None:
        make, failures = status.make, iter(range(3))

        def broken_at_first(*given: Any) -> Object:
            if next(failures, None) is not None:
                raise KeyError("c")
            return make(*given)

        monkeypatch.setattr(status, "make", broken_at_first)
        t.add()
        await t.until(lambda: t.status().get("phase") == "Running")

    on_a_trial(test)(tmp_path)


def test_a_pod_whose_initialisation_has_failed_is_over_when_its_sidecars_are(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        image = {"image": "app:1", "imagePullPolicy": "IfNotPresent"}
        t.runtime.stop_seconds = 60
        t.add(
            initContainers=[{"name": "s", **image, "restartPolicy": "Always"}, {"name": "i", **image}],
            restartPolicy="Never",
            terminationGracePeriodSeconds=2,
        )
        await t.until(lambda: t.runtime.running("i"))
        t.runtime.exit(t.runtime.running("i")[0], 1)
        await t.until(lambda: ("StopContainer", "s") in t.runtime.calls)
        await t.until(lambda: any(c["name"] == "i" and "terminated" in c["state"] for c in t.status()["initContainerStatuses"]))
        assert t.status()["phase"] == "Pending" and t.runtime.running("s")
        await t.until(lambda: t.status()["phase"] == "Failed")
        assert not t.runtime.running()

    on_a_trial(test)(tmp_path)


def test_a_pod_the_node_has_no_room_for_fails(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.add({"name": "c", "resources": {"requests": {"cpu": "3"}}})
        await t.until(lambda: t.status().get("phase") == "Failed")
        assert t.status()["reason"] == "OutOfcpu"
        expected = "Pod was rejected: Node didn't have enough resource: cpu, requested: 3000, used: 0, capacity: 2000"
        assert t.status()["message"] == expected
        await t.until(lambda: t.events("OutOfcpu"))
        assert t.events("OutOfcpu") == [expected.removeprefix("Pod was rejected: ")]
        assert not t.runtime.sandboxes
        ended = t.container()["state"]["terminated"]
        assert (ended["reason"], ended["exitCode"]) == ("ContainerStatusUnknown", 137)

    on_a_trial(test, capacity_cpu="2")(tmp_path)


def test_the_nodes_newest_labels_count_for_a_pod_that_asks_for_them(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.add({"name": "c"}, name="other", nodeSelector={"disk": "hdd"})
        await t.until(lambda: t.status("default/other").get("reason") == "NodeAffinity")
        node = t.api.one("nodes", NODE)
        assert node is not None
        t.api.change("nodes", NODE, metadata={**node["metadata"], "labels": {**node["metadata"]["labels"], "disk": "ssd"}})
        # What the kubelet has heard of it is older.
        t.kubelet.node._node = node
        t.add({"name": "c"}, nodeSelector={"disk": "ssd"})
        await t.until(lambda: t.status().get("phase") == "Running")

    on_a_trial(test)(tmp_path)


def test_a_pod_taken_out_of_the_api_by_force_ends_too(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        await t.running()
        await t.bench.client.delete("pods", "p", "default", grace_period_seconds=0)
        await t.until(lambda: not t.runtime.sandboxes and not t.kubelet._workers)

    on_a_trial(test)(tmp_path)


def test_a_shorter_grace_counts_at_once_and_hooks_run_once(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.runtime.stop_seconds = 60
        t.add({"name": "c", "lifecycle": {"preStop": {"exec": {"command": ["bye"]}}}}, terminationGracePeriodSeconds=60)
        await t.until(lambda: t.status().get("phase") == "Running")
        metadata = (t.api.one("pods", KEY) or {})["metadata"]
        deleted = {**metadata, "deletionTimestamp": "2026-01-01T00:00:00Z"}
        t.api.change("pods", KEY, metadata={**deleted, "deletionGracePeriodSeconds": 60})
        await t.until(lambda: ("StopContainer", "c") in t.runtime.calls)
        t.api.change("pods", KEY, metadata={**deleted, "deletionGracePeriodSeconds": 0})
        await t.until(lambda: t.api.one("pods", KEY) is None)
        assert [call for call in t.runtime.calls if call[0] == "ExecSync"] == [("ExecSync", "c")]
        assert t.events("Killing") == ["Stopping container c"]

    on_a_trial(test)(tmp_path)


def test_hooks_of_pods_in_the_nodes_network_are_asked_at_the_nodes_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def fetch(url: str, headers: list[tuple[str, str]], timeout_seconds: float) -> tuple[int, str]:
        asked.append(url)
        return 200, ""

    async def test(t: Trial) -> None:
        monkeypatch.setattr(httpget, "fetch", fetch)
        hooks = {name: {"httpGet": {"port": 8080, "path": f"/{name}"}} for name in ("postStart", "preStop")}
        t.add({"name": "c", "lifecycle": hooks}, hostNetwork=True, terminationGracePeriodSeconds=60)
        await t.until(lambda: t.status().get("phase") == "Running")
        await t.bench.client.delete("pods", "p", "default")
        await t.until(lambda: t.api.one("pods", KEY) is None)
        assert asked == ["http://10.0.0.1:8080/postStart", "http://10.0.0.1:8080/preStop"]

    on_a_trial(test)(tmp_path)


def test_a_pod_that_was_ending_when_the_kubelet_came_is_not_checked_for_life(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        probe = {"exec": {"command": ["x"]}}
        pod = await t.running({"name": "c", "livenessProbe": probe, "readinessProbe": probe})
        later = PodWorker(t.kubelet._context, meta.set_path(pod, clock.timestamp(), "metadata", "deletionTimestamp"))
        await later._refresh()
        (found,) = later._prober.results().values()
        assert set(found.results) == {"readiness"}
        await later._prober.stop()

    on_a_trial(test)(tmp_path)


def test_hooks_of_sidecars_run_beside_the_others_and_what_they_say_stays_with_the_node(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        hook = {"preStop": {"exec": {"command": ["bye"]}}}
        fields = {"image": "app:1", "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always", "lifecycle": hook}
        t.runtime.command = lambda container_id, command: (1, b"secret")
        t.runtime.stop_seconds = 0.05
        sidecars = [{"name": "s", **fields}, {"name": "t", **fields}]
        t.add({"name": "c", "lifecycle": hook}, initContainers=sidecars, terminationGracePeriodSeconds=60)
        await t.until(lambda: t.status().get("phase") == "Running")
        metadata = (t.api.one("pods", KEY) or {})["metadata"]
        deleted = {**metadata, "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 60}
        t.api.change("pods", KEY, metadata=deleted)
        await t.until(lambda: t.api.one("pods", KEY) is None)
        ending = [call for call in t.runtime.calls if call[0] in ("ExecSync", "StopContainer")]
        stops = [name for method, name in ending if method == "StopContainer"]
        assert stops == ["c", "t", "s"]
        assert set(ending[: ending.index(("StopContainer", "t"))]) > {("ExecSync", name) for name in "cst"}
        assert t.events("FailedPreStopHook") == ["PreStopHook failed"] * 3

    on_a_trial(test)(tmp_path)


def test_a_runtime_that_tells_no_events_is_asked(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.runtime.has_events = False
        await t.running(restartPolicy="Never")
        t.runtime.exit(t.runtime.running()[0], 0)
        await t.until(lambda: t.status().get("phase") == "Succeeded")

    on_a_trial(test, relist_with_events_seconds=0.05)(tmp_path)


def test_pods_that_ended_keep_their_containers_until_they_are_deleted(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        pod = await t.running(restartPolicy="Never")
        t.runtime.exit(t.runtime.running()[0], 3)
        await t.until(lambda: t.status().get("phase") == "Failed")
        await t.until(lambda: not (t.kubelet.config.pods_directory / meta.uid(pod)).exists())
        assert len(t.runtime.containers) == 1
        found = t.kubelet.pod("default", "p")
        assert found is not None
        container = t.kubelet.container(found, "c")
        assert container is not None and container.exit_code == 3
        await t.bench.client.delete("pods", "p", "default")
        await t.until(lambda: not t.runtime.containers and t.api.one("pods", KEY) is None)

    on_a_trial(test)(tmp_path)


def test_of_many_runs_the_last_two_are_kept(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.kubelet._context.backoff.initial_seconds = 0.01
        await t.running()
        for attempt in range(1, 5):
            t.runtime.exit(t.runtime.running()[0], 1)
            await t.until(lambda attempt=attempt: t.runtime.running() and t.container()["restartCount"] == attempt)
        await t.until(lambda: len(t.runtime.containers) == 2)
        found = t.kubelet.pod("default", "p")
        assert found is not None
        previous = t.kubelet.container(found, "c", previous=True)
        assert previous is not None and previous.attempt == 3

    on_a_trial(test)(tmp_path)


def test_who_waits_for_a_containers_end_is_told(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        await t.running(restartPolicy="Never")
        pod = t.kubelet.pod("default", "p")
        assert pod is not None
        container_id = t.runtime.running()[0]
        waiter = asyncio.ensure_future(t.kubelet.wait_container_ended(pod, container_id))
        await asyncio.sleep(0)
        assert not waiter.done()
        t.runtime.exit(container_id)
        await asyncio.wait_for(waiter, 5)

    on_a_trial(test)(tmp_path)


def test_what_nobody_knows_is_ended(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        await t.running()
        (t.kubelet.config.pods_directory / "left-over" / "volumes").mkdir(parents=True)
        (t.kubelet.config.log_directory / "default_old_left-over").mkdir()
        await t.kubelet._clear_away()
        assert not (t.kubelet.config.pods_directory / "left-over").exists()
        assert len(list(t.kubelet.config.log_directory.iterdir())) == 1
        assert t.runtime.running()

    on_a_trial(test)(tmp_path)
