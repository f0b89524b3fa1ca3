"""What is done for a pod, and what of it fails: sandbox, volumes, containers."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.cri import runtime_pb2 as pb
from navarch.cri.client import CRIError
from navarch.kubelet.container_config import log_directory_name
from tests.kubelet.trial import KEY, Trial, on_a_trial


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
