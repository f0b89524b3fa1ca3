"""Lifecycle hooks."""

from __future__ import annotations

import asyncio

import pytest

from navarch.apimachinery.errors import Object
from navarch.cri import runtime_pb2 as pb
from navarch.cri.client import CRIError
from navarch.cri.fake import FakeRuntime
from navarch.kubelet import hooks
from navarch.kubelet.handlers import Target
from tests.kubelet.pods import container, pod

WHERE = 'for Container "c" in Pod "p_default(u-1)" failed'


def run(handler: Object, *, code: int = 0, failure: CRIError | None = None) -> tuple[str, list[tuple[str, str]]]:
    """What is said of it, and the warnings."""
    warnings: list[tuple[str, str]] = []

    async def within() -> str:
        runtime = FakeRuntime()
        sandbox = await runtime.run_pod_sandbox(pb.PodSandboxConfig())
        container_id = await runtime.create_container(sandbox, pb.ContainerConfig(), pb.PodSandboxConfig())
        runtime.command = lambda container_id, command: (code, b"out")
        if failure is not None:
            runtime.failures["ExecSync"] = failure
        target = Target(container_id, container(), "127.0.0.1")
        return await hooks.run(runtime, pod(), target, handler, 1, lambda *warning: warnings.append(warning))

    return asyncio.run(within()), warnings


def test_hooks_may_just_wait() -> None:
    assert run({"sleep": {"seconds": 0}}) == ("", [])


def test_commands_tell_how_they_failed() -> None:
    hook = {"exec": {"command": ["sh", "x"]}}
    assert run(hook)[0] == ""
    assert run(hook, code=3)[0] == (
        f"Exec lifecycle hook ([sh x]) {WHERE} - error: command 'sh x' exited with 3: , message: \"out\""
    )
    text = f'Exec lifecycle hook ([sh x]) {WHERE} - error: rpc error: code = Unknown desc = no, message: ""'
    assert run(hook, failure=CRIError("UNKNOWN", "no"))[0] == text


def test_a_get_fails_only_where_nobody_answers() -> None:
    refused = 'Get "http://127.0.0.1:1/bye": dial tcp 127.0.0.1:1: connect: connection refused'
    hook = {"httpGet": {"port": 1, "path": "/bye"}}
    assert run(hook)[0] == f"HTTP lifecycle hook (/bye) {WHERE} - error: {refused}"
    hook = {"httpGet": {"port": "none"}}
    assert run(hook)[0] == f'HTTP lifecycle hook () {WHERE} - error: strconv.Atoi: parsing "none": invalid syntax'


@pytest.mark.parametrize("scheme", ["HTTP", "HTTPS"])
def test_any_answer_will_do_and_plain_http_too(scheme: str) -> None:
    warnings: list[tuple[str, str]] = []

    async def within() -> tuple[str, int]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        target = Target("c", container(), "127.0.0.1")
        hook = {"httpGet": {"port": port, "scheme": scheme}}
        said = await hooks.run(FakeRuntime(), pod(), target, hook, 5, lambda *warning: warnings.append(warning))
        server.close()
        await server.wait_closed()
        return said, port

    said, port = asyncio.run(within())
    assert said == ""
    message = f"request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, retry with HTTP succeeded"
    assert warnings == ([("LifecycleHTTPFallback", message)] if scheme == "HTTPS" else [])
