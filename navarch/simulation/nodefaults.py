"""Faults of nodes."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from navarch.simulation import arguments
from navarch.simulation.action import Fault, span
from navarch.simulation.arguments import argument
from navarch.simulation.node import SimulatedNode
from navarch.simulation.stage import Stage

BOOT_SECONDS = 30.0
SKEW_LIMIT_SECONDS = 600


@dataclass(frozen=True)
class NodeFault(Fault):
    """What happens to nodes, and passes."""

    node: str = argument(arguments.node_target)
    for_seconds: float | None = argument(arguments.duration, None, key="for")

    async def begin(self, stage: Stage) -> list[str]:
        found = stage.nodes(self.node)
        for node in found:
            self.strike(node)
        return [node.name for node in found]

    async def end(self, stage: Stage, begun: list[str] | None) -> None:
        for name in begun or ():
            # It may have been taken away meanwhile.
            node = stage.cluster.nodes.get(name)
            if node is not None:
                self.mend(node)

    @abstractmethod
    def strike(self, node: SimulatedNode) -> None:
        """Have it happen."""

    @abstractmethod
    def mend(self, node: SimulatedNode) -> None:
        """Have it be over."""

    @classmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> NodeFault:
        return cls(chance.choice(nodes), span(chance))


@dataclass(frozen=True)
class Crash(NodeFault):
    """Nodes lose power, and boot again after `for`."""

    name: ClassVar[str] = "crash"

    def strike(self, node: SimulatedNode) -> None:
        node.crash()

    def mend(self, node: SimulatedNode) -> None:
        node.boot()


@dataclass(frozen=True)
class Reboot(Crash):
    """Nodes crash and boot again at once (in half a minute)."""

    name: ClassVar[str] = "reboot"
    for_seconds: float | None = argument(arguments.duration, BOOT_SECONDS, key="for")

    @classmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> Reboot:
        return cls(chance.choice(nodes))


@dataclass(frozen=True)
class Freeze(NodeFault):
    """Nodes hang: what runs there goes on, and nobody hears of it."""

    name: ClassVar[str] = "freeze"

    def strike(self, node: SimulatedNode) -> None:
        node.freeze()

    def mend(self, node: SimulatedNode) -> None:
        node.thaw()


@dataclass(frozen=True)
class Partition(NodeFault):
    """Nodes are cut off from the API server."""

    name: ClassVar[str] = "partition"

    def strike(self, node: SimulatedNode) -> None:
        node.cut()

    def mend(self, node: SimulatedNode) -> None:
        node.heal()


@dataclass(frozen=True)
class SkewClock(NodeFault):
    """The wall clocks of nodes go wrong by so much."""

    name: ClassVar[str] = "skew-clock"
    by: float = argument(arguments.signed_duration, 60.0)

    def strike(self, node: SimulatedNode) -> None:
        node.clock.skew_seconds = self.by

    def mend(self, node: SimulatedNode) -> None:
        node.clock.skew_seconds = 0.0

    @classmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> SkewClock:
        return cls(chance.choice(nodes), span(chance), float(chance.randint(-SKEW_LIMIT_SECONDS, SKEW_LIMIT_SECONDS)))
