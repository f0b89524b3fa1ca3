"""Schedulers beside and after each other, over the real API in virtual time: no pod is bound twice, and none is forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.cli.server import _elected
from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.client.transport import JSON, Transport, WatchEvent
from navarch.component import clock
from navarch.component.tasks import Tasks
from navarch.kubelet import admission
from navarch.scheduler import claimwriting
from navarch.scheduler.scheduler import Scheduler, load
from navarch.simulation.cluster import Parts, SimulatedCluster
from navarch.simulation.loop import SimulatedClock, SimulatedLoop
from tests.scheduler.test_dynamicresources import device, resource_slice
from tests.scheduler.test_extendedresources import gpu_class, wanting
from tests.scheduler.test_scheduler import node, pod

LIMIT_SECONDS = 900.0
"""Virtual ones. An unschedulable pod is looked at again after five minutes, whatever happens."""


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    loop = SimulatedLoop()

    async def timed() -> Any:
        SimulatedClock(loop).use()
        return await coroutine

    try:
        return loop.run_until_complete(timed())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@dataclass
class Mortal(Transport):
    """A scheduler's way to the API. At the `lives`-th request it dies: that one is never sent, or its answer never heard, and
    nothing that follows is."""

    way: Transport
    lives: int = 10**9
    hears: Literal["never sent", "never heard"] = "never sent"
    asked: list[str] = field(default_factory=list)
    bindings: Counter[str] = field(default_factory=Counter)
    """By the pod's path: how often the API has said that it is bound."""
    refusals: list[StatusError] = field(default_factory=list)
    died: asyncio.Event = field(default_factory=asyncio.Event)

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = JSON
    ) -> Object:
        self.asked.append(f"{method} {path}")
        is_last = len(self.asked) >= self.lives
        if len(self.asked) > self.lives or (is_last and self.hears == "never sent"):
            await self._die()
        try:
            answer = await self.way.request(method, path, query=query, body=body, content_type=content_type)
        except StatusError as error:
            if path.endswith("/binding"):
                self.refusals.append(error)
            if is_last:
                await self._die()
            raise
        if path.endswith("/binding"):
            self.bindings[path] += 1
        if is_last:
            await self._die()
        return answer

    async def _die(self) -> None:
        self.died.set()
        await asyncio.Event().wait()

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[WatchEvent]:
        async for event in self.way.watch(path, query):
            yield event

    async def close(self) -> None:
        """Nothing is held."""


