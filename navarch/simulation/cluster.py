"""The parts of a simulated cluster, wired together on one event loop."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from navarch.apiserver.request import APIRequest
from navarch.apiserver.server import APIServer, APIServerConfig
from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.component import kubeconfig, pki
from navarch.component.httpclient import HTTPClient
from navarch.component.httpserver import Response
from navarch.component.tasks import Tasks
from navarch.storage.memory import MemoryBackend
from navarch.storage.store import LocalStore

if TYPE_CHECKING:
    from navarch.simulation.node import SimulatedNode, SimulatedNodes

# Where the API server says that it is. Endpoints may not have loopback addresses (this one is RFC 5737's).
ADVERTISED_ADDRESS = "192.0.2.1"
HEARTBEAT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a simulated cluster consists of."""

    nodes: int = 3
    controllers: bool = True
    scheduler: bool = True
    http: bool = False
    """Whether it is served over HTTPS, to clients outside."""
    port: int = 0
    """Where; 0 is any."""
    heartbeat_seconds: float = HEARTBEAT_SECONDS


class SimulatedCluster:
    """API server, controllers, scheduler and pretended nodes. `start`, then `stop`, on the same loop."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.directory = Path(tempfile.mkdtemp(prefix="navarch-simulation-"))
        self.pki = pki.PKI(self.directory / "pki") if parts.http else _keys()
        self.nodes: dict[str, SimulatedNode] = {}
        self.server = self._make_server()
        self.client: Client = None  # type: ignore[assignment]
        """As an administrator; there after `start`."""
        self._informers: Informers | None = None
        self._simulated_nodes: SimulatedNodes | None = None
        self._nodes_made = 0
        self._tasks = Tasks("simulation")
        self._stops: list[Callable[[], Awaitable[None]]] = []

    def _make_server(self) -> APIServer:
        http = self.parts.http
        if http:
            self.pki.ensure(pki.cluster_leaves(addresses=["127.0.0.1"], host_names=["localhost"]))
        config = APIServerConfig(
            service_account_key_file=self.pki.service_account_key,
            certificate_file=self.pki.certificate("apiserver") if http else None,
            key_file=self.pki.key("apiserver") if http else None,
            client_ca_file=self.pki.certificate("ca") if http else None,
            bind_address="127.0.0.1",
            port=self.parts.port,
            advertise_address=ADVERTISED_ADDRESS,
            # Nobody would make accounts for pods.
            disable_admission_plugins=() if self.parts.controllers else ("ServiceAccount",),
        )
        return APIServer(config, LocalStore(MemoryBackend()), self._forward)

    async def _forward(
        self, client: HTTPClient, request: APIRequest, target: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        """What is asked of nodes and pods goes to the pretended ones."""
        from navarch.simulation.reach import Reach

        return await Reach(self.nodes.values)(client, request, target, headers)

    async def start(self) -> None:
        """Until the API answers and the nodes are there."""
        await self.start_api()
        await self.start_others()

    async def start_api(self) -> None:
        """Until the API answers."""
        await self.server.start()
        if self.parts.http:
            await self.server.listen()
        self.client = self._component("navarch-testing")

    async def start_others(self) -> None:
        """What makes a cluster of it. What is not asked for does not even get imported."""
        parts = self.parts
        if parts.controllers:
            self._start_controllers()
        if parts.scheduler:
            from navarch.scheduler.scheduler import Scheduler

            scheduler = Scheduler(self._component("kube-scheduler"), self.informers)
            self._tasks.start(scheduler.run(), name="scheduler")
            self._stops.append(scheduler.stop)
        for _ in range(parts.nodes):
            await self.add_node()

    async def stop(self) -> None:
        """End everything, and leave nothing behind."""
        await asyncio.gather(*(node.stop() for node in self.nodes.values()))
        for stop in reversed(self._stops):
            await stop()
        await self._tasks.stop()
        await self.server.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    async def add_node(self, name: str = "", **options: Any) -> SimulatedNode:
        """One more node, ready; `options` are those of `SimulatedNode`."""
        from navarch.simulation.node import SimulatedNode, SimulatedNodes

        if self._simulated_nodes is None:
            self._simulated_nodes = SimulatedNodes(self.informers)
        number = self._nodes_made = self._nodes_made + 1
        options = {"heartbeat_seconds": self.parts.heartbeat_seconds, **options}
        node = SimulatedNode(name or f"node-{number}", number, self.server.transport(), **options)
        await node.start()
        self.nodes[node.name] = node
        self._simulated_nodes.add(node)
        return node

    @property
    def informers(self) -> Informers:
        """Shared by all that watches in this process."""
        if self._informers is None:
            self._informers = Informers(self._component("navarch"))
            self._stops.append(self._informers.stop)
        return self._informers

    def kubeconfig(self) -> str:
        """The administrator's, for clients over HTTPS."""
        return kubeconfig.render(self.pki.directory, f"https://127.0.0.1:{self.server.port}")

    def _component(self, name: str) -> Client:
        return Client(self.server.transport(), field_manager=name)

    def _start_controllers(self) -> None:
        from navarch.controllers.config import ControllerConfig
        from navarch.controllers.manager import ControllerManager

        authority = self.pki.certificate("ca").read_text() if self.parts.http else "none"
        manager = ControllerManager(
            self._component("kube-controller-manager"), self.informers, ControllerConfig(root_ca_pem=authority)
        )
        self._tasks.start(manager.run(), name="controllers")
        self._stops.append(manager.stop)


@cache
def _keys() -> pki.PKI:
    """What signs the tokens of clusters that nobody outside can reach: made once, since it takes as long as all the rest."""
    directory = Path(tempfile.mkdtemp(prefix="navarch-simulation-keys-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    found = pki.PKI(directory)
    found.ensure(())
    return found
