"""The real API server, all controllers and the scheduler in one process, with a pretended kubelet; nothing outside memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.server import APIServer, APIServerConfig
from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.component.tasks import Tasks
from navarch.controllers.config import ControllerConfig
from navarch.controllers.manager import ControllerManager
from navarch.scheduler.scheduler import Scheduler
from navarch.storage.memory import MemoryBackend
from navarch.storage.store import LocalStore

NODE_STATUS = {
    "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
    "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
    "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}],
}


class Cluster:
    def __init__(self, server: APIServer) -> None:
        self.server = server
        self.client = Client(server.transport())
        self.informers = Informers(self.client)
        self.tasks = Tasks("pretended-kubelets")
        self.silent: set[str] = set()
        """Nodes whose kubelet does nothing."""
        self._ending: set[str] = set()
        self.stuck: set[str] = set()
        """Images whose containers never become ready."""
        self.failing: set[str] = set()
        """Images whose containers end with exit code 3."""

    async def until(self, condition: Callable[[], Any], timeout_seconds: float = 10.0) -> Any:
        async with asyncio.timeout(timeout_seconds):
            while not (value := condition()):
                await asyncio.sleep(0.002)
        return value

    def all(self, resource: str, namespace: str = "default") -> list[Object]:
        return self.informers.get(resource).list(namespace)

    def one(self, resource: str, key: str) -> Object | None:
        return self.informers.get(resource).get(key)

    async def add_node(self, name: str, address: str, **metadata: Any) -> None:
        """A node whose kubelet is alive."""
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **metadata.pop("labels", {})}
        status = {**NODE_STATUS, "addresses": [{"type": "InternalIP", "address": address}]}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels, **metadata}, "status": status}
        created = await self.client.create("nodes", node)
        await self.client.patch("nodes", meta.name(created), {"status": status}, subresource="status")
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": clock.micro_timestamp()},
        }
        await self.client.create("leases.coordination.k8s.io", lease)

    def pretend_kubelets(self) -> None:
        """Run every pod that is bound to a node, and end every pod that is deleted."""
        self.informers.get("pods").add_handler(self._pod_changed)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        node = (new or {}).get("spec", {}).get("nodeName")
        if new is None or not node or node in self.silent:
            return
        phase = new.get("status", {}).get("phase")
        if meta.being_deleted(new):
            self.tasks.start(self._end(new), name="end")
        elif phase == "Pending" and new["spec"]["containers"][0]["image"] not in self.stuck:
            self.tasks.start(self._begin(new), name="begin")

    async def _begin(self, pod: Object) -> None:
        number = int(meta.uid(pod)[:4], 16)
        ip = f"10.244.{number // 256}.{number % 256}"
        stamp = clock.timestamp()
        if pod["spec"].get("restartPolicy") == "Always":
            conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": stamp}]
            status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "startTime": stamp, "conditions": conditions}
        else:
            failed = pod["spec"]["containers"][0]["image"] in self.failing
            ended = {"exitCode": 3 if failed else 0, "finishedAt": stamp, "startedAt": stamp}
            state = {"name": pod["spec"]["containers"][0]["name"], "state": {"terminated": ended}, "image": "", "imageID": ""}
            containers = [{**state, "restartCount": 0, "ready": False}]
            status = {"phase": "Failed" if failed else "Succeeded", "startTime": stamp, "containerStatuses": containers}
        await self._patch(pod, status)

    async def _patch(self, pod: Object, status: Object) -> None:
        try:
            await self.client.patch(
                "pods", meta.name(pod), {"status": status}, meta.namespace(pod), patch_type="strategic", subresource="status"
            )
        except StatusError as error:
            if not error.is_not_found:
                raise

    async def _end(self, pod: Object) -> None:
        if pod["metadata"].get("finalizers") or meta.uid(pod) in self._ending:
            return
        self._ending.add(meta.uid(pod))
        await self.client.delete_if_exists(
            "pods", meta.name(pod), meta.namespace(pod), uid=meta.uid(pod), grace_period_seconds=0
        )


def plain_server(tmp_path: Path) -> APIServer:
    """Over memory, and without TLS, should it listen."""
    key_file = tmp_path / "sa.key"
    key = ec.generate_private_key(ec.SECP256R1())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return APIServer(
        # Endpoints have no loopback addresses: so it says that it is elsewhere.
        APIServerConfig(service_account_key_file=key_file, bind_address="127.0.0.1", port=0, advertise_address="192.0.2.1"),
        LocalStore(MemoryBackend()),
    )


@asynccontextmanager
async def cluster(
    tmp_path: Path, make: type[Cluster] = Cluster, server: APIServer | None = None, **config: Any
) -> AsyncIterator[Cluster]:
    server = server or plain_server(tmp_path)
    await server.start()
    found = make(server)
    manager = ControllerManager(found.client, found.informers, ControllerConfig(root_ca_pem="CA", **config))
    scheduler = Scheduler(found.client, found.informers)
    running = [asyncio.create_task(item.run()) for item in (manager, scheduler)]
    try:
        found.pretend_kubelets()
        await found.until(lambda: found.one("serviceaccounts", "default/default"))
        await found.until(lambda: found.one("namespaces", "kube-node-lease"))
        yield found
    finally:
        await found.tasks.stop()
        await scheduler.stop()
        await manager.stop()
        await found.informers.stop()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.stop()