@dataclass
class Cluster:
    """The API, and what has been bound where."""

    simulated: SimulatedCluster
    bound: dict[str, str] = field(default_factory=dict)
    """Node by the pod's uid."""
    changes: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: Tasks = field(default_factory=lambda: Tasks("test"))

    @property
    def client(self) -> Client:
        return self.simulated.client

    @property
    def pods(self) -> dict[str, Object]:
        return {meta.name(found): found for found in self.simulated.informers.get("pods").list("default")}

    def where(self, name: str) -> str:
        return str(self.pods[name]["spec"].get("nodeName", "")) if name in self.pods else ""

    def saw(self, old: Object | None, new: Object | None) -> None:
        if new is not None and new["spec"].get("nodeName"):
            assert self.bound.setdefault(meta.uid(new), new["spec"]["nodeName"]) == new["spec"]["nodeName"]
        self.changes.set()

    async def until(self, question: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            while not question():
                self.changes.clear()
                await self.changes.wait()

    def lay_out(self, old: Object | None, new: Object | None) -> None:
        """What is deleted goes after a while, as if a kubelet had ended it."""
        if new is not None and meta.being_deleted(new) and (old is None or not meta.being_deleted(old)):
            self.tasks.start(self._end(new), name=meta.name(new))

    async def _end(self, found: Object) -> None:
        await clock.sleep(3.0)
        await self.client.delete_if_exists("pods", meta.name(found), "default", uid=meta.uid(found), grace_period_seconds=0)

    async def put(self, *objects: Object) -> None:
        for obj in objects:
            if obj["kind"] == "Node":
                await self.client.create("nodes", obj)
            else:
                await self.client.create("pods", {**obj, "status": {}}, "default")

    def mortal(self, **more: Any) -> Mortal:
        return Mortal(self.simulated.network.line("kube-scheduler"), **more)


@asynccontextmanager
async def a_cluster() -> AsyncIterator[Cluster]:
    simulated = SimulatedCluster(Parts(nodes=0, controllers=False, scheduler=False))
    await simulated.start()
    found = Cluster(simulated)
    for handler in (found.saw, found.lay_out):
        simulated.informers.get("pods").add_handler(handler)
    try:
        yield found
    finally:
        await found.tasks.stop()
        await simulated.stop()


@asynccontextmanager
async def a_scheduler(way: Mortal, configuration: Path | None = None) -> AsyncIterator[Scheduler]:
    client = Client(way, field_manager="kube-scheduler")
    informers = Informers(client)
    scheduler = Scheduler(client, informers, load(configuration) if configuration is not None else None)
    running = asyncio.ensure_future(scheduler.run())
    try:
        yield scheduler
    finally:
        await scheduler.stop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await informers.stop()


def small(name: str, cpu: str = "900m", **spec: Any) -> Object:
    return pod(name, cpu=cpu, terminationGracePeriodSeconds=0, **spec)


def assert_is_known(scheduler: Scheduler, cluster: Cluster) -> None:
    """What the scheduler thinks is on nodes is what is there; it assumes nothing, and keeps no room for anybody."""
    engine = scheduler._engine
    assert engine is not None
    snapshot = engine.snapshot
    expected: dict[str, set[str]] = {name: set() for name in snapshot.rows}
    for found in cluster.pods.values():
        if found["spec"].get("nodeName"):
            expected[found["spec"]["nodeName"]].add(meta.uid(found))
    assert {name: set(snapshot.pods[row]) for name, row in snapshot.rows.items()} == expected
    for name, row in snapshot.rows.items():
        there = [placed.info for placed in snapshot.pods[row].values()]
        assert snapshot.requested[row, 0] == sum(info.requests["cpu"] for info in there), name
    assert not engine._intake.assumed
    assert not snapshot.nominated
    assert {queued.info.name for queued in engine.queue.pods()} == {name for name in cluster.pods if not cluster.where(name)}


# Beside each other.


def test_of_two_schedulers_of_one_name_each_pod_is_bound_by_one() -> None:
    async def main() -> None:
        async with a_cluster() as cluster:
            ways = [cluster.mortal(), cluster.mortal()]
            async with a_scheduler(ways[0]) as first, a_scheduler(ways[1]) as second:
                await cluster.put(*(node(f"node-{number}", cpu="8") for number in range(3)))
                names = [f"web-{number}" for number in range(30)]
                await cluster.put(*(small(name, "100m") for name in names))
                await cluster.until(lambda: all(cluster.where(name) for name in names))
                await clock.sleep(60.0)
                assert_is_known(first, cluster)
                assert_is_known(second, cluster)
            assert set((ways[0].bindings + ways[1].bindings).values()) == {1}
            refused = ways[0].refusals + ways[1].refusals
            assert refused, "they never met"
            for error in refused:
                assert (error.code, error.status["reason"]) == (409, "Conflict")
                name = error.status["details"]["name"]
                assert error.message == (
                    f'Operation cannot be fulfilled on pods/binding "{name}": '
                    f'pod {name} is already assigned to node "{cluster.where(name)}"'
                )
            # Who was late has not told the pod that it has no node.
            for found in cluster.pods.values():
                assert (meta.condition(found, "PodScheduled") or {})["status"] == "True"

    run(main())


def test_what_two_schedulers_promise_beyond_a_node_its_kubelet_refuses(tmp_path: Path) -> None:
    other = tmp_path / "scheduler.yaml"
    other.write_text(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles: [{schedulerName: other}]\n"
    )

    async def main() -> None:
        async with a_cluster() as cluster:
            async with a_scheduler(cluster.mortal()) as first, a_scheduler(cluster.mortal(), other) as second:
                await cluster.put(node(cpu="1"))
                await clock.sleep(1.0)
                await asyncio.gather(
                    cluster.put(small("one", "600m")), cluster.put(small("two", "600m", schedulerName="other"))
                )
                await cluster.until(lambda: bool(cluster.where("one") and cluster.where("two")))
                await cluster.put(small("three"), small("four", schedulerName="other"))
                await clock.sleep(10.0)
                # Now both know of both, and that there is less than nothing left.
                assert not cluster.where("three") and not cluster.where("four")
                assert first._engine is not None and second._engine is not None
                for engine in (first._engine, second._engine):
                    assert engine.snapshot.requested[0, 0] == 1200
            pods = cluster.pods
            assert admission.fits(pods["one"], (), {"cpu": "1"}) is None
            refusal = admission.fits(pods["two"], (pods["one"],), {"cpu": "1"})
            assert refusal is not None and refusal.reason == "OutOfcpu"

    run(main())


def test_of_two_that_elect_one_works_and_the_other_takes_over() -> None:
    async def main() -> None:
        async with a_cluster() as cluster:
            leading: list[str] = []

            def candidate(name: str) -> tuple[Any, asyncio.Task[None]]:
                line = cluster.simulated.network.line(name)

                async def work(way: Transport, informers: Informers) -> None:
                    scheduler = Scheduler(Client(way, field_manager=name), informers)
                    assert not leading
                    leading.append(name)
                    try:
                        await scheduler.run()
                    finally:
                        await scheduler.stop()
                        leading.remove(name)

                return line, asyncio.ensure_future(_elected(line, "kube-scheduler", work))

            lines, tasks = zip(*(candidate(name) for name in ("a", "b")), strict=True)
            try:
                await cluster.put(node(cpu="8"), small("early"))
                await cluster.until(lambda: bool(cluster.where("early")))
                (first,) = leading
                lines["ab".index(first)].cut()
                await cluster.put(small("late"))
                await cluster.until(lambda: bool(cluster.where("late")))
                assert leading == ["b" if first == "a" else "a"]
                lines["ab".index(first)].heal()
                await cluster.put(small("later"))
                await cluster.until(lambda: bool(cluster.where("later")))
                await clock.sleep(60.0)
                assert leading == ["b" if first == "a" else "a"]
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    run(main())


# After each other.


async def _live(cluster: Cluster, way: Mortal) -> None:
    """A life with all that can be interrupted: pods are bound, one has to wait, and some are taken off for others."""
    low = [pod(f"low-{number}", cpu="900m") for number in range(4)]
    high = [small(f"high-{number}", "1", priorityClassName="high") for number in range(2)]
    async with a_scheduler(way):
        dying = asyncio.ensure_future(way.died.wait())
        try:
            for batch in (low, high, [small("tiny", "100m"), small("patient")]):
                await cluster.put(*batch)
                # Until there is nothing to do at once: the end of a back-off may be.
                await asyncio.wait((dying, asyncio.ensure_future(clock.sleep(8.0))), return_when=asyncio.FIRST_COMPLETED)
        finally:
            dying.cancel()


async def _after(cluster: Cluster, first: Mortal) -> None:
    """Another takes its place, and does what is left to do."""
    second = cluster.mortal()
    async with a_scheduler(second) as scheduler:
        wanted = ("high-0", "high-1", "tiny")
        await cluster.until(lambda: all(cluster.where(name) for name in wanted))
        await clock.sleep(400.0)
        assert all(cluster.where(name) for name in wanted)
        # Beside the two high ones there is room for two others, however many had to leave before.
        assert sum(bool(cluster.where(name)) for name in cluster.pods if name.startswith(("low", "patient"))) == 2
        # Two have to leave; one more, if somebody died between deciding and deleting.
        assert sum(name.startswith("low") for name in cluster.pods) >= 1
        assert_is_known(scheduler, cluster)
    assert set((first.bindings + second.bindings).values()) == {1}
    assert not second.refusals


async def _empty(cluster: Cluster) -> None:
    for name in list(cluster.pods):
        await cluster.client.delete("pods", name, "default", grace_period_seconds=0)
    await cluster.until(lambda: not cluster.pods)


@pytest.mark.parametrize("hears", ["never sent", "never heard"])
def test_a_scheduler_may_die_at_any_request(hears: Literal["never sent", "never heard"]) -> None:
    async def main() -> None:
        async with a_cluster() as cluster:
            await cluster.put(node("node-1"), node("node-2"))
            high = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000}
            await cluster.client.create("priorityclasses.scheduling.k8s.io", high)
            lives = 1
            while True:
                way = cluster.mortal(lives=lives, hears=hears)
                await _live(cluster, way)
                await _after(cluster, way)
                await _empty(cluster)
                if not way.died.is_set():
                    break  # It did all that it would do.
                lives += 1
            asked = Counter(text.split("/")[0] + text.rpartition("/")[2] for text in way.asked)
            assert asked["POST binding"] == 7 and asked["POST events"] > 7

    run(main())


