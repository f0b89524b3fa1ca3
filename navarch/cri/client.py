"""The CRI client: a container runtime behind any CRI v1 socket, and the interfaces that it and the simulated runtime share.

Rules: every call has a deadline; a failed call raises `CRIError` with the gRPC code's name; `UNAVAILABLE` is the only code
that says the runtime itself is away. Messages are those of runtime.proto and belong to whoever received them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from navarch.cri import containerd_events_pb2 as containerd_pb
from navarch.cri import runtime_pb2 as pb

CALL_TIMEOUT_SECONDS = 120.0
# A relist that takes longer than this means that the runtime hangs (the kubelet's PLEG health threshold is 3 min).
LIST_TIMEOUT_SECONDS = 60.0
PULL_TIMEOUT_SECONDS = 3600.0
# Beyond the time the caller asked for: what a runtime needs to do the killing itself.
STOP_MARGIN_SECONDS = 120.0
EXEC_MARGIN_SECONDS = 15.0
MESSAGE_LIMIT_BYTES = 16 * 1024 * 1024
RECONNECT_BACKOFF_MAX_MILLISECONDS = 1000

EVENT_STARTED = "started"
EVENT_STOPPED = "stopped"
EVENT_DELETED = "deleted"

Response = TypeVar("Response")


class CRIError(Exception):
    """A call the runtime refused or did not answer. `code` is a gRPC status name such as ``NOT_FOUND``."""

    def __init__(self, code: str, message: str, method: str = "") -> None:
        super().__init__(f"{message}")
        self.code = code
        self.message = message
        self.method = method

    @property
    def is_not_found(self) -> bool:
        return self.code == "NOT_FOUND"

    @property
    def is_unavailable(self) -> bool:
        """The runtime does not answer at all."""
        return self.code == "UNAVAILABLE"

    @property
    def is_unimplemented(self) -> bool:
        return self.code == "UNIMPLEMENTED"

    @property
    def rpc_text(self) -> str:
        """As Kubernetes' messages show a failed call: ``rpc error: code = NotFound desc = …``."""
        name = "".join(word.capitalize() for word in self.code.split("_"))
        return f"rpc error: code = {name} desc = {self.message}"


