"""Has the objects of a simulated cluster go through their stages: informers → lifecycle's decisions → a few API calls.

Each object has a task of its own that waits for its stage's delay, and decides anew when the object changes; a stage that still
selects the object then goes on waiting, it does not begin again. What a pod or a node does is done by its node: while that has
failed, nothing is done, and while it is cut off, nothing gets through.

A Node that nobody simulates yet, such as one that somebody has applied, is taken over: it renews its Lease from then on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from navarch.api.kind import Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client
from navarch.client.events import EventRecorder
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.component.tasks import Tasks
from navarch.kubelet.node_status import KUBELET_VERSION
from navarch.simulation.stages import functions, lifecycle
from navarch.simulation.stages.definition import StageDefinition
from navarch.simulation.stages.gotemplate import TemplateError
from navarch.simulation.stages.lifecycle import Change, Event, Removal

if TYPE_CHECKING:
    from navarch.simulation.cluster import SimulatedCluster
    from navarch.simulation.node import SimulatedNode

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
AT_ONCE_LIMIT = 100
"""So many stages an object may go through while no time passes."""
NODE_CONDITIONS: tuple[Object, ...] = (
    {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"},
    {
        "type": "MemoryPressure",
        "status": "False",
        "reason": "KubeletHasSufficientMemory",
        "message": "kubelet has sufficient memory available",
    },
    {
        "type": "DiskPressure",
        "status": "False",
        "reason": "KubeletHasNoDiskPressure",
        "message": "kubelet has no disk pressure",
    },
    {
        "type": "PIDPressure",
        "status": "False",
        "reason": "KubeletHasSufficientPID",
        "message": "kubelet has sufficient PID available",
    },
    {
        "type": "NetworkUnavailable",
        "status": "False",
        "reason": "RouteCreated",
        "message": "RouteController created a route",
    },
)


class Player:
    """Of one cluster."""

    def __init__(
        self, cluster: SimulatedCluster, client: Client, stages: Sequence[StageDefinition], informers: Informers
    ) -> None:
        """`client` is for what belongs to no node."""
        self.cluster = cluster
        self.client = client
        self._informers = informers
        self.tasks = Tasks("stages")
        self.recorder = EventRecorder(client, "kwok")
        self.started = clock.timestamp()
        self._actors: dict[str, _Actor] = {}
        """By uid."""
        self._adopted: set[str] = set()
        """Nodes that were not the simulation's own."""
        self._stages: dict[str, list[StageDefinition]] = {}
        for stage in stages:
            self._stages.setdefault(stage.kind.resource, []).append(stage)

    def start(self) -> None:
        """Begin with what is there."""
        kinds = {resource: stages[0].kind for resource, stages in self._stages.items()}
        if "nodes" in kinds:
            self._informers.get("nodes").add_handler(self._adopt)
        for resource, kind in kinds.items():
            self._informers.get(resource).add_handler(self._handler(kind, self._stages[resource]))

    async def stop(self) -> None:
        await self.tasks.stop()
        await self.recorder.stop()

    def _handler(self, kind: Kind, stages: Sequence[StageDefinition]) -> Callable[[Object | None, Object | None], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            if old is not None and (new is None or meta.uid(old) != meta.uid(new)):
                gone = self._actors.pop(meta.uid(old), None)
                if gone is not None:
                    gone.end()
            if new is None or (kind.resource == "pods" and not new["spec"].get("nodeName")):
                return
            actor = self._actors.get(meta.uid(new))
            if actor is None:
                actor = self._actors[meta.uid(new)] = _Actor(self, kind, stages, new)
                actor.start()
            else:
                actor.update(new)

        return changed

    def _adopt(self, old: Object | None, new: Object | None) -> None:
        if old is None and new is not None and self.cluster.is_strange(meta.name(new)):
            self._adopted.add(meta.name(new))
            self.tasks.start(self.cluster.add_node(meta.name(new), labels=meta.labels(new)), name=f"adopt-{meta.name(new)}")
        elif old is not None and new is None and meta.name(old) in self._adopted:
            self._adopted.discard(meta.name(old))
            self.tasks.start(self.cluster.forget_node(meta.name(old)), name=f"forget-{meta.name(old)}")

    def node(self, kind: Kind, obj: Object) -> SimulatedNode | None:
        """The one that an object belongs to."""
        if kind.resource == "pods":
            return self.cluster.nodes.get(obj["spec"].get("nodeName", ""))
        return self.cluster.nodes.get(meta.name(obj)) if kind.resource == "nodes" else None

    def functions(self, node: SimulatedNode | None, obj: Object) -> Mapping[str, Callable[..., Any]]:
        """All that templates can call."""
        nodes = self.cluster.nodes

        def node_ip(name: Any) -> str:
            return nodes[name].address if name in nodes else ""

        def pod_ip(name: Any, host_network: Any = False, uid: Any = "", *_: Any) -> str:
            if name not in nodes:
                return ""
            return nodes[name].address if host_network else nodes[name].pod_ip(uid)

        return {
            **functions.FUNCTIONS,
            "Now": clock.timestamp,
            "StartTime": lambda: self.started,
            "Version": lambda: KUBELET_VERSION,
            "NodeConditions": lambda: list(NODE_CONDITIONS),
            "NodeIP": lambda: node.address if node is not None else "",
            "NodeName": lambda: node.name if node is not None else "",
            "NodePort": lambda: node.port if node is not None else 0,
            "PodIP": lambda: node.pod_ip(meta.uid(obj)) if node is not None else "",
            "NodeIPWith": node_ip,
            "PodIPWith": pod_ip,
        }


class _Actor:
    """One object on its way through its stages."""

    def __init__(self, player: Player, kind: Kind, stages: Sequence[StageDefinition], obj: Object) -> None:
        self._player = player
        self._kind = kind
        self._stages = stages
        self._object = obj
        self._changed = asyncio.Event()
        self._stage: StageDefinition | None = None
        """What it waits for…"""
        self._due = 0.0
        """…and until when, on the clock that never goes back."""
        self._task: asyncio.Task[Any] | None = None
        self._last, self._at_once = 0.0, 0

    def start(self) -> None:
        self._task = self._player.tasks.start(self._live(), name=f"{self._kind.resource}-{meta.key(self._object)}")

    def end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def update(self, obj: Object) -> None:
        """The API's object has changed."""
        if meta.resource_version(obj) > meta.resource_version(self._object):
            self._object = obj
            self._changed.set()

    async def _live(self) -> None:
        while True:
            self._changed.clear()
            self._decide()
            if self._stage is None:
                await self._changed.wait()
                continue
            try:
                async with asyncio.timeout(max(0.0, self._due - clock.monotonic())):
                    await self._changed.wait()
                continue
            except TimeoutError:
                pass
            await self._able()
            # While the node was not able to do anything, the object may have changed.
            if self._stage in lifecycle.matching(self._stages, self._object):
                await self._go_through(self._stage)
            self._stage = None

    def _decide(self) -> None:
        found = lifecycle.matching(self._stages, self._object)
        if self._stage is not None and self._stage in found:
            return
        chance = clock.random()
        self._stage = lifecycle.choose(found, self._object, chance)
        if self._stage is not None:
            delay = lifecycle.delay_seconds(self._stage, self._object, clock.time_seconds(), chance)
            self._due = clock.monotonic() + delay

    async def _able(self) -> None:
        """Until the object's node can do anything, and stages do not follow each other without end."""
        while (node := self._player.node(self._kind, self._object)) is not None and node.state != "running":
            await clock.sleep(RETRY_SECONDS)
        now = clock.monotonic()
        self._at_once = self._at_once + 1 if now == self._last else 0
        self._last = now
        if self._at_once > AT_ONCE_LIMIT:
            shown = f"{self._kind.kind} {meta.key(self._object)}"
            logger.warning("%s goes through stages without end: %s", shown, self._stage.name if self._stage else "")
            await clock.sleep(RETRY_SECONDS)

    async def _go_through(self, stage: StageDefinition) -> None:
        node = self._player.node(self._kind, self._object)
        client = node.client if node is not None else self._player.client
        made = self._player.functions(node, self._object)
        before = self._object
        try:
            for doing in lifecycle.doings(stage, before, made):
                await self._do(client, node, doing)
        except TemplateError as error:
            self._tell(node, "Warning", "StageFailed", f"{stage.name}: line {error.line}: {error}")
            await self._changed.wait()
            return
        except StatusError as error:
            if error.is_not_found:
                # Whoever deleted it is about to say so.
                await self._changed.wait()
                return
            if error.code in (400, 422):
                # The same would be refused again.
                self._tell(node, "Warning", "StageFailed", f"{stage.name}: {error.message}")
                await self._changed.wait()
                return
            await clock.sleep(RETRY_SECONDS)
            return
        except OSError:
            await clock.sleep(RETRY_SECONDS)
            return
        if meta.resource_version(self._object) == meta.resource_version(before):
            # Nothing has come of it: the same would come of it again.
            await self._changed.wait()

    async def _do(self, client: Client, node: SimulatedNode | None, doing: lifecycle.Doing) -> None:
        name, namespace = meta.name(self._object), meta.namespace(self._object)
        match doing:
            case Event(type_, reason, message):
                self._tell(node, type_, reason, message)
            case Removal():
                await client.delete_if_exists(self._kind, name, namespace, uid=meta.uid(self._object), grace_period_seconds=0)
            case Change(patch, type_, subresource):
                new = await client.patch(self._kind, name, patch, namespace, patch_type=type_, subresource=subresource)
                if meta.uid(new) == meta.uid(self._object):
                    self._object = new

    def _tell(self, node: SimulatedNode | None, type_: str, reason: str, message: str) -> None:
        if node is not None:
            node.event(self._object, type_, reason, message)
        else:
            self._player.recorder.event(self._object, type_, reason, message)
