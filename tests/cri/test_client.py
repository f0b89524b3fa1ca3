"""The CRI client over a real gRPC socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from navarch.cri import containerd_events_pb2 as containerd_pb
from navarch.cri import runtime_pb2 as pb
from navarch.cri.client import CRIClient, CRIError, ImageService, RuntimeService
from navarch.cri.fake import FakeRuntime

RUNTIME = "runtime.v1.RuntimeService"
EVENTS = "containerd.services.events.v1.Events"


def serving(directory: Path, services: dict[str, dict[str, Any]], test: Callable[[CRIClient], Awaitable[None]]) -> None:
    """Run `test` against a server with these methods: (request type, handler), streams being generators."""
    import grpc
    from grpc import aio

    async def run() -> None:
        server = aio.server()
        for service, methods in services.items():
            handlers = {}
            for name, (request, handler) in methods.items():
                make = grpc.unary_stream_rpc_method_handler if name in ("Subscribe", "GetContainerEvents") else None
                handlers[name] = (make or grpc.unary_unary_rpc_method_handler)(
                    handler,
                    request_deserializer=request.FromString,
                    response_serializer=lambda message: message.SerializeToString(),
                )
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        server.add_insecure_port(f"unix://{directory}/cri.sock")
        await server.start()
        client = CRIClient(f"{directory}/cri.sock")
        try:
            await test(client)
        finally:
            await client.close()
            await server.stop(None)

    asyncio.run(run())


def test_calls_reach_the_runtime_and_come_back(tmp_path: Path) -> None:
    async def create(request: pb.CreateContainerRequest, context: Any) -> pb.CreateContainerResponse:
        assert request.config.metadata.name == "c" and request.sandbox_config.hostname == "h"
        return pb.CreateContainerResponse(container_id=f"{request.pod_sandbox_id}-c")

    async def listed(request: pb.ListContainersRequest, context: Any) -> pb.ListContainersResponse:
        assert dict(request.filter.label_selector) == {"a": "b"}
        return pb.ListContainersResponse(containers=[pb.Container(id="x")])

    async def test(client: CRIClient) -> None:
        config = pb.ContainerConfig(metadata=pb.ContainerMetadata(name="c"))
        assert await client.create_container("s", config, pb.PodSandboxConfig(hostname="h")) == "s-c"
        assert [container.id for container in await client.list_containers({"a": "b"})] == ["x"]

    methods = {"CreateContainer": (pb.CreateContainerRequest, create), "ListContainers": (pb.ListContainersRequest, listed)}
    serving(tmp_path, {RUNTIME: methods}, test)


def test_refusals_carry_their_code(tmp_path: Path) -> None:
    async def refuse(request: Any, context: Any) -> None:
        import grpc

        await context.abort(grpc.StatusCode.NOT_FOUND, 'container "x" not found')

    async def test(client: CRIClient) -> None:
        with pytest.raises(CRIError) as caught:
            await client.container_status("x")
        assert caught.value.is_not_found
        assert caught.value.rpc_text == 'rpc error: code = NotFound desc = container "x" not found'
        with pytest.raises(CRIError) as caught:
            await client.version()
        assert caught.value.is_unimplemented

    serving(tmp_path, {RUNTIME: {"ContainerStatus": (pb.ContainerStatusRequest, refuse)}}, test)


def test_a_socket_nobody_listens_on_is_unavailable(tmp_path: Path) -> None:
    async def run() -> None:
        client = CRIClient(f"unix://{tmp_path}/none.sock")
        with pytest.raises(CRIError) as caught:
            await client.version()
        assert caught.value.is_unavailable
        await client.close()

    asyncio.run(run())


async def collected(client: CRIClient) -> list[str]:
    found = []
    try:
        async for container_id in client.container_events():
            found.append(container_id)
    except CRIError as error:
        found.append(error.code)
    return found


def test_events_come_from_the_cri_where_it_has_them(tmp_path: Path) -> None:
    async def events(request: Any, context: Any) -> AsyncIterator[pb.ContainerEventResponse]:
        yield pb.ContainerEventResponse(container_id="one")
        yield pb.ContainerEventResponse(container_id="two")

    async def test(client: CRIClient) -> None:
        async with asyncio.timeout(5):
            assert await collected(client) == ["one", "two"]

    serving(tmp_path, {RUNTIME: {"GetContainerEvents": (pb.GetEventsRequest, events)}}, test)


def test_containerds_own_events_stand_in(tmp_path: Path) -> None:
    async def subscribe(request: containerd_pb.SubscribeRequest, context: Any) -> AsyncIterator[containerd_pb.Envelope]:
        assert "k8s.io" in request.filters[0]
        for container, process in (("one", "one"), ("one", "an-exec"), ("two", "two")):
            ended = containerd_pb.TaskExit(container_id=container, id=process)
            yield containerd_pb.Envelope(event=containerd_pb.Any(value=ended.SerializeToString()))

    async def test(client: CRIClient) -> None:
        assert await collected(client) == ["one", "two"]

    serving(tmp_path, {EVENTS: {"Subscribe": (containerd_pb.SubscribeRequest, subscribe)}}, test)


def test_a_runtime_without_events_says_so(tmp_path: Path) -> None:
    async def test(client: CRIClient) -> None:
        assert await collected(client) == ["UNIMPLEMENTED"]

    serving(tmp_path, {RUNTIME: {}}, test)


def test_the_simulated_runtime_keeps_the_cris_rules() -> None:
    async def run() -> None:
        fake = FakeRuntime(images=["a:1"])
        runtime: RuntimeService = fake
        images: ImageService = fake
        sandbox = await runtime.run_pod_sandbox(pb.PodSandboxConfig(labels={"u": "1"}))
        container = await runtime.create_container(sandbox, pb.ContainerConfig(labels={"u": "1"}), pb.PodSandboxConfig())
        assert (await runtime.container_status(container)).state == pb.CONTAINER_CREATED
        await runtime.start_container(container)
        assert [one.id for one in await runtime.list_containers({"u": "1"})] == [container]
        assert not await runtime.list_containers({"u": "2"})
        await runtime.stop_pod_sandbox(sandbox)
        await runtime.stop_pod_sandbox(sandbox)
        status = await runtime.container_status(container)
        assert (status.state, status.exit_code) == (pb.CONTAINER_EXITED, 137)
        await runtime.remove_pod_sandbox(sandbox)
        await runtime.remove_container(container)
        with pytest.raises(CRIError, match="not found"):
            await runtime.pod_sandbox_status(sandbox)
        assert await images.image_status("b:1") is None
        assert await images.image_status(await images.pull_image("b:1")) is not None

    asyncio.run(run())
