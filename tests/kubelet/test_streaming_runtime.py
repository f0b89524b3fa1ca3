"""The kubelet's server in front of a real containerd: commands, terminals and ports through every protocol."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.protocol import State
from websockets.uri import parse_uri

from navarch.apimachinery.errors import Object
from navarch.component.bytestream import ByteStream
from navarch.component.httpclient import Answer, HTTPClient
from navarch.component.spdy import DataReceived, Session
from navarch.cri import runtime_pb2 as pb
from navarch.cri.client import CRIClient
from navarch.cri.containerd import Containerd, ContainerdConfig, needs_restricted_oom_score
from navarch.cri.images.library import Library
from navarch.cri.images.runtime import NodeImages
from navarch.kubelet.runtime_pod import Container
from navarch.kubelet.server import KubeletServer

pytestmark = pytest.mark.e2e

SCRIPT = (
    "mkdir -p /www && echo hello >/www/index.html && httpd -p 8080 -h /www; echo started; cat; echo input ended; sleep 1000"
)


@dataclass
class Runtime:
    endpoint: str
    sandbox_id: str
    container_id: str
    log: Path


class Lookup:
    """One pod of one container."""

    def __init__(self, runtime: Runtime, cri: CRIClient) -> None:
        self._runtime, self._cri = runtime, cri

    def pods(self) -> list[Object]:
        return [{"metadata": {"namespace": "a", "name": "p", "uid": "u"}, "spec": {"containers": [{"name": "c"}]}}]

    def pod(self, namespace: str, name: str, uid: str = "") -> Object | None:
        return self.pods()[0] if (namespace, name) == ("a", "p") else None

    def container(self, pod: Object, name: str, *, previous: bool = False) -> Container | None:
        return Container(self._runtime.container_id, "c", 0, "running", self._runtime.sandbox_id, 1) if name == "c" else None

    def log_path(self, pod: Object, container: Container) -> Path:
        return self._runtime.log

    async def wait_container_ended(self, pod: Object, container_id: str) -> None:
        await asyncio.Event().wait()

    async def exec(self, container_id: str, command: Sequence[str], **streams: bool) -> str:
        return await self._cri.exec(container_id, command, **streams)

    async def attach(self, container_id: str, **streams: bool) -> str:
        return await self._cri.attach(container_id, **streams)

    async def port_forward(self, pod: Object, ports: Sequence[int]) -> str:
        return await self._cri.port_forward(self._runtime.sandbox_id, ports)

    def runtime_healthy(self) -> str:
        return ""


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    directory = Path(tempfile.mkdtemp(prefix="nvstream"))
    restricted = needs_restricted_oom_score(Path("/proc/self/status").read_text())
    containerd = Containerd(
        ContainerdConfig(
            root=directory / "root",
            state=directory / "s",
            log_file=directory / "containerd.log",
            cni_bin_dir=Path("/usr/lib/cni"),
            cni_conf_dir=directory / "cni",
            sandbox_image="navarch.local/pause:1",
            restrict_oom_score_adj=restricted,
        )
    )

    async def begin() -> Runtime:
        library = Library(directory / "images")
        library.ensure_builtin()
        process, _ = containerd.start()
        await containerd.wait_ready(process)
        await NodeImages(containerd.config).ensure(library.archives())
        references = [reference for archive in library.archives() for reference in archive.references]
        demo = next(reference for reference in references if "demo" in reference)
        pause = next(reference for reference in references if "pause" in reference)
        assert pause.endswith("pause:1")
        cri = CRIClient(containerd.config.endpoint)
        logs = directory / "logs"
        logs.mkdir()
        host = pb.NamespaceOption(network=pb.NODE, pid=pb.CONTAINER)
        sandbox = pb.PodSandboxConfig(
            metadata=pb.PodSandboxMetadata(name="p", uid="u", namespace="a"),
            log_directory=str(logs),
            linux=pb.LinuxPodSandboxConfig(
                cgroup_parent="/navarch-test-streaming",
                security_context=pb.LinuxSandboxSecurityContext(namespace_options=host),
            ),
        )
        sandbox_id = await cri.run_pod_sandbox(sandbox)
        container_id = await cri.create_container(
            sandbox_id,
            pb.ContainerConfig(
                metadata=pb.ContainerMetadata(name="c"),
                image=pb.ImageSpec(image=demo),
                command=["/bin/sh", "-c", SCRIPT],
                log_path="c.log",
                stdin=True,
                linux=pb.LinuxContainerConfig(security_context=pb.LinuxContainerSecurityContext(namespace_options=host)),
            ),
            sandbox,
        )
        await cri.start_container(container_id)
        async with asyncio.timeout(10):
            while not (logs / "c.log").exists() or b"started" not in (logs / "c.log").read_bytes():
                await asyncio.sleep(0.02)
        await cri.close()
        return Runtime(containerd.config.endpoint, sandbox_id, container_id, logs / "c.log")

    async def end(found: Runtime) -> None:
        cri = CRIClient(found.endpoint)
        await cri.stop_container(found.container_id, 0)
        await cri.stop_pod_sandbox(found.sandbox_id)
        await cri.remove_pod_sandbox(found.sandbox_id)
        await cri.close()

    found = None
    try:
        found = asyncio.run(begin())
        yield found
    finally:
        if found is not None:
            asyncio.run(end(found))
        containerd.stop_everything()
        shutil.rmtree(directory, ignore_errors=True)
        for cgroup in Path("/sys/fs/cgroup").glob("**/navarch-test-streaming"):
            cgroup.rmdir()


@asynccontextmanager
async def served(runtime: Runtime) -> AsyncIterator[int]:
    cri = CRIClient(runtime.endpoint)
    server = KubeletServer(Lookup(runtime, cri), host="127.0.0.1", port=0, tls=None)
    await server.start()
    try:
        yield server.port
    finally:
        await server.stop()
        await cri.close()


def scenario(runtime: Runtime, work: Callable[[int], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), served(runtime) as port:
            await work(port)

    asyncio.run(main())


async def gather(websocket: ClientConnection) -> tuple[dict[int, bytes], Object]:
    """All output until the server closes: by channel, and the result."""
    output: dict[int, bytes] = {}
    async for message in websocket:
        assert isinstance(message, bytes)
        output[message[0]] = output.get(message[0], b"") + message[1:]
    result = output.pop(3, b"{}")
    return output, json.loads(result)


def exec_url(port: int, *command: str, options: str = "output=1&error=1") -> str:
    return f"ws://127.0.0.1:{port}/exec/a/p/c?{options}&" + "&".join(f"command={part}" for part in command)


def websocket(url: str, protocol: str) -> Any:
    return connect(url, subprotocols=[protocol], compression=None)  # type: ignore[list-item]


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
def test_a_command_gives_its_output_and_success(runtime: Runtime, protocol: str) -> None:
    async def work(port: int) -> None:
        async with websocket(exec_url(port, "sh", "-c", "echo%20out;echo%20err%20>%262"), protocol) as connection:
            output, result = await gather(connection)
        assert output == {1: b"out\n", 2: b"err\n"}
        assert result["status"] == "Success"

    scenario(runtime, work)


def test_an_exit_code_reaches_the_client_as_the_runtime_gives_it(runtime: Runtime) -> None:
    async def work(port: int) -> None:
        async with websocket(exec_url(port, "sh", "-c", "exit%207"), "v5.channel.k8s.io") as connection:
            _, result = await gather(connection)
        assert result["status"] == "Failure"
        assert result["reason"] == "NonZeroExitCode"
        assert result["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]

    scenario(runtime, work)


def test_standard_input_ends_when_the_client_says_so(runtime: Runtime) -> None:
    async def work(port: int) -> None:
        url = exec_url(port, "sh", "-c", "wc%20-c", options="input=1&output=1&error=1")
        async with websocket(url, "v5.channel.k8s.io") as connection:
            for _ in range(40):
                await connection.send(b"\0" + b"x" * 30000)
            await connection.send(bytes((255, 0)))
            output, result = await gather(connection)
        assert (output[1].strip(), result["status"]) == (b"1200000", "Success")

    scenario(runtime, work)


def test_much_output_comes_whole(runtime: Runtime) -> None:
    async def work(port: int) -> None:
        command = "head%20-c%205000000%20/dev/zero"
        async with websocket(exec_url(port, "sh", "-c", command), "v5.channel.k8s.io") as connection:
            output, result = await gather(connection)
        assert (len(output[1]), result["status"]) == (5000000, "Success")

    scenario(runtime, work)


def test_a_terminal_has_the_size_it_is_given(runtime: Runtime) -> None:
    async def work(port: int) -> None:
        url = exec_url(port, "sh", "-c", "read%20x;stty%20size", options="input=1&output=1&tty=1")
        async with websocket(url, "v5.channel.k8s.io") as connection:
            await connection.send(b"\x04" + json.dumps({"Width": 123, "Height": 45}).encode())
            await asyncio.sleep(0.2)
            await connection.send(b"\0go\r")
            output, result = await gather(connection)
        assert b"45 123" in output[1]
        assert result["status"] == "Success"

    scenario(runtime, work)


def test_a_command_that_does_not_exist_fails_with_the_runtimes_words(runtime: Runtime) -> None:
    async def work(port: int) -> None:
        async with websocket(exec_url(port, "nothing"), "v5.channel.k8s.io") as connection:
            _, result = await gather(connection)
        assert result["status"] == "Failure"
        assert "nothing" in result["message"]

    scenario(runtime, work)


def test_a_client_that_goes_away_ends_its_command_only(runtime: Runtime) -> None:
    async def work(port: int) -> None:
        url = exec_url(port, "cat", options="input=1&output=1")
        async with websocket(url, "v4.channel.k8s.io") as connection:
            await connection.send(b"\0hello")
            await connection.recv()
        async with websocket(exec_url(port, "echo", "still"), "v4.channel.k8s.io") as connection:
            output, _ = await gather(connection)
        assert output[1] == b"still\n"

    scenario(runtime, work)


async def spdy(port: int, target: str, protocol: str) -> tuple[HTTPClient, ByteStream]:
    client = HTTPClient(f"http://127.0.0.1:{port}")
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": protocol}
    answer = await client.upgrade("POST", target, headers=headers)
    assert not isinstance(answer, Answer), answer
    assert answer[0]["x-stream-protocol-version"] == protocol.split(",")[0]
    return client, answer[1]


def test_a_spdy_client_is_joined_to_the_runtime(runtime: Runtime) -> None:
    async def work(port: int) -> None:
        target = "/exec/a/p/c?output=1&error=1&command=sh&command=-c&command=echo%20out;exit%203"
        client, stream = await spdy(port, target, "v4.channel.k8s.io, v3.channel.k8s.io")
        session = Session(client=True)
        names = {session.open_stream({"streamtype": name}): name for name in ("error", "stdout", "stderr")}
        await stream.write(session.data_to_send())
        output: dict[str, bytes] = {}
        while data := await stream.read():
            for event in session.receive(data):
                if isinstance(event, DataReceived):
                    output[names[event.stream]] = output.get(names[event.stream], b"") + event.data
            await stream.write(session.data_to_send())
        client.close()
        assert output["stdout"] == b"out\n"
        assert json.loads(output["error"])["details"]["causes"][0]["message"] == "3"

    scenario(runtime, work)


REQUEST = b"GET /index.html HTTP/1.0\r\n\r\n"


class Tunnel:
    """A WebSocket whose subprotocol has a name that the library's own client will not say."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._protocol = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN)

    async def send(self, data: bytes) -> None:
        self._protocol.send_binary(data)
        for chunk in self._protocol.data_to_send():
            await self._stream.write(chunk)

    async def receive(self) -> bytes:
        while True:
            self._protocol.receive_data(await self._stream.read())
            found = b"".join(bytes(e.data) for e in self._protocol.events_received() if isinstance(e, Frame))
            if found:
                return found


