from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from navarch.apimachinery.errors import Object
from navarch.component.httpserver import Request, Response
from navarch.cri.client import CRIError
from navarch.kubelet.runtime_pod import Container
from navarch.kubelet.server import KubeletServer, identity, waiting_message

MASTER = {"subject": ((("organizationName", "system:masters"),), (("commonName", "kubernetes-admin"),))}
API_SERVER = {"subject": ((("commonName", "kube-apiserver-kubelet-client"),),)}
NODE = {"subject": ((("organizationName", "system:nodes"),), (("commonName", "system:node:n1"),))}


class Lookup:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.containers: dict[tuple[str, bool], Container] = {}
        self.status: Object = {}
        self.problem = ""

    def pods(self) -> list[Object]:
        return [
            {
                "metadata": {"namespace": "a", "name": "p", "uid": "u"},
                "spec": {"containers": [{"name": "c"}]},
                "status": self.status,
            }
        ]

    def pod(self, namespace: str, name: str, uid: str = "") -> Object | None:
        return self.pods()[0] if (namespace, name) == ("a", "p") and uid in ("", "u") else None

    def container(self, pod: Object, name: str, *, previous: bool = False) -> Container | None:
        return self.containers.get((name, previous))

    def log_path(self, pod: Object, container: Container) -> Path:
        return self.directory / f"{container.attempt}.log"

    async def wait_container_ended(self, pod: Object, container_id: str) -> None:
        return

    async def exec(self, container_id: str, command: Sequence[str], **streams: bool) -> str:
        raise CRIError("UNKNOWN", "no")

    async def attach(self, container_id: str, **streams: bool) -> str:
        raise CRIError("RESOURCE_EXHAUSTED", "too many")

    async def port_forward(self, pod: Object, ports: Sequence[int]) -> str:
        raise CRIError("NOT_FOUND", "no sandbox")

    def runtime_healthy(self) -> str:
        return self.problem


@pytest.fixture
def lookup(tmp_path: Path) -> Lookup:
    return Lookup(tmp_path)


def container(attempt: int, state: Any = "running") -> Container:
    return Container(f"id-{attempt}", "c", attempt, state, "s", 1)


def ask(lookup: Lookup, path: str, *, certificate: Any = API_SERVER, secure: bool = False, **headers: str) -> tuple[int, bytes]:
    async def main() -> tuple[int, bytes]:
        server = KubeletServer(lookup, tls=object() if secure else None)  # type: ignore[arg-type]
        target, _, query = path.partition("?")
        response: Response = await server.handle(Request("GET", target, query, headers, peer_certificate=certificate))
        body = response.body
        return response.status, body if isinstance(body, bytes) else b"".join([chunk async for chunk in body])

    return asyncio.run(main())


SPDY = {"connection": "Upgrade", "upgrade": "SPDY/3.1"}


def test_only_the_api_server_and_masters_are_served(lookup: Lookup) -> None:
    assert ask(lookup, "/pods", certificate=None, secure=True)[0] == 401
    status, body = ask(lookup, "/pods", certificate=NODE, secure=True)
    assert (status, b"Forbidden (user=system:node:n1" in body) == (403, True)
    for certificate in (MASTER, API_SERVER):
        assert ask(lookup, "/pods", certificate=certificate, secure=True)[0] == 200
    assert identity(NODE) == ("system:node:n1", ("system:nodes",))


def test_pods_and_health(lookup: Lookup) -> None:
    assert orjson.loads(ask(lookup, "/pods")[1])["items"][0]["metadata"]["name"] == "p"
    assert ask(lookup, "/healthz") == (200, b"ok\n")
    lookup.problem = "the runtime is away"
    assert ask(lookup, "/healthz") == (500, b"the runtime is away\n")
    assert ask(lookup, "/nothing")[0] == 404


