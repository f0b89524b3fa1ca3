"""What an action is: something that is done to a cluster at a moment of a scenario. A fault is one that lasts, and ends."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from navarch.simulation import arguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from navarch.simulation.stage import Stage

# How long a fault lasts that is drawn from the seed.
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 180.0


class ActionError(RuntimeError):
    """What was to be done could not be done: the scenario is wrong, not the cluster."""


class Action(ABC):
    """Subclasses are frozen dataclasses whose fields are `arguments.argument`s; their docstrings are for users."""

    name: ClassVar[str]

    @abstractmethod
    async def begin(self, stage: Stage) -> Any:
        """Do it. Returns what a fault's end needs to know. Raises ActionError, StatusError."""

    def drawn(self, chance: random.Random, nodes: Sequence[str]) -> Self:
        """The same with a node in place of every ``any``."""
        changes: dict[str, Any] = {}
        for each, rule in arguments.rules(type(self)).values():
            if rule.read is arguments.node_target and getattr(self, each.name) == arguments.ANY and nodes:
                changes[each.name] = chance.choice(nodes)
        return replace(self, **changes) if changes else self  # type: ignore[type-var]

    def __str__(self) -> str:
        said = arguments.written(self)
        return " ".join([self.name, *(f"{key}={value}" for key, value in said.items())])


class Fault(Action):
    """An action that is undone: after a while, or when the scenario's faults are to stop."""

    @property
    def lasts_seconds(self) -> float | None:
        """How long; None: until faults are to stop. What has no argument `for` is over at once."""
        found: float | None = getattr(self, "for_seconds", 0.0)
        return found

    @abstractmethod
    async def end(self, stage: Stage, begun: Any) -> None:
        """Undo what `begin` did; `begun` is what it has returned, or None where it was ended before it had."""

    @classmethod
    @abstractmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> Fault:
        """One of its sort, with arguments drawn by chance."""


def span(chance: random.Random) -> float:
    """How long a drawn fault lasts: short ones are as likely as long ones, on a scale of orders of magnitude."""
    ratio = LONGEST_SECONDS / SHORTEST_SECONDS
    return round(SHORTEST_SECONDS * math.pow(ratio, chance.random()), 1)