CLAIMS = "resourceclaims.resource.k8s.io"


async def _claims_of(cluster: Cluster) -> dict[str, list[Object]]:
    """By the uid of the pod that owns them."""
    found: dict[str, list[Object]] = {}
    for claim in (await cluster.client.list(CLAIMS, "default"))["items"]:
        found.setdefault(claim["metadata"]["ownerReferences"][0]["uid"], []).append(claim)
    return found


@pytest.mark.parametrize("hears", ["never sent", "never heard"])
def test_a_scheduler_may_die_while_it_gives_devices_for_extended_resources(
    hears: Literal["never sent", "never heard"],
) -> None:
    """However far it got: each pod has one claim, with devices of its own node that nobody else has."""
    names = ("one", "two")

    async def main() -> None:
        async with a_cluster() as cluster:
            await cluster.put(node("node-1"), node("node-2"))
            await cluster.client.create("deviceclasses.resource.k8s.io", gpu_class())
            for name in ("node-1", "node-2"):
                await cluster.client.create("resourceslices.resource.k8s.io", resource_slice(name, device("d")))
            lives = 1
            while True:
                first, second = cluster.mortal(lives=lives, hears=hears), cluster.mortal()
                async with a_scheduler(first):
                    dying = asyncio.ensure_future(first.died.wait())
                    await cluster.put(*(wanting(name) for name in names))
                    await asyncio.wait((dying, asyncio.ensure_future(clock.sleep(8.0))), return_when=asyncio.FIRST_COMPLETED)
                    dying.cancel()
                async with a_scheduler(second):
                    await cluster.until(lambda: all(cluster.where(name) for name in names))
                    await clock.sleep(30.0)
                claims, given = await _claims_of(cluster), set()
                for found in cluster.pods.values():
                    (claim,) = claims.pop(meta.uid(found))
                    assert found["status"]["extendedResourceClaimStatus"]["resourceClaimName"] == meta.name(claim)
                    assert [consumer["uid"] for consumer in claim["status"]["reservedFor"]] == [meta.uid(found)]
                    (result,) = claim["status"]["allocation"]["devices"]["results"]
                    assert result["pool"] == found["spec"]["nodeName"]
                    given.add(result["pool"])
                assert not claims and len(given) == len(names), lives
                assert set((first.bindings + second.bindings).values()) == {1}
                await _empty(cluster)
                for claim in (await cluster.client.list(CLAIMS, "default"))["items"]:
                    await claimwriting.delete(cluster.client, claim)
                if not first.died.is_set():
                    break
                lives += 1
            assert Counter(text.split("/")[0] + text.rpartition("/")[2] for text in first.asked)["POST resourceclaims"] == 2

    run(main())
