"""Scenarios as files: what they say, and what is said of mistakes in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.simulation import actions, arguments, scenario
from navarch.simulation.nodefaults import Crash
from navarch.simulation.operations import Scale
from navarch.simulation.scenario import ScenarioError

WEB = """
objects:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web}
"""


def test_a_timeline_is_drawn_from_the_seed() -> None:
    found = scenario.parse(
        WEB
        + """
nodes: 4
for: 1h
timeline:
- {at: 1m30s, do: scale, object: deployment/web, replicas: 5}
- {every: 20m, from: 10m, until: 55m, do: crash, node: any, for: 30s}
- {times: 2, from: 30m, do: reboot, node: node-4}
chaos: {per-hour: 10, from: 5m, until: 35m, faults: [freeze, fill-disk]}
"""
    )
    steps = found.draw(7)
    assert steps == found.draw(7) != found.draw(8)
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert [(step.at, step.action) for step in steps if step.action.name == "scale"] == [(90.0, Scale("deployment/web", 5))]
    crashes = [step for step in steps if isinstance(step.action, Crash) and step.action.name == "crash"]
    assert [step.at for step in crashes] == [600.0, 1800.0, 3000.0]
    assert all(step.action.node in found.node_labels for step in crashes)  # type: ignore[attr-defined]
    assert len([step for step in steps if step.action.name == "reboot" and step.at >= 1800]) == 2
    chance = [step for step in steps if not step.line]
    assert len(chance) == 5 and all(300 <= step.at <= 2100 for step in chance)
    assert {step.action.name for step in chance} <= {"freeze", "fill-disk"}


def test_what_is_drawn_can_be_written_and_read_again() -> None:
    nodes = "nodes: [{count: 2, labels: {zone: a}}, {count: 1}]\n"
    text = f"{WEB}control-planes: 2\n{nodes}chaos: {{per-hour: 300}}\nexpect: [{{pods: all, ready: 0}}]\n"
    found = scenario.parse(text)
    steps = found.draw(3)
    again = scenario.parse(scenario.write(found, steps))
    assert [(step.at, step.action) for step in again.draw(99)] == [(step.at, step.action) for step in steps]
    assert {step.action.name for step in steps} == set(actions.FAULTS_BY_NAME)
    assert (again.objects, again.node_labels, again.seconds) == (found.objects, found.node_labels, found.seconds)
    assert [expected.expectation for expected in again.expectations] == [
        expected.expectation for expected in found.expectations
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timeline:\n- {at: 1m, do: crsh, node: node-1}", "file.yaml:2: unknown action 'crsh'; the nearest is 'crash'"),
        (
            "nodes: 2\ntimeline:\n- at: 1m\n  do: crash\n  node: node-7",
            "file.yaml:5: crash: unknown target: no node is 'node-7'; the nearest is 'node-2'",
        ),
        (
            "nodes: [{labels: {zone: a}}]\ntimeline:\n- {at: 1m, do: crash, node: zone=b}",
            "file.yaml:3: crash: unknown target: no node is 'zone=b'; the nearest is 'zone=a'",
        ),
        (
            WEB + "timeline:\n- {at: 1m, do: scale, object: deployment/wep, replicas: 2}",
            "file.yaml:7: scale: unknown target: there is no Deployment 'wep'; the nearest is 'web'",
        ),
        (
            "timeline:\n- {at: 1m, do: restart, object: deploymint/web}",
            "file.yaml:2: restart: no resource is called 'deploymint'; the nearest is 'deployment'",
        ),
        ("timeline:\n- {at: 1m, do: crash}", "file.yaml:2: crash: the argument 'node' is missing"),
        ("timeline:\n- at: 1m\n  do: crash\n  nod: a", "file.yaml:4: crash: unknown argument 'nod'; the nearest is 'node'"),
        ("timeline:\n- {do: crash, node: any}", "file.yaml:2: when is crash to be done? Say one of at, every, times"),
        ("timeline:\n- {at: soon, do: crash, node: any}", "file.yaml:2: at: 'soon' is no duration"),
        ("timeline:\n- {every: 0, do: crash, node: any}", "file.yaml:2: every: it should be more than 0"),
        ("chaos:\n  faults:\n  - crash\n  - freze", "file.yaml:4: unknown fault 'freze'; the nearest is 'freeze'"),
        ("chaos: {per-hour: -1}", "file.yaml:1: per-hour: -1 should be a whole number, 0 or more"),
        ("nods: 3", "file.yaml:1: unknown field 'nods'; the nearest is 'nodes'"),
        ("for: 1h\nfor: 2h", 'file.yaml:2: key "for" already set in map'),
        ("expect:\n- {pods: app=web}", "file.yaml:2: an expectation of pods says how many: ready, count, at-least or at-most"),
        ("expect:\n- {pods: all, count: 1, until: 5m}", "file.yaml:2: `until` goes with an earlier `at`"),
        (
            "nodes: 2\nexpect:\n- {pods: all, count: 1, node: node-5}",
            "file.yaml:3: unknown target: no node is 'node-5'; the nearest is 'node-2'",
        ),
        ("expect:\n- {object: pod/a, pods: all}", "file.yaml:2: an expectation is either of an object or of pods"),
        ("objects:\n- {kind: Pod}", "file.yaml:2: an object has an apiVersion and a kind, both strings"),
        (
            "objects:\n- {apiVersion: v1, kind: Pod, metadata: {generateName: a}}",
            "file.yaml:2: Pod: an object that is applied has a metadata.name",
        ),
        ("objects:\n- none.yaml", "file.yaml:2: none.yaml: "),
        ("nodes: [", "file.yaml:2: "),
        ("- a", "file.yaml:1: ['a'] should be a mapping"),
        ("chaos: {faults: [crash", "file.yaml:2: "),
        (
            "timeline:\n- {at: 1m, do: fail-requests, code: 418}",
            "file.yaml:2: fail-requests: code: 418 should be one of 409, 429, 500, 503, 504",
        ),
        (
            "timeline:\n- {at: 1m, do: fail-requests, of: kube-schduler}",
            "file.yaml:2: fail-requests: unknown target: nobody who asks is 'kube-schduler'; the nearest is 'kube-scheduler'",
        ),
        (
            "timeline:\n- {at: 1m, do: delay-watches, resource: podz}",
            "file.yaml:2: delay-watches: unknown target: no resource is 'podz'; the nearest is 'pods'",
        ),
        (
            "timeline:\n- {at: 1m, do: fail-webhooks, webhook: a.example.com}",
            "file.yaml:2: fail-webhooks: unknown target: no webhook is 'a.example.com'; there are none",
        ),
        ("for: 10m\ntimeline:\n- {at: 20m, do: crash, node: any}", "file.yaml:3: crash: the scenario ends after 10m"),
        ("timeline:\n- {every: 1m, from: 5m, until: 2m, do: crash, node: any}", "file.yaml:2: crash: `until` is before `from`"),
        ("for: 1h\nexpect:\n- {pods: all, count: 1, at: 2h}", "file.yaml:3: at: the scenario ends after 1h, and has settled"),
        ("expect:\n- {pods: 'app in', count: 1}", "file.yaml:2: pods: unable to parse requirement: found '' expected: '('"),
        ("chaos: {per-hour: 10000000}", "file.yaml:1: per-hour: 10000000 is more than 100000"),
        ("nodes:\n- {taints: gpu}", "file.yaml:2: 'gpu' should be a list"),
        ("", "file.yaml:1: the file is empty: it should be a mapping"),
    ],
)
def test_mistakes_are_told_with_file_line_and_what_comes_nearest(text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario.parse(text, "file.yaml")
    assert str(caught.value).startswith(message)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.yaml:1: cannot be read"):
        scenario.read(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def x(:", r"file\.yaml:2: \S*ours\.py:1: invalid syntax"),
        ("import nothing_of_that_name", r"file\.yaml:2: \S*ours\.py:1: ModuleNotFoundError: No module named"),
        ("def f(state): ...", r"file\.yaml:2: \S*ours\.py: no function there is marked with navarch\.testing\.invariant"),
        (
            "from navarch.testing import invariant\n@invariant(resources=('podz',))\ndef f(state): ...",
            r"file\.yaml:2: \S*ours\.py: f: no resource is called 'podz'; the nearest is 'pod'",
        ),
    ],
)
def test_invariants_that_cannot_be_looked_at_are_told_before_anything_runs(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "ours.py").write_text(source)
    with pytest.raises(ScenarioError, match=message):
        scenario.parse("invariants:\n- ours.py", "file.yaml", tmp_path)


def test_objects_come_from_files_and_in_numbers(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n")
    text = "objects:\n- one.yaml\n- repeat: 3\n  object: {apiVersion: v1, kind: ConfigMap, metadata: {name: 'many-{n}'}}\n"
    (tmp_path / "scenario.yaml").write_text(text)
    found = scenario.read(tmp_path / "scenario.yaml")
    assert [obj["metadata"]["name"] for obj in found.objects] == ["one", "many-1", "many-2", "many-3"]
    assert found.name == "scenario"


def test_node_groups_keep_their_proportions() -> None:
    found = scenario.parse("nodes: [{count: 3, labels: {zone: a}}, {count: 1, labels: {zone: b}}]").with_nodes(10)
    assert [labels["zone"] for labels in found.node_labels.values()] == ["a"] * 7 + ["b"] * 3


@given(st.integers(min_value=-(10**9), max_value=10**9))
def test_durations_are_read_as_they_are_written(milliseconds: int) -> None:
    assert arguments.signed_duration(arguments.show_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)
