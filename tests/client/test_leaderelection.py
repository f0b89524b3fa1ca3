"""Leader election over a real API server: one works at a time, and when it ends another one goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from navarch.apimachinery.errors import Object
from navarch.client.client import Client
from navarch.client.leaderelection import LEASES, LeaderElectionConfig, LeaderElector, LeaseLostError
from navarch.client.transport import JSON, Transport, WatchEvent
from navarch.simulation.loop import SimulatedClock, SimulatedLoop
from tests.apiserver.bench import Bench, bench

# So long that no delay of the machine is taken for the end of a holder.
PATIENT = {"lease_duration_seconds": 60.0, "renew_deadline_seconds": 30.0, "retry_period_seconds": 0.05}
HASTY = {"lease_duration_seconds": 2.0, "renew_deadline_seconds": 1.2, "retry_period_seconds": 0.05}


@pytest.fixture
def api(tmp_path: Path) -> Any:
    """On virtual time: leases run out at once."""
    with bench(tmp_path, loop=SimulatedLoop()) as found:
        found.timeout_seconds = 600.0
        yield found


class Cable:
    """A transport that can be unplugged: requests then go nowhere, and nothing comes."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._plugged = asyncio.Event()
        self.error: OSError | None = None
        """What requests come to."""
        self.plug()

    def plug(self) -> None:
        self._plugged.set()

    def unplug(self) -> None:
        self._plugged.clear()

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = JSON
    ) -> Object:
        await self._plugged.wait()
        if self.error is not None:
            raise self.error
        return await self._transport.request(method, path, query=query, body=body, content_type=content_type)

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[WatchEvent]:
        await self._plugged.wait()
        async for event in self._transport.watch(path, query):
            await self._plugged.wait()
            yield event

    async def close(self) -> None:
        """Nothing is held."""


class Candidate:
    """One instance, and what it does."""

    def __init__(self, api: Bench, name: str, log: list[str], times: Mapping[str, float] = PATIENT) -> None:
        self.name = name
        self.log = log
        self.cable = Cable(api.server.transport())
        config = LeaderElectionConfig(name="test", identity=name, **times)
        self.elector = LeaderElector(Client(self.cable), config)
        self.breaks = asyncio.Event()
        self.task = asyncio.ensure_future(self.elector.run(self._work))

    async def _work(self) -> None:
        self.log.append(f"{self.name} starts")
        try:
            await self.breaks.wait()
            self.breaks.clear()
            raise ZeroDivisionError
        finally:
            # What has to be cleaned up is cleaned up before anybody else begins.
            await asyncio.sleep(0.02)
            self.log.append(f"{self.name} stops")

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def rivals(api: Bench) -> tuple[Candidate, Candidate, list[str]]:
    """One that leads, another that knows it, and what they do."""
    log: list[str] = []
    one = Candidate(api, "one", log, HASTY)
    await until(lambda: log)
    two = Candidate(api, "two", log, HASTY)
    await until(lambda: two.elector.leader == "one")
    return one, two, log