def test_ports_are_forwarded_through_a_tunnel_of_spdy_in_a_websocket(runtime: Runtime) -> None:
    async def work(port: int) -> None:
        client = HTTPClient(f"http://127.0.0.1:{port}")
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        headers |= {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "SPDY/3.1+portforward.k8s.io"}
        answer = await client.upgrade("GET", "/portForward/a/p?port=8080", headers=headers)
        assert not isinstance(answer, Answer), answer
        assert answer[0]["sec-websocket-protocol"] == "SPDY/3.1+portforward.k8s.io"
        assert answer[0]["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        tunnel = Tunnel(answer[1])
        session = Session(client=True)
        received = b""
        for request_id in ("0", "1"):
            about = {"port": "8080", "requestid": request_id}
            error = session.open_stream({"streamtype": "error", **about})
            session.send_data(error, b"", fin=True)
            stream = session.open_stream({"streamtype": "data", **about})
            session.send_data(stream, REQUEST)
            await tunnel.send(session.data_to_send())
            ended = False
            while not ended:
                for event in session.receive(await tunnel.receive()):
                    if isinstance(event, DataReceived) and event.stream == stream:
                        received += event.data
                        ended = ended or event.fin
        client.close()
        assert received.count(b"hello\n") == 2

    scenario(runtime, work)


def test_ports_are_forwarded_over_websocket_channels(runtime: Runtime) -> None:
    async def work(port: int) -> None:
        url = f"ws://127.0.0.1:{port}/portForward/a/p?port=8080"
        async with websocket(url, "v4.channel.k8s.io") as connection:
            heads = [await connection.recv(), await connection.recv()]
            assert heads == [b"\0\x90\x1f", b"\1\x90\x1f"]
            await connection.send(b"\0" + REQUEST)
            received = b""
            async for message in connection:
                assert isinstance(message, bytes)
                received += message[1:] if message[0] == 0 else b""
        assert received.endswith(b"hello\n")

    scenario(runtime, work)


def test_attach_reaches_the_containers_own_process(runtime: Runtime) -> None:
    async def work(port: int) -> None:
        url = f"ws://127.0.0.1:{port}/attach/a/p/c?input=1&output=1&error=1"
        async with websocket(url, "v5.channel.k8s.io") as connection:
            await connection.send(b"\0ping\n")
            seen = b""
            while b"ping" not in seen:
                message = await connection.recv()
                assert isinstance(message, bytes)
                seen += message[1:]

    scenario(runtime, work)


def test_what_was_written_is_in_the_log(runtime: Runtime) -> None:
    async def work(port: int) -> None:
        client = HTTPClient(f"http://127.0.0.1:{port}")
        answer = await client.request("GET", "/containerLogs/a/p/c")
        assert (answer.status, answer.body.splitlines()[0]) == (200, b"started")
        follow = await client.stream("GET", "/containerLogs/a/p/c?follow=true&tailLines=1")
        assert await anext(aiter(follow))
        client.close()

    scenario(runtime, work)
