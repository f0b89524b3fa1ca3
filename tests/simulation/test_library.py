"""navarch's own scenarios: the control plane as it is passes each of them, and one that misbehaves does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from navarch.apiserver.admission import hooks
from navarch.cli import main, simulate
from navarch.cli.cluster import CommandError
from navarch.client import leaderelection
from navarch.controllers import rollout, tainteviction
from navarch.scheduler import preemption
from navarch.simulation import library, runner, scenario
from navarch.simulation.cluster import SimulatedCluster
from navarch.simulation.document import ScenarioError
from tests.simulation.planted import careless_eviction, deaf_relist, stale_cache

NAMES = [
    "control-plane-restart",
    "drain",
    "frozen-leader",
    "preemption-storm",
    "rolling-update",
    "slow-watchers",
    "thundering-herd",
    "webhook-outage",
    "zone-outage",
]
SEEDS = range(2)


def test_they_are_all_there_and_say_what_they_are_about() -> None:
    assert [entry.name for entry in library.entries()] == NAMES
    for entry in library.entries():
        found = scenario.read(entry.path)
        assert found.name == entry.name and entry.about.endswith(".")
        # Something is expected of the end, and of moments before.
        moments = {expected.expectation.at for expected in found.expectations}
        assert None in moments and len(moments) > 2


@pytest.mark.parametrize("name", NAMES)
def test_the_control_plane_passes(name: str) -> None:
    found = scenario.read(library.find(name))
    assert [runner.run(found, runner.Options(seed=seed)).failures for seed in SEEDS] == [[] for _ in SEEDS]


def replaces_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "limits", lambda deployment: (rollout.replicas(deployment),) * 2)


def evicts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tainteviction, "eviction_time", lambda pod, taints, now: None)


def preempts_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preemption, "find", lambda *_: preemption.Outcome(None, "preemption: nobody is driven away."))


def does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = SimulatedCluster.start_controllers, set[int]()

    def starts(cluster: SimulatedCluster) -> None:
        if id(cluster) not in started:
            started.add(id(cluster))
            start(cluster)

    monkeypatch.setattr(SimulatedCluster, "start_controllers", starts)


def takes_over_from_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaderelection, "_duration", lambda lease: 3600.0)


def goes_on_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    made = hooks.hook
    monkeypatch.setattr(hooks, "hook", lambda source, uid: replace(made(source, uid), ignores_failures=True))


@pytest.mark.parametrize(
    ("name", "plant"),
    [
        ("control-plane-restart", does_not_come_back),
        ("drain", careless_eviction.plant),
        ("frozen-leader", takes_over_from_nobody),
        ("preemption-storm", preempts_nobody),
        ("rolling-update", replaces_all_at_once),
        ("slow-watchers", stale_cache.plant),
        ("thundering-herd", deaf_relist.plant),
        ("webhook-outage", goes_on_without_an_answer),
        ("zone-outage", evicts_nobody),
    ],
)
def test_one_that_misbehaves_does_not_do_what_is_expected(
    name: str, plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    # Without the checkers: what the scenario expects is enough to tell.
    record = runner.run(scenario.read(library.find(name)), runner.Options(checkers=()))
    assert any(expected.unmet for expected in record.expectations), record.failures


def test_files_come_before_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert library.find("drain").parent == library.DIRECTORY
    Path("drain").write_text("for: 1m\n")
    assert library.find("drain") == Path("drain")
    assert library.find("other.yaml") == Path("other.yaml")
    with pytest.raises(ScenarioError, match="there is no file 'drian', and no scenario is called so; the nearest is 'drain'"):
        library.find("drian")


def test_the_command_line_knows_their_names(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*words: str) -> Any:
        monkeypatch.setattr("sys.argv", ["navarch", "simulate", *words])
        return main.main()

    assert run("--list") == 0
    listed = capsys.readouterr().out
    assert re.findall(r"^\S+$", listed, re.MULTILINE) == NAMES
    assert run("drain", "--for", "30s") == 1
    told = capsys.readouterr().out
    assert "navarch simulate drain --seed 0 --for 30s\n" in told
    assert re.search(r"^  drain\.yaml:\d+: expected ", told, re.MULTILINE)
    with pytest.raises(CommandError, match="the nearest is 'rolling-update'"):
        simulate.main(simulate.Options(scenario="roling-update"))
