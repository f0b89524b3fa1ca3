"""A real containerd and kubelet against the real API server, in one process: everything of it in one directory.

Pods get addresses from a bridge of their own; there is no scheduler: a test names the node.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.server import APIServer, APIServerConfig
from navarch.client.client import Client
from navarch.component.tasks import Tasks
from navarch.cri.client import CRIClient
from navarch.cri.containerd import Containerd, ContainerdConfig, needs_restricted_oom_score
from navarch.cri.images.library import Library
from navarch.cri.images.runtime import NodeImages
from navarch.kubelet import mounts
from navarch.kubelet.cgroups import Cgroups
from navarch.kubelet.config import KubeletConfig
from navarch.kubelet.kubelet import Kubelet
from navarch.storage.memory import MemoryBackend
from navarch.storage.store import LocalStore

NODE = "trial"
DEMO = "navarch.local/demo:1"
BRIDGE = "nvtrial0"
POD_CIDR = "10.213.7.0/24"
CGROUP_ROOT = "/navarch-test-kubelet"

NETWORK = {
    "cniVersion": "1.0.0",
    "name": "trial",
    "plugins": [
        {
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": POD_CIDR}]], "routes": [{"dst": "0.0.0.0/0"}]},
        },
    ],
}


@contextmanager
def machine() -> Iterator[Containerd]:
    """A containerd with the demo image; nothing of it stays."""
    directory = Path(tempfile.mkdtemp(prefix="nvkubelet"))
    network = json.loads(json.dumps(NETWORK))
    network["plugins"][0]["ipam"]["dataDir"] = str(directory / "ipam")
    conf = directory / "cni"
    conf.mkdir()
    (conf / "10-trial.conflist").write_text(json.dumps(network))
    containerd = Containerd(
        ContainerdConfig(
            root=directory / "root",
            state=directory / "s",
            log_file=directory / "containerd.log",
            cni_bin_dir=Path("/usr/lib/cni"),
            cni_conf_dir=conf,
            sandbox_image="navarch.local/pause:1",
            restrict_oom_score_adj=needs_restricted_oom_score(Path("/proc/self/status").read_text()),
        )
    )

    async def begin() -> None:
        library = Library(directory / "images")
        library.ensure_builtin()
        process, _ = containerd.start()
        await containerd.wait_ready(process)
        await NodeImages(containerd.config).ensure(library.archives())

    try:
        asyncio.run(begin())
        yield containerd
    finally:
        containerd.stop_everything()
        mounts.unmount_below(directory)
        Cgroups(CGROUP_ROOT).remove_all()
        shutil.rmtree(directory, ignore_errors=True)
        subprocess.run(["ip", "link", "delete", BRIDGE], check=False, capture_output=True)


class Node:
    """What a test works with."""

    def __init__(self, server: APIServer, containerd: Containerd, directory: Path) -> None:
        self.server = server
        self.client = Client(server.transport())
        self.containerd = containerd
        self.directory = directory
        self.config = KubeletConfig(
            node_name=NODE,
            node_ip="10.213.7.1",
            root_directory=directory / "kubelet",
            log_directory=directory / "logs",
            cgroup_root=CGROUP_ROOT,
        )
        self.tasks = Tasks("trial")
        self.start()

    def start(self) -> None:
        self.cri = CRIClient(self.containerd.config.endpoint)
        self.kubelet = Kubelet(self.config, self.client, self.cri, self.cri)
        self.running = self.tasks.start(self.kubelet.run(), name="kubelet")

    async def stop(self) -> None:
        await self.tasks.stop()
        await self.kubelet.stop()
        await self.cri.close()

    async def restart(self) -> None:
        """A new kubelet over what the old one left."""
        await self.stop()
        self.tasks = Tasks("trial")
        self.start()

    async def until(self, condition: Callable[[], Any], timeout_seconds: float = 20.0) -> Any:
        """Until `condition()` (a value or an awaitable) is true."""
        async with asyncio.timeout(timeout_seconds):
            while True:
                value = condition()
                if asyncio.iscoroutine(value):
                    value = await value
                if value:
                    return value
                await asyncio.sleep(0.005)

    async def ready(self) -> None:
        await self.until(lambda: self.kubelet.node.registered.is_set() and not self.kubelet.node.problem())

    async def create(self, name: str, spec: Object, **metadata: Any) -> Object:
        spec = {"nodeName": NODE, "terminationGracePeriodSeconds": 1, **spec}
        for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]:
            container.setdefault("image", DEMO)
            container.setdefault("imagePullPolicy", "IfNotPresent")
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", **metadata}, "spec": spec}
        return await self.client.create("pods", pod)

    async def pod(self, name: str) -> Object | None:
        try:
            return await self.client.get("pods", name, "default")
        except StatusError as error:
            if error.is_not_found:
                return None
            raise

    async def wait(self, name: str, condition: Callable[[Object], Any], timeout_seconds: float = 20.0) -> Object:
        """Until the pod's status fulfils `condition`; returns the pod."""
        found: Object = {}

        async def fulfilled() -> bool:
            nonlocal found
            pod = await self.pod(name)
            found = pod or {}
            return pod is not None and bool(condition(pod.get("status") or {}))

        try:
            await self.until(fulfilled, timeout_seconds)
        except TimeoutError:
            raise AssertionError(f"not in {timeout_seconds} s; status: {json.dumps(found.get('status'), indent=1)}") from None
        return found

    async def running_pod(self, name: str, spec: Object, **metadata: Any) -> Object:
        await self.create(name, spec, **metadata)
        return await self.wait(name, lambda status: status.get("phase") == "Running")

    async def gone(self, name: str, timeout_seconds: float = 20.0) -> None:
        async def absent() -> bool:
            return await self.pod(name) is None

        await self.until(absent, timeout_seconds)

    async def delete(self, name: str, **options: Any) -> None:
        await self.client.delete("pods", name, "default", **options)
        await self.gone(name)

    async def sh(self, name: str, command: str, container: str | None = None) -> str:
        """The output of a shell command in a pod's container."""
        pod = self.kubelet.pod("default", name)
        assert pod is not None
        found = self.kubelet.container(pod, container or pod["spec"]["containers"][0]["name"])
        assert found is not None
        answer = await self.cri.exec_sync(found.id, ["sh", "-c", command], 10)
        assert answer.exit_code == 0, answer.stderr.decode()
        return answer.stdout.decode()

    async def events(self, name: str) -> list[tuple[str, str]]:
        """(reason, message) of a pod's events, in order."""
        answer = await self.client.list("events", "default")
        found = [event for event in answer["items"] if event["involvedObject"]["name"] == name]
        return [(event["reason"], event["message"]) for event in found]


