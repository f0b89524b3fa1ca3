"""The ways to the API server, and what can go wrong on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

import pytest

from navarch.apimachinery.errors import StatusError
from navarch.client.transport import WatchEvent
from navarch.component import clock
from navarch.simulation.loop import SimulatedClock, SimulatedLoop
from navarch.simulation.network import ADMINISTRATOR, CutOffError, Disturbance, Network, plural_of

PODS = "/api/v1/namespaces/a/pods"


class Server:
    """Counts what it is asked, and tells what it is given to tell."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.events: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self.items: list[dict[str, Any]] = []

    async def request(self, method: str, path: str, **_: Any) -> Any:
        self.asked.append(f"{method} {path}")
        return {"apiVersion": "v1", "kind": "PodList", "items": self.items}

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[WatchEvent]:
        while True:
            yield await self.events.get()

    async def close(self) -> None: ...


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


def event(name: str) -> WatchEvent:
    return WatchEvent("ADDED", {"metadata": {"name": name}})


@pytest.mark.parametrize(
    ("path", "plural"),
    [
        ("/api/v1/nodes/a/status", "nodes"),
        (PODS, "pods"),
        (f"{PODS}/b/status", "pods"),
        ("/apis/apps/v1/deployments", "deployments"),
        ("/apis/apps/v1/namespaces/a/deployments/b/scale", "deployments"),
        ("/api/v1/namespaces/a", "namespaces"),
        ("/api/v1/namespaces/a/status", "namespaces"),
        ("/version", ""),
    ],
)
def test_a_path_tells_its_resource(path: str, plural: str) -> None:
    assert plural_of(path) == plural


def test_refusals_and_lost_requests_are_different_things() -> None:
    async def live() -> None:
        server = Server()
        network = Network(lambda: server)
        line, other = network.line("kube-scheduler"), network.line("node-1", "kubelet")
        refused = Disturbance("kube-*", "pods", code=500)
        network.begin(refused)
        with pytest.raises(StatusError) as caught:
            await line.request("POST", PODS)
        assert caught.value.code == 500 and server.asked == []
        await line.request("GET", "/api/v1/nodes")
        await other.request("POST", PODS)
        network.end(refused)
        await line.request("POST", PODS)
        assert len(server.asked) == 3
        for lost, carried_out in (("before", 0), ("after", 1)):
            server.asked.clear()
            disturbance = Disturbance("kubelet", lost=lost)  # type: ignore[arg-type]
            network.begin(disturbance)
            began = clock.monotonic()
            with pytest.raises(TimeoutError):
                await other.request("POST", PODS)
            assert clock.monotonic() - began == 10 and len(server.asked) == carried_out
            assert network.has_lost_answers is bool(carried_out)
            network.end(disturbance)

    run(live())


def test_conflicts_meet_only_who_changes_what_is_there() -> None:
    async def live() -> None:
        server = Server()
        network = Network(lambda: server)
        network.begin(Disturbance(code=409))
        await network.line("a").request("POST", PODS)
        await network.line(ADMINISTRATOR).request("PATCH", f"{PODS}/b")
        with pytest.raises(StatusError, match='Operation cannot be fulfilled on pods "b"'):
            await network.line("a").request("PATCH", f"{PODS}/b")

    run(live())


def test_a_line_that_is_cut_reaches_nobody() -> None:
    async def live() -> None:
        line = Network(Server).line("node-1")
        line.cut()
        with pytest.raises(CutOffError):
            await line.request("GET", PODS)
        line.heal()
        await line.request("GET", PODS)

    run(live())


def test_delayed_events_come_late_and_together_and_in_order() -> None:
    async def live() -> list[tuple[str, float]]:
        server, seen = Server(), []
        network = Network(lambda: server)
        network.begin(Disturbance(resource="pods", delay_seconds=5))

        async def read() -> None:
            async for found in network.line("a").watch(PODS, {}):
                seen.append((found.object["metadata"]["name"], clock.monotonic()))

        task = asyncio.create_task(read())
        server.events.put_nowait(event("one"))
        await clock.sleep(2)
        server.events.put_nowait(event("two"))
        await clock.sleep(10)
        task.cancel()
        await asyncio.wait((task,))
        return seen

    assert run(live()) == [("one", 5), ("two", 5)]


def test_stalled_events_wait_for_the_end() -> None:
    async def live() -> float:
        server = Server()
        network = Network(lambda: server)
        stall = Disturbance("a", stalls=True)
        network.begin(stall)
        server.events.put_nowait(event("one"))
        asyncio.get_running_loop().call_later(30, network.end, stall)
        await anext(aiter(network.line("a").watch(PODS, {})))
        return clock.monotonic()

    assert run(live()) == 30


def test_a_connection_that_breaks_is_told_to_its_reader_alone() -> None:
    async def live() -> None:
        server = Server()
        network = Network(lambda: server)
        line = network.line("a")

        async def read(path: str) -> str:
            async for _ in line.watch(path, {}):
                pass
            return "ended"

        tasks = [asyncio.create_task(read(path)) for path in (PODS, "/api/v1/nodes")]
        await clock.sleep(1)
        assert network.break_watches("*", "pods", expired=True) == 1
        await clock.sleep(1)
        with pytest.raises(ConnectionResetError):
            tasks[0].result()
        assert not tasks[1].done() and not tasks[0].cancelled()
        with pytest.raises(StatusError) as caught:
            await read(PODS)
        assert caught.value.code == 410
        # Somebody who ends the reader ends it, broken or not.
        network.break_watches()
        tasks[1].cancel()
        await asyncio.wait((tasks[1],))
        assert tasks[1].cancelled()
        assert not network.streams

    run(live())


def test_who_watches_anew_is_told_again_of_what_he_has() -> None:
    async def live() -> list[tuple[str, str]]:
        with_kind = {"apiVersion": "v1", "kind": "Pod"}
        server, seen = Server(), []
        server.items = [
            {"metadata": {"name": name, "resourceVersion": revision}} for name, revision in (("a", "3"), ("b", "7"), ("c", "9"))
        ]
        network = Network(lambda: server)
        line = network.line("a")

        async def read(revision: str) -> None:
            async for found in line.watch(PODS, {"resourceVersion": revision, "labelSelector": "app=web"}):
                assert {**found.object, **with_kind} == found.object
                seen.append(
                    (found.type, found.object["metadata"].get("name", "") + found.object["metadata"]["resourceVersion"])
                )

        for _ in range(2):
            task = asyncio.create_task(read("7"))
            await clock.sleep(1)
            network.break_watches("*", "pods", repeated=not seen)
            await asyncio.wait((task,))
            assert isinstance(task.exception(), ConnectionResetError)
        # Only the next one is.
        task = asyncio.create_task(read("7"))
        await clock.sleep(1)
        task.cancel()
        await asyncio.wait((task,))
        return seen

    assert run(live()) == [("ADDED", "a3"), ("ADDED", "b7"), ("BOOKMARK", "7")]
