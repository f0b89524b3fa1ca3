"""Carrying out probes and lifecycle hooks: commands, HTTP GETs, TCP connections and gRPC health checks.

Outcomes and texts are Kubernetes'. Requests go to the pod's address from the node; redirects to the same host are followed.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urljoin, urlsplit

from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.cri.client import CRIError, RuntimeService
from navarch.kubelet.backoff import duration_text
from navarch.kubelet.probes import Outcome

BODY_LIMIT_BYTES = 10 * 1024
HEAD_LIMIT_BYTES = 64 * 1024
OUTPUT_LIMIT_BYTES = 10 * 1024
REDIRECTS_LIMIT = 10
USER_AGENT = "kube-probe/1.36"
LIFECYCLE_USER_AGENT = "kube-lifecycle/1.36"


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
    raise ValueError(f"couldn't find port: {port}")


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
    address = f"{_bracketed(host)}:{port}"
    try:
        async with asyncio.timeout(timeout_seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return "failure", f"dial tcp {address}: i/o timeout"
    except OSError as error:
        return "failure", f"dial tcp {address}: connect: {_reason(error)}"
    await _close(writer)
    return "success", ""


async def http_get(
    target: Target, action: Object, timeout_seconds: float, *, user_agent: str = USER_AGENT
) -> tuple[Outcome, str]:
    """Success is a status from 200 to 399."""
    try:
        url = _url(target, action)
    except ValueError as error:
        return "error", str(error)
    headers = _headers(action, user_agent)
    try:
        async with asyncio.timeout(timeout_seconds):
            for _ in range(REDIRECTS_LIMIT):
                status, fields, body = await _request(url, headers)
                location = fields.get("location")
                if status not in (301, 302, 303, 307, 308) or not location:
                    break
                following = urljoin(url, location)
                if urlsplit(following).hostname != urlsplit(url).hostname:
                    # A redirect to another host proves that this one answers.
                    return "success", f"Probe terminated redirects, Response body: {body}"
                url = following
            else:
                return "failure", f'Get "{url}": stopped after {REDIRECTS_LIMIT} redirects'
    except TimeoutError:
        return "failure", f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
    except ConnectionRefusedError as error:
        return (
            "failure",
            f'Get "{url}": dial tcp {_bracketed(urlsplit(url).hostname or "")}:{_port(url)}: connect: {_reason(error)}',
        )
    except (OSError, EOFError) as error:
        return "failure", f'Get "{url}": {_reason(error)}'
    except ValueError as error:
        return "failure", f'Get "{url}": {error}'
    if 200 <= status < 400:
        return "success", body
    return "failure", f"HTTP probe failed with statuscode: {status}"


async def grpc_check(target: Target, action: Object, timeout_seconds: float) -> tuple[Outcome, str]:
    """The gRPC health checking protocol, grpc.health.v1.Health/Check."""
    from grpc import aio

    service = action.get("service") or ""
    address = f"{_bracketed(target.ip)}:{action['port']}"
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


async def run_hook(runtime: RuntimeService, target: Target, handler: Object, timeout_seconds: float) -> str:
    """Run a postStart or preStop handler; returns "" or why it failed."""
    if "sleep" in handler:
        await clock.sleep(min(float(handler["sleep"].get("seconds") or 0), timeout_seconds))
        return ""
    if "exec" in handler:
        command = list(handler["exec"].get("command") or ())
        outcome, output = await run_exec(runtime, target, command, int(timeout_seconds))
        if outcome == "success":
            return ""
        return f"Exec lifecycle hook ({command}) failed: {output}" if outcome == "failure" else output
    if "httpGet" in handler:
        outcome, output = await http_get(target, handler["httpGet"], timeout_seconds, user_agent=LIFECYCLE_USER_AGENT)
        return "" if outcome == "success" else output
    if "tcpSocket" in handler:
        outcome, output = await tcp_connect(target, handler["tcpSocket"], timeout_seconds)
        return "" if outcome == "success" else output
    return "invalid handler"


def _url(target: Target, action: Object) -> str:
    host = action.get("host") or target.ip
    scheme = (action.get("scheme") or "HTTP").lower()
    path = action.get("path") or "/"
    port = port_number(target.container, action["port"])
    return f"{scheme}://{_bracketed(host)}:{port}{path if path.startswith('/') else '/' + path}"


def _headers(action: Object, user_agent: str) -> list[tuple[str, str]]:
    given = [(header["name"], header.get("value", "")) for header in action.get("httpHeaders") or ()]
    present = {name.lower() for name, _ in given}
    if "user-agent" not in present:
        given.append(("User-Agent", user_agent))
    if "accept" not in present:
        given.append(("Accept", "*/*"))
    # An empty value takes the header away.
    return [(name, value) for name, value in given if value or name.lower() not in ("accept", "user-agent")]


async def _request(url: str, headers: list[tuple[str, str]]) -> tuple[int, dict[str, str], str]:
    """One GET; status, headers (lower-case names) and the beginning of the body."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", _port(url)
    context = _unverified() if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=HEAD_LIMIT_BYTES)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"GET {target} HTTP/1.1"]
        if not any(name.lower() == "host" for name, _ in headers):
            lines.append(f"Host: {_bracketed(host)}:{port}")
        lines += [f"{name}: {value}" for name, value in headers]
        writer.write(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode("utf-8"))
        words, fields = await _read_head(reader)
        # The outcome is known; what is left of the body is only for the message.
        body = await reader.read(BODY_LIMIT_BYTES) if int(words[1]) >= 400 else b""
        return int(words[1]), fields, body.decode("utf-8", "replace")
    finally:
        await _close(writer)


async def _read_head(reader: asyncio.StreamReader) -> tuple[list[str], dict[str, str]]:
    """The words of the status line, and the headers. As Go's client does, takes lines that end without a carriage return."""
    lines: list[str] = []
    size = 0
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            size = HEAD_LIMIT_BYTES + 1
        except asyncio.IncompleteReadError:
            raise EOFError("EOF") from None
        else:
            size += len(line)
        if size > HEAD_LIMIT_BYTES:
            raise ValueError("the answer's headers are too long")
        text = line.decode("latin-1").rstrip("\r\n")
        if not text and lines:
            break
        lines.append(text)
    words = lines[0].split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise ValueError(f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{lines[0]}"')
    pairs = (line.partition(":") for line in lines[1:])
    return words, {name.strip().lower(): value.strip() for name, colon, value in pairs if colon}


@cache
def _unverified() -> ssl.SSLContext:
    """Probes do not verify certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    try:
        await writer.wait_closed()
    except OSError:
        return


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reason(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, EOFError):
        return "EOF"
    if isinstance(error, ConnectionResetError):
        return "connection reset by peer"
    text = getattr(error, "strerror", None) or str(error)
    return str(text).lower() if getattr(error, "strerror", None) else str(text)


def _varint(number: int) -> bytes:
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)
