"""What pretended nodes and pods answer the API server: logs; nothing of theirs is on any network."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

from navarch.apimachinery import meta
from navarch.apiserver.request import APIRequest
from navarch.component import clock
from navarch.component.httpclient import HTTPClient
from navarch.component.httpserver import Response
from navarch.simulation.node import SimulatedNode

_PLAIN = (("Content-Type", "text/plain; charset=utf-8"),)


class Reach:
    """Stands for the way to nodes, pods and Services (`apiserver.subresources.forwarding.Forward`)."""

    def __init__(self, nodes: Callable[[], Iterable[SimulatedNode]]) -> None:
        self._nodes = nodes

    async def __call__(
        self, client: HTTPClient, request: APIRequest, target: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Raises ConnectionRefusedError where nobody would listen."""
        client.close()
        node = next((node for node in self._nodes() if node.address == client.host), None)
        if node is None or client.port != node.port or node.state != "running" or node.is_cut:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        parts = urlsplit(target)
        if parts.path.startswith("/containerLogs/"):
            return _log(node, [unquote(part) for part in parts.path.split("/")[2:]], parse_qs(parts.query))
        return Response(501, _PLAIN, f"a pretended node cannot do this: {parts.path}".encode())


def _log(node: SimulatedNode, path: list[str], query: Mapping[str, list[str]]) -> Response:
    namespace, name, container = path
    pods = (pod for pod in node.pods.values() if meta.key(pod.pod) == f"{namespace}/{name}")
    pod = next(pods, None)
    try:
        lines = pod.log(container, previous="previous" in query) if pod is not None else []
    except LookupError:
        what = "previous terminated container" if "previous" in query else "container"
        return Response(400, _PLAIN, f'{what} "{container}" in pod "{name}" not found'.encode())
    if "sinceSeconds" in query:
        since = clock.time_seconds() - float(query["sinceSeconds"][0])
        lines = [(when, line) for when, line in lines if when >= since]
    if "sinceTime" in query:
        since = meta.parse_time(query["sinceTime"][0]).timestamp()
        lines = [(when, line) for when, line in lines if when >= since]
    if "tailLines" in query:
        count = int(query["tailLines"][0])
        lines = lines[len(lines) - count :] if count else []
    if "timestamps" in query:
        lines = [(when, f"{_stamp(when)} {line}") for when, line in lines]
    text = "".join(f"{line}\n" for _, line in lines).encode()
    if "limitBytes" in query:
        text = text[: int(query["limitBytes"][0])]
    return Response(200, _PLAIN, text)


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
