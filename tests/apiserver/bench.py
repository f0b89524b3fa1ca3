"""A real API server in this process, asked synchronously: requests enter where HTTP requests do, without the connection.

Who asks is what a verified client certificate says, so that authentication and authorization are the real ones.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import orjson

from navarch.api import registry
from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object
from navarch.apiserver.server import APIServer, APIServerConfig
from navarch.client.client import Client, resource_path
from navarch.component.httpserver import Request
from navarch.component.pki import PKI
from navarch.storage.backend import Backend
from navarch.storage.memory import MemoryBackend
from navarch.storage.store import LocalStore, Store

T = TypeVar("T")
TIMEOUT_SECONDS = 10.0
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_WARNING = re.compile(r'299 - "((?:[^"\\]|\\.)*)"')
Certificate = dict[str, Any]


def certificate(name: str, *groups: str) -> Certificate:
    """What the ssl module says of a verified client certificate."""
    subject = [(("organizationName", group),) for group in groups] + [(("commonName", name),)]
    return {"subject": tuple(subject)}


ADMIN = certificate("admin", "system:masters")
ALICE = certificate("alice", "people")


def encode(body: Any) -> bytes:
    """JSON, also of numbers that are too large for orjson."""
    try:
        return orjson.dumps(body)
    except TypeError:
        return json.dumps(body).encode()


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    warnings: tuple[str, ...] = ()
    """What the client is told by headers of which there may be many, without their code."""

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def reason(self) -> str:
        return str(self.json.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.json.get("message", ""))

    @property
    def causes(self) -> list[tuple[str, str]]:
        """(reason, field) of each cause."""
        return [(cause.get("reason"), cause.get("field")) for cause in (self.json.get("details") or {}).get("causes") or ()]


class Watching:
    """A watch under way."""

    def __init__(self, bench: Asking, chunks: AsyncIterator[bytes]) -> None:
        self._bench = bench
        self._chunks = chunks
        self._lines: list[bytes] = []

    def next(self) -> Object:
        """The next event."""
        while not self._lines:
            chunk = self._bench.run(anext(self._chunks))  # type: ignore[arg-type]
            self._lines = chunk.splitlines()
        event: Object = orjson.loads(self._lines.pop(0))
        return event

    def take(self, count: int) -> list[tuple[str, str]]:
        """(type, name) of the next events."""
        events = [self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]

    def rest(self) -> list[Object]:
        """Everything until the watch ends."""
        events = [orjson.loads(line) for line in self._lines]

        async def read() -> None:
            async for chunk in self._chunks:
                events.extend(orjson.loads(line) for line in chunk.splitlines())

        self._bench.run(read())
        return events

    def close(self) -> None:
        self._bench.run(self._chunks.aclose())  # type: ignore[attr-defined]


class Asking:
    """A server and short ways to ask it."""

    loop: asyncio.AbstractEventLoop
    server: APIServer
    timeout_seconds = TIMEOUT_SECONDS

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(self.timeout_seconds):
                return await coroutine

        return self.loop.run_until_complete(bounded())

    def until(self, condition: Callable[[], T]) -> T:
        """Run the loop until `condition`, which may ask the server, is true; its value."""
        deadline = self.loop.time() + self.timeout_seconds
        while not (value := condition()):
            assert self.loop.time() < deadline, "it took too long"
            self.run(asyncio.sleep(0.001))
        return value

    @property
    def store(self) -> Any:
        return self.server.store

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        user: Certificate | None = ADMIN,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> Any:
        """The server's own answer, not read yet."""
        content = body if isinstance(body, bytes) else b"" if body is None else encode(body)
        sent = {"content-type": content_type, **(headers or {})}
        request = Request(method, path, urlencode(query, doseq=True), sent, content, user)
        return self.run(self.server.pipeline.handle(request))

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """Ask, and read the whole answer."""
        response = self.request(method, path, body, **options)
        content = response.body
        if not isinstance(content, bytes):

            async def read() -> bytes:
                return b"".join([chunk async for chunk in content])

            content = self.run(read())
        headers = [(name.lower(), value) for name, value in response.headers]
        quoted = [
            text for name, value in headers if name == "warning" for text in _WARNING.findall(value.encode("latin-1").decode())
        ]
        told = (re.sub(r"\\(.)", r"\1", text) for text in quoted)
        return Reply(response.status, dict(headers), content, tuple(told))

    def watch(self, path: str, **query: Any) -> Watching:
        headers = query.pop("headers", None)
        response = self.request("GET", path, watch="true", headers=headers, **query)
        assert response.status == 200, response.body
        return Watching(self, response.body)

    def _path(self, resource: str, obj: Object, name: str = "", subresource: str = "") -> str:
        kind = registry.resource(resource)
        namespace = obj.get("metadata", {}).get("namespace", "default") if kind.namespaced else ""
        return resource_path(resource, namespace, name, subresource)

    def post(self, resource: str, obj: Object, **options: Any) -> Reply:
        return self.call("POST", self._path(resource, obj), obj, **options)

    def put(self, resource: str, obj: Object, subresource: str = "", **options: Any) -> Reply:
        return self.call("PUT", self._path(resource, obj, obj["metadata"]["name"], subresource), obj, **options)

    def get(self, resource: str, name: str, namespace: str = "default", subresource: str = "", **options: Any) -> Reply:
        kind = registry.resource(resource)
        return self.call("GET", resource_path(resource, namespace if kind.namespaced else "", name, subresource), **options)

    def patch(
        self, resource: str, name: str, patch: Any, namespace: str = "default", subresource: str = "", **options: Any
    ) -> Reply:
        kind = registry.resource(resource)
        path = resource_path(resource, namespace if kind.namespaced else "", name, subresource)
        return self.call("PATCH", path, patch, **{"content_type": MERGE, **options})

    def delete(self, resource: str, name: str, body: Any = None, namespace: str = "default", **options: Any) -> Reply:
        kind = registry.resource(resource)
        return self.call("DELETE", resource_path(resource, namespace if kind.namespaced else "", name), body, **options)

    def list(self, resource: str, namespace: str = "", **options: Any) -> Reply:
        return self.call("GET", resource_path(resource, namespace), **options)

    def made(self, resource: str, obj: Object) -> Object:
        """Create it and expect that to succeed."""
        reply = self.post(resource, obj)
        assert reply.status == 201, reply.body
        found: Object = reply.json
        return found

    def namespace(self, name: str) -> str:
        """A namespace of its own for one test, with its service account."""
        self.made("namespaces", {"metadata": {"name": name}})
        self.made("serviceaccounts", {"metadata": {"name": "default", "namespace": name}})
        return name


