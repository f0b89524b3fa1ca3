"""The search for defects: our own safety net, and what becomes of a seed that fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from navarch.simulation import explore, runner, scenario, shrink
from navarch.simulation.controlplanefaults import ChangeLeader, FreezeLeader
from navarch.simulation.record import Record
from navarch.simulation.scenario import Scenario, Step

STRESS = Path(__file__).parent / "stress.yaml"
# So many cost some two minutes of two cores; `make simulate-long` tries others for hours.
SEEDS = 250
# With several control planes a seed costs more: they renew their Leases.
SEEDS_OF_LEADERS = 20


def stress_of_leaders() -> Scenario:
    """The same, with two control planes whose leaders are changed and frozen."""
    found = scenario.read(STRESS)
    assert found.chaos is not None
    faults = (*found.chaos.faults, *(ChangeLeader, FreezeLeader) * 3)
    return replace(found, control_planes=2, chaos=replace(found.chaos, faults=faults))


@pytest.mark.parametrize(
    ("found", "seeds"),
    [
        pytest.param(scenario.read(STRESS), SEEDS, id="one"),
        pytest.param(stress_of_leaders(), SEEDS_OF_LEADERS, id="several"),
    ],
)
def test_nothing_is_found_by_the_search(found: Scenario, seeds: int) -> None:
    assert [outcome for outcome in explore.explore(found, range(seeds)) if outcome.failures] == []


def test_what_is_left_is_minimal() -> None:
    tried = []

    def fails(items: Sequence[int]) -> bool:
        tried.append(list(items))
        return {3, 17} <= set(items)

    assert shrink.minimal(range(20), fails) == [3, 17]
    assert len(tried) < 60
    assert shrink.minimal(range(5), lambda items: True) == []


FAILING = """
for: 10m
settle: 1m
objects:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: two}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: three}}
timeline:
- {at: 1m, do: crash, node: node-1, for: 1m}
- {at: 2m, do: delete, object: configmap/two}
- {at: 3m, do: reboot, node: node-2}
- {at: 4m, do: delete, object: configmap/three}
expect:
- {object: configmap/one}
- {object: configmap/two}
"""


def test_a_failing_run_is_made_small_and_replayed(tmp_path: Path) -> None:
    (tmp_path / "failing.yaml").write_text(FAILING)
    smallest = explore.make_smaller(scenario.read(tmp_path / "failing.yaml"), 5)
    assert [str(step.action) for step in smallest.steps] in ([], ["delete object=configmap/two"])
    assert len(smallest.scenario.expectations) == 1 and not smallest.scenario.objects[1:]
    path = explore.write(smallest, tmp_path)
    again = runner.run(scenario.read(path), runner.Options(seed=5))
    assert shrink.symptoms(again) == shrink.symptoms(smallest.record) != frozenset()


def test_shrinking_keeps_to_its_limit() -> None:
    runs = []

    def run(tried: Scenario, steps: Sequence[Step]) -> Record:
        runs.append(len(steps))
        return failed if len(steps) > 50 else Record("a", "a.yaml", 0, "2030-01-01T00:00:00Z")

    found = scenario.parse("chaos: {per-hour: 60}")
    failed = Record("a", "a.yaml", 0, "2030-01-01T00:00:00Z")
    failed.find(0.0, "convergence", "Pod default/a", "it is not ready")
    smallest = shrink.smallest(found, found.draw(0), failed, run, runs_limit=3)
    assert len(runs) == smallest.runs == 3 and len(smallest.steps) == 60


def navarch(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "navarch.cli.main", "simulate", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_files_that_cannot_be_written_are_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "failing.yaml").write_text(FAILING)
    for option, file in (("--log", "none/events.log"), ("--report", "none/report.html")):
        run = navarch("failing.yaml", option, file, cwd=tmp_path)
        assert (run.returncode, run.stdout) == (1, "")
        assert run.stderr == f"navarch: [Errno 2] No such file or directory: '{file}'\n"


def test_objects_that_the_api_refuses_are_told_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("objects:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {}}\n")
    for options in ((), ("--explore", "2", "--processes", "1")):
        run = navarch("odd.yaml", *options, cwd=tmp_path)
        assert (run.returncode, run.stdout) == (1, "")
        assert run.stderr.startswith('navarch: odd.yaml:2: Pod a: Pod "a" is invalid: spec.containers: Required value')


def test_the_command_runs_reports_and_fails_as_the_scenario_does(tmp_path: Path) -> None:
    (tmp_path / "failing.yaml").write_text(FAILING)
    run = navarch("failing.yaml", "--seed", "4", "--for", "3m", "--log", "events.log", "--report", "report.txt", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (1, "")
    assert "expected object=configmap/two: there is no such object" in run.stdout
    assert "replay     navarch simulate failing.yaml --seed 4 --for 3m" in run.stdout
    assert (tmp_path / "report.txt").read_text() == run.stdout
    lines = (tmp_path / "events.log").read_text().splitlines()
    assert "120.000000 do delete object=configmap/two" in lines
    # What has not happened yet by then is no mistake.
    run = navarch("failing.yaml", "--for", "1m", "--nodes", "2", cwd=tmp_path)
    assert run.returncode == 0 and "2 of 2 expectations were met" in run.stdout and "nodes      2: 2 ready" in run.stdout


def test_the_command_says_what_is_wrong_with_a_scenario(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("timeline:\n- {at: 1m, do: crsh, node: any}\n")
    run = navarch("wrong.yaml", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "navarch: wrong.yaml:2: unknown action 'crsh'; the nearest is 'crash'\n"


def test_the_command_explores_and_leaves_the_smallest_that_fails(tmp_path: Path) -> None:
    (tmp_path / "failing.yaml").write_text(FAILING)
    run = navarch("failing.yaml", "--explore", "2", "--processes", "1", cwd=tmp_path)
    assert run.returncode == 1 and "FAILED     seed 0" in run.stdout
    assert "replay     navarch simulate failing.seed-0.yaml --seed 0" in run.stdout
    again = navarch("failing.seed-0.yaml", "--seed", "0", cwd=tmp_path)
    assert again.returncode == 1 and "configmap/two: there is no such object" in again.stdout
