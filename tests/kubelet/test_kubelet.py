"""The whole kubelet with a real containerd: what the API asks of a node happens, and is told as Kubernetes tells it."""

from __future__ import annotations

import asyncio
import base64
import functools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.cri.containerd import Containerd
from tests.kubelet import realnode
from tests.kubelet.realnode import CGROUP_ROOT, DEMO, Node

pytestmark = pytest.mark.e2e

Test = Callable[[Node], Awaitable[None]]


@pytest.fixture(scope="module")
def containerd() -> Iterator[Containerd]:
    with realnode.machine() as running:
        yield running


def on_a_node(test: Test) -> Callable[[Containerd, Path], None]:
    """Run a test with a kubelet of its own."""

    @functools.wraps(test)
    def run(containerd: Containerd, tmp_path: Path) -> None:
        async def with_node() -> None:
            async with realnode.node(containerd, tmp_path) as node:
                await test(node)

        asyncio.run(with_node())

    del run.__wrapped__  # type: ignore[attr-defined]  # pytest would look at its arguments
    return run


def container(script: str = "sleep 1000", name: str = "c", **fields: Any) -> Object:
    # A shell that ends at once when told to: process 1 ignores signals it does not handle.
    return {"name": name, "command": ["sh", "-c", f"trap 'exit 0' TERM; ({script}) & wait $!"], **fields}


def first(status: Object) -> Object:
    return (status.get("containerStatuses") or [{"state": {}}])[0]


def waiting(reason: str) -> Callable[[Object], bool]:
    return lambda status: first(status)["state"].get("waiting", {}).get("reason") == reason


def configmap(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


def secret(name: str, **data: str) -> Object:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "data": encoded}


# Running and ending


