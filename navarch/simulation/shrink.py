"""Makes a failing run smaller: fewer steps, fewer objects, fewer nodes, with the same failure.

Delta debugging (Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002): leave out halves, then
quarters, and so on, of what is left, as long as it still fails; done when no single thing can be left out. What is random in
the run comes from each step's own seed (`networkfaults`), so a step that is left out changes little for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from navarch.simulation.record import Record
from navarch.simulation.scenario import Scenario, Step

T = TypeVar("T")
RUNS_LIMIT = 300


@dataclass(frozen=True)
class Smallest:
    """What is left of a failing run."""

    scenario: Scenario
    steps: tuple[Step, ...]
    record: Record
    runs: int
    """How many it took to find it."""


def symptoms(record: Record) -> frozenset[str]:
    """What tells one failure from another: which checkers, which expectations, which actions."""
    found = {f"checker {finding.checker}" for finding in record.findings}
    found |= {f"expectation {expected.text}" for expected in record.expectations if expected.unmet}
    found |= {f"action {action.text}" for action in record.actions if action.error}
    return frozenset(found)


def smallest(
    scenario: Scenario,
    steps: Sequence[Step],
    failed: Record,
    run: Callable[[Scenario, Sequence[Step]], Record],
    runs_limit: int = RUNS_LIMIT,
) -> Smallest:
    """The smallest that was found within so many runs. `failed` is what became of all of it."""
    wanted = symptoms(failed)
    runs = 0
    best = Smallest(scenario, tuple(steps), failed, 0)

    def fails(tried: Scenario, with_steps: Sequence[Step]) -> bool:
        nonlocal runs, best
        if runs >= runs_limit:
            return False
        runs += 1
        record = run(tried, with_steps)
        if not symptoms(record) & wanted:
            return False
        best = Smallest(tried, tuple(with_steps), record, runs)
        return True

    minimal(best.steps, lambda left: fails(best.scenario, left))
    minimal(best.scenario.objects, lambda left: fails(replace(best.scenario, objects=tuple(left)), best.steps))
    minimal(best.scenario.expectations, lambda left: fails(replace(best.scenario, expectations=tuple(left)), best.steps))
    _shorten(fails, lambda: best)
    return replace(best, runs=runs)


def minimal(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> Sequence[T]:
    """As few of `items` as still fail, in their order; all of them are taken to fail."""
    left, parts = list(items), 2
    if left and fails([]):
        return []
    while len(left) > 1:
        size = -(-len(left) // parts)
        for start in range(0, len(left), size):
            rest = left[:start] + left[start + size :]
            if rest and fails(rest):
                left, parts = rest, max(parts - 1, 2)
                break
        else:
            if parts >= len(left):
                break
            parts = min(parts * 2, len(left))
    return left


def _shorten(fails: Callable[[Scenario, Sequence[Step]], bool], best: Callable[[], Smallest]) -> None:
    """Nothing need go on after the last step."""
    found = best()
    last = max((step.at + (getattr(step.action, "for_seconds", 0.0) or 0.0) for step in found.steps), default=0.0)
    if last < found.scenario.seconds:
        fails(replace(found.scenario, seconds=last), found.steps)
