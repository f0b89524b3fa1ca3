"""Several control planes: one leads, another takes over, and who was frozen meanwhile writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from navarch.client.leaderelection import LeaderElector
from navarch.component import clock
from navarch.simulation import runner, scenario
from navarch.simulation.document import ScenarioError
from navarch.simulation.loop import Process, SimulatedClock, SimulatedLoop
from navarch.testing import ActionError, Cluster
from tests.testing.test_cluster import deployment

MANAGER, SCHEDULER = "kube-controller-manager", "kube-scheduler"


def test_nothing_of_a_frozen_process_happens_until_it_goes_on() -> None:
    loop = SimulatedLoop()
    seen: list[tuple[str, float]] = []

    def note(what: str) -> None:
        seen.append((what, clock.monotonic()))

    async def work() -> None:
        for name in ("one", "two"):
            await clock.sleep(10)
            note(name)

    async def waits(event: asyncio.Event) -> None:
        await event.wait()
        note("told")

    async def main() -> None:
        SimulatedClock(loop).use()
        process, event = Process(loop), asyncio.Event()
        working = process.run(lambda: asyncio.create_task(work()))
        telling = process.run(lambda: asyncio.create_task(waits(event)))
        timer = process.run(lambda: loop.call_later(11, note, "never"))
        await clock.sleep(5)
        process.freeze()
        await clock.sleep(3)
        event.set()
        await clock.sleep(12)
        timer.cancel()
        note("others")
        process.thaw()
        await asyncio.gather(working, telling)

    loop.run_until_complete(main())
    loop.close()
    assert seen == [("others", 20), ("told", 20), ("one", 20), ("two", 30)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster(control_planes=2) as found:
        yield found


def holder(cluster: Cluster, component: str = MANAGER) -> str:
    return str(cluster.get(f"lease/{component}", namespace="kube-system")["spec"]["holderIdentity"])


def test_one_leads_and_another_takes_over_when_it_is_killed(cluster: Cluster) -> None:
    cluster.apply(deployment())
    cluster.wait("deployment/web", "Available")
    first = {component: holder(cluster, component) for component in (MANAGER, SCHEDULER)}
    began = cluster.now
    cluster.do("change-leader")
    cluster.scale("deployment/web", 5)
    cluster.wait("deployment/web", lambda found: found["status"].get("availableReplicas") == 5)
    # A lease that nobody gives back runs for fifteen seconds.
    assert 13 <= (cluster.now - began).total_seconds() < 30
    assert all(holder(cluster, component) != before for component, before in first.items())
    cluster.settle()


def test_who_was_frozen_writes_nothing_when_it_goes_on(cluster: Cluster) -> None:
    cluster.apply(deployment())
    cluster.wait("deployment/web", "Available")
    first = holder(cluster)
    fault = cluster.do("freeze-leader", of=MANAGER)
    assert fault is not None
    with fault:
        cluster.delete(f"pod/{cluster.pods()[0]['metadata']['name']}")
        cluster.advance(minutes=1)
        assert holder(cluster) != first and len(cluster.pods(ready=True)) == 3
        cluster.scale("deployment/web", 4)
    cluster.settle()
    assert len(cluster.pods()) == 4


STALE = """
for: 5m
settle: 3m
control-planes: 2
objects:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web}
  spec:
    replicas: 3
    selector: {matchLabels: {app: web}}
    template: {metadata: {labels: {app: web}}, spec: {containers: [{name: main, image: "registry.example/web:1"}]}}
timeline:
- {every: 45s, from: 1m, do: freeze-leader, for: 30s}
- {every: 7s, from: 1m, do: delete-pods, selector: app=web}
expect: [{pods: app=web, ready: 3}]
"""


def test_a_leader_without_a_guard_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = scenario.parse(STALE)
    assert runner.run(stale, runner.Options()).failures == []
    monkeypatch.setattr(LeaderElector, "guard", lambda elector, transport: transport)
    found = runner.run(stale, runner.Options()).findings
    assert any(finding.checker == "leaders" and "holds the Lease" in str(finding) for finding in found)


def test_the_same_seed_gives_the_same_history() -> None:
    text = STALE.replace("expect:", "chaos: {per-hour: 200, until: 4m}\nexpect:")
    first, second = (runner.run(scenario.parse(text), runner.Options(seed=3)) for _ in range(2))
    assert first.failures == [] and first.digest == second.digest
    steps = scenario.parse(text).draw(3)
    written = scenario.parse(scenario.write(scenario.parse(text), steps))
    assert written.control_planes == 2
    assert [step.action for step in written.draw(0)] == [step.action for step in steps]


def test_where_there_is_one_nobody_can_take_over() -> None:
    with pytest.raises(ScenarioError, match="nobody could take over; say control-planes: 2"):
        scenario.parse(STALE.replace("control-planes: 2", "control-planes: 1"))
    with pytest.raises(ScenarioError, match=r"scenario:1: freeze-leader: nobody could take over; say control-planes: 2"):
        scenario.parse("chaos: {faults: [freeze-leader]}")
    assert all(step.action.name != "freeze-leader" for step in scenario.parse("chaos: {per-hour: 300}").draw(0))
    with (
        Cluster(controllers=False, scheduler=False, nodes=1) as cluster,
        pytest.raises(ActionError, match="there is one control plane"),
    ):
        cluster.do("freeze-leader")
    with pytest.raises(ValueError, match="over HTTP there is one control plane"):
        Cluster(http=True, control_planes=2)


def test_a_control_plane_that_crashes_while_its_leader_hangs_comes_back(cluster: Cluster) -> None:
    cluster.apply(deployment())
    cluster.wait("deployment/web", "Available")
    fault = cluster.do("freeze-leader")
    assert fault is not None
    with fault:
        cluster.do("restart-control-plane", for_="10s")
    cluster.scale("deployment/web", 5)
    cluster.settle()
    assert len(cluster.pods(ready=True)) == 5
