"""Faults on the ways to the API server: requests that fail or are lost, watches that are late, silent or broken off."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

from navarch.simulation import arguments
from navarch.simulation.action import Fault, span
from navarch.simulation.arguments import argument
from navarch.simulation.network import Disturbance
from navarch.simulation.stage import Stage

CODES = (409, 429, 500, 503, 504)
# Whom and what drawn faults concern.
WHO = ("*", "kube-controller-manager", "kube-scheduler", "kubelet")
WHAT = ("*", "*", "pods", "pods", "nodes", "replicasets", "deployments", "statefulsets", "jobs")
ENDINGS = ("resume", "reset", "relist", "repeat")
DELAYS_SECONDS = (0.1, 1.0, 5.0, 20.0)


class NetworkFault(Fault):
    """Something that is wrong on lines for a while."""

    async def begin(self, stage: Stage) -> Disturbance:
        disturbance = self.disturbance()
        await stage.check_lines(disturbance.of, disturbance.resource)
        # Its own chance: what else is drawn meanwhile makes no difference to it.
        disturbance.chance = random.Random(f"{stage.seed}/{self}")
        stage.cluster.network.begin(disturbance)
        return disturbance

    async def end(self, stage: Stage, begun: Disturbance | None) -> None:
        if begun is not None:
            stage.cluster.network.end(begun)

    @abstractmethod
    def disturbance(self) -> Disturbance:
        """What is the matter with the network."""


@dataclass(frozen=True)
class FailRequests(NetworkFault):
    """A share of the requests is answered with an error, and not carried out."""

    name: ClassVar[str] = "fail-requests"
    code: int = argument(arguments.any_of(*CODES), 500)
    share: float = argument(arguments.share, 0.5)
    of: str = argument(arguments.requester, "*")
    resource: str = argument(arguments.resource, "*")
    for_seconds: float | None = argument(arguments.duration, None, key="for")

    def disturbance(self) -> Disturbance:
        return Disturbance(self.of, self.resource, self.share, code=self.code)

    @classmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> FailRequests:
        portion = chance.choice((0.1, 0.5, 0.9))
        return cls(chance.choice(CODES), portion, chance.choice(WHO), chance.choice(WHAT), span(chance))


@dataclass(frozen=True)
class TimeOutRequests(NetworkFault):
    """A share of the requests is lost, or (`when: after`) carried out and the answer lost; the client waits in vain."""

    name: ClassVar[str] = "time-out-requests"
    when: str = argument(arguments.one_of("before", "after"), "after")
    share: float = argument(arguments.share, 0.5)
    of: str = argument(arguments.requester, "*")
    resource: str = argument(arguments.resource, "*")
    for_seconds: float | None = argument(arguments.duration, None, key="for")

    def disturbance(self) -> Disturbance:
        return Disturbance(self.of, self.resource, self.share, lost=cast(Literal["before", "after"], self.when))

    @classmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> TimeOutRequests:
        when, portion = chance.choice(("before", "after")), chance.choice((0.1, 0.5, 0.9))
        return cls(when, portion, chance.choice(WHO), chance.choice(WHAT), span(chance))


@dataclass(frozen=True)
class DelayWatches(NetworkFault):
    """Watch events come late."""

    name: ClassVar[str] = "delay-watches"
    by: float = argument(arguments.duration, 1.0)
    of: str = argument(arguments.requester, "*")
    resource: str = argument(arguments.resource, "*")
    for_seconds: float | None = argument(arguments.duration, None, key="for")

    def disturbance(self) -> Disturbance:
        return Disturbance(self.of, self.resource, delay_seconds=self.by)

    @classmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> DelayWatches:
        return cls(chance.choice(DELAYS_SECONDS), chance.choice(WHO), chance.choice(WHAT), span(chance))


@dataclass(frozen=True)
class StallWatches(NetworkFault):
    """Watchers are cut off from the store. At the end they go on, are broken off, list anew, or get it all again (`then`)."""

    name: ClassVar[str] = "stall-watches"
    then: str = argument(arguments.one_of(*ENDINGS), "resume")
    of: str = argument(arguments.requester, "*")
    resource: str = argument(arguments.resource, "*")
    for_seconds: float | None = argument(arguments.duration, None, key="for")

    def disturbance(self) -> Disturbance:
        return Disturbance(self.of, self.resource, stalls=True)

    async def end(self, stage: Stage, begun: Disturbance | None) -> None:
        if self.then != "resume":
            expired, repeated = self.then in ("relist", "repeat"), self.then == "repeat"
            stage.cluster.network.break_watches(self.of, self.resource, expired=expired, repeated=repeated)
        await super().end(stage, begun)

    @classmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> StallWatches:
        return cls(chance.choice(ENDINGS), chance.choice(WHO), chance.choice(WHAT), span(chance))


@dataclass(frozen=True)
class BreakWatches(Fault):
    """Connections that watch are broken off, with what is on its way.

    `relist`: whoever comes again has to list anew; `repeat`: and is told again of all that he has.
    """

    name: ClassVar[str] = "break-watches"
    relist: bool = argument(arguments.boolean, False)
    repeat: bool = argument(arguments.boolean, False)
    of: str = argument(arguments.requester, "*")
    resource: str = argument(arguments.resource, "*")

    async def begin(self, stage: Stage) -> None:
        await stage.check_lines(self.of, self.resource)
        stage.cluster.network.break_watches(self.of, self.resource, expired=self.relist, repeated=self.repeat)

    async def end(self, stage: Stage, begun: None) -> None:
        """Whoever watches comes again without being told."""

    @classmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> BreakWatches:
        return cls(chance.random() < 0.5, chance.random() < 0.5, chance.choice(WHO), chance.choice(WHAT))
