"""Faults of the control plane: its disk, its processes, its leader."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from navarch.simulation import arguments
from navarch.simulation.action import ActionError, Fault, span
from navarch.simulation.arguments import argument
from navarch.simulation.controlplanes import Instance
from navarch.simulation.stage import Stage

RESTART_SECONDS = 10.0
SYNCS_SECONDS = (0.01, 0.1, 1.0)
FREEZE_SECONDS = 60.0
COMPONENTS = ("*", "kube-controller-manager", "kube-scheduler")


@dataclass(frozen=True)
class SlowDisk(Fault):
    """Making anything durable takes so long."""

    name: ClassVar[str] = "slow-disk"
    by: float = argument(arguments.duration, 0.5)
    for_seconds: float | None = argument(arguments.duration, None, key="for")

    async def begin(self, stage: Stage) -> None:
        stage.cluster.disk.sync_seconds = self.by

    async def end(self, stage: Stage, begun: None) -> None:
        stage.cluster.disk.sync_seconds = 0.0

    @classmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> SlowDisk:
        return cls(chance.choice(SYNCS_SECONDS), span(chance))


@dataclass(frozen=True)
class FillDisk(Fault):
    """There is no space left: nothing can be written."""

    name: ClassVar[str] = "fill-disk"
    for_seconds: float | None = argument(arguments.duration, None, key="for")

    async def begin(self, stage: Stage) -> None:
        stage.cluster.disk.is_full = True

    async def end(self, stage: Stage, begun: None) -> None:
        stage.cluster.disk.is_full = False

    @classmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> FillDisk:
        return cls(span(chance))


@dataclass(frozen=True)
class RestartControlPlane(Fault):
    """API server, controllers and scheduler crash, and start again after `for`."""

    name: ClassVar[str] = "restart-control-plane"
    for_seconds: float | None = argument(arguments.duration, RESTART_SECONDS, key="for")

    async def begin(self, stage: Stage) -> None:
        if stage.cluster.parts.http:
            raise ActionError(
                "clients outside are connected to this control plane: it stays, unless the cluster is without HTTP"
            )
        await stage.cluster.crash_control_plane()

    async def end(self, stage: Stage, begun: None) -> None:
        await stage.cluster.start_control_plane()

    @classmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> RestartControlPlane:
        return cls(span(chance))


@dataclass(frozen=True)
class ChangeLeader(Fault):
    """Controllers and scheduler that lead are gone at once; others take over when their lease has run out."""

    name: ClassVar[str] = "change-leader"

    async def begin(self, stage: Stage) -> None:
        await stage.cluster.change_leader()

    async def end(self, stage: Stage, begun: None) -> None:
        """Others have taken over."""

    @classmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> ChangeLeader:
        return cls()


@dataclass(frozen=True)
class FreezeLeader(Fault):
    """The processes that lead hang, and others take over; after `for` they go on as if nothing had been."""

    name: ClassVar[str] = "freeze-leader"
    of: str = argument(arguments.requester, "*")
    for_seconds: float | None = argument(arguments.duration, FREEZE_SECONDS, key="for")

    async def begin(self, stage: Stage) -> list[Instance]:
        cluster = stage.cluster
        if cluster.parts.control_planes < 2:
            raise ActionError("nobody could take over: there is one control plane")
        # Where they are down nobody leads.
        found = cluster.control_planes.leaders(self.of) if cluster.control_planes is not None else []
        for leader in found:
            leader.freeze()
        return found

    async def end(self, stage: Stage, begun: list[Instance] | None) -> None:
        for leader in begun or ():
            leader.thaw()

    @classmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> FreezeLeader:
        return cls(chance.choice(COMPONENTS), span(chance))
