"""Kubelets that pretend: they report what their pods would do, by the image of each container, and heartbeats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.server import APIServer
from navarch.component import clock
from tests.controllers.cluster import Cluster

HEARTBEAT_SECONDS = 10.0
Program = Callable[[Object], int | None]
"""What a pod's container does: None runs on, a number is its exit code."""


def runs(pod: Object) -> int | None:
    return None


def succeeds(pod: Object) -> int | None:
    return 0


def fails(pod: Object) -> int | None:
    return 1


class Kubelets(Cluster):
    """A cluster's kubelets; what a container does is decided by its image."""

    def __init__(self, server: APIServer) -> None:
        super().__init__(server)
        self.programs: dict[str, Program] = {"succeeds": succeeds, "fails": fails}
        """By image; any other runs on."""
        self.unready: set[str] = set()
        """Images whose containers run, but never become ready."""
        self.addresses: dict[str, str] = {}
        """Where something real listens for pods of an image; any other pods get addresses at which nobody is."""
        self._reported: dict[str, int] = {}
        self.tasks.run_forever(self._renew_leases, name="heartbeats")

    async def _renew_leases(self) -> None:
        while True:
            await clock.sleep(HEARTBEAT_SECONDS)
            for node in self.informers.get("nodes").list():
                lease = self.one("leases.coordination.k8s.io", f"kube-node-lease/{meta.name(node)}")
                if lease is not None and meta.name(node) not in self.silent:
                    renewed = meta.set_path(lease, clock.micro_timestamp(), "spec", "renewTime")
                    await self.client.update("leases.coordination.k8s.io", renewed)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        node = ((new or {}).get("spec") or {}).get("nodeName")
        if new is None or not node or node in self.silent:
            return
        uid, generation = meta.uid(new), new["metadata"].get("generation", 0)
        if meta.being_deleted(new):
            self.tasks.start(self._end(new), name="end")
        elif self._reported.get(uid, 0) < generation and new["status"].get("phase") not in ("Succeeded", "Failed"):
            self._reported[uid] = generation
            self.tasks.start(self._begin(new), name="begin")

    def _exit_code(self, pod: Object, container: Object) -> int | None:
        return self.programs.get(container["image"], runs)(pod)

    async def _begin(self, pod: Object) -> None:
        stamp = pod["status"].get("startTime") or clock.timestamp()
        containers = pod["spec"]["containers"]
        codes = [self._exit_code(pod, container) for container in containers]
        if all(code is not None for code in codes) and pod["spec"]["restartPolicy"] == "Always":
            codes = [None for _ in codes]  # They are started again, for ever.
        ready = [
            code is None and container["image"] not in self.unready for code, container in zip(codes, containers, strict=True)
        ]
        phase = "Running" if None in codes else "Failed" if any(codes) else "Succeeded"
        names = {"Initialized": True, "ContainersReady": all(ready), "Ready": all(ready), "PodReadyToStartContainers": True}
        conditions = [
            {"type": name, "status": str(value), "lastTransitionTime": stamp, "lastProbeTime": None, "observedGeneration": 1}
            for name, value in names.items()
        ]
        number = int(meta.uid(pod)[:4], 16)
        pod_ip = self.addresses.get(containers[0]["image"], f"10.244.{number // 256}.{number % 256}")
        addresses = {"podIP": pod_ip, "hostIP": self._host_ip(pod)}
        status: Object = {
            "phase": phase,
            "observedGeneration": pod["metadata"].get("generation", 0),
            "startTime": stamp,
            "conditions": conditions,
            "containerStatuses": [self._container_status(*each) for each in zip(containers, codes, ready, strict=True)],
            "ephemeralContainerStatuses": [
                self._container_status(container, self._exit_code(pod, container), False)
                for container in pod["spec"].get("ephemeralContainers") or ()
            ],
            **addresses,
            "podIPs": [{"ip": addresses["podIP"]}],
            "hostIPs": [{"ip": addresses["hostIP"]}],
        }
        await self._patch(pod, status)

    def _host_ip(self, pod: Object) -> str:
        node = self.one("nodes", pod["spec"]["nodeName"]) or {}
        return str(meta.get_path(node, "status", "addresses")[0]["address"])

    def _container_status(self, container: Object, code: int | None, ready: bool) -> Object:
        stamp = clock.timestamp()
        identity = f"pretended://{container['name']}"
        state: Object = {"running": {"startedAt": stamp}}
        if code is not None:
            reason = "Completed" if code == 0 else "Error"
            ended = {"exitCode": code, "reason": reason, "startedAt": stamp, "finishedAt": stamp, "containerID": identity}
            state = {"terminated": ended}
        image = {"image": container["image"], "imageID": container["image"], "containerID": identity}
        resources = container.get("resources") or {}
        return {
            "name": container["name"],
            **image,
            "allocatedResources": resources.get("requests") or {},
            "resources": resources,
            "state": state,
            "ready": ready,
            "started": code is None,
            "restartCount": 0,
        }

    async def report(self, pod: Object, **status: Any) -> None:
        """What a pod's kubelet finds out about it."""
        await self._patch(pod, status)

    async def set_ready(self, pod: Object, ready: bool) -> None:
        """Let a running pod become ready, or no longer."""
        stamp, value = clock.timestamp(), str(ready)
        changed = [
            {**found, "status": value, "lastTransitionTime": stamp} if found["type"] in ("Ready", "ContainersReady") else found
            for found in pod["status"]["conditions"]
        ]
        containers = [{**found, "ready": ready} for found in pod["status"]["containerStatuses"]]
        await self.report(pod, conditions=changed, containerStatuses=containers)

    async def _end(self, pod: Object) -> None:
        """As a kubelet ends a pod: its containers have stopped, then it may go; finalizers may hold what is left of it."""
        if meta.uid(pod) in self._ending:
            return
        self._ending.add(meta.uid(pod))
        name, namespace = meta.name(pod), meta.namespace(pod)
        if pod["metadata"].get("finalizers") and pod["status"].get("phase") in ("Pending", "Running"):
            await self._patch(pod, {"phase": "Failed"})
        try:
            await self.client.delete_if_exists("pods", name, namespace, uid=meta.uid(pod), grace_period_seconds=0)
        except StatusError as error:
            if not error.is_conflict:
                raise
