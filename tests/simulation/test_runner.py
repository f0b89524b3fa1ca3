"""Running scenarios: the order of things, what faults do, what fails a run, and that the same run is the same."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from navarch.controllers import replicaset
from navarch.simulation import loop, runner, scenario, summary
from navarch.simulation.record import Record
from navarch.testing import Cluster, InvariantError

ROOT = Path(__file__).parents[2]
HIDDEN = re.compile(
    r"\b(datetime\.(now|utcnow)|(date|datetime)\.today|Random)\(\)|\bdatetime\.now\("
    r"|^from (time|random|uuid|secrets) import (?!Random$)",
    re.MULTILINE,
)
DEPLOYMENT = """
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web}
  spec:
    replicas: 4
    selector: {matchLabels: {app: web}}
    template:
      metadata: {labels: {app: web}}
      spec: {containers: [{name: main, image: "registry.example/web:1"}]}
"""


def run(text: str, seed: int = 0) -> Record:
    return runner.run(scenario.parse(text, "scenario.yaml"), runner.Options(seed=seed))


def test_actions_and_expectations_have_their_moments() -> None:
    record = run(
        f"""
for: 20m
objects: {DEPLOYMENT}
timeline:
- {{at: 5m, do: scale, object: deployment/web, replicas: 6}}
- {{at: 10m, do: drain, node: node-1}}
expect:
- {{pods: app=web, ready: 4, at: 4m59s}}
- {{pods: app=web, ready: 6, at: 5m, within: 1m}}
- {{object: node/node-1, field: spec.unschedulable, equals: true}}
- {{object: deployment/web, condition: Available}}
"""
    )
    assert record.failures == []
    assert [(action.at, action.text) for action in record.actions] == [
        (300.0, "scale object=deployment/web replicas=6"),
        (600.0, "drain node=node-1"),
    ]
    assert len(record.expectations) == 4
    ready = [pod for pod in record.pods.values() if pod.deleted is None]
    assert {pod.spans[-1].node for pod in ready} == {"node-2", "node-3"}
    assert {pod.spans[-1].phase for pod in ready} == {"Ready"}


def test_what_is_not_as_expected_fails_the_run_and_can_be_replayed() -> None:
    record = run(f"for: 1m\nsettle: 1m\nobjects: {DEPLOYMENT}\nexpect:\n- {{pods: app=web, ready: 5}}\n", seed=3)
    (failure,) = record.failures
    assert failure.startswith("scenario.yaml:") and failure.endswith(
        "expected pods=app=web ready=5: there are 4, 4 of them ready"
    )
    text = "\n".join(summary.lines(record, summary.replay_command(record)))
    assert "FAILED" in text and "navarch simulate scenario.yaml --seed 3" in text


def test_an_action_that_cannot_be_done_fails_the_run() -> None:
    text = "for: 10m\nsettle: 0s\ntimeline:\n- {at: 1m, do: delete, object: configmap/kube-root-ca.crd}\n"
    (failure,) = run(text).failures
    assert failure == ("scenario.yaml:4: delete: configmaps \"kube-root-ca.crd\" not found; the nearest is 'kube-root-ca.crt'")


FAULTS = """
- {at: 5m, do: crash, node: any, for: 5m}
- {at: 5m, do: freeze, node: any, for: 2m}
- {at: 6m, do: partition, node: any, for: 2m}
- {at: 8m, do: fail-requests, share: 30%, code: 500, for: 1m}
- {at: 9m, do: restart, object: deployment/web}
- {at: 9m, do: time-out-requests, when: after, share: 0.2, for: 30s}
- {at: 12m, do: restart-control-plane}
- {at: 12m5s, do: scale, object: deployment/web, replicas: 5}
- {at: 14m, do: change-leader}
- {at: 15m, do: break-watches, relist: true}
- {at: 16m, do: slow-disk, by: 200ms, for: 1m}
- {at: 16m30s, do: restart, object: deployment/web}
- {at: 18m, do: fill-disk, for: 20s}
- {at: 19m, do: stall-watches, of: kube-scheduler, for: 1m}
- {at: 19m, do: delay-watches, by: 2s, for: 1m}
- {at: 19m, do: skew-clock, node: any, by: -5m, for: 1m}
- {at: 19m10s, do: delete-pods, selector: app=web, count: 2}
"""


@pytest.mark.parametrize("caches", ["separate", "shared"])
def test_a_cluster_gets_over_every_fault(caches: str) -> None:
    text = f"caches: {caches}\nfor: 25m\nobjects: {DEPLOYMENT}\ntimeline: {FAULTS}\nexpect: [{{pods: app=web, ready: 5}}]\n"
    record = run(text, seed=1)
    assert record.failures == []
    assert all(action.ended is not None for action in record.actions if action.is_fault)


def test_a_controller_waits_for_its_cache_however_long_that_takes() -> None:
    record = run(
        f"""