@on_a_node
async def test_a_pod_runs_with_network_names_and_status(node: Node) -> None:
    pod = await node.running_pod("p", {"containers": [container()], "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["far"]}]})
    status = pod["status"]
    assert status["podIP"].startswith("10.213.7.") and status["hostIP"] == node.config.node_ip
    assert status["qosClass"] == "BestEffort" and status["observedGeneration"] == 1
    conditions = {condition["type"]: condition["status"] for condition in status["conditions"]}
    assert conditions == dict.fromkeys(
        ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"), "True"
    )
    assert first(status)["containerID"].startswith("containerd://") and first(status)["ready"]
    assert (await node.sh("p", "hostname")).strip() == "p"
    assert f"{status['podIP']}\tp\n" in await node.sh("p", "cat /etc/hosts")
    assert "10.1.2.3\tfar" in await node.sh("p", "cat /etc/hosts")
    assert "search default.svc.cluster.local svc.cluster.local cluster.local" in await node.sh("p", "cat /etc/resolv.conf")
    reasons = [reason for reason, _ in await node.events("p")]
    assert sorted(reasons) == ["Created", "Pulled", "Started"]


@on_a_node
async def test_a_pod_with_nothing_new_to_say_is_not_written_about(node: Node) -> None:
    await node.create("again", {"restartPolicy": "Never", "containers": [{"name": "c", "command": ["/no/such/program"]}]})
    await node.wait("again", lambda status: status.get("phase") == "Failed")
    pod = await node.running_pod("p", {"containers": [container()], "initContainers": [container("true", "i")]})
    asked: list[tuple[str, str]] = []
    request = node.client.transport.request

    async def counted(method: str, path: str, **more: Any) -> Object:
        asked.append((method, path))
        return await request(method, path, **more)

    node.client.transport.request = counted  # type: ignore[method-assign]
    worker = node.kubelet._workers[meta.uid(pod)]
    for _ in range(3):
        worker._publish()
        await asyncio.sleep(0)
        await node.kubelet._status_writer.flush(worker.uid)
    assert not asked
    node.client.transport.request = request  # type: ignore[method-assign]


@on_a_node
async def test_a_deleted_pod_ends_gracefully_and_leaves_nothing(node: Node) -> None:
    marker = node.directory / "marker"
    marker.mkdir()
    script = "trap 'echo bye >/m/said; exit 0' TERM; while true; do sleep 0.05; done"
    pod = await node.running_pod(
        "p",
        {
            "containers": [{"name": "c", "command": ["sh", "-c", script], "volumeMounts": [{"name": "m", "mountPath": "/m"}]}],
            "volumes": [{"name": "m", "hostPath": {"path": str(marker)}}, {"name": "e", "emptyDir": {}}],
        },
    )
    uid = meta.uid(pod)
    assert (node.config.pods_directory / uid).exists()
    assert uid in node.kubelet._cgroups.pod_uids()
    await node.delete("p", grace_period_seconds=5)
    assert (marker / "said").read_text() == "bye\n"
    await node.until(lambda: not node.kubelet._workers)
    assert not (node.config.pods_directory / uid).exists()
    assert uid not in node.kubelet._cgroups.pod_uids()
    assert not list(await node.cri.list_pod_sandboxes()) and not list(await node.cri.list_containers())
    assert not list(node.config.log_directory.iterdir())
    assert ("Killing", "Stopping container c") in await node.events("p")


@on_a_node
async def test_what_ends_is_restarted_with_back_off_and_its_end_is_kept(node: Node) -> None:
    await node.create("p", {"containers": [container("sleep 0.2; echo gone >/dev/termination-log; exit 3")]})
    # A restart at once, then a wait that grows.
    pod = await node.wait("p", lambda status: waiting("CrashLoopBackOff")(status) and first(status)["restartCount"] == 1)
    status = first(pod["status"])
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["lastState"]["terminated"]["reason"] == "Error"
    assert status["lastState"]["terminated"]["message"] == "gone\n"
    uid = meta.uid(pod)
    assert status["state"]["waiting"]["message"] == f"back-off 10s restarting failed container=c pod=p_default({uid})"
    assert pod["status"]["phase"] == "Running" and not status["ready"]
    assert ("BackOff", f"Back-off restarting failed container c in pod p_default({uid})") in await node.events("p")


@on_a_node
async def test_a_pod_that_is_not_to_restart_succeeds_or_fails(node: Node) -> None:
    await node.create("good", {"restartPolicy": "Never", "containers": [container("true")]})
    await node.create("bad", {"restartPolicy": "Never", "containers": [container("exit 7"), container("true", "d")]})
    good = await node.wait("good", lambda status: status.get("phase") == "Succeeded")
    bad = await node.wait("bad", lambda status: status.get("phase") == "Failed")
    assert first(good["status"])["state"]["terminated"]["reason"] == "Completed"
    assert meta.condition(good, "Ready")["reason"] == "PodCompleted"  # type: ignore[index]
    assert [s["state"]["terminated"]["exitCode"] for s in bad["status"]["containerStatuses"]] == [7, 0]
    assert meta.condition(bad, "Ready")["reason"] == "PodFailed"  # type: ignore[index]
    # The sandbox is not kept, the containers are: for their logs.
    uid = meta.uid(good)

    async def ended() -> bool:
        return not any(s.state == 0 for s in await node.cri.list_pod_sandboxes({"io.kubernetes.pod.uid": uid}))

    await node.until(ended)
    assert len(await node.cri.list_containers({"io.kubernetes.pod.uid": uid})) == 1


@on_a_node
async def test_a_pod_is_ended_at_its_deadline(node: Node) -> None:
    await node.create("p", {"activeDeadlineSeconds": 1, "containers": [container()]})
    pod = await node.wait("p", lambda status: status.get("phase") == "Failed")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert "terminated" in first(pod["status"])["state"]


@on_a_node
async def test_init_containers_run_one_after_the_other_and_sidecars_beside(node: Node) -> None:
    volume = {"volumeMounts": [{"name": "w", "mountPath": "/w"}]}
    pod = await node.running_pod(
        "p",
        {
            "initContainers": [
                container("echo one >>/w/order", "one", **volume),
                container("echo side >>/w/order; sleep 1000", "side", restartPolicy="Always", **volume),
                container("echo two >>/w/order", "two", **volume),
            ],
            "containers": [container("echo main >>/w/order; sleep 1000", **volume)],
            "volumes": [{"name": "w", "emptyDir": {}}],
        },
    )
    statuses = {status["name"]: status for status in pod["status"]["initContainerStatuses"]}
    assert statuses["one"]["state"]["terminated"]["reason"] == "Completed" and statuses["one"]["ready"]
    assert statuses["side"]["state"]["running"] and statuses["side"]["started"]
    await node.until(lambda: "main" in (order(node, pod)))
    assert order(node, pod) == ["one", "side", "two", "main"]
    await node.delete("p")


def order(node: Node, pod: Object) -> list[str]:
    file = node.config.pods_directory / meta.uid(pod) / "volumes/kubernetes.io~empty-dir/w/order"
    return file.read_text().split() if file.exists() else []


@on_a_node
async def test_a_failed_init_container_fails_a_pod_that_does_not_restart(node: Node) -> None:
    spec = {"initContainers": [container("exit 4", "i")], "containers": [container()]}
    await node.create("never", {**spec, "restartPolicy": "Never"})
    pod = await node.wait("never", lambda status: status.get("phase") == "Failed")
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
    assert first(pod["status"])["state"]["waiting"]["reason"] == "PodInitializing"
    await node.create("always", spec)

    def backs_off(status: Object) -> bool:
        found = (status.get("initContainerStatuses") or [{"state": {}}])[0]
        return found["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"

    pod = await node.wait("always", backs_off)
    assert pod["status"]["phase"] == "Pending"
    condition = meta.condition(pod, "Initialized") or {}
    assert condition["message"] == "containers with incomplete status: [i]"


# Configuration


@on_a_node
async def test_environment_comes_from_everywhere(node: Node) -> None:
    await node.client.create("configmaps", configmap("cm", color="blue", size="7"))
    await node.client.create("secrets", secret("s", password="open sesame"))
    env = [
        {"name": "GREETING", "value": "hello $(color) $$(color) $(NONE)"},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}},
        {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "x", "optional": True}}},
    ]
    resources = {"requests": {"cpu": "100m"}}
    spec = {"containers": [container(env=env, envFrom=[{"configMapRef": {"name": "cm"}}], resources=resources)]}
    pod = await node.running_pod("p", spec)
    found = dict(line.partition("=")[::2] for line in (await node.sh("p", "env")).splitlines())
    assert found["GREETING"] == "hello blue $(color) $(NONE)"
    assert found["PASSWORD"] == "open sesame" and found["size"] == "7"
    assert found["NAME"] == "p" and found["IP"] == pod["status"]["podIP"] and found["CPU"] == "100"
    assert "MAYBE" not in found and found["KUBERNETES_SERVICE_HOST"]


