"""Probes and hooks carried out against real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from navarch.apimachinery.errors import Object
from navarch.cri.client import CRIError
from navarch.cri.fake import FakeRuntime
from navarch.kubelet import handlers
from navarch.kubelet.handlers import Target
from tests.kubelet.pods import container

SPEC = container(ports=[{"name": "web", "containerPort": 1}])
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def get(answer: bytes | None, *, timeout: float = 5.0, **action: object) -> tuple[str, str, str]:
    """Outcome and output of a GET that is answered so (None: not at all), and the request."""
    asked = ""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        try:
            asked = (await reader.readuntil(b"\r\n\r\n")).decode()
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    target = Target("c", {**SPEC, "ports": [{"name": "web", "containerPort": port}]}, "127.0.0.1")
    outcome, output = await handlers.http_get(target, {"port": "web", **action}, timeout)
    server.close()
    await server.wait_closed()
    return outcome, output.replace(str(port), "PORT"), asked.replace(str(port), "PORT")


def test_a_status_from_200_to_399_is_a_success() -> None:
    for status, outcome in ((200, "success"), (204, "success"), (399, "warning"), (400, "failure"), (503, "failure")):
        answer = f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nno".encode()
        found = asyncio.run(get(answer))
        assert found[0] == outcome
        if outcome == "failure":
            assert found[1] == f"HTTP probe failed with statuscode: {status}"


def test_what_an_answer_announces_is_not_the_answer() -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    assert asyncio.run(get(answer))[0] == "success"


def test_requests_say_who_asks() -> None:
    _, _, asked = asyncio.run(get(b"HTTP/1.1 200 OK\r\n\r\n", path="/healthz?x=1"))
    assert asked.startswith("GET /healthz?x=1 HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nUser-Agent: kube-probe/1.36\r\n")
    headers = [{"name": "Host", "value": "me.example"}, {"name": "X-A", "value": "b"}]
    _, _, asked = asyncio.run(get(b"HTTP/1.1 200 OK\r\n\r\n", httpHeaders=headers))
    assert "Host: me.example\r\nX-A: b\r\n" in asked and asked.count("Host:") == 1


def test_redirects_elsewhere_prove_that_the_pod_answers() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.invalid/\r\nContent-Length: 4\r\n\r\nawayX"
    outcome, output, _ = asyncio.run(get(answer))
    assert (outcome, output) == ("warning", "Probe terminated redirects, Response body: away")


def test_redirects_to_the_same_host_are_followed() -> None:
    outcome, output, _ = asyncio.run(get(b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n"))
    assert outcome == "failure" and output.endswith("stopped after 10 redirects")


def test_failures_read_like_kubernetes() -> None:
    outcome, output, _ = asyncio.run(get(None, timeout=0.05))
    expected = 'Get "http://127.0.0.1:PORT/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    assert (outcome, output) == ("failure", expected)
    outcome, output, _ = asyncio.run(get(b""))
    assert (outcome, output) == ("failure", 'Get "http://127.0.0.1:PORT/": EOF')
    outcome, output, _ = asyncio.run(get(b"hello\r\n\r\n"))
    assert outcome == "failure" and 'malformed HTTP response "hello"' in output
    refused = asyncio.run(handlers.http_get(Target("c", SPEC, "127.0.0.1"), {"port": 1}, 1))
    assert refused == ("failure", 'Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused')
    unknown = asyncio.run(handlers.http_get(Target("c", SPEC, "127.0.0.1"), {"port": "none"}, 1))
    assert unknown == ("error", 'strconv.Atoi: parsing "none": invalid syntax')


def test_a_port_that_takes_connections_is_a_success() -> None:
    async def run() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert await handlers.tcp_connect(Target("c", SPEC, "127.0.0.1"), {"port": port}, 1) == ("success", "")
        server.close()
        await server.wait_closed()

    asyncio.run(run())
    refused = asyncio.run(handlers.tcp_connect(Target("c", SPEC, "127.0.0.1"), {"port": "web"}, 1))
    assert refused == ("failure", "dial tcp 127.0.0.1:1: connect: connection refused")


def test_a_name_that_is_none_is_a_failure_like_any_other() -> None:
    for host in ("no..name", "none.invalid"):
        found = asyncio.run(handlers.tcp_connect(Target("c", SPEC, "127.0.0.1"), {"host": host, "port": 1}, 5))
        assert found == ("failure", f"dial tcp: lookup {host}: no such host")


def with_command(code: int, output: bytes, probe: Object, failure: CRIError | None = None) -> tuple[str, str]:
    async def run() -> tuple[str, str]:
        from navarch.cri import runtime_pb2 as pb

        runtime = FakeRuntime()
        sandbox = await runtime.run_pod_sandbox(pb.PodSandboxConfig())
        container_id = await runtime.create_container(sandbox, pb.ContainerConfig(), pb.PodSandboxConfig())
        runtime.command = lambda container_id, command: (code, output)
        if failure is not None:
            runtime.failures["ExecSync"] = failure
        return await handlers.run_probe(runtime, Target(container_id, SPEC, ""), probe, 1)

    return asyncio.run(run())


def test_commands_succeed_by_their_exit_code() -> None:
    probe: Object = {"exec": {"command": ["cat", "/x"]}}
    assert with_command(0, b"fine", probe) == ("success", "fine")
    assert with_command(1, b"cat: no", probe) == ("failure", "cat: no")
    late = with_command(0, b"", probe, CRIError("DEADLINE_EXCEEDED", "too long"))
    assert late == ("failure", 'command timed out: "cat /x" timed out after 1s')
    assert with_command(0, b"", probe, CRIError("UNKNOWN", "x")) == ("error", "rpc error: code = Unknown desc = x")


def test_grpc_services_are_asked_for_their_health() -> None:
    async def run() -> list[tuple[str, str]]:
        import grpc
        from grpc import aio

        states = iter([b"\x08\x01", b"\x08\x02", b""])

        async def check(request: bytes, context: object) -> bytes:
            assert request == b"\x0a\x02db"
            return next(states)

        handler = grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health",
            {"Check": grpc.unary_unary_rpc_method_handler(check, request_deserializer=bytes, response_serializer=bytes)},
        )
        server = aio.server()
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        target = Target("c", SPEC, "127.0.0.1")
        found = [await handlers.grpc_check(target, {"port": port, "service": "db"}, 2) for _ in range(3)]
        await server.stop(None)
        return found

    assert asyncio.run(run()) == [
        ("success", "service healthy"),
        ("failure", 'service unhealthy (responded with "NOT_SERVING")'),
        ("failure", 'service unhealthy (responded with "UNKNOWN")'),
    ]
