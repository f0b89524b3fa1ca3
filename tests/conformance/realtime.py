"""A cluster as processes meet it: over HTTPS and in real time; its kubelets pretend."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from navarch.apimachinery.errors import Object
from navarch.apiserver.server import APIServer
from navarch.storage.memory import MemoryBackend
from navarch.storage.store import LocalStore
from tests.apiserver.https import HTTPSServer
from tests.conformance.kubelets import Kubelets
from tests.conformance.world import NODES
from tests.controllers.cluster import cluster

T = TypeVar("T")
TIMEOUT_SECONDS, PAUSE_SECONDS = 20.0, 0.01


class RealTime(HTTPSServer):
    """API server, controllers, scheduler, and nodes with pretended kubelets."""

    kubelets: Kubelets

    async def _start(self, directory: Path) -> APIServer:
        server = APIServer(self.config(), LocalStore(MemoryBackend()))
        self._context = cluster(directory, Kubelets, server)
        self.kubelets = cast(Kubelets, await self._context.__aenter__())
        await server.listen()
        for name, address in NODES.items():
            await self.kubelets.add_node(name, address)
        return server

    async def _stop(self) -> None:
        await self._context.__aexit__(None, None, None)

    def until(self, condition: Callable[[], T]) -> T:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not (value := condition()):
            assert time.monotonic() < deadline, "it took too long"
            self.run(asyncio.sleep(PAUSE_SECONDS))
        return value

    def made(self, path: str, obj: Object) -> Any:
        """Create it and expect that to succeed."""
        status, body = self.ask("POST", path, obj)
        assert status == 201, body
        return body
