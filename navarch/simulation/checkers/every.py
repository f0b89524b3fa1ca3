"""The explicit list of the checkers."""

from __future__ import annotations

from navarch.simulation.checkers import (
    addresses,
    bindings,
    budgets,
    caches,
    capacity,
    convergence,
    garbage,
    identities,
    leaders,
    quotas,
    revisions,
    surplus,
)
from navarch.simulation.checkers.checker import Checker

CHECKERS: tuple[type[Checker], ...] = (
    revisions.Revisions,
    bindings.Bindings,
    capacity.Capacity,
    identities.Identities,
    budgets.Budgets,
    quotas.Quotas,
    addresses.Addresses,
    surplus.Surplus,
    leaders.Leaders,
    garbage.Garbage,
    caches.Caches,
    convergence.Convergence,
)


def checkers() -> tuple[type[Checker], ...]:
    """All of ours."""
    return CHECKERS
