"""The parts of a simulated cluster, wired together on one event loop."""

from __future__ import annotations

import asyncio
import atexit
import errno
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from navarch.apiserver.request import APIRequest
from navarch.apiserver.server import APIServer, APIServerConfig
from navarch.client.client import Client
from navarch.client.informer import Informer, Informers
from navarch.client.transport import Transport
from navarch.component import clock, kubeconfig, pki
from navarch.component.httpclient import HTTPClient
from navarch.component.httpserver import Response
from navarch.component.tasks import Tasks
from navarch.simulation.disk import Disk
from navarch.simulation.loop import SimulatedLoop
from navarch.simulation.network import ADMINISTRATOR, Network
from navarch.simulation.webhooks import Webhooks
from navarch.storage.backend import StorageError
from navarch.storage.store import LocalStore

if TYPE_CHECKING:
    from navarch.controllers.controller import Controller
    from navarch.controllers.manager import ControllerManager
    from navarch.scheduler.scheduler import Scheduler
    from navarch.simulation.controlplanes import ControlPlanes, OnWrite
    from navarch.simulation.node import SimulatedNode, SimulatedNodes
    from navarch.simulation.stages.definition import StageDefinition
    from navarch.simulation.stages.player import Player

# Where the API server says that it is. Endpoints may not have loopback addresses (this one is RFC 5737's).
ADVERTISED_ADDRESS = "192.0.2.1"
# Room for the pod networks of 32,768 nodes, beside that of Services.
CLUSTER_CIDR = "10.128.0.0/9"
HEARTBEAT_SECONDS = 10.0

# So many nodes join at once.
JOINING_LIMIT = 250
# How long a control plane that has lost its leader waits for the lease to run out (kube-controller-manager's default).
TAKEOVER_SECONDS = 15.0
# After which a process of a control plane that was killed is there again.
RESTART_SECONDS = 10.0
DNS_CONTROLLER = "clusterdns-controller"
COMPONENTS = ("controller-manager", "scheduler")
MANAGER, SCHEDULER, KUBELETS, STAGES = "kube-controller-manager", "kube-scheduler", "kubelet", "kwok"
SHARED = "navarch"
"""Who watches for controllers and scheduler where they watch together."""


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
    written_heartbeats: bool = False
    """Whether every heartbeat of every node is a write, as in life; always so over HTTP."""
    separate_caches: bool = False
    """Whether controllers and scheduler watch for themselves, as in processes of their own."""
    control_planes: int = 1
    """How many there are of controllers and scheduler; of several one leads, elected as in life. Only on virtual time."""
    stages: tuple[StageDefinition, ...] = ()
    """What objects of the kinds that they name go through, instead of what pretended nodes do by themselves."""

    def has_stages_of(self, kind: str) -> bool:
        return any(stage.kind.kind == kind for stage in self.stages)


