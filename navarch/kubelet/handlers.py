"""Carrying out probes: commands, HTTP GETs, TCP connections and gRPC health checks. Outcomes and texts are Kubernetes'.

Requests go to the pod's address from the node.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Any

from navarch.apimachinery.errors import Object
from navarch.cri.client import CRIError, RuntimeService
from navarch.kubelet import httpget
from navarch.kubelet.backoff import duration_text
from navarch.kubelet.httpget import RequestError, bracketed, close, reason
from navarch.kubelet.probes import Outcome

OUTPUT_LIMIT_BYTES = 10 * 1024
USER_AGENT = "kube-probe/1.36"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a handler is for."""

    container_id: str
    container: Object
    ip: str


def port_number(container: Object, port: int | str) -> int:
    """A port given by number or by the name of one of the container's. Raises ValueError."""
    if isinstance(port, int):
        return port
    for candidate in container.get("ports") or ():
        if candidate.get("name") == port:
            return int(candidate["containerPort"])
    if port.isdigit():
        return int(port)
    raise ValueError(f'strconv.Atoi: parsing "{port}": invalid syntax')


async def run_exec(runtime: RuntimeService, target: Target, command: list[str], timeout_seconds: int) -> tuple[Outcome, str]:
    try:
        answer = await runtime.exec_sync(target.container_id, command, timeout_seconds)
    except CRIError as error:
        if error.code == "DEADLINE_EXCEEDED":
            shown = " ".join(command)
            return "failure", f'command timed out: "{shown}" timed out after {duration_text(timeout_seconds)}'
        return "error", error.rpc_text
    output = (answer.stdout + answer.stderr)[:OUTPUT_LIMIT_BYTES].decode("utf-8", "replace")
    return ("success" if answer.exit_code == 0 else "failure"), output


async def tcp_connect(target: Target, action: Object, timeout_seconds: float) -> tuple[Outcome, str]:
    host = action.get("host") or target.ip
    try:
        port = port_number(target.container, action["port"])
    except ValueError as error:
        return "error", str(error)
    address = f"{bracketed(host)}:{port}"
    try:
        async with asyncio.timeout(timeout_seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return "failure", f"dial tcp {address}: i/o timeout"
    except (socket.gaierror, UnicodeError):
        # A name that cannot even be asked for is none.
        return "failure", f"dial tcp: lookup {host}: no such host"
    except OSError as error:
        return "failure", f"dial tcp {address}: connect: {reason(error)}"
    await close(writer)
    return "success", ""


async def http_get(target: Target, action: Object, timeout_seconds: float) -> tuple[Outcome, str]:
    """Success is a status from 200 to 399; a redirect that is not followed is one with a warning."""
    try:
        url = url_of(target, action)
    except ValueError as error:
        return "error", str(error)
    try:
        status, body = await httpget.fetch(url, headers_of(action, USER_AGENT), timeout_seconds)
    except RequestError as error:
        return "failure", str(error)
    if not 200 <= status < 400:
        return "failure", f"HTTP probe failed with statuscode: {status}"
    if status >= 300:
        return "warning", f"Probe terminated redirects, Response body: {body}"
    return "success", body


async def grpc_check(target: Target, action: Object, timeout_seconds: float) -> tuple[Outcome, str]:
    """The gRPC health checking protocol, grpc.health.v1.Health/Check."""
    from grpc import aio

    service = action.get("service") or ""
    address = f"{bracketed(target.ip)}:{action['port']}"
    encoded = service.encode()
    # HealthCheckRequest { string service = 1; }
    request = (b"\x0a" + _varint(len(encoded)) + encoded) if encoded else b""
    async with aio.insecure_channel(address, options=[("grpc.primary_user_agent", USER_AGENT)]) as channel:
        try:
            call: Any = channel.unary_unary(
                "/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes
            )
            answer = await call(request, timeout=timeout_seconds)
        except aio.AioRpcError as error:
            code = error.code().name
            if code == "UNIMPLEMENTED":
                message = "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
                return "failure", f"{message}: {error.details()}"
            if code in ("DEADLINE_EXCEEDED", "UNAVAILABLE"):
                within = duration_text(timeout_seconds)
                return "failure", f'timeout: failed to connect service "{address}" within {within}: {error.details()}'
            return "failure", f"error: health rpc probe failed: {error.details()}"
    # HealthCheckResponse { ServingStatus status = 1; }: SERVING is 1.
    state = answer[1] if len(answer) >= 2 and answer[0] == 0x08 else 0
    if state == 1:
        return "success", "service healthy"
    name = {2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}.get(state, "UNKNOWN")
    return "failure", f'service unhealthy (responded with "{name}")'


async def run_probe(runtime: RuntimeService, target: Target, probe: Object, timeout_seconds: int) -> tuple[Outcome, str]:
    """Whatever the probe asks for."""
    if "exec" in probe:
        return await run_exec(runtime, target, list(probe["exec"].get("command") or ()), timeout_seconds)
    if "httpGet" in probe:
        return await http_get(target, probe["httpGet"], timeout_seconds)
    if "tcpSocket" in probe:
        return await tcp_connect(target, probe["tcpSocket"], timeout_seconds)
    if "grpc" in probe:
        return await grpc_check(target, probe["grpc"], timeout_seconds)
    return "error", "missing probe handler"


def url_of(target: Target, action: Object) -> str:
    host = action.get("host") or target.ip
    scheme = (action.get("scheme") or "HTTP").lower()
    path = action.get("path") or "/"
    port = port_number(target.container, action["port"])
    return f"{scheme}://{bracketed(host)}:{port}{path if path.startswith('/') else '/' + path}"


def headers_of(action: Object, user_agent: str) -> list[tuple[str, str]]:
    given = [(header["name"], header.get("value", "")) for header in action.get("httpHeaders") or ()]
    present = {name.lower() for name, _ in given}
    if "user-agent" not in present:
        given.append(("User-Agent", user_agent))
    if "accept" not in present:
        given.append(("Accept", "*/*"))
    # An empty value takes the header away.
    return [(name, value) for name, value in given if value or name.lower() not in ("accept", "user-agent")]


def _varint(number: int) -> bytes:
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)
