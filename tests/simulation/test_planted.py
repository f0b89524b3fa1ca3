"""The search finds defects: each that is planted, within so many seeds."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from navarch.simulation import runner, scenario

SEEDS = 200
STRESS = Path(__file__).parent / "stress.yaml"
# Which of the checkers may be the one that finds it.
DEFECTS = {
    "stale_cache": {"surplus"},
    "conflict_retry": {"convergence"},
    "lost_finalizer": {"garbage"},
    "careless_eviction": {"budgets"},
    "generous_budget": {"budgets"},
    "dropped_event": {"caches", "convergence", "surplus"},
    "deaf_relist": {"caches", "convergence"},
    "early_acknowledgement": {"revisions"},
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.import_module(f"tests.simulation.planted.{defect}").plant(monkeypatch)
    stress = scenario.read(STRESS)
    for seed in range(SEEDS):
        record = runner.run(stress, runner.Options(seed=seed))
        found = {finding.checker for finding in record.findings}
        if found:
            print(f"found with seed {seed}: {record.failures[0]}")
            assert found & DEFECTS[defect]
            return
    pytest.fail(f"{SEEDS} seeds found nothing")
