"""Pods' workers, with a runtime and an API that only pretend: what happens when something fails, is late, or goes away."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.cri import runtime_pb2 as pb
from navarch.cri.client import CRIError
from navarch.cri.fake import FakeRuntime
from navarch.kubelet import httpget, status
from navarch.kubelet.config import KubeletConfig
from navarch.kubelet.container_config import log_directory_name
from navarch.kubelet.kubelet import Kubelet
from tests.fakeapi import Bench, bench

NODE = "n1"
KEY = "default/p"


class Trial:
    """A kubelet on a bench."""

    def __init__(self, found: Bench, runtime: FakeRuntime, kubelet: Kubelet) -> None:
        self.bench, self.api, self.runtime, self.kubelet = found, found.api, runtime, kubelet

    def add(self, *containers: Object, name: str = "p", **spec: Any) -> Object:
        made = [
            {"image": "app:1", "imagePullPolicy": "IfNotPresent", **container} for container in containers or ({"name": "c"},)
        ]
        body = {"nodeName": NODE, "restartPolicy": "Always", "terminationGracePeriodSeconds": 1, **spec, "containers": made}
        metadata = {"name": name, "namespace": "default", "generation": 1}
        return self.api.put(
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body, "status": {"phase": "Pending"}}
        )

    def status(self, key: str = KEY) -> Object:
        return (self.api.one("pods", key) or {}).get("status") or {}

    def container(self, key: str = KEY) -> Object:
        return (self.status(key).get("containerStatuses") or [{"state": {}}])[0]

    def events(self, reason: str) -> list[str]:
        return [event["message"] for event in self.api.all("events") if event["reason"] == reason]

    async def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        return await self.bench.until(condition, what=what)

    async def running(self, **fields: Any) -> Object:
        pod = self.add(**fields)
        await self.until(lambda: self.status().get("phase") == "Running")
        return pod


@asynccontextmanager
async def trial(directory: Path, **config: Any) -> AsyncIterator[Trial]:
    runtime = FakeRuntime(images=["app:1"])
    settings = {"relist_seconds": 0.05, "status_check_seconds": 0.05, **config}
    kept: list[Kubelet] = []

    def start(found: Bench) -> Kubelet:
        found.api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}, "spec": {}})
        kubelet = Kubelet(
            KubeletConfig(
                node_name=NODE,
                node_ip="10.0.0.1",
                root_directory=directory / "kubelet",
                log_directory=directory / "logs",
                manage_cgroups=False,
                memory_volumes=False,
                **settings,
            ),
            found.client,
            runtime,
            runtime,
            found.informers,
        )
        kept.append(kubelet)
        return kubelet

    async with bench(start) as found:
        await found.until(lambda: kept[0].node.registered.is_set() and not kept[0].node.problem())
        yield Trial(found, runtime, kept[0])


def on_a_trial(test: Callable[[Trial], Any], **config: Any) -> Callable[[Path], None]:
    def run(tmp_path: Path) -> None:
        async def within() -> None:
            async with trial(tmp_path, **config) as found:
                await test(found)

        asyncio.run(within())

    return run


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


def test_a_sandbox_that_cannot_be_made_is_told_and_tried_again(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.runtime.failures["RunPodSandbox"] = CRIError("UNKNOWN", "no network", "RunPodSandbox")
        t.add()
        await t.until(lambda: t.events("FailedCreatePodSandBox"))
        assert (
            t.events("FailedCreatePodSandBox")[0] == "Failed to create pod sandbox: rpc error: code = Unknown desc = no network"
        )
        await t.until(lambda: t.container()["state"] == {"waiting": {"reason": "ContainerCreating"}})
        del t.runtime.failures["RunPodSandbox"]
        await t.until(lambda: t.status().get("phase") == "Running")

    on_a_trial(test)(tmp_path)


def test_a_container_that_cannot_be_made_or_started_is_told(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.runtime.failures["CreateContainer"] = CRIError("UNKNOWN", "no space", "CreateContainer")
        t.add()
        await t.until(lambda: "waiting" in t.container()["state"])
        await t.until(lambda: t.container()["state"]["waiting"] == {"reason": "CreateContainerError", "message": "no space"})
        assert "Error: no space" in t.events("Failed")
        t.runtime.failures = {"StartContainer": CRIError("UNKNOWN", "no such program", "StartContainer")}
        await t.until(lambda: t.container()["state"]["waiting"]["reason"] == "RunContainerError")
        t.runtime.failures = {}
        await t.until(lambda: t.status().get("phase") == "Running")
        assert len(t.runtime.containers) == 1, "what was made and never ran is removed"

    on_a_trial(test)(tmp_path)


def test_a_container_is_not_started_again_while_a_start_of_it_is_under_way(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        may_go_on = asyncio.Event()
        create = t.runtime.create_container

        async def slow(sandbox_id: str, config: pb.ContainerConfig, sandbox_config: pb.PodSandboxConfig) -> str:
            made = await create(sandbox_id, config, sandbox_config)
            await may_go_on.wait()
            return made

        t.runtime.create_container = slow  # type: ignore[method-assign]
        pod = t.add({"name": "broken"}, {"name": "slow"})
        stuck = t.kubelet.config.log_directory / log_directory_name(pod)
        stuck.mkdir(parents=True)
        (stuck / "broken").touch()
        await t.until(lambda: ("CreateContainer", "slow") in t.runtime.calls)
        for _ in range(300):
            t.kubelet._workers[meta.uid(pod)].wake()
            await asyncio.sleep(0)
        assert [name for method, name in t.runtime.calls if method == "CreateContainer"] == ["slow"]
        (stuck / "broken").unlink()
        may_go_on.set()
        await t.until(lambda: t.status().get("phase") == "Running")
        assert len(t.runtime.containers) == 2

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


def test_variables_of_what_is_no_file_are_not_waited_for(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        volume = tmp_path / "volume"
        volume.mkdir()
        os.mkfifo(volume / "env")
        env = [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "env", "key": "A"}}}]
        t.add({"name": "c", "env": env}, volumes=[{"name": "v", "hostPath": {"path": str(volume)}}])
        waiting = await t.until(lambda: t.container()["state"].get("waiting", {}).get("message"))
        assert waiting == "couldn't parse env file"

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


def test_what_is_wrong_with_mounts_is_told_without_the_nodes_paths(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        env = [{"name": "A", "value": "x"}, {"name": "B", "value": "$(A)"}]
        for name, mount, message in (
            ("p", {"subPathExpr": "$(B)/$(C)"}, "missing value for C"),
            ("q", {"subPath": "/x"}, "error SubPath `/x` must not be an absolute path"),
            ("r", {"subPath": "x/../../y"}, "unable to provision SubPath `x/../../y`: must not contain '..'"),
            ("s", {"subPathExpr": "link"}, 'failed to prepare subPath for volumeMount "v" of container "c"'),
            (
                "t",
                {"readOnly": True, "recursiveReadOnly": "Enabled"},
                'failed to resolve recursive read-only mode: volume "v" requested recursive read-only mode, but it is '
                "not supported by the runtime",
            ),
        ):
            volume = tmp_path / name
            volume.mkdir()
            (volume / "link").symlink_to("/etc")
            mounts = [{"name": "v", "mountPath": "/v", **mount}]
            volumes = [{"name": "v", "hostPath": {"path": str(volume)}}]
            t.add({"name": "c", "env": env, "volumeMounts": mounts}, name=name, volumes=volumes)
            key = f"default/{name}"
            waiting = await t.until(lambda key=key: t.container(key)["state"].get("waiting", {}).get("message"), what=name)
            assert waiting == message

    on_a_trial(test)(tmp_path)


def test_nothing_is_tried_in_a_hurry_while_something_is_missing(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        volumes = [{"name": "v", "configMap": {"name": "none"}}]
        t.add({"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}, volumes=volumes)
        await t.until(lambda: t.events("FailedMount"))
        started = clock.monotonic()
        asked = ("GET", "/api/v1/namespaces/default/configmaps/none")
        before = t.api.requests.count(asked)
        await t.until(lambda: t.api.requests.count(asked) > before + 1)
        assert clock.monotonic() - started > 0.3
        assert [call for call in t.runtime.calls if call[0] == "RunPodSandbox"] == [("RunPodSandbox", "p")]

    on_a_trial(test)(tmp_path)


def test_pods_wait_for_the_network_unless_they_use_the_hosts(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.runtime.network_ready = False
        await t.until(lambda: t.kubelet.node.problem())
        t.add()
        t.add(name="host", hostNetwork=True)
        await t.until(lambda: t.status("default/host").get("phase") == "Running")
        assert t.status("default/host")["podIP"] == "10.0.0.1"
        await t.until(lambda: t.events("NetworkNotReady"))
        assert ("RunPodSandbox", "p") not in t.runtime.calls
        t.runtime.network_ready = True
        await t.until(lambda: t.status().get("phase") == "Running")

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


def test_a_debugger_is_started_beside_the_container_it_looks_at_and_never_again(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        pod = await t.running()
        (target,) = t.runtime.running("c")
        debugger = {"name": "debug", "image": "app:1", "imagePullPolicy": "IfNotPresent", "targetContainerName": "c"}
        t.api.put({**t.api.one("pods", KEY), "spec": {**pod["spec"], "ephemeralContainers": [debugger]}})
        await t.until(lambda: t.runtime.running("debug"))
        (started,) = t.runtime.running("debug")
        options = t.runtime.configs[started].linux.security_context.namespace_options
        assert (options.pid, options.target_id) == (pb.TARGET, target)

        def told() -> Object:
            return (t.status().get("ephemeralContainerStatuses") or [{"state": {}}])[0]

        await t.until(lambda: "running" in told()["state"])
        assert t.status()["phase"] == "Running" and "allocatedResources" not in told()
        t.runtime.exit(started, 3)
        await t.until(lambda: told()["state"].get("terminated", {}).get("exitCode") == 3)
        # What it was in is lost: its container comes back in another sandbox, the debugger does not.
        for sandbox in list(t.runtime.sandboxes):
            await t.runtime.stop_pod_sandbox(sandbox)
        await t.until(lambda: t.runtime.running("c") not in ([], [target]))
        await t.until(lambda: t.container()["restartCount"] == 1)
        assert not t.runtime.running("debug") and told()["restartCount"] == 0
        assert [name for method, name in t.runtime.calls if method == "StartContainer"].count("debug") == 1

    on_a_trial(test)(tmp_path)


def sized(cpu: str, memory: str = "64Mi", **fields: Any) -> Object:
    return {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}, **fields}


async def resize(t: Trial, cpu: str, memory: str = "64Mi") -> None:
    pod = t.api.one("pods", KEY)
    assert pod is not None
    container = {**pod["spec"]["containers"][0], "resources": sized(cpu, memory)["resources"]}
    generation = pod["metadata"]["generation"] + 1
    metadata = {**pod["metadata"], "generation": generation}
    t.api.put({**pod, "metadata": metadata, "spec": {**pod["spec"], "containers": [container]}})
    await t.until(lambda: t.status().get("observedGeneration") == generation)


def resize_condition(t: Trial, type_: str) -> Object:
    return meta.condition(t.api.one("pods", KEY) or {}, type_) or {}


def test_a_resize_is_told_to_the_runtime_and_then_in_the_status(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.add(sized("100m"))
        await t.until(lambda: t.container().get("allocatedResources") == {"cpu": "100m", "memory": "64Mi"})
        (before,) = t.runtime.running("c")
        await resize(t, "200m", "128Mi")
        await t.until(lambda: (t.container().get("resources") or {}).get("limits") == {"memory": "128Mi"})
        assert t.container()["allocatedResources"] == {"cpu": "200m", "memory": "128Mi"}
        assert t.runtime.running("c") == [before] and t.container()["restartCount"] == 0
        told = t.runtime.configs[before].linux.resources
        assert (told.cpu_shares, told.memory_limit_in_bytes) == (204, 128 * 2**20)
        assert not resize_condition(t, "PodResizePending") and not resize_condition(t, "PodResizeInProgress")
        await t.until(lambda: len(t.events("ResizeStarted")) == len(t.events("ResizeCompleted")) == 1)

    on_a_trial(test)(tmp_path)


def test_a_container_starts_anew_where_its_policy_says_so(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.add(sized("100m", resizePolicy=[{"resourceName": "memory", "restartPolicy": "RestartContainer"}]))
        await t.until(lambda: t.container().get("allocatedResources"))
        (before,) = t.runtime.running("c")
        await resize(t, "200m")
        await t.until(lambda: t.container()["allocatedResources"]["cpu"] == "200m")
        assert t.runtime.running("c") == [before], "cpu needs no restart"
        await resize(t, "200m", "128Mi")
        await t.until(lambda: t.runtime.running("c") not in ([], [before]))
        (after,) = t.runtime.running("c")
        assert t.runtime.configs[after].linux.resources.memory_limit_in_bytes == 128 * 2**20
        await t.until(lambda: t.container()["restartCount"] == 1)
        await t.until(lambda: not resize_condition(t, "PodResizeInProgress"))

    on_a_trial(test)(tmp_path)


def test_a_resize_that_the_node_has_no_room_for_waits_or_is_hopeless(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        cores = quantity.milli(t.kubelet.node.allocatable["cpu"]) // 1000
        t.add({"name": "other", "resources": {"requests": {"cpu": f"{cores - 1}"}}}, name="other")
        t.add(sized("100m"))
        await t.until(lambda: t.container().get("allocatedResources"))
        await resize(t, f"{cores * 2}")
        await t.until(lambda: resize_condition(t, "PodResizePending").get("reason") == "Infeasible")
        message = resize_condition(t, "PodResizePending")["message"]
        assert message.startswith(f"Node didn't have enough capacity: cpu, requested: {cores * 2000}, capacity: "), message
        await resize(t, f"{cores * 1000 - 500}m")
        await t.until(lambda: resize_condition(t, "PodResizePending").get("reason") == "Deferred")
        assert t.container()["allocatedResources"]["cpu"] == "100m"
        assert ("UpdateContainerResources", "c") not in t.runtime.calls
        await resize(t, "100m")
        await t.until(lambda: not resize_condition(t, "PodResizePending"))

    on_a_trial(test)(tmp_path)


def test_memory_in_use_is_not_taken_away(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.add(sized("100m", "128Mi"))
        await t.until(lambda: t.container().get("allocatedResources"))
        t.runtime.memory_bytes["c"] = 100 * 2**20
        await resize(t, "100m", "64Mi")
        await t.until(lambda: resize_condition(t, "PodResizeInProgress").get("reason") == "Error")
        assert "below current usage" in resize_condition(t, "PodResizeInProgress")["message"]
        assert t.container()["allocatedResources"]["memory"] == "64Mi"
        assert t.container()["resources"]["limits"]["memory"] == "128Mi"

    on_a_trial(test)(tmp_path)