@on_a_node
async def test_volumes_hold_what_the_api_has_and_follow_it(node: Node) -> None:
    await node.client.create("configmaps", configmap("cm", **{"app.conf": "one", "extra": "more"}))
    await node.client.create("secrets", secret("s", key="hidden"))
    volumes: list[Object] = [
        {"name": "cm", "configMap": {"name": "cm"}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400, "items": [{"key": "key", "path": "deep/down"}]}},
        {"name": "me", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "ram", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
    ]
    mounts: list[Object] = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    mounts.append({"name": "cm", "mountPath": "/only.conf", "subPath": "app.conf"})
    spec = {"containers": [container(volumeMounts=mounts)], "volumes": volumes}
    pod = await node.running_pod("p", spec, labels={"a": "b", "c": "d"})
    assert await node.sh("p", "cat /cm/app.conf /cm/extra /s/deep/down /me/labels /only.conf") == 'onemorehiddena="b"\nc="d"one'
    assert "size=8192k" in await node.sh("p", "mount | grep ' /ram '")
    assert (await node.sh("p", "stat -L -c %a /s/deep/down; touch /cm/x 2>/dev/null || echo read-only")) == "400\nread-only\n"
    await node.client.patch("configmaps", "cm", {"data": {"app.conf": "two", "extra": None}}, "default")
    node.kubelet._context.objects._cached.clear()
    node.kubelet._workers[meta.uid(pod)].wake()
    await node.until(lambda: in_volume(node, pod, "cm/app.conf") == "two")
    assert await node.sh("p", "cat /cm/app.conf; ls /cm") == "twoapp.conf\n"


