"""log, exec, attach and portforward: requests that a pod's kubelet answers, carried there byte for byte.

The API server checks that the pod and container exist, then speaks to the kubelet with its own client certificate. Upgraded
connections (WebSocket, SPDY/3.1) are joined end to end.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote, urlencode

from navarch.api import registry
from navarch.api.core.node import address
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.apiserver import websockets
from navarch.apiserver.request import APIRequest
from navarch.apiserver.resources import Resources
from navarch.apiserver.subresources.forwarding import HOP_BY_HOP, Forward, forward, whole_body
from navarch.component import websocket
from navarch.component.httpclient import HTTPClient
from navarch.component.httpserver import Response

KUBELET_PORT = 10250
DEFAULT_CONTAINER_ANNOTATION = "kubectl.kubernetes.io/default-container"
_LOG_OPTIONS = ("follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream")


class NodeTunnel:
    """The way to kubelets."""

    def __init__(self, resources: Resources, tls: Callable[[], ssl.SSLContext], carry: Forward = forward) -> None:
        self._resources = resources
        self.carry = carry
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None

    async def serve(self, request: APIRequest) -> Response:
        """Answer a pod's log, exec, attach or portforward."""
        info = request.info
        pod = self._pod(info.namespace, info.name)
        if info.subresource == "log":
            return await self._log(request, pod)
        if info.subresource == "portforward":
            query = [("port", port) for port in _ports(request)]
            path = f"/portForward/{info.namespace}/{info.name}"
        else:
            query = _stream_query(request)
            path = f"/{info.subresource}/{info.namespace}/{info.name}/{_container(pod, request, info.subresource)}"
        node = pod["spec"].get("nodeName", "")
        if not node:
            raise errors.bad_request(f"pod {info.name} does not have a host assigned")
        return await self.forward(request, node, path, query)

    async def _log(self, request: APIRequest, pod: Object) -> Response:
        info = request.info
        path = f"/containerLogs/{info.namespace}/{info.name}/{_container(pod, request, 'log')}"
        query = [(name, value) for name in _LOG_OPTIONS for value in request.query.get(name, ())[:1]]
        node = pod["spec"].get("nodeName", "")
        if not node:
            # Nothing has been written yet.
            answer = Response(200, (("Content-Type", "text/plain"),), b"")
        else:
            plain = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
            answer = await self.forward(replace(request, headers=plain), node, path, query)
        return websockets.serve_log(request, answer) if websocket.is_websocket(request.headers) else answer

    async def forward(self, request: APIRequest, node_name: str, path: str, query: list[tuple[str, str]]) -> Response:
        """Carry a request to a node's kubelet and its answer back."""
        client = self.client(node_name)
        target = quote(path, safe="/:@!$&'()*+,;=~-._") + (f"?{urlencode(query)}" if query else "")
        try:
            answer = await self.carry(client, request, target, None)
        except OSError as error:
            raise errors.internal_error(f'Get "https://{client.host}:{client.port}{target}": {error}') from None
        return await _refused(answer) if answer.status >= 400 else answer

    def _pod(self, namespace: str, name: str) -> Object:
        kind = registry.resource("pods")
        record = self._resources.store.get(kind.key_prefix, kind.key(namespace, name))
        if record is None:
            raise errors.not_found("", "pods", name)
        return record.object()

    def client(self, node_name: str) -> HTTPClient:
        """A way to a node's kubelet. Raises 404."""
        kind = registry.resource("nodes")
        record = self._resources.store.get(kind.key_prefix, kind.key("", node_name))
        if record is None:
            raise errors.not_found("", "nodes", node_name)
        node = record.object()
        host = address(node, "InternalIP") or address(node, "Hostname") or node_name
        port = meta.get_path(node, "status", "daemonEndpoints", "kubeletEndpoint", "Port") or KUBELET_PORT
        if self._tls is None:
            self._tls = self._make_tls()
        return HTTPClient(f"https://{host}:{port}", tls=self._tls)


async def _refused(answer: Response) -> Response:
    """The kubelet's refusal, as a Status where it is plain text."""
    content = await whole_body(answer)
    if dict(answer.headers).get("Content-Type", "").startswith("application/json"):
        return Response(answer.status, answer.headers, content)
    text = content.decode("utf-8", "replace").strip()
    if answer.status == 400:
        raise errors.bad_request(text)
    reason = {404: "NotFound", 403: "Forbidden", 401: "Unauthorized", 500: "InternalError"}.get(answer.status, "")
    raise errors.status_error(answer.status, reason, text)


def _container(pod: Object, request: APIRequest, action: str) -> str:
    """The container that is meant. Raises 400 where that is not clear."""
    spec, name = pod["spec"], request.option("container")
    known = {
        field: [c["name"] for c in spec.get(field) or ()] for field in ("containers", "initContainers", "ephemeralContainers")
    }
    if name:
        if not any(name in found for found in known.values()):
            raise errors.bad_request(f"container {name} is not valid for pod {meta.name(pod)}")
        return name
    if len(known["containers"]) == 1:
        return str(known["containers"][0])
    preferred = meta.annotations(pod).get(DEFAULT_CONTAINER_ANNOTATION, "")
    if preferred in known["containers"] and action != "log":
        return preferred
    text = f"a container name must be specified for pod {meta.name(pod)}, choose one of: [{' '.join(known['containers'])}]"
    if known["initContainers"]:
        text += f" or one of the init containers: [{' '.join(known['initContainers'])}]"
    raise errors.bad_request(text)


def _stream_query(request: APIRequest) -> list[tuple[str, str]]:
    """The kubelet's spelling of an exec's or attach's options."""
    query = [("command", part) for part in request.query.get("command", ())]
    for option, spelled in (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")):
        if request.flag(option):
            query.append((spelled, "1"))
    return query


def _ports(request: APIRequest) -> list[str]:
    return [port for value in request.query.get("ports", ()) for port in value.split(",") if port]