for: 10m
objects: {DEPLOYMENT}
timeline:
- {{at: 2m, do: stall-watches, resource: pods, for: 2m, then: relist}}
- {{at: 2m10s, do: scale, object: deployment/web, replicas: 6}}
"""
    )
    assert record.failures == []
    assert len(record.pods) == 6


def test_the_same_seed_gives_the_same_log_in_any_process() -> None:
    program = (
        "import sys\n"
        "from navarch.simulation import runner, scenario\n"
        "from tests.simulation.test_runner import DEPLOYMENT\n"
        "text = f'for: 30m\\nobjects: {DEPLOYMENT}\\nchaos: {{per-hour: 40}}\\n'\n"
        "runner.run(scenario.parse(text), runner.Options(seed=7, log=sys.stdout.write))\n"
    )
    logs = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT), "PATH": ""},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert logs[0].count(b"\n") > 150 and logs[0] == logs[1]


def test_it_makes_no_difference_what_has_run_before_in_the_process() -> None:
    program = (
        "from navarch.simulation import runner, scenario\n"
        "from tests.simulation.test_runner import DEPLOYMENT\n"
        "text = f'for: 5m\\nsettle: 1m\\nobjects: {DEPLOYMENT}\\nchaos: {{per-hour: 40}}\\n'\n"
        "for seed in (7, 8, 7):\n"
        "    print(runner.run(scenario.parse(text), runner.Options(seed=seed)).digest)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    first, other, again = run.stdout.split()
    assert first == again != other


def test_whoever_reads_the_machine_s_clock_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import time\nimport random\ndef reconciles():\n    time.sleep(0)\n    return time.time() + random.random()\n"
    culprit: dict[str, Any] = {"__name__": "navarch.controllers.culprit"}
    exec(compile(source, "culprit.py", "exec"), culprit)
    plan = replicaset.plan

    def reads(*arguments: Any, **named: Any) -> Any:
        culprit["reconciles"]()
        return plan(*arguments, **named)

    monkeypatch.setattr(replicaset, "plan", reads)
    record = run(f"for: 1m\nsettle: 1m\nobjects: {DEPLOYMENT}")
    said = ["4: reconciles calls time.sleep", "5: reconciles calls time.time", "5: reconciles calls random.random"]
    assert record.failures == [f"clock: culprit.py:{line}" for line in said]
    with Cluster() as cluster, pytest.raises(InvariantError, match=r"culprit.py:4: reconciles calls time\.sleep"):
        cluster.apply(yaml.safe_load(DEPLOYMENT))
        cluster.advance(minutes=1)


def test_no_module_reads_the_clock_where_that_cannot_be_seen() -> None:
    modules = (ROOT / "navarch").rglob("*.py")
    assert [str(path.relative_to(ROOT)) for path in modules if HIDDEN.search(path.read_text())] == []


def test_a_run_that_makes_no_progress_ends_and_names_who_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BUSY_LIMIT_SECONDS", 1.0)

    async def circles(*_: Any) -> None:
        while True:
            await asyncio.sleep(0)

    reconcile = dataclasses.replace(replicaset.CONTROLLER, reconcile=circles)
    monkeypatch.setattr(replicaset, "CONTROLLER", reconcile)
    record = run(f"for: 1m\nobjects: {DEPLOYMENT}")
    assert [finding.checker for finding in record.findings] == ["progress"]
    assert "replicaset-controller/worker-" in record.findings[0].message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "objects:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n"
            "- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {contaners: []}}",
            r"^scenario\.yaml:3: Pod a: .*contaners: field not declared in schema",
        ),
        (
            "objects:\n- {apiVersion: v1, kind: Poddd, metadata: {name: a}}",
            r'^scenario\.yaml:2: Poddd a: no matches for kind "Poddd" in version "v1"',
        ),
        (
            "nodes:\n- {count: 2}\n- {count: 1, taints: [{key: a}]}",
            r'^scenario\.yaml:3: Node "node-3" is invalid: metadata\.taints\[0\]\.effect: Required value',
        ),
        ("nodes:\n- {capacity: {cpu: eight}}", r"^scenario\.yaml:2: .*quantities must match the regular expression"),
    ],
)
def test_what_the_api_refuses_at_the_start_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(scenario.ScenarioError, match=message):
        run(text)


def test_an_image_is_set_of_a_container_that_is_there() -> None:
    record = run(
        f"""
for: 1m
objects: {DEPLOYMENT}
timeline:
- {{at: 10s, do: set-image, object: deployment/web, container: man, image: "registry.example/web:2"}}
"""
    )
    assert record.failures == ["scenario.yaml:15: set-image: deployment/web has no container 'man'; the nearest is 'main'"]


def test_an_invariant_that_fails_by_itself_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "ours.py").write_text(
        "from navarch.testing import invariant\n\n\n@invariant(resources=('po',))\ndef named(state):\n"
        "    return [pod['metadata']['nam'] for pod in state.objects('pods')]\n"
    )
    found = scenario.parse(f"for: 1m\nobjects: {DEPLOYMENT}\ninvariants: [ours.py]", "scenario.yaml", tmp_path)
    record = runner.run(found, runner.Options())
    assert record.failures == ["named: it cannot be looked at: KeyError: 'nam' (ours.py:6)"]


def test_an_invariant_of_few_words_is_told_with_its_own(tmp_path: Path) -> None:
    (tmp_path / "ours.py").write_text(
        "from navarch.testing import invariant\n\n\n@invariant\ndef few(state):\n"
        "    assert len(list(state.objects('pods', 'default'))) < 2\n"
    )
    found = scenario.parse(f"for: 1m\nobjects: {DEPLOYMENT}\ninvariants: [ours.py]", "scenario.yaml", tmp_path)
    record = runner.run(found, runner.Options())
    assert record.failures == ["few: assert len(list(state.objects('pods', 'default'))) < 2 does not hold (ours.py:6)"]