class RuntimeService(Protocol):
    """Sandboxes and containers. Calls are idempotent where the CRI says so (stop, remove)."""

    async def version(self) -> pb.VersionResponse: ...

    async def status(self, *, verbose: bool = False) -> pb.StatusResponse: ...

    async def update_pod_cidr(self, pod_cidr: str) -> None: ...

    async def run_pod_sandbox(self, config: pb.PodSandboxConfig, runtime_handler: str = "") -> str:
        """Create and start a sandbox, its network included; returns its id."""

    async def stop_pod_sandbox(self, sandbox_id: str) -> None: ...

    async def remove_pod_sandbox(self, sandbox_id: str) -> None: ...

    async def pod_sandbox_status(self, sandbox_id: str) -> pb.PodSandboxStatus: ...

    async def list_pod_sandboxes(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.PodSandbox]: ...

    async def create_container(
        self, sandbox_id: str, config: pb.ContainerConfig, sandbox_config: pb.PodSandboxConfig
    ) -> str: ...

    async def start_container(self, container_id: str) -> None: ...

    async def stop_container(self, container_id: str, timeout_seconds: int) -> None:
        """Returns when it has ended."""

    async def remove_container(self, container_id: str) -> None: ...

    async def list_containers(
        self, labels: Mapping[str, str] | None = None, *, sandbox_id: str = ""
    ) -> Sequence[pb.Container]: ...

    async def container_status(self, container_id: str) -> pb.ContainerStatus: ...

    async def update_container_resources(self, container_id: str, resources: pb.LinuxContainerResources) -> None: ...

    async def reopen_container_log(self, container_id: str) -> None: ...

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: int) -> pb.ExecSyncResponse:
        """Run a command to its end; ``DEADLINE_EXCEEDED`` if it took longer (0: no limit)."""

    async def exec(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        """The URL at which the runtime streams the command."""

    async def attach(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str: ...

    async def port_forward(self, sandbox_id: str, ports: Sequence[int]) -> str: ...

    async def list_container_stats(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.ContainerStats]: ...

    def container_events(self) -> AsyncIterator[str]:
        """Ids of containers that started, stopped or went, as it happens.

        ``UNIMPLEMENTED`` from a runtime that cannot tell.
        """

    async def close(self) -> None: ...


class ImageService(Protocol):
    """Images on the node."""

    async def list_images(self) -> Sequence[pb.Image]: ...

    async def image_status(self, image: str) -> pb.Image | None: ...

    async def pull_image(
        self, image: str, auth: pb.AuthConfig | None = None, sandbox_config: pb.PodSandboxConfig | None = None
    ) -> str:
        """Fetch it; returns the image's id."""

    async def remove_image(self, image: str) -> None: ...

    async def image_fs_info(self) -> pb.ImageFsInfoResponse: ...

    async def close(self) -> None: ...


class CRIClient:
    """Both services of one runtime, over one gRPC connection that mends itself."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is ``unix:///path`` or a bare path."""
        self.endpoint = endpoint if "://" in endpoint else f"unix://{endpoint}"
        self._channel: Any = None
        self._calls: dict[str, Any] = {}

    # RuntimeService

    async def version(self) -> pb.VersionResponse:
        return await self._runtime("Version", pb.VersionRequest(version="v1"), pb.VersionResponse)

    async def status(self, *, verbose: bool = False) -> pb.StatusResponse:
        return await self._runtime("Status", pb.StatusRequest(verbose=verbose), pb.StatusResponse)

    async def update_pod_cidr(self, pod_cidr: str) -> None:
        config = pb.RuntimeConfig(network_config=pb.NetworkConfig(pod_cidr=pod_cidr))
        request = pb.UpdateRuntimeConfigRequest(runtime_config=config)
        await self._runtime("UpdateRuntimeConfig", request, pb.UpdateRuntimeConfigResponse)

    async def run_pod_sandbox(self, config: pb.PodSandboxConfig, runtime_handler: str = "") -> str:
        request = pb.RunPodSandboxRequest(config=config, runtime_handler=runtime_handler)
        return (
            await self._runtime("RunPodSandbox", request, pb.RunPodSandboxResponse, 2 * CALL_TIMEOUT_SECONDS)
        ).pod_sandbox_id

    async def stop_pod_sandbox(self, sandbox_id: str) -> None:
        await self._runtime("StopPodSandbox", pb.StopPodSandboxRequest(pod_sandbox_id=sandbox_id), pb.StopPodSandboxResponse)

    async def remove_pod_sandbox(self, sandbox_id: str) -> None:
        request = pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
        await self._runtime("RemovePodSandbox", request, pb.RemovePodSandboxResponse)

    async def pod_sandbox_status(self, sandbox_id: str) -> pb.PodSandboxStatus:
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id)
        return (await self._runtime("PodSandboxStatus", request, pb.PodSandboxStatusResponse)).status

    async def list_pod_sandboxes(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.PodSandbox]:
        request = pb.ListPodSandboxRequest(filter=pb.PodSandboxFilter(label_selector=labels) if labels else None)
        return (await self._runtime("ListPodSandbox", request, pb.ListPodSandboxResponse, LIST_TIMEOUT_SECONDS)).items

    async def create_container(self, sandbox_id: str, config: pb.ContainerConfig, sandbox_config: pb.PodSandboxConfig) -> str:
        request = pb.CreateContainerRequest(pod_sandbox_id=sandbox_id, config=config, sandbox_config=sandbox_config)
        return (await self._runtime("CreateContainer", request, pb.CreateContainerResponse)).container_id

    async def start_container(self, container_id: str) -> None:
        await self._runtime("StartContainer", pb.StartContainerRequest(container_id=container_id), pb.StartContainerResponse)

    async def stop_container(self, container_id: str, timeout_seconds: int) -> None:
        request = pb.StopContainerRequest(container_id=container_id, timeout=timeout_seconds)
        await self._runtime("StopContainer", request, pb.StopContainerResponse, timeout_seconds + STOP_MARGIN_SECONDS)

    async def remove_container(self, container_id: str) -> None:
        await self._runtime("RemoveContainer", pb.RemoveContainerRequest(container_id=container_id), pb.RemoveContainerResponse)

    async def list_containers(self, labels: Mapping[str, str] | None = None, *, sandbox_id: str = "") -> Sequence[pb.Container]:
        wanted = pb.ContainerFilter(label_selector=labels, pod_sandbox_id=sandbox_id) if labels or sandbox_id else None
        request = pb.ListContainersRequest(filter=wanted)
        return (await self._runtime("ListContainers", request, pb.ListContainersResponse, LIST_TIMEOUT_SECONDS)).containers

    async def container_status(self, container_id: str) -> pb.ContainerStatus:
        request = pb.ContainerStatusRequest(container_id=container_id)
        return (await self._runtime("ContainerStatus", request, pb.ContainerStatusResponse)).status

    async def update_container_resources(self, container_id: str, resources: pb.LinuxContainerResources) -> None:
        request = pb.UpdateContainerResourcesRequest(container_id=container_id, linux=resources)
        await self._runtime("UpdateContainerResources", request, pb.UpdateContainerResourcesResponse)

    async def reopen_container_log(self, container_id: str) -> None:
        request = pb.ReopenContainerLogRequest(container_id=container_id)
        await self._runtime("ReopenContainerLog", request, pb.ReopenContainerLogResponse)

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: int) -> pb.ExecSyncResponse:
        request = pb.ExecSyncRequest(container_id=container_id, cmd=command, timeout=timeout_seconds)
        deadline = timeout_seconds + EXEC_MARGIN_SECONDS if timeout_seconds else None
        return await self._runtime("ExecSync", request, pb.ExecSyncResponse, deadline)

    async def exec(
        self, container_id: str, command: Sequence[str], *, tty: bool, stdin: bool, stdout: bool, stderr: bool
    ) -> str:
        request = pb.ExecRequest(container_id=container_id, cmd=command, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
        return (await self._runtime("Exec", request, pb.ExecResponse)).url

    async def attach(self, container_id: str, *, tty: bool, stdin: bool, stdout: bool, stderr: bool) -> str:
        request = pb.AttachRequest(container_id=container_id, tty=tty, stdin=stdin, stdout=stdout, stderr=stderr)
        return (await self._runtime("Attach", request, pb.AttachResponse)).url

    async def port_forward(self, sandbox_id: str, ports: Sequence[int]) -> str:
        request = pb.PortForwardRequest(pod_sandbox_id=sandbox_id, port=ports)
        return (await self._runtime("PortForward", request, pb.PortForwardResponse)).url

    async def list_container_stats(self, labels: Mapping[str, str] | None = None) -> Sequence[pb.ContainerStats]:
        request = pb.ListContainerStatsRequest(filter=pb.ContainerStatsFilter(label_selector=labels) if labels else None)
        return (await self._runtime("ListContainerStats", request, pb.ListContainerStatsResponse)).stats

    async def container_events(self) -> AsyncIterator[str]:
        """From the CRI's stream, or containerd's own where there is none."""
        try:
            async for event in self._stream(
                "/runtime.v1.RuntimeService/GetContainerEvents", pb.GetEventsRequest(), pb.ContainerEventResponse
            ):
                yield event.container_id
            return
        except CRIError as error:
            if not error.is_unimplemented:
                raise
        request = containerd_pb.SubscribeRequest(filters=['namespace==k8s.io,topic=="/tasks/exit"'])
        async for envelope in self._stream("/containerd.services.events.v1.Events/Subscribe", request, containerd_pb.Envelope):
            ended = containerd_pb.TaskExit.FromString(envelope.event.value)
            if ended.id == ended.container_id:
                yield ended.container_id

    # ImageService

    async def list_images(self) -> Sequence[pb.Image]:
        return (await self._images("ListImages", pb.ListImagesRequest(), pb.ListImagesResponse)).images

    async def image_status(self, image: str) -> pb.Image | None:
        request = pb.ImageStatusRequest(image=pb.ImageSpec(image=image))
        answer = await self._images("ImageStatus", request, pb.ImageStatusResponse)
        return answer.image if answer.HasField("image") else None

    async def pull_image(
        self, image: str, auth: pb.AuthConfig | None = None, sandbox_config: pb.PodSandboxConfig | None = None
    ) -> str:
        request = pb.PullImageRequest(image=pb.ImageSpec(image=image), auth=auth, sandbox_config=sandbox_config)
        return (await self._images("PullImage", request, pb.PullImageResponse, PULL_TIMEOUT_SECONDS)).image_ref

    async def remove_image(self, image: str) -> None:
        await self._images("RemoveImage", pb.RemoveImageRequest(image=pb.ImageSpec(image=image)), pb.RemoveImageResponse)

    async def image_fs_info(self) -> pb.ImageFsInfoResponse:
        return await self._images("ImageFsInfo", pb.ImageFsInfoRequest(), pb.ImageFsInfoResponse)

    async def close(self) -> None:
        if self._channel is not None:
            channel, self._channel = self._channel, None
            self._calls.clear()
            await channel.close()

    # The wire.

    async def _runtime(
        self, method: str, request: Any, response: type[Response], timeout_seconds: float | None = CALL_TIMEOUT_SECONDS
    ) -> Response:
        answer: Response = await self._unary(f"/runtime.v1.RuntimeService/{method}", request, response, timeout_seconds)
        return answer

    async def _images(
        self, method: str, request: Any, response: type[Response], timeout_seconds: float | None = CALL_TIMEOUT_SECONDS
    ) -> Response:
        answer: Response = await self._unary(f"/runtime.v1.ImageService/{method}", request, response, timeout_seconds)
        return answer

    async def _unary(self, path: str, request: Any, response: Any, timeout_seconds: float | None) -> Any:
        call = self._calls.get(path)
        if call is None:
            call = self._calls[path] = self._connected().unary_unary(
                path, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
            )
        try:
            return await call(request, timeout=timeout_seconds)
        except _rpc_error() as error:
            raise CRIError(error.code().name, error.details() or "", path) from None
        except asyncio.CancelledError:
            # grpc.aio also cancels its callers when the channel is closed below them.
            if self._channel is None and not _being_cancelled():
                raise CRIError("UNAVAILABLE", "the connection to the runtime was closed", path) from None
            raise

    async def _stream(self, path: str, request: Any, response: Any) -> AsyncIterator[Any]:
        call = self._connected().unary_stream(
            path, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
        )(request)
        try:
            async for message in call:
                yield message
        except _rpc_error() as error:
            raise CRIError(error.code().name, error.details() or "", path) from None
        finally:
            call.cancel()

    def _connected(self) -> Any:
        if self._channel is None:
            # Children that are started call exec at once: gRPC need not prepare for forks, nor warn that it can't.
            os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
            # 19 MB that only a process with a real runtime needs.
            from grpc import aio

            options = [
                ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
                ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.min_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", RECONNECT_BACKOFF_MAX_MILLISECONDS),
                ("grpc.enable_http_proxy", 0),
                # A socket's path is no host name.
                ("grpc.default_authority", "localhost"),
            ]
            self._channel = aio.insecure_channel(self.endpoint, options=options)
        return self._channel


def _rpc_error() -> type[Any]:
    from grpc import aio

    return aio.AioRpcError


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