class SimulatedCluster:
    """API server, controllers, scheduler and pretended nodes. `start`, then `stop`, on the same loop."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.directory = Path(tempfile.mkdtemp(prefix="navarch-simulation-"))
        self.pki = pki.PKI(self.directory / "pki") if parts.http else _keys()
        self.nodes: dict[str, SimulatedNode] = {}
        self.disk = Disk(_spend)
        self.is_down = False
        """Whether the control plane is."""
        self.webhooks = Webhooks(lambda: self.server.store, lambda: self.nodes.values())
        self.network = Network(self._way)
        self.server = self._make_server()
        self.client = self._administrator()
        """As an administrator; answers after `start`."""
        self.on_server: list[Callable[[APIServer], None]] = []
        """Called with each API server before it starts."""
        self.control_planes: ControlPlanes | None = None
        """Where there are several, and they are not down."""
        self.on_leaders_write: list[OnWrite] = []
        """Called with what leaders are about to write, where there are several control planes."""
        self._informers: Informers | None = None
        self._simulated_nodes: SimulatedNodes | None = None
        self._player: Player | None = None
        self._nodes_made = 0
        self._tasks = Tasks("simulation")
        self._stops: list[Callable[[], Awaitable[None]]] = []
        """Of controllers and scheduler."""
        self._node_informers: Informers | None = None
        self._caches: dict[str, Informers] = {}
        """Of controllers and scheduler, by who they are."""
        self._upheaval = asyncio.Lock()
        """The control plane goes and comes one step at a time."""

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
            # Nobody would make accounts for pods, or say of nodes that they are ready.
            disable_admission_plugins=() if self.parts.controllers else ("ServiceAccount", "TaintNodesByCondition"),
        )
        # Clients outside may have webhooks there.
        connect = HTTPClient if http else self.webhooks.connect
        parts = config, LocalStore(self.disk), self._forward, connect
        if not http:
            return APIServer(*parts)
        from navarch.simulation.outside import OutsideServer

        return OutsideServer(self.network, *parts)

    async def _forward(
        self, client: HTTPClient, request: APIRequest, target: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        """What is asked of nodes and pods goes to the pretended ones."""
        from navarch.simulation.reach import Reach

        return await Reach(self.nodes.values)(client, request, target, headers)

    def _way(self) -> Transport:
        """To the API server, while there is one."""
        if self.is_down:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        return self.server.transport()

    # Life

    async def start(self) -> None:
        """Until the API answers and the nodes are there."""
        await self.start_api()
        await self.start_others()

    async def start_api(self) -> None:
        """Until the API answers."""
        for listener in self.on_server:
            listener(self.server)
        await self.server.start()
        if self.parts.http:
            await self.server.listen()

    async def start_others(self) -> None:
        """What makes a cluster of it. What is not asked for does not even get imported."""
        self.start_controllers()
        if self.parts.stages:
            from navarch.simulation.stages.player import Player

            player = self._player = Player(self, self._component(STAGES), self.parts.stages, self._informers_of_nodes)
            player.start()
        await self.add_nodes(self.parts.nodes)

    async def stop(self) -> None:
        """End everything, and leave nothing behind."""
        if self._player is not None:
            await self._player.stop()
        await asyncio.gather(*(node.stop() for node in self.nodes.values()))
        await self.stop_controllers()
        if self._node_informers is not None:
            await self._node_informers.stop()
        await self._tasks.stop()
        if not self.is_down:
            self.disk.is_full = False
            await self.server.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start_controllers(self) -> None:
        """Controllers and scheduler begin to work, as in a process that has just started."""
        parts = self.parts
        for name, runs in zip(COMPONENTS, (parts.controllers, parts.scheduler), strict=True):
            if runs:
                self.server.components[name] = lambda: ""
        if parts.control_planes > 1:
            from navarch.simulation.controlplanes import ControlPlanes

            wanted = {MANAGER: (parts.controllers, self._control), SCHEDULER: (parts.scheduler, self._schedule)}
            components = {name: work for name, (is_wanted, work) in wanted.items() if is_wanted}
            self.control_planes = ControlPlanes(self.network, components, parts.control_planes)
            self.control_planes.on_write = self.on_leaders_write
            self.control_planes.start()
            self._stops.append(self.control_planes.stop)
            return
        if parts.controllers:
            manager = self._manager(self.network.line(MANAGER), self.informers)
            self._tasks.start(manager.run(), name="controllers")
            self._stops.append(manager.stop)
        if parts.scheduler:
            informers = self._watching(SCHEDULER) if parts.separate_caches else self.informers
            scheduler = self._scheduler(self.network.line(SCHEDULER), informers)
            self._tasks.start(scheduler.run(), name="scheduler")
            self._stops.append(scheduler.stop)

    async def stop_controllers(self) -> None:
        """Controllers and scheduler end, whatever they are doing."""
        for name in COMPONENTS:
            self.server.components.pop(name, None)
        stops, self._stops, self._informers, self.control_planes = self._stops, [], None, None
        self._caches.clear()
        for stop in reversed(stops):
            await stop()

    async def crash_control_plane(self) -> None:
        """API server, controllers and scheduler lose power at once; what was durable is still there. Not over HTTP."""
        assert not self.parts.http, "clients outside are connected to this server"
        async with self._upheaval:
            if self.is_down:
                return
            self.is_down = self.disk.is_off = True
            self.network.break_watches()
            await self.stop_controllers()
            with suppress(StorageError):
                await self.server.stop()

    async def start_control_plane(self) -> None:
        """Start it again on what its disk holds."""
        async with self._upheaval:
            if not self.is_down:
                return
            self.disk.is_off = False
            self.server = self._make_server()
            await self.start_api()
            self.is_down = False
            self.start_controllers()

    async def change_leader(self) -> None:
        """Controllers and scheduler are gone; others take over when their lease has run out."""
        if self.control_planes is not None:
            await self._kill_leaders(self.control_planes)
            return
        async with self._upheaval:
            if self.is_down:
                return
            await self.stop_controllers()
            await clock.sleep(TAKEOVER_SECONDS)
            self.start_controllers()

    async def _kill_leaders(self, planes: ControlPlanes) -> None:
        await asyncio.gather(*(leader.kill() for leader in planes.leaders()))
        await clock.sleep(RESTART_SECONDS)
        if self.control_planes is planes:
            planes.start()

    # Nodes

    async def add_node(self, name: str = "", **options: Any) -> SimulatedNode:
        """One more node, ready; `options` are those of `SimulatedNode`. Raises ValueError where there is one of that name,
        and StatusError where the API refuses it."""
        from navarch.simulation.node import SimulatedNode, SimulatedNodes

        if self._simulated_nodes is None:
            self._simulated_nodes = SimulatedNodes(self._informers_of_nodes, run_pods=not self.parts.has_stages_of("Pod"))
        if name in self.nodes:
            raise ValueError(f"there is a node {name!r} already")
        self._nodes_made += 1
        while not name and f"node-{self._nodes_made}" in self.nodes:
            self._nodes_made += 1
        number = self._nodes_made
        name = name or f"node-{number}"
        staged = self.parts.has_stages_of("Node")
        options = {"heartbeat_seconds": self.parts.heartbeat_seconds, "tells_status": not staged, **options}
        if not self._writes_heartbeats:
            options["administrator"] = Client(self.network.line(ADMINISTRATOR), field_manager="kubelet")
        node = SimulatedNode(name, number, self.network.line(name, KUBELETS), **options)
        # Those that join together stand in the order of their names.
        self.nodes[name] = node
        loop = asyncio.get_running_loop()
        if isinstance(loop, SimulatedLoop):
            loop.expect_nodes(len(self.nodes))
        try:
            await node.start()
        except BaseException:
            del self.nodes[name]
            await node.stop()
            raise
        self._simulated_nodes.add(node)
        return node

    async def add_nodes(self, count: int, **options: Any) -> None:
        """So many more nodes, which join at the same time: who looks after all nodes then looks once."""
        for start in range(0, count, JOINING_LIMIT):
            joining = (self.add_node(**options) for _ in range(min(JOINING_LIMIT, count - start)))
            for joined in await asyncio.gather(*joining, return_exceptions=True):
                # Not before all have had their say: the others have joined.
                if isinstance(joined, BaseException):
                    raise joined

    def is_strange(self, name: str) -> bool:
        """Whether a Node of the API is none of those that are simulated."""
        return name not in self.nodes

    @property
    def _informers_of_nodes(self) -> Informers:
        if self._node_informers is None:
            self._node_informers = Informers(self._component(KUBELETS))
        return self._node_informers

    async def remove_node(self, name: str) -> None:
        """Take a node away for good. Raises StatusError."""
        await self.forget_node(name)
        await self.client.delete_if_exists("nodes", name)

    async def forget_node(self, name: str) -> None:
        """Have a node be no more; its Node is somebody else's to delete."""
        node = self.nodes.pop(name)
        node.crash()
        assert self._simulated_nodes is not None
        self._simulated_nodes.remove(name)
        await node.stop()

    @property
    def _writes_heartbeats(self) -> bool:
        return self.parts.written_heartbeats or self.parts.http

    @property
    def informers(self) -> Informers:
        """Shared by controllers and scheduler."""
        if self._informers is None:
            self._informers = self._watching(MANAGER if self.parts.separate_caches else SHARED)
        return self._informers

    def _watching(self, who: str) -> Informers:
        informers = self._caches[who] = Informers(self._component(who))
        self._stops.append(informers.stop)
        return informers

    @property
    def caches(self) -> dict[str, list[Informer]]:
        """What components of the cluster know, by who they are."""
        caches = self._caches if self.control_planes is None else self.control_planes.caches
        found = {who: informers.all() for who, informers in caches.items()}
        return found | ({"the nodes": self._node_informers.all()} if self._node_informers is not None else {})

    def kubeconfig(self) -> str:
        """The administrator's, for clients over HTTPS."""
        return kubeconfig.render(self.pki.directory, f"https://127.0.0.1:{self.server.port}")

    def _component(self, name: str) -> Client:
        return Client(self.network.line(name), field_manager=name)

    def _administrator(self) -> Client:
        if self._writes_heartbeats:
            return Client(self.network.line(ADMINISTRATOR), field_manager="navarch-testing")
        from navarch.simulation.heartbeats import ReadingLine

        line = ReadingLine(self.network, ADMINISTRATOR)
        line.nodes = lambda: self.nodes
        return Client(line, field_manager="navarch-testing")

    def _manager(self, line: Transport, informers: Informers) -> ControllerManager:
        from navarch.controllers.config import ControllerConfig
        from navarch.controllers.manager import ControllerManager
        from navarch.simulation.heartbeats import adjusted

        # Without HTTP nobody can show a certificate.
        http, authority = self.parts.http, self.pki.certificate("ca")
        config = ControllerConfig(
            root_ca_pem=authority.read_text() if http else "none",
            service_account_key_file=self.pki.service_account_key,
            signing_certificate_file=authority if http else None,
            signing_key_file=self.pki.key("ca") if http else None,
            cluster_cidr=CLUSTER_CIDR,
        )

        def adjust(controller: Controller) -> Controller | None:
            if controller.name == DNS_CONTROLLER:
                # Pretended nodes answer no DNS: a Service would be a lie, and costs a pass over all nodes whenever one changes.
                return None
            return controller if self._writes_heartbeats else adjusted(controller, config, lambda: self.nodes)

        return ControllerManager(Client(line, field_manager=MANAGER), informers, config, adjust)

    def _scheduler(self, line: Transport, informers: Informers) -> Scheduler:
        from navarch.scheduler.scheduler import Scheduler

        scheduler = Scheduler(Client(line, field_manager=SCHEDULER), informers)
        self.server.pipeline.explain.explainer = scheduler.explain
        return scheduler

    async def _control(self, line: Transport, informers: Informers) -> None:
        await _work(self._manager(line, informers))

    async def _schedule(self, line: Transport, informers: Informers) -> None:
        await _work(self._scheduler(line, informers))


async def _work(component: ControllerManager | Scheduler) -> None:
    """Until it is cancelled."""
    try:
        await component.run()
    finally:
        await component.stop()


def _spend(seconds: float) -> None:
    """Let time pass for who does something that takes so long. On a loop that cannot do that it takes none."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, SimulatedLoop):
        loop.spend(seconds)


@cache
def _keys() -> pki.PKI:
    """What signs the tokens of clusters that nobody outside can reach: made once, since it takes as long as all the rest."""
    directory = Path(tempfile.mkdtemp(prefix="navarch-simulation-keys-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    found = pki.PKI(directory)
    # Not by the chance of a simulation: the first one of a process would have another history than those after it.
    Context().run(found.ensure, ())
    return found
