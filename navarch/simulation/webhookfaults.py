"""The fault of webhooks: they do not answer as they should."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from navarch.simulation import arguments
from navarch.simulation.action import Fault, span
from navarch.simulation.arguments import argument
from navarch.simulation.stage import Stage
from navarch.simulation.webhooks import How, Trouble

HOWS = ("hang", "delay", "refuse", "error")
DELAYS_SECONDS = (0.5, 3.0, 9.0, 20.0)


@dataclass(frozen=True)
class FailWebhooks(Fault):
    """A share of the calls of webhooks hangs, is answered late (`by`), refused, or answered with an error (`how`)."""

    name: ClassVar[str] = "fail-webhooks"
    how: str = argument(arguments.one_of(*HOWS), "hang")
    by: float = argument(arguments.duration, 5.0)
    share: float = argument(arguments.share, 1.0)
    webhook: str = argument(arguments.webhook, "*")
    for_seconds: float | None = argument(arguments.duration, None, key="for")

    async def begin(self, stage: Stage) -> Trouble:
        # Its own chance: what else is drawn meanwhile makes no difference to it.
        chance = random.Random(f"{stage.seed}/{self}")
        trouble = Trouble(self.webhook, cast(How, self.how), self.by, self.share, chance)
        stage.cluster.webhooks.troubles.append(trouble)
        return trouble

    async def end(self, stage: Stage, begun: Trouble | None) -> None:
        if begun is not None:
            stage.cluster.webhooks.troubles.remove(begun)

    @classmethod
    def random(cls, chance: random.Random, nodes: Sequence[str]) -> FailWebhooks:
        return cls(chance.choice(HOWS), chance.choice(DELAYS_SECONDS), chance.choice((0.1, 0.5, 1.0)), "*", span(chance))
