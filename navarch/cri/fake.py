"""A container runtime that only pretends, in memory: for tests, and for simulated nodes.

It keeps the CRI's rules (states, idempotent stops, NOT_FOUND), gives addresses, tells events, takes as long as it is told, and
fails where it is told. Containers run until they are stopped or `exit` is called.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

from navarch.component import clock
from navarch.cri import runtime_pb2 as pb
from navarch.cri.client import CRIError

EVENT_QUEUE_LIMIT = 10_000
SIGTERM_EXIT_CODE = 143
SIGKILL_EXIT_CODE = 137

Command = Callable[[str, Sequence[str]], tuple[int, bytes]]
"""(container id, command) -> (exit code, output)."""


def _succeed(container_id: str, command: Sequence[str]) -> tuple[int, bytes]:
    return 0, b""


class FakeRuntime:
    """Implements `RuntimeService` and `ImageService`."""

    def __init__(self, *, pod_cidr: str = "10.244.0.0/24", images: Iterable[str] = (), start_seconds: float = 0.0) -> None:
        self.start_seconds = start_seconds
        """How long a sandbox takes to come up."""
        self.stop_seconds = 0.0
        """How long a container takes to end once told; more than its grace means that it is killed."""
        self.sandboxes: dict[str, pb.PodSandboxStatus] = {}
        self.containers: dict[str, pb.ContainerStatus] = {}
        self.sandbox_of: dict[str, str] = {}
        self.configs: dict[str, pb.ContainerConfig] = {}
        self.images: dict[str, pb.Image] = {}
        self.calls: list[tuple[str, str]] = []
        """(method, subject) of every call that changes something."""
        self.failures: dict[str, CRIError] = {}
        """By method: what it answers instead."""
        self.memory_bytes: dict[str, int] = {}
        """By container name: how much memory it uses."""
        self.network_ready = True
        self.has_events = True
        self.command: Command = _succeed
        self.pullable: set[str] | None = None
        """Images a registry has; None means every one."""
        self._addresses = iter(ipaddress.ip_network(pod_cidr).hosts())
        self._listeners: list[asyncio.Queue[str]] = []
        self._ids = 0
        for name in images:
            self.add_image(name)

    # What a test does to it.

    def add_image(self, name: str, *, size: int = 1024, uid: int | None = None, username: str = "") -> pb.Image:
        image = pb.Image(id=f"sha256:{len(self.images):064x}", repo_tags=[name], size=size, username=username)
        if uid is not None:
            image.uid.value = uid
        self.images[name] = image
        return image

    def exit(self, container_id: str, code: int = 0, reason: str = "") -> None:
        """A container ends by itself."""
        status = self.containers[container_id]
        if status.state != pb.CONTAINER_RUNNING:
            return
        status.state = pb.CONTAINER_EXITED
        status.exit_code = code
        status.finished_at = _now()
        status.reason = reason or ("Completed" if code == 0 else "Error")
        self._tell(container_id)

    def running(self, name: str = "") -> list[str]:
        """Ids of the containers that run, of that name if one is given."""
        return [
            container_id
            for container_id, status in self.containers.items()
            if status.state == pb.CONTAINER_RUNNING and (not name or status.metadata.name == name)
        ]

    # RuntimeService

    async def version(self) -> pb.VersionResponse:
        self._check("Version")
        return pb.VersionResponse(version="0.1.0", runtime_name="fake", runtime_version="1.0.0", runtime_api_version="v1")

    async def status(self, *, verbose: bool = False) -> pb.StatusResponse:
        self._check("Status")
        network = pb.RuntimeCondition(type="NetworkReady", status=self.network_ready)
        if not self.network_ready:
            network.reason, network.message = (
                "NetworkPluginNotReady",
                "Network plugin returns error: cni plugin not initialized",
            )
        conditions = [pb.RuntimeCondition(type="RuntimeReady", status=True), network]
        return pb.StatusResponse(status=pb.RuntimeStatus(conditions=conditions))

    async def update_pod_cidr(self, pod_cidr: str) -> None:
        self._did("UpdateRuntimeConfig", pod_cidr)

    async def run_pod_sandbox(self, config: pb.PodSandboxConfig, runtime_handler: str = "") -> str:
        self._did("RunPodSandbox", config.metadata.name)
        if self.start_seconds:
            await clock.sleep(self.start_seconds)
        options = config.linux.security_context.namespace_options
        sandbox_id = self._new_id()
        network = pb.PodSandboxNetworkStatus()
        if options.network == pb.POD:
            network.ip = str(next(self._addresses))
        self.sandboxes[sandbox_id] = pb.PodSandboxStatus(
            id=sandbox_id,
            metadata=config.metadata,
            state=pb.SANDBOX_READY,
            created_at=_now(),
            network=network,
            linux=pb.LinuxPodSandboxStatus(namespaces=pb.Namespace(options=options)),
            labels=config.labels,
            annotations=config.annotations,
        )
        return sandbox_id

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        self._did("StopPodSandbox", sandbox_id)
        sandbox = self.sandboxes.get(sandbox_id)
        if sandbox is None:
            return
        for container_id in self._inside(sandbox_id):
            self.exit(container_id, SIGKILL_EXIT_CODE)
        if sandbox.state == pb.SANDBOX_READY:
            sandbox.state = pb.SANDBOX_NOTREADY
            self._tell(sandbox_id)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        self._did("RemovePodSandbox", sandbox_id)
        if sandbox_id in self.sandboxes:
            await self.stop_pod_sandbox(sandbox_id)
            for container_id in self._inside(sandbox_id):
                self._forget(container_id)
            del self.sandboxes[sandbox_id]

    async def pod_sandbox_status(self, sandbox_id: str) -> pb.PodSandboxStatus:
        self._check("PodSandboxStatus")
        return self._sandbox(sandbox_id)

    async def list_pod_sandboxes(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.PodSandbox]:
        self._check("ListPodSandbox")
        return [
            pb.PodSandbox(
                id=status.id,
                metadata=status.metadata,
                state=status.state,
                created_at=status.created_at,
                labels=status.labels,
                annotations=status.annotations,
            )
            for status in self.sandboxes.values()
            if _fits(status.labels, labels)
        ]

    async def create_container(self, sandbox_id: str, config: pb.ContainerConfig, sandbox_config: pb.PodSandboxConfig) -> str:
        self._did("CreateContainer", config.metadata.name)
        if self._sandbox(sandbox_id).state != pb.SANDBOX_READY:
            raise CRIError("UNKNOWN", f"sandbox {sandbox_id} is not running", "CreateContainer")
        container_id = self._new_id()
        log_path = f"{sandbox_config.log_directory}/{config.log_path}" if config.log_path else ""
        self.containers[container_id] = pb.ContainerStatus(
            id=container_id,
            metadata=config.metadata,
            state=pb.CONTAINER_CREATED,
            created_at=_now(),
            image=config.image,
            image_ref=config.image.image,
            labels=config.labels,
            annotations=config.annotations,
            mounts=config.mounts,
            log_path=log_path,
        )
        self.sandbox_of[container_id] = sandbox_id
        self.configs[container_id] = config
        return container_id

    async def start_container(self, container_id: str) -> None:
        status = self._container(container_id)
        self._did("StartContainer", status.metadata.name)
        status.state = pb.CONTAINER_RUNNING
        status.started_at = _now()

    async def stop_container(self, container_id: str, timeout_seconds: int) -> None:
        status = self._container(container_id)
        self._did("StopContainer", status.metadata.name)
        if status.state != pb.CONTAINER_RUNNING:
            return
        await clock.sleep(min(self.stop_seconds, timeout_seconds))
        self.exit(container_id, SIGTERM_EXIT_CODE if self.stop_seconds <= timeout_seconds else SIGKILL_EXIT_CODE)

    async def remove_container(self, container_id: str) -> None:
        self._did("RemoveContainer", container_id)
        if container_id in self.containers:
            self.exit(container_id, SIGKILL_EXIT_CODE)
            self._forget(container_id)

    async def list_containers(self, labels: Mapping[str, str] | None = None, *, sandbox_id: str = "") -> Sequence[pb.Container]:
        self._check("ListContainers")
        return [
            pb.Container(
                id=status.id,
                pod_sandbox_id=self.sandbox_of[status.id],
                metadata=status.metadata,
                image=status.image,
                image_ref=status.image_ref,
                state=status.state,
                created_at=status.created_at,
                labels=status.labels,
                annotations=status.annotations,
            )
            for status in self.containers.values()
            if _fits(status.labels, labels) and (not sandbox_id or self.sandbox_of[status.id] == sandbox_id)
        ]

    async def container_status(self, container_id: str) -> pb.ContainerStatus:
        self._check("ContainerStatus")
        return self._container(container_id)

    async def update_container_resources(self, container_id: str, resources: pb.LinuxContainerResources) -> None:
        self._did("UpdateContainerResources", self._container(container_id).metadata.name)
        self.configs[container_id].linux.resources.CopyFrom(resources)

    async def reopen_container_log(self, container_id: str) -> None:
        self._did("ReopenContainerLog", self._container(container_id).metadata.name)

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: int) -> pb.ExecSyncResponse:
        self._did("ExecSync", self._container(container_id).metadata.name)
        code, output = self.command(container_id, command)
        return pb.ExecSyncResponse(stdout=output, exit_code=code)

    async def exec(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        self._did("Exec", self._container(container_id).metadata.name)
        return f"http://127.0.0.1:1/exec/{container_id}"

    async def attach(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        self._did("Attach", self._container(container_id).metadata.name)
        return f"http://127.0.0.1:1/attach/{container_id}"

    async def port_forward(self, sandbox_id: str, ports: Sequence[int]) -> str:
        self._did("PortForward", self._sandbox(sandbox_id).metadata.name)
        return f"http://127.0.0.1:1/portforward/{sandbox_id}"

    async def list_container_stats(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.ContainerStats]:
        self._check("ListContainerStats")
        stamp = _now()
        return [
            pb.ContainerStats(
                attributes=pb.ContainerAttributes(id=status.id, metadata=status.metadata, labels=status.labels),
                cpu=pb.CpuUsage(timestamp=stamp, usage_core_nano_seconds=pb.UInt64Value()),
                memory=pb.MemoryUsage(
                    timestamp=stamp, working_set_bytes=pb.UInt64Value(value=self.memory_bytes.get(status.metadata.name, 0))
                ),
            )
            for status in self.containers.values()
            if status.state == pb.CONTAINER_RUNNING and _fits(status.labels, labels)
        ]

    async def container_events(self) -> AsyncIterator[str]:
        if not self.has_events:
            raise CRIError("UNIMPLEMENTED", "unknown method GetContainerEvents", "GetContainerEvents")
        queue: asyncio.Queue[str] = asyncio.Queue(EVENT_QUEUE_LIMIT)
        self._listeners.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)

    # ImageService

    async def list_images(self) -> Sequence[pb.Image]:
        self._check("ListImages")
        return list(self.images.values())

    async def image_status(self, image: str) -> pb.Image | None:
        self._check("ImageStatus")
        found = self.images.get(image)
        return found or next((one for one in self.images.values() if one.id == image), None)

    async def pull_image(
        self, image: str, auth: pb.AuthConfig | None = None, sandbox_config: pb.PodSandboxConfig | None = None
    ) -> str:
        self._did("PullImage", image)
        if self.pullable is not None and image not in self.pullable:
            raise CRIError("NOT_FOUND", f'failed to pull and unpack image "{image}": not found', "PullImage")
        return (self.images.get(image) or self.add_image(image)).id

    async def remove_image(self, image: str) -> None:
        self._did("RemoveImage", image)
        for name in [name for name, one in self.images.items() if image in (name, one.id)]:
            del self.images[name]

    async def image_fs_info(self) -> pb.ImageFsInfoResponse:
        self._check("ImageFsInfo")
        used = pb.UInt64Value(value=sum(image.size for image in self.images.values()))
        usage = pb.FilesystemUsage(timestamp=_now(), fs_id=pb.FilesystemIdentifier(mountpoint="/"), used_bytes=used)
        return pb.ImageFsInfoResponse(image_filesystems=[usage])

    async def close(self) -> None:
        """Nothing is held."""

    # Inside.

    def _check(self, method: str) -> None:
        failure = self.failures.get(method) or self.failures.get("*")
        if failure is not None:
            raise failure

    def _did(self, method: str, subject: str) -> None:
        self.calls.append((method, subject))
        self._check(method)

    def _new_id(self) -> str:
        self._ids += 1
        return f"{self._ids:064x}"

    def _sandbox(self, sandbox_id: str) -> pb.PodSandboxStatus:
        found = self.sandboxes.get(sandbox_id)
        if found is None:
            raise CRIError("NOT_FOUND", f"sandbox {sandbox_id} not found")
        return found

    def _container(self, container_id: str) -> pb.ContainerStatus:
        found = self.containers.get(container_id)
        if found is None:
            raise CRIError("NOT_FOUND", f"container {container_id} not found")
        return found

    def _inside(self, sandbox_id: str) -> list[str]:
        return [container_id for container_id, owner in self.sandbox_of.items() if owner == sandbox_id]

    def _forget(self, container_id: str) -> None:
        for table in (self.containers, self.sandbox_of, self.configs):
            table.pop(container_id, None)

    def _tell(self, identity: str) -> None:
        for queue in self._listeners:
            queue.put_nowait(identity)


def _now() -> int:
    return int(clock.time_seconds() * 1e9)


def _fits(labels: Mapping[str, str], wanted: Mapping[str, str] | None) -> bool:
    return all(labels.get(key) == value for key, value in (wanted or {}).items())