def test_a_log_is_the_newest_runs_and_previous_the_one_before(lookup: Lookup) -> None:
    for attempt in (1, 2):
        (lookup.directory / f"{attempt}.log").write_bytes(b"2026-01-02T03:04:05Z stdout F run %d\n" % attempt)
    lookup.containers = {("c", False): container(2), ("c", True): container(1, "exited")}
    assert ask(lookup, "/containerLogs/a/p/c") == (200, b"run 2\n")
    assert ask(lookup, "/containerLogs/a/p/c?previous=true") == (200, b"run 1\n")
    assert ask(lookup, "/containerLogs/a/p/c?follow=true") == (200, b"run 2\n")
    lookup.containers["c", False] = container(2, "created")
    assert ask(lookup, "/containerLogs/a/p/c") == (200, b"run 1\n")


def test_logs_that_are_not_there_are_refused_in_the_kubelets_words(lookup: Lookup) -> None:
    lookup.status = {"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}}]}
    assert ask(lookup, "/containerLogs/a/q/c") == (404, b"pod does not exist\n")
    assert ask(lookup, "/containerLogs/a/p/d") == (404, b'container "d" not found in pod "p"\n')
    waiting = b'container "c" in pod "p" is waiting to start: ContainerCreating\n'
    assert ask(lookup, "/containerLogs/a/p/c") == (400, waiting)
    previous = b'previous terminated container "c" in pod "p" not found\n'
    assert ask(lookup, "/containerLogs/a/p/c?previous=true") == (400, previous)
    assert ask(lookup, "/containerLogs/a/p/c?tailLines=-1")[0] == 400


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ({"waiting": {"reason": "ErrImagePull"}}, "is waiting to start: image can't be pulled"),
        ({"waiting": {"reason": "ImagePullBackOff"}}, "is waiting to start: trying and failing to pull image"),
        ({"waiting": {"reason": "CreateContainerConfigError"}}, "is waiting to start: CreateContainerConfigError"),
        ({"waiting": {}}, "is waiting to start: "),
        ({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}, "is terminated"),
        ({}, "is waiting to start - no logs yet"),
    ],
)
def test_why_a_container_has_no_log(state: Object, end: str) -> None:
    pod = {"status": {"initContainerStatuses": [{"name": "c", "state": state}]}}
    assert waiting_message(pod, "p", "c") == f'container "c" in pod "p" {end}'
    assert waiting_message({}, "p", "c") == 'container "c" in pod "p" is not available'


def test_commands_need_a_running_container_streams_and_an_upgrade(lookup: Lookup) -> None:
    assert ask(lookup, "/exec/a/q/c?command=x&output=1", **SPDY) == (404, b"pod does not exist\n")
    assert ask(lookup, "/exec/a/p/c?command=x&output=1", **SPDY) == (500, b'container not found ("c")\n')
    assert ask(lookup, "/attach/a/p/c?output=1", **SPDY) == (500, b"container c not found in pod p_a\n")
    lookup.containers["c", False] = container(0)
    assert ask(lookup, "/exec/a/p/c?command=x", **SPDY)[0] == 400
    assert ask(lookup, "/exec/a/p/c?output=1", **SPDY)[0] == 400
    assert ask(lookup, "/exec/a/p/c?command=x&output=1")[0] == 400
    websocket = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-protocol": "v9.channel.k8s.io"}
    status, body = ask(lookup, "/exec/a/p/c?command=x&output=1", **websocket)
    assert (status, b"client supports [v9.channel.k8s.io]" in body) == (400, True)


def test_the_runtimes_refusals_are_told(lookup: Lookup) -> None:
    lookup.containers["c", False] = container(0)
    assert ask(lookup, "/exec/a/p/c?command=x&output=1", **SPDY) == (500, b"rpc error: code = Unknown desc = no\n")
    assert ask(lookup, "/attach/a/p/c?output=1", **SPDY)[0] == 429
    assert ask(lookup, "/portForward/a/p", **SPDY) == (500, b'pod not found ("p_a")\n')
    assert ask(lookup, "/portForward/a/p?port=0", **SPDY)[0] == 400