@asynccontextmanager
async def node(containerd: Containerd, directory: Path) -> AsyncIterator[Node]:
    key = ec.generate_private_key(ec.SECP256R1())
    file = directory / "sa.key"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = APIServer(
        APIServerConfig(service_account_key_file=file, port=0, bind_address="127.0.0.1", advertise_address="192.0.2.1"),
        LocalStore(MemoryBackend()),
    )
    await server.start()
    await server.listen()
    client = Client(server.transport())
    for namespace in ("default", "kube-system", "kube-node-lease"):
        if not await exists(client, "namespaces", namespace):
            await client.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for kind, resource, name in (
        ("ServiceAccount", "serviceaccounts", "default"),
        ("ConfigMap", "configmaps", "kube-root-ca.crt"),
    ):
        made: Object = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}}
        if kind == "ConfigMap":
            made["data"] = {"ca.crt": "pretended"}
        await client.create(resource, made)
    one = Node(server, containerd, directory)
    try:
        await one.ready()
        yield one
    finally:
        try:
            for pod in (await client.list("pods"))["items"]:
                await client.delete("pods", pod["metadata"]["name"], pod["metadata"]["namespace"], grace_period_seconds=0)
            await one.until(lambda: not one.kubelet._workers)
        finally:
            await one.stop()
            await server.stop()


async def exists(client: Client, resource: str, name: str, namespace: str = "") -> bool:
    try:
        await client.get(resource, name, namespace)
    except StatusError as error:
        if error.is_not_found:
            return False
        raise
    return True
