"""The search finds defects: each that is planted, within so many seeds."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from navarch.simulation import runner, scenario

SEEDS = 200
STRESS = Path(__file__).parent / "stress.yaml"
# The seed that was the first to find it, and is tried first; and which of the checkers may be the one.
DEFECTS: dict[str, tuple[int, set[str]]] = {
    "stale_cache": (10, {"surplus"}),
    "conflict_retry": (12, {"convergence"}),
    "lost_finalizer": (0, {"garbage"}),
    "careless_eviction": (0, {"budgets"}),
    "generous_budget": (0, {"budgets"}),
    "dropped_event": (5, {"caches", "convergence", "surplus"}),
    "deaf_relist": (33, {"caches", "convergence"}),
    "early_acknowledgement": (0, {"revisions"}),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.import_module(f"tests.simulation.planted.{defect}").plant(monkeypatch)
    first, checkers = DEFECTS[defect]
    stress = scenario.read(STRESS)
    for seed in (first, *range(first), *range(first + 1, SEEDS)):
        record = runner.run(stress, runner.Options(seed=seed))
        found = {finding.checker for finding in record.findings}
        if found:
            assert found & checkers, f"seed {seed} found something else: {record.failures[0]}"
            return
    pytest.fail(f"{SEEDS} seeds found nothing")