def in_volume(node: Node, pod: Object, path: str) -> str:
    return (node.config.pods_directory / meta.uid(pod) / "volumes/kubernetes.io~configmap" / path).read_text()


@on_a_node
async def test_what_is_missing_is_waited_for(node: Node) -> None:
    reference = {"configMapKeyRef": {"name": "later", "key": "k"}}
    await node.create("env", {"containers": [container(env=[{"name": "K", "valueFrom": reference}])]})
    mounted = container(volumeMounts=[{"name": "v", "mountPath": "/v"}])
    await node.create("volume", {"containers": [mounted], "volumes": [{"name": "v", "configMap": {"name": "later"}}]})
    pod = await node.wait("env", waiting("CreateContainerConfigError"))
    assert first(pod["status"])["state"]["waiting"]["message"] == 'configmap "later" not found'
    assert ("Failed", 'Error: configmap "later" not found') in await node.events("env")
    await node.wait("volume", waiting("ContainerCreating"))
    message = 'MountVolume.SetUp failed for volume "v" : configmap "later" not found'

    async def told() -> bool:
        return ("FailedMount", message) in await node.events("volume")

    await node.until(told)
    await node.client.create("configmaps", configmap("later", k="v"))
    for name in ("env", "volume"):
        await node.wait(name, lambda status: status.get("phase") == "Running")


@on_a_node
async def test_an_image_that_is_not_there_is_told_and_backed_off(node: Node) -> None:
    absent = "localhost:1/none:1"
    await node.create("pull", {"containers": [container(image=absent)]})
    await node.create("never", {"containers": [container(image="none:2", imagePullPolicy="Never")]})
    pod = await node.wait("never", waiting("ErrImageNeverPull"))
    expected = 'Container image "none:2" is not present with pull policy of Never'
    assert first(pod["status"])["state"]["waiting"]["message"] == expected
    await node.wait("pull", waiting("ErrImagePull"))
    pod = await node.wait("pull", waiting("ImagePullBackOff"))
    assert pod["status"]["phase"] == "Pending"
    events = await node.events("pull")
    assert ("Pulling", f'Pulling image "{absent}"') in events
    assert any(
        reason == "Failed" and message.startswith(f'Failed to pull image "{absent}": rpc error') for reason, message in events
    )


# Probes and hooks


@on_a_node
async def test_readiness_follows_the_probe(node: Node) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    pod = await node.running_pod("p", {"containers": [container(readinessProbe=probe)]})
    assert not first(pod["status"])["ready"] and first(pod["status"])["started"]
    assert (meta.condition(pod, "Ready") or {})["message"] == "containers with unready status: [c]"
    await node.sh("p", "touch /tmp/ready")
    await node.wait("p", lambda status: first(status)["ready"])
    await node.sh("p", "rm /tmp/ready")
    await node.wait("p", lambda status: not first(status)["ready"])
    assert any(
        reason == "Unhealthy" and message.startswith("Readiness probe failed:") for reason, message in await node.events("p")
    )


@on_a_node
async def test_a_container_that_is_not_alive_is_restarted(node: Node) -> None:
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
    await node.create("p", {"containers": [container("sleep 0.3; exec httpd -f -p 8081", livenessProbe=probe)]})
    pod = await node.wait("p", lambda status: first(status).get("restartCount") == 1)
    events = await node.events("p")
    ip = pod["status"]["podIP"]
    text = f'Liveness probe failed: Get "http://{ip}:8080/": dial tcp {ip}:8080: connect: connection refused'
    assert ("Unhealthy", text) in events
    assert ("Killing", "Container c failed liveness probe, will be restarted") in events