class Bench(Asking):
    """A server of its own, with nothing beside it."""

    def __init__(
        self,
        directory: Path,
        backend: Backend | None = None,
        store: Store | None = None,
        beside: Bench | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        **options: Any,
    ) -> None:
        """On this event loop, or that of another server `beside`; `options` are those of APIServerConfig."""
        pki = PKI(directory / "pki")
        pki.ensure(())
        self._owns_loop = beside is None
        self.loop = beside.loop if beside is not None else loop or asyncio.new_event_loop()
        self.forget: Callable[[], object] = lambda: None
        """Has what keeps the store's data forget the past, as far as it has one of its own."""
        key = pki.service_account_key
        config = APIServerConfig(service_account_key_file=key, bind_address="127.0.0.1", port=0, **options)
        self.server = APIServer(config, store or LocalStore(backend or MemoryBackend()))

        async def start() -> None:
            await self.server.start()

        self.run(start())
        self.client = Client(self.server.transport())
        for name in ("default", "kube-system"):
            self.post("namespaces", {"metadata": {"name": name}})
            self.post("serviceaccounts", {"metadata": {"name": "default", "namespace": name}})

    def listen(self) -> None:
        """Let the server do all that it does beside answering, whenever the loop runs."""
        self.run(self.server.listen())

    def close(self) -> None:
        self.run(self.server.stop())
        if self._owns_loop:
            self.run(self.loop.shutdown_asyncgens())
            self.loop.close()


@contextmanager
def bench(
    directory: Path,
    backend: Backend | None = None,
    store: Store | None = None,
    beside: Bench | None = None,
    **options: Any,
) -> Iterator[Bench]:
    """A server over a backend, or over a store of the test's own."""
    found = Bench(directory, backend, store, beside, **options)
    try:
        yield found
    finally:
        found.close()


def resource_name(kind: Kind) -> str:
    return kind.resource