def run(api: Bench, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def timed() -> None:
        SimulatedClock(cast(SimulatedLoop, api.loop)).use()
        await test()

    api.run(timed())


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


def lease(api: Bench) -> Object:
    record = api.store.get("/registry/leases/", "/registry/leases/kube-system/test")
    found: Object = record.object()
    return found


def test_the_first_one_leads_and_renews_while_the_others_wait(api: Bench) -> None:
    async def test() -> None:
        log: list[str] = []
        candidates = [Candidate(api, "one", log)]
        await until(lambda: log)
        candidates += [Candidate(api, name, log) for name in ("two", "three")]
        first = lease(api)
        spec = first["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("one", 60, 0)
        assert spec["acquireTime"] == spec["renewTime"]
        await until(lambda: all(c.elector.leader == "one" for c in candidates))
        await until(lambda: lease(api)["spec"]["renewTime"] > spec["renewTime"])
        assert {**lease(api)["spec"], "renewTime": ""} == {**spec, "renewTime": ""}
        assert log == ["one starts"] and [c.elector.is_leader for c in candidates] == [True, False, False]
        for candidate in candidates:
            await candidate.stop()

    run(api, test)


def test_who_stops_gives_up_the_lease_and_another_one_need_not_wait_for_its_end(api: Bench) -> None:
    async def test() -> None:
        log: list[str] = []
        one = Candidate(api, "one", log)
        await until(lambda: log)
        two = Candidate(api, "two", log)
        await until(lambda: two.elector.leader == "one")
        await one.stop()
        # Its duration would be longer than this test may take.
        await until(lambda: len(log) == 3)
        assert log == ["one starts", "one stops", "two starts"]
        spec = lease(api)["spec"]
        assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("two", 1)
        await two.stop()
        spec = lease(api)["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"]) == ("", 1)

    run(api, test)


def test_who_is_cut_off_stops_before_another_one_starts_and_competes_again_when_it_is_back(api: Bench) -> None:
    async def test() -> None:
        one, two, log = await rivals(api)
        one.cable.unplug()
        await until(lambda: "two starts" in log)
        assert log == ["one starts", "one stops", "two starts"]
        one.cable.plug()
        await until(lambda: one.elector.leader == "two")
        assert len(log) == 3
        await two.stop()
        await until(lambda: len(log) == 5)
        assert log[3:] == ["two stops", "one starts"]
        await one.stop()

    run(api, test)


def test_by_default_another_leads_within_15_seconds_with_some_left_to_begin_its_work(api: Bench) -> None:
    async def test() -> None:
        log: list[str] = []
        one = Candidate(api, "one", log, {})
        await until(lambda: log)
        two = Candidate(api, "two", log, {})
        await until(lambda: two.elector.leader == "one")
        # Just after a renewal it is good for longest.
        renewed = lease(api)["spec"]["renewTime"]
        await until(lambda: lease(api)["spec"]["renewTime"] > renewed)
        one.cable.unplug()
        died = asyncio.get_running_loop().time()
        await until(lambda: "two starts" in log)
        assert asyncio.get_running_loop().time() - died < 14.5
        one.cable.plug()
        await two.stop()
        await one.stop()

    run(api, test)


def test_a_short_cut_changes_nothing(api: Bench) -> None:
    async def test() -> None:
        log: list[str] = []
        one = Candidate(api, "one", log)
        await until(lambda: log)
        for _ in range(3):
            one.cable.unplug()
            await asyncio.sleep(2 * PATIENT["retry_period_seconds"])
            renewed = lease(api)["spec"]["renewTime"]
            one.cable.plug()
            await until(lambda renewed=renewed: lease(api)["spec"]["renewTime"] > renewed)
        assert log == ["one starts"]
        await one.stop()

    run(api, test)


def test_who_finds_the_lease_held_by_another_stops_at_once(api: Bench) -> None:
    async def test() -> None:
        log: list[str] = []
        one = Candidate(api, "one", log)
        await until(lambda: log)
        patch = {"spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 3600}}
        await api.client.patch(LEASES, "test", patch, "kube-system")
        await until(lambda: log == ["one starts", "one stops"])
        assert one.elector.leader == "somebody"
        await one.stop()
        assert lease(api)["spec"]["holderIdentity"] == "somebody", "it was not ours to release"

    run(api, test)


def test_a_lease_that_somebody_deletes_is_made_again(api: Bench) -> None:
    async def test() -> None:
        log: list[str] = []
        one = Candidate(api, "one", log)
        await until(lambda: log)
        uid = lease(api)["metadata"]["uid"]
        await api.client.delete(LEASES, "test", "kube-system")
        await until(lambda: api.store.get("/registry/leases/", "/registry/leases/kube-system/test") is not None)
        assert lease(api)["metadata"]["uid"] != uid and log == ["one starts"]
        await one.stop()

    run(api, test)


def test_work_that_fails_leaves_the_lease_to_another(api: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        log: list[str] = []
        one = Candidate(api, "one", log)
        await until(lambda: log)
        two = Candidate(api, "two", log)
        await until(lambda: two.elector.leader == "one")
        one.breaks.set()
        await until(lambda: len(log) == 3)
        assert log == ["one starts", "one stops", "two starts"]
        await one.stop()
        await two.stop()

    run(api, test)
    assert "the work of the leader failed" in caplog.text


def test_what_a_leader_writes_through_its_guard_is_not_written_too_late(api: Bench) -> None:
    async def test() -> None:
        log: list[str] = []
        one = Candidate(api, "one", log, HASTY)
        client = Client(one.elector.guard(api.server.transport()))
        await until(lambda: log)
        await client.create("configmaps", {"metadata": {"name": "a"}}, "default")
        one.cable.unplug()
        await asyncio.sleep(1.1)
        await client.delete("configmaps", "a", "default")
        # As if its process had been stopped: it has not been told yet, but the time of its lease is over.
        one.elector._seen_seconds -= HASTY["renew_deadline_seconds"]
        assert one.elector.is_leader and not one.elector.is_certain
        with pytest.raises(LeaseLostError):
            await client.create("configmaps", {"metadata": {"name": "b"}}, "default")
        await client.list("configmaps", "default")
        one.cable.plug()
        await one.stop()

    run(api, test)


def test_who_gets_no_answer_goes_on_competing(api: Bench) -> None:
    async def test() -> None:
        one, two, log = await rivals(api)
        two.cable.error = TimeoutError("the request got no answer")
        await one.stop()
        await asyncio.sleep(10)
        assert not two.task.done() and len(log) == 2
        two.cable.error = None
        await until(lambda: len(log) == 3)
        await two.stop()

    run(api, test)


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        ({"lease_duration_seconds": 10}, "leaseDuration must be greater than renewDeadline"),
        ({"retry_period_seconds": 9}, r"renewDeadline must be greater than retryPeriod\*JitterFactor"),
    ],
)
def test_times_that_do_not_fit_together_are_refused(times: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        LeaderElectionConfig(name="test", identity="one", **times)