@on_a_node
async def test_a_startup_probe_holds_the_others_back(node: Node) -> None:
    startup = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 30}
    alive = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 1}
    await node.create(
        "p", {"containers": [container("sleep 1.5; touch /tmp/up; sleep 1000", startupProbe=startup, livenessProbe=alive)]}
    )
    pod = await node.wait("p", lambda status: "running" in first(status)["state"])
    assert not first(pod["status"])["started"] and not first(pod["status"])["ready"]
    pod = await node.wait("p", lambda status: first(status)["ready"])
    assert first(pod["status"])["restartCount"] == 0 and first(pod["status"])["started"]


@on_a_node
async def test_hooks_run_at_the_start_and_before_the_end(node: Node) -> None:
    shared = node.directory / "shared"
    shared.mkdir()
    volume = {"volumeMounts": [{"name": "m", "mountPath": "/m"}]}
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo begun >/m/log"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo ending >>/m/log"]}},
    }
    volumes = [{"name": "m", "hostPath": {"path": str(shared), "type": "Directory"}}]
    await node.running_pod("p", {"containers": [container(lifecycle=hooks, **volume)], "volumes": volumes})
    assert (shared / "log").read_text() == "begun\n"
    await node.delete("p", grace_period_seconds=5)
    assert (shared / "log").read_text() == "begun\nending\n"
    bad = {"postStart": {"exec": {"command": ["false"]}}}
    await node.create("bad", {"restartPolicy": "Never", "containers": [container(lifecycle=bad)]})

    async def told() -> bool:
        return any(reason == "FailedPostStartHook" for reason, _ in await node.events("bad"))

    await node.until(told)
    pod = await node.wait("bad", lambda status: status.get("phase") == "Succeeded")
    assert "terminated" in first(pod["status"])["state"]


# Security and resources


