"""The explicit list of the checkers."""

from __future__ import annotations

from navarch.simulation.checkers import revisions
from navarch.simulation.checkers.checker import Checker

CHECKERS: tuple[type[Checker], ...] = (revisions.Revisions,)


def checkers() -> tuple[type[Checker], ...]:
    """All of ours."""
    return CHECKERS
