"""A real API server as processes meet it: HTTPS on its own port, its event loop in a thread, certificates on disk."""

from __future__ import annotations

import asyncio
import http.client
import ssl
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import orjson
import uvloop
import yaml

from navarch.apiserver.server import APIServer, APIServerConfig
from navarch.client.client import Client
from navarch.component.pki import PKI, Leaf, cluster_leaves
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore

T = TypeVar("T")
START_TIMEOUT_SECONDS = 20.0
ADVERTISED = "192.0.2.1"
"""Where pods would reach the server: Endpoints have no loopback addresses."""


class HTTPSServer:
    """Started when made."""

    def __init__(self, directory: Path) -> None:
        self.pki = PKI(directory / "pki")
        alice = Leaf("alice", "alice", ("people",))
        self.pki.ensure([*cluster_leaves(addresses=["127.0.0.1", "10.96.0.1"], host_names=["localhost"]), alice])
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="apiserver", daemon=True)
        self._thread.start()
        self.server: APIServer = self.run(self._start(directory))
        self.url = f"https://127.0.0.1:{self.server.port}"

    async def _start(self, directory: Path) -> APIServer:
        server = APIServer(self.config(), LocalStore(SQLiteBackend(directory / "navarch.db")))
        await server.start()
        await server.listen()
        client = Client(server.transport())
        await client.create("serviceaccounts", {"metadata": {"name": "default", "namespace": "default"}})
        return server

    def config(self) -> APIServerConfig:
        return APIServerConfig(
            service_account_key_file=self.pki.service_account_key,
            certificate_file=self.pki.certificate("apiserver"),
            key_file=self.pki.key("apiserver"),
            client_ca_file=self.pki.certificate("ca"),
            front_proxy_ca_file=self.pki.certificate("front-proxy-ca"),
            proxy_client_certificate_file=self.pki.certificate("front-proxy-client"),
            proxy_client_key_file=self.pki.key("front-proxy-client"),
            bind_address="127.0.0.1",
            advertise_address=ADVERTISED,
            port=0,
        )

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_TIMEOUT_SECONDS)

    async def _stop(self) -> None:
        await self.server.stop()

    def close(self) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def tls(self, leaf: str = "admin") -> ssl.SSLContext:
        """A client's context with this certificate, or (leaf "") without any."""
        context = ssl.create_default_context(cafile=str(self.pki.certificate("ca")))
        if leaf:
            context.load_cert_chain(self.pki.certificate(leaf), self.pki.key(leaf))
        return context

    def connection(self, leaf: str = "admin") -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.server.port, context=self.tls(leaf), timeout=10)

    def ask(self, method: str, target: str, body: Any = None, *, leaf: str = "admin", **headers: str) -> tuple[int, Any]:
        """Status and decoded body of one request."""
        connection = self.connection(leaf)
        try:
            content = None if body is None else orjson.dumps(body)
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, target, content, {"Content-Type": "application/json", **sent})
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, orjson.loads(data) if data[:1] in (b"{", b"[") else data.decode()
        finally:
            connection.close()

    def write_kubeconfig(self, path: Path, leaf: str = "admin") -> Path:
        user = {"client-certificate": str(self.pki.certificate(leaf)), "client-key": str(self.pki.key(leaf))}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.pki.certificate("ca"))}}
            ],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path
