"""Watches and logs over a WebSocket, as browsers read them; the client's framing is the library's."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.apiserver.https import HTTPSServer


@contextmanager
def connected(server: HTTPSServer, path: str, *protocols: str) -> Iterator[ClientConnection]:
    plain = socket.create_connection(("127.0.0.1", server.server.port), timeout=10)
    url = f"wss://127.0.0.1:{server.server.port}{path}"
    with connect(url, sock=plain, ssl=server.tls(), subprotocols=list(protocols) or None, proxy=None) as found:  # type: ignore[arg-type]
        yield found


def test_each_event_of_a_watch_is_a_text_message(https_server: HTTPSServer) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    for name in ("ws-1", "ws-2"):
        assert https_server.ask("POST", path, {"metadata": {"name": name, "labels": {"of": "ws"}}})[0] == 201
    with connected(https_server, f"{path}?watch=1&labelSelector=of=ws") as client:
        first = [orjson.loads(client.recv(timeout=5)) for _ in range(2)]
        assert [(event["type"], event["object"]["metadata"]["name"]) for event in first] == [
            ("ADDED", "ws-1"),
            ("ADDED", "ws-2"),
        ]
        https_server.ask("DELETE", f"{path}/ws-1")
        message = client.recv(timeout=5)
        assert isinstance(message, str)
        assert orjson.loads(message)["type"] == "DELETED"


@pytest.mark.parametrize("protocol", ["", "binary.k8s.io", "base64.binary.k8s.io"])
def test_the_log_of_a_pod_that_has_no_node_is_empty(https_server: HTTPSServer, protocol: str) -> None:
    name = "ws-log" + protocol.replace(".", "-")
    pod = {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert https_server.ask("POST", "/api/v1/namespaces/default/pods", pod)[0] == 201
    with connected(https_server, f"/api/v1/namespaces/default/pods/{name}/log", *filter(None, [protocol])) as client:
        assert client.subprotocol == (protocol or None)
        assert b"".join(_pieces(client, protocol)) == b""


def _pieces(client: ClientConnection, protocol: str) -> Iterator[bytes]:
    for message in client:
        yield base64.b64decode(message) if protocol.startswith("base64") else bytes(message)  # type: ignore[arg-type]
