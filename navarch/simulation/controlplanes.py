"""Several control planes of which one leads: each has a process for the controllers and one for the scheduler, which compete.

Their parts are those of ``navarch server``: elector, informers, controllers, scheduler. A process can be killed, which gives
nothing back, or frozen, and goes on where it was when it is thawed: then it must not write any more, for others lead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from navarch.apimachinery.errors import Object
from navarch.client.client import Client
from navarch.client.events import EventRecorder
from navarch.client.informer import Informers
from navarch.client.leaderelection import LeaderElectionConfig, LeaderElector
from navarch.client.transport import Transport
from navarch.component import clock
from navarch.component.tasks import Tasks
from navarch.simulation.loop import Process, SimulatedLoop
from navarch.simulation.network import Line, Network

Work = Callable[[Transport, Informers], Awaitable[None]]
OnWrite = Callable[[str, str, str], None]
"""Is told of component, identity and request whenever a leader writes."""


class ControlPlanes:
    """So many processes of each component."""

    def __init__(self, network: Network, components: Mapping[str, Work], count: int) -> None:
        """`components`: what the leader does, by the component's name, which is its Lease's too."""
        self._network = network
        self._components = dict(components)
        self.on_write: list[OnWrite] = []
        self.instances = [Instance(self, name, number) for name in self._components for number in range(1, count + 1)]

    def start(self) -> None:
        """All that do not run."""
        for instance in self.instances:
            instance.start()

    async def stop(self) -> None:
        """They end as they like."""
        await asyncio.gather(*(instance.stop() for instance in self.instances))

    def leaders(self, of: str = "*") -> list[Instance]:
        """Those that lead at the moment, of components of such names."""
        return [found for found in self.instances if found.leads and fnmatchcase(found.component, of)]

    @property
    def caches(self) -> dict[str, Informers]:
        """What leaders know, by their components."""
        return {found.component: found.informers for found in self.leaders() if found.informers is not None}

    def lines(self, instance: Instance) -> tuple[Line, Line]:
        """The ways of an instance to the API server: of its work, and of its elector."""
        return _ProcessLine(self._network, instance), self._network.line(instance.component)

    def work(self, component: str) -> Work:
        return self._components[component]


class Instance:
    """One process of a component."""

    def __init__(self, planes: ControlPlanes, component: str, number: int) -> None:
        self.component = component
        self.number = number
        self.identity = ""
        self.process: Process | None = None
        """While it runs."""
        self.informers: Informers | None = None
        """While it leads."""
        self.planes = planes
        self._lines: tuple[Line, ...] = ()
        self._tasks = Tasks(component)

    def start(self) -> None:
        """As a new process, if there is none."""
        if self.process is None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, SimulatedLoop), "processes can only be frozen on virtual time"
            self.identity = f"control-plane-{self.number}_{clock.uid()}"
            self.process = Process(loop)
            self._tasks = Tasks(f"{self.component}-{self.number}")
            self.process.run(self._begin)

    def _begin(self) -> None:
        self._lines = working, electing = self.planes.lines(self)
        self._tasks.start(self._compete(working, electing), name="elector")

    async def _compete(self, working: Line, electing: Line) -> None:
        client = Client(electing, field_manager=self.component)
        recorder = EventRecorder(client, self.component)
        elector = LeaderElector(client, LeaderElectionConfig(name=self.component, identity=self.identity), recorder)

        async def lead() -> None:
            guarded = elector.guard(working)
            self.informers = Informers(Client(guarded, field_manager=self.component))
            try:
                await self.planes.work(self.component)(guarded, self.informers)
            finally:
                informers, self.informers = self.informers, None
                await informers.stop()

        try:
            await elector.run(lead)
        finally:
            await recorder.stop()

    @property
    def leads(self) -> bool:
        """Whether it takes itself for the leader."""
        return self.informers is not None

    def freeze(self) -> None:
        """Stop the process as it is; what is on its way is carried out."""
        if self.process is not None:
            self.process.freeze()

    def thaw(self) -> None:
        if self.process is not None:
            self.process.thaw()

    async def kill(self) -> None:
        """The process is gone at once; its Lease stays as it is."""
        for line in self._lines:
            line.cut()
        await self.stop()

    async def stop(self) -> None:
        """It ends, and gives its Lease back if it can."""
        process, self.process = self.process, None
        if process is not None:
            if process.is_frozen:
                # Who is frozen cannot even end.
                for line in self._lines:
                    line.cut()
                process.thaw()
            await self._tasks.stop()


class _ProcessLine(Line):
    """The way of a leader, which tells what it writes. What the API server does for it is no part of its process."""

    def __init__(self, network: Network, instance: Instance) -> None:
        super().__init__(network, instance.component)
        self._instance = instance

    async def _send(self, method: str, path: str, query: Mapping[str, str] | None, body: Any, content_type: str) -> Object:
        server, instance = self._server(), self._instance
        if method != "GET":
            for told in instance.planes.on_write:
                told(instance.component, instance.identity, f"{method} {path}")
        if instance.process is None:
            return await server.request(method, path, query=query, body=body, content_type=content_type)
        request = server.request(method, path, query=query, body=body, content_type=content_type)
        return await asyncio.get_running_loop().create_task(request, context=instance.process.outside)
