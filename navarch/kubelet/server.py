"""The kubelet's HTTPS server: logs, exec, attach and port-forward of this node's pods, for the API server.

Only the API server's kubelet client and members of ``system:masters`` are served: a request without a certificate gets 401, one
with another gets 403. Paths, parameters and messages are the Kubernetes kubelet's.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import orjson

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component import httpserver, websocket
from navarch.component.bytestream import ByteStream, splice
from navarch.component.httpclient import Answer
from navarch.component.httpserver import Request, Response, Server
from navarch.component.websocket import WebSocket
from navarch.cri.client import CRIError
from navarch.kubelet import streaming, streaming_logs
from navarch.kubelet.lookup import PodLookup
from navarch.kubelet.runtime_pod import Container
from navarch.kubelet.streaming import RuntimeConnection, StreamOptions

logger = logging.getLogger(__name__)

PORT = 10250
BODY_LIMIT_BYTES = 64 * 1024
PORTS_LIMIT = 100
API_SERVER_USER = "kube-apiserver-kubelet-client"
MASTERS_GROUP = "system:masters"

Metrics = Callable[[], bytes | Awaitable[bytes]]


class Refusal(Exception):
    """A request that gets a plain text answer other than success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class KubeletServer:
    """Call `start`, then `stop`."""

    def __init__(
        self,
        lookup: PodLookup,
        *,
        host: str = "0.0.0.0",
        port: int = PORT,
        tls: ssl.SSLContext | None,
        metrics: Mapping[str, Callable[[], Awaitable[bytes]]] | None = None,
    ) -> None:
        """`metrics` has a function for each path such as ``/metrics``. Without `tls` everybody is served: for tests."""
        self._lookup = lookup
        self._host, self._port, self._tls = host, port, tls
        self._metrics = dict(metrics or {})
        self._server: Server | None = None

    @property
    def port(self) -> int:
        return self._server.port if self._server is not None else self._port

    async def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        self._server = await httpserver.serve(
            self.handle, self._host, self._port, tls=self._tls, body_limit_bytes=BODY_LIMIT_BYTES
        )

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.close()
            self._server = None

    async def handle(self, request: Request) -> Response:
        """Answer one request."""
        try:
            self._authorize(request)
            return await self._route(request)
        except Refusal as refusal:
            return _text(refusal.status, refusal.message)
        except CRIError as error:
            return _text(_status_of(error), error.rpc_text)
        except (OSError, TimeoutError) as error:
            return _text(500, f"cannot reach the container runtime: {error}")

    def _authorize(self, request: Request) -> None:
        if self._tls is None:
            return
        if not request.peer_certificate:
            raise Refusal(401, "Unauthorized")
        user, groups = identity(request.peer_certificate)
        if user != API_SERVER_USER and MASTERS_GROUP not in groups:
            raise Refusal(403, f"Forbidden (user={user}, verb={request.method.lower()}, resource=nodes, subresource=proxy)")

    async def _route(self, request: Request) -> Response:
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        query = parse_qs(request.query, keep_blank_values=True)
        match parts:
            case ["healthz"] | ["healthz", "ping" | "log" | "syncloop"]:
                problem = self._lookup.runtime_healthy()
                return _text(500, problem) if problem else _text(200, "ok")
            case ["pods"]:
                return _pods(self._lookup.pods())
            case ["containerLogs", namespace, name, container]:
                return self._logs(namespace, name, container, query)
            case ["exec", namespace, name, container]:
                return await self._exec(request, self._running(namespace, name, container), query)
            case ["exec", namespace, name, uid, container]:
                return await self._exec(request, self._running(namespace, name, container, uid), query)
            case ["attach", namespace, name, container]:
                return await self._attach(request, self._attachable(namespace, name, container), query)
            case ["attach", namespace, name, uid, container]:
                return await self._attach(request, self._attachable(namespace, name, container, uid), query)
            case ["portForward", namespace, name]:
                return await self._port_forward(request, self._pod(namespace, name), query)
            case ["portForward", namespace, name, uid]:
                return await self._port_forward(request, self._pod(namespace, name, uid), query)
        metrics = self._metrics.get(request.path)
        if metrics is not None:
            return Response(200, (("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),), await metrics())
        raise Refusal(404, "404 page not found")

    def _pod(self, namespace: str, name: str, uid: str = "") -> Object:
        pod = self._lookup.pod(namespace, name, uid)
        if pod is None:
            raise Refusal(404, "pod does not exist")
        return pod

    def _running(self, namespace: str, name: str, container: str, uid: str = "") -> Container:
        found = self._lookup.container(self._pod(namespace, name, uid), container)
        if found is None or not found.running:
            raise Refusal(500, f'container not found ("{container}")')
        return found

    def _attachable(self, namespace: str, name: str, container: str, uid: str = "") -> Container:
        found = self._lookup.container(self._pod(namespace, name, uid), container)
        if found is None or not found.running:
            raise Refusal(500, f"container {container} not found in pod {name}_{namespace}")
        return found

    # Logs

    def _logs(self, namespace: str, name: str, container: str, query: dict[str, list[str]]) -> Response:
        pod = self._pod(namespace, name)
        if not _has_container(pod, container):
            raise Refusal(404, f'container "{container}" not found in pod "{name}"')
        try:
            options = streaming_logs.options_of(query)
        except ValueError as error:
            raise Refusal(400, str(error)) from None
        previous = streaming_logs.flag(query, "previous")
        found = self._lookup.container(pod, container, previous=previous)
        if found is None and previous:
            raise Refusal(400, f'previous terminated container "{container}" in pod "{name}" not found')
        if found is None or found.state == "created":
            # A restarted container that has not started again: what it wrote before is still the newest there is.
            earlier = self._lookup.container(pod, container, previous=True) if found is not None else None
            if earlier is None:
                raise Refusal(400, waiting_message(pod, name, container))
            found = earlier
        container_id = found.id
        path = self._lookup.log_path(pod, found)
        if not path.exists():
            raise Refusal(500, f"failed to open log file {str(path)!r}: no such file or directory")
        ended = None
        if options.follow and found.running:

            async def ended() -> None:
                await self._lookup.wait_container_ended(pod, container_id)

        return Response(200, (("Content-Type", "text/plain"),), streaming_logs.read(path, options, ended))

    # Streams

    async def _exec(self, request: Request, container: Container, query: dict[str, list[str]]) -> Response:
        options = stream_options(query)
        command = query.get("command", [])
        if not command:
            raise Refusal(400, "you must specify at least 1 command for the container to execute")

        async def url() -> str:
            return await self._lookup.exec(
                container.id,
                command,
                tty=options.tty,
                stdin=options.stdin,
                stdout=options.stdout,
                stderr=options.stderr and not options.tty,
            )

        return await self._remote_command(request, options, url)

    async def _attach(self, request: Request, container: Container, query: dict[str, list[str]]) -> Response:
        options = stream_options(query)

        async def url() -> str:
            return await self._lookup.attach(
                container.id,
                tty=options.tty,
                stdin=options.stdin,
                stdout=options.stdout,
                stderr=options.stderr and not options.tty,
            )

        return await self._remote_command(request, options, url)

    async def _remote_command(self, request: Request, options: StreamOptions, url: Callable[[], Awaitable[str]]) -> Response:
        protocol = _negotiate(request, streaming.COMMAND_PROTOCOLS)
        if protocol is None:
            return await _join_spdy(await url(), streaming.spdy_protocol(request.headers))
        runtime = _connected(await streaming.connect_runtime(await url(), streaming.V4))
        if isinstance(runtime, Response):
            return runtime

        async def takeover(stream: ByteStream) -> None:
            await streaming.carry_command(WebSocket(stream), runtime, options, protocol)

        return _switch(request, protocol, runtime, takeover)

    async def _port_forward(self, request: Request, pod: Object, query: dict[str, list[str]]) -> Response:
        protocol = _negotiate(request, streaming.PORT_FORWARD_PROTOCOLS)
        ports = _ports(query)
        if protocol in (streaming.V4, streaming.V4_BASE64) and not ports:
            raise Refusal(400, 'query parameter "port" is required')
        try:
            url = await self._lookup.port_forward(pod, ports)
        except CRIError as error:
            if error.is_not_found:
                raise Refusal(500, f'pod not found ("{meta.name(pod)}_{meta.namespace(pod)}")') from None
            raise
        if protocol is None:
            return await _join_spdy(url, streaming.SPDY_PORT_FORWARD)
        runtime = _connected(await streaming.connect_runtime(url, streaming.SPDY_PORT_FORWARD))
        if isinstance(runtime, Response):
            return runtime

        async def takeover(stream: ByteStream) -> None:
            if protocol == streaming.PORT_FORWARD_TUNNEL:
                await streaming.carry_tunnel(WebSocket(stream), runtime)
            else:
                await streaming.carry_ports(WebSocket(stream), runtime, ports, protocol)

        return _switch(request, protocol, runtime, takeover)


def identity(certificate: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """User and groups of a verified client certificate: its common name and organizations."""
    fields = [pair for part in certificate.get("subject", ()) for pair in part]
    user = next((value for name, value in fields if name == "commonName"), "")
    return user, tuple(value for name, value in fields if name == "organizationName")


def stream_options(query: dict[str, list[str]]) -> StreamOptions:
    """The streams asked for. Raises Refusal if there is none, or too much."""

    def wants(kubelet_name: str, api_name: str) -> bool:
        return streaming_logs.flag(query, kubelet_name) or streaming_logs.flag(query, api_name)

    options = StreamOptions(wants("input", "stdin"), wants("output", "stdout"), wants("error", "stderr"), wants("tty", "tty"))
    if not (options.stdin or options.stdout or options.stderr):
        raise Refusal(400, "you must specify at least 1 of stdin, stdout, stderr")
    return options


def waiting_message(pod: Object, pod_name: str, container: str) -> str:
    """Why a container has no log yet, in the kubelet's words."""
    status = pod.get("status") or {}
    statuses = (
        *(status.get("containerStatuses") or ()),
        *(status.get("initContainerStatuses") or ()),
        *(status.get("ephemeralContainerStatuses") or ()),
    )
    found = meta.find(statuses, "name", container)
    if found is None:
        return f'container "{container}" in pod "{pod_name}" is not available'
    state = found.get("state") or meta.EMPTY
    if "terminated" in state or "terminated" in (found.get("lastState") or meta.EMPTY):
        # It has ended, and nothing is left of it.
        return f'container "{container}" in pod "{pod_name}" is terminated'
    prefix = f'container "{container}" in pod "{pod_name}" is waiting to start'
    if "waiting" not in state:
        return f"{prefix} - no logs yet"
    reason = state["waiting"].get("reason") or ""
    if reason == "ErrImagePull":
        return f"{prefix}: image can't be pulled"
    if reason == "ImagePullBackOff":
        return f"{prefix}: trying and failing to pull image"
    return f"{prefix}: {reason}"


async def _join_spdy(url: str, protocol: str) -> Response:
    """Join a SPDY client to the runtime's streaming server."""
    runtime = _connected(await streaming.connect_runtime(url, protocol))
    if isinstance(runtime, Response):
        return runtime
    headers = [("Connection", "Upgrade"), ("Upgrade", streaming.SPDY_UPGRADE)]
    agreed = runtime.headers.get(streaming.PROTOCOL_HEADER.lower())
    if agreed:
        headers.append((streaming.PROTOCOL_HEADER, agreed))

    async def takeover(stream: ByteStream) -> None:
        try:
            await splice(stream, runtime.stream)
        finally:
            runtime.close()

    return Response(101, headers, takeover=takeover)


def _connected(result: RuntimeConnection | Answer) -> RuntimeConnection | Response:
    """The connection, or the runtime's refusal as an answer."""
    if isinstance(result, RuntimeConnection):
        return result
    return Response(result.status, (("Content-Type", result.headers.get("content-type", "text/plain")),), result.body)


def _negotiate(request: Request, supported: tuple[str, ...]) -> str | None:
    """The WebSocket protocol to speak; None for a SPDY client. Raises Refusal for one that speaks neither."""
    if websocket.is_websocket(request.headers):
        protocol = websocket.negotiate(request.headers, supported)
        offered = websocket.offered(request.headers)
        if protocol is None and not offered and streaming.NO_PROTOCOL in supported:
            return streaming.NO_PROTOCOL
        if protocol is None:
            raise Refusal(
                400,
                f"unable to upgrade: unable to negotiate protocol: client supports [{' '.join(offered)}], "
                f"server accepts [{' '.join(filter(None, supported))}]",
            )
        return protocol
    if not request.wants_upgrade or not request.headers.get("upgrade", "").upper().startswith("SPDY/3"):
        raise Refusal(400, "unable to upgrade: missing upgrade headers in request")
    return None


def _switch(
    request: Request, protocol: str, runtime: RuntimeConnection, takeover: Callable[[ByteStream], Awaitable[None]]
) -> Response:
    try:
        headers = websocket.accept_headers(request.headers, protocol)
    except ValueError as error:
        runtime.close()
        raise Refusal(400, str(error)) from None
    return Response(101, headers, takeover=takeover)


def _ports(query: dict[str, list[str]]) -> list[int]:
    found = []
    for value in (*query.get("port", ()), *query.get("ports", ())):
        for text in value.split(","):
            if not text.isdigit() or not 0 < int(text) < 65536:
                raise Refusal(400, f"invalid port {text!r}: must be between 1 and 65535")
            found.append(int(text))
    if len(found) > PORTS_LIMIT:
        raise Refusal(400, f"at most {PORTS_LIMIT} ports")
    return found


def _has_container(pod: Object, name: str) -> bool:
    spec = pod["spec"]
    return any(
        container["name"] == name
        for field in ("containers", "initContainers", "ephemeralContainers")
        for container in spec.get(field) or ()
    )


def _pods(pods: list[Object]) -> Response:
    body = orjson.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})
    return Response(200, (("Content-Type", "application/json"),), body)


def _status_of(error: CRIError) -> int:
    return {"NOT_FOUND": 404, "RESOURCE_EXHAUSTED": 429}.get(error.code, 500)


def _text(status: int, message: str) -> Response:
    return Response(status, (("Content-Type", "text/plain; charset=utf-8"),), f"{message}\n".encode())