@on_a_node
async def test_security_contexts_are_obeyed(node: Node) -> None:
    spec = {
        "securityContext": {"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000, "supplementalGroups": [4000]},
        "containers": [
            container(
                volumeMounts=[{"name": "e", "mountPath": "/e"}],
                securityContext={
                    "readOnlyRootFilesystem": True,
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            )
        ],
        "volumes": [{"name": "e", "emptyDir": {}}],
    }
    await node.running_pod("p", spec)
    assert await node.sh("p", "id -u; id -g; id -G") == "1000\n3000\n3000 2000 4000\n"
    status = await node.sh("p", "grep -E 'NoNewPrivs|CapBnd|Seccomp:' /proc/1/status")
    assert status.split() == ["CapBnd:", "0000000000000000", "NoNewPrivs:", "1", "Seccomp:", "2"]
    assert await node.sh("p", "touch /x 2>/dev/null || echo read-only; touch /e/y; stat -c %g /e/y") == "read-only\n2000\n"
    root = {"containers": [container(securityContext={"runAsNonRoot": True})]}
    await node.create("root", root)
    pod = await node.wait("root", waiting("CreateContainerConfigError"))
    assert first(pod["status"])["state"]["waiting"]["message"].startswith(
        "container has runAsNonRoot and image will run as root"
    )


@on_a_node
async def test_limits_reach_the_kernel(node: Node) -> None:
    resources = {"requests": {"cpu": "250m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "32Mi"}}
    pod = await node.running_pod("p", {"containers": [container(resources=resources)]})
    assert pod["status"]["qosClass"] == "Burstable"
    uid = meta.uid(pod)
    cgroup = Path("/sys/fs/cgroup/memory") / CGROUP_ROOT.lstrip("/") / "burstable" / f"pod{uid}"
    if cgroup.exists():
        assert (cgroup / "memory.limit_in_bytes").read_text().strip() == str(32 << 20)
        container_id = first(pod["status"])["containerID"].rpartition("/")[2]
        assert (cgroup / container_id / "memory.limit_in_bytes").read_text().strip() == str(32 << 20)
        cpu = Path("/sys/fs/cgroup/cpu") / cgroup.relative_to("/sys/fs/cgroup/memory")
        assert (cpu / "cpu.shares").read_text().strip() == "256"
        assert (cpu / "cpu.cfs_quota_us").read_text().strip() == "50000"
    script = "x=a; while true; do x=$x$x$x$x; done"
    await node.create(
        "oom", {"restartPolicy": "Never", "containers": [container(script, resources={"limits": {"memory": "16Mi"}})]}
    )
    oom = await node.wait("oom", lambda status: status.get("phase") in ("Failed", "Succeeded"))
    assert first(oom["status"])["state"]["terminated"]["exitCode"] != 0


@on_a_node
async def test_pods_may_share_the_nodes_namespaces_or_each_others(node: Node) -> None:
    pod = await node.running_pod("host", {"hostNetwork": True, "hostPID": True, "containers": [container()]})
    assert pod["status"]["podIP"] == node.config.node_ip
    assert "eth" in await node.sh("host", "ls /sys/class/net") or "lo" in await node.sh("host", "ls /sys/class/net")
    shared = {"shareProcessNamespace": True, "containers": [container(name="a"), container("exec sleep 777", name="b")]}
    await node.running_pod("shared", shared)
    assert "sleep 777" in await node.sh("shared", "ps")


@on_a_node
async def test_an_ephemeral_container_joins_a_running_pod(node: Node) -> None:
    pod = await node.running_pod("p", {"containers": [container()]})
    extra = {
        "name": "debug",
        "image": DEMO,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "100"],
        "targetContainerName": "c",
    }
    await node.until(
        lambda: node.kubelet._pods.get("default/p")["metadata"]["resourceVersion"] == pod["metadata"]["resourceVersion"]
    )
    node.kubelet._workers[meta.uid(pod)].update(meta.set_path(pod, [extra], "spec", "ephemeralContainers"))

    def runs(status: Object) -> bool:
        found = status.get("ephemeralContainerStatuses") or [{"state": {}}]
        return "running" in found[0]["state"]

    await node.wait("p", runs)
    assert "trap" in await node.sh("p", "ps", "debug")


# Restarts of everything


@on_a_node
async def test_a_new_kubelet_takes_up_what_runs(node: Node) -> None:
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 3600}
    await node.create("p", {"containers": [container(readinessProbe=probe)]})
    before = await node.wait("p", lambda status: first(status).get("ready"))
    await node.running_pod("dies", {"containers": [container()]})
    await node.stop()
    await node.client.delete("pods", "dies", "default", grace_period_seconds=0)
    versions = meta.resource_version(before)
    node.start()
    await node.ready()
    await node.until(lambda: node.kubelet.pod("default", "p") is not None)

    async def cleared() -> bool:
        return len(await node.cri.list_pod_sandboxes()) == 1

    await node.until(cleared)
    after = await node.wait("p", lambda status: first(status).get("ready"))
    assert first(after["status"])["containerID"] == first(before["status"])["containerID"]
    assert first(after["status"])["restartCount"] == 0
    assert meta.resource_version(after) == versions, "nothing had changed, so nothing is written"


@on_a_node
async def test_a_dead_sandbox_is_replaced(node: Node) -> None:
    pod = await node.running_pod("p", {"containers": [container()]})
    uid = meta.uid(pod)
    sandbox = (await node.cri.list_pod_sandboxes({"io.kubernetes.pod.uid": uid}))[0]
    await node.cri.stop_pod_sandbox(sandbox.id)
    await node.wait("p", lambda status: first(status).get("restartCount") and "running" in first(status)["state"])
    await node.wait("p", lambda status: len(status["podIPs"]) == 1 and status["podIP"] != pod["status"]["podIP"])
    assert ("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.") in await node.events("p")


@on_a_node
async def test_containers_outlive_their_runtime(node: Node) -> None:
    before = await node.running_pod("p", {"containers": [container()]})
    node.containerd.stop()
    await node.until(lambda: "container runtime is down" in node.kubelet.node.problem(), 15)
    process, _ = node.containerd.start()
    await node.containerd.wait_ready(process)
    await node.ready()
    after = await node.pod("p")
    assert after is not None
    assert first(after["status"])["containerID"] == first(before["status"])["containerID"]
    assert "running" in first(after["status"])["state"]
    await node.delete("p")
