"""Plugins of every kind, through the whole scheduler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.scheduler.configuration import Configuration
from navarch.scheduler.engine import Engine
from navarch.scheduler.events import NODE, Action, EventHint, Hint, on
from navarch.scheduler.framework import Code, CycleState, PerNode, Plugin, PreFilterResult, Reuse, Status, unschedulable, wait
from navarch.scheduler.isolation import Guard
from navarch.scheduler.nodes import NodeInfo
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.profiles import PluginSet, Profile
from tests.fakeapi import Bench, bench
from tests.scheduler.test_scheduler import condition, events, node, pod, where


class Running:
    """An engine as a component."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        await self.engine.start()
        await self._stopped.wait()

    async def stop(self) -> None:
        self._stopped.set()
        await self.engine.stop()


def running(*kinds: type[Plugin], profiles: Sequence[Profile] = ()) -> Any:
    """A scheduler whose default profile has these plugins too."""
    enabled = PluginSet(tuple((kind.name, 0) for kind in kinds))
    chosen = tuple(profiles) or (Profile(plugins={"multiPoint": enabled}),)
    configuration = Configuration(chosen, more_plugins={kind.name: kind for kind in kinds})

    def make(found: Bench) -> Running:
        client: Client = found.client
        informers: Informers = found.informers
        return Running(Engine(client, informers, configuration))

    return make


class OnlyOdd(PerNode):
    """Nodes with odd numbers, the higher the better."""

    name = "OnlyOdd"

    def filter_node(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return None if int(node.name[-1]) % 2 else unschedulable("node(s) were even")

    def score_node(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        return 10 * int(node.name[-1])


def test_a_plugin_may_judge_one_node_at_a_time() -> None:
    async def main() -> None:
        async with bench(running(OnlyOdd)) as found:
            for number in range(6):
                found.api.put(node(f"node-{number}"))
            found.api.put(pod("web"))
            await found.until(lambda: where(found, "web") == "node-5")

    asyncio.run(main())


class Nowhere(Plugin):
    name = "Nowhere"

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: Any) -> PreFilterResult:
        return PreFilterResult(frozenset())


def test_a_plugin_that_leaves_no_node_is_named_alone() -> None:
    async def main() -> None:
        async with bench(running(Nowhere)) as found:
            found.api.put(node())
            found.api.put(pod("web"))
            await found.until(lambda: condition(found, "web"))
            message = condition(found, "web")["message"]
            assert message.startswith("0/1 nodes are available: node(s) didn't satisfy plugin Nowhere. ")

    asyncio.run(main())


class OneAtATime(PerNode):
    """One pod on a node, which is known before nodes are looked at."""

    name = "OneAtATime"

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: Any) -> Status | None:
        is_taken = any(node.pods for _, node in nodes.infos())
        return unschedulable("somebody is there", is_resolvable="hopeless" not in pod.name) if is_taken else None

    def filter_node(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return unschedulable("somebody is there") if node.pods else None


def test_pods_are_preempted_for_one_that_is_rejected_before_nodes_are_looked_at_unless_for_good() -> None:
    async def main() -> None:
        async with bench(running(OneAtATime)) as found:
            found.api.put(node())
            found.api.put(pod("low"))
            await found.until(lambda: where(found, "low"))
            found.api.put(pod("hopeless", priority=1000))
            await found.until(lambda: condition(found, "hopeless"))
            assert condition(found, "hopeless")["message"] == (
                "0/1 nodes are available: somebody is there. no new claims to deallocate, "
                "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
            )
            found.api.put(pod("high", priority=1000))
            await found.until(lambda: meta.being_deleted(found.api.objects["pods"]["default/low"]))
            assert condition(found, "high")["message"].startswith("0/1 nodes are available: somebody is there.")

    asyncio.run(main())


class Broken(Plugin):
    """Fails for one pod, hangs for another."""

    name = "Broken"

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: Any) -> None:
        if pod.name == "bad":
            raise ValueError("it went wrong")
        if pod.name == "slow":
            while True:
                pass


def test_a_plugin_that_fails_or_hangs_fails_only_that_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("navarch.scheduler.profiles.Guard", lambda: Guard(0.05))

    async def main() -> None:
        async with bench(running(Broken)) as found:
            found.api.put(node())
            for name in ("bad", "slow", "good"):
                found.api.put(pod(name))
            await found.until(lambda: where(found, "good"))
            await found.until(lambda: condition(found, "bad") and condition(found, "slow"))
            await found.until(lambda: len(events(found, "FailedScheduling")) >= 2)
            messages = {event["regarding"]["name"]: event["note"] for event in events(found, "FailedScheduling")}
            assert messages["bad"] == 'running PreFilter plugin "Broken": it went wrong'
            assert messages["slow"] == 'running PreFilter plugin "Broken": gave no answer within 0.05s'
            assert condition(found, "bad")["reason"] == "SchedulerError"
            assert not where(found, "bad")

    asyncio.run(main())


class Exiting(PerNode):
    """Ends the process, as it thinks."""

    name = "Exiting"

    def filter_node(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        if pod.name == "filter":
            raise SystemExit(3)
        if pod.name == "key":
            return {}["nobody"]  # type: ignore[no-any-return]
        return None

    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        if pod.name == "prebind":
            raise SystemExit(4)
        return None


def test_a_plugin_that_would_end_the_process_fails_only_that_pod(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with bench(running(Exiting)) as found:
            found.api.put(node())
            for name in ("filter", "key", "prebind", "good"):
                found.api.put(pod(name))
            await found.until(lambda: where(found, "good"))
            await found.until(lambda: len({event["regarding"]["name"] for event in events(found, "FailedScheduling")}) == 3)
            notes = {event["regarding"]["name"]: event["note"] for event in events(found, "FailedScheduling")}
            assert notes == {
                "filter": 'running "Exiting" filter plugin: SystemExit: 3',
                "key": "running \"Exiting\" filter plugin: KeyError: 'nobody'",
                "prebind": 'running PreBind plugin "Exiting": SystemExit: 4',
            }

    asyncio.run(main())
    # Where it was is in the log.
    assert 'return {}["nobody"]' in caplog.text


class Aside(PerNode):
    """Fails where it is asked beside its extension points."""

    name = "Aside"

    def reuse(self, pod: PodInfo) -> Reuse:
        if pod.name.startswith("hang"):
            _spin()
        raise ValueError("no idea")

    def filter_node(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        return None if "open" in node.labels or pod.name.startswith("good") else unschedulable("node(s) were closed")

    def events_to_register(self) -> Sequence[EventHint]:
        def hint(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
            _spin()
            return Hint.SKIP

        return [on(NODE, Action.NODE_LABEL, hint)]


class Sorting(Plugin):
    """Cannot compare anything."""

    name = "Sorting"

    def sort_key(self, pod: PodInfo, since: float) -> tuple[Any, ...]:
        raise ValueError("no idea")


def test_what_a_plugin_is_asked_beside_its_extension_points_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("navarch.scheduler.profiles.Guard", lambda: Guard(0.05))
    plugins = {
        "multiPoint": PluginSet((("Aside", 0),), frozenset({"PrioritySort"})),
        "queueSort": PluginSet((("Sorting", 0),)),
    }

    async def main() -> None:
        async with bench(running(Aside, Sorting, profiles=[Profile(plugins=plugins)])) as found:
            made = found.api.put(node())
            for name in ("hang", "wait", "good"):
                found.api.put(pod(name))
            await found.until(lambda: where(found, "good"))
            await found.until(lambda: condition(found, "hang") and condition(found, "wait"))
            found.api.put({**made, "metadata": {**made["metadata"], "labels": {"open": "yes"}}})
            await found.until(lambda: where(found, "hang") and where(found, "wait"))

    asyncio.run(main())


class Failing(PerNode):
    """Fails at the extension point that the pod names."""

    name = "Failing"

    def filter_node(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> Status | None:
        if pod.name == "filter":
            raise ValueError("it went wrong")
        return None

    def score_node(self, state: CycleState, pod: PodInfo, node: NodeInfo) -> int:
        if pod.name == "score":
            raise ValueError("it went wrong")
        return 0

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        return Status(Code.ERROR, ("it went wrong",)) if pod.name == "reserve" else None

    def permit(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        return Status(Code.ERROR, ("it went wrong",)) if pod.name == "permit" else None

    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        return unschedulable("not today") if pod.name == "prebind" else None

    async def bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        return Status(Code.ERROR if pod.name == "bind" else Code.SKIP, ("it went wrong",))


def test_each_failure_is_told_in_kubernetes_words_and_ends_what_the_pod_was_promised() -> None:
    expected = {
        "filter": ("SchedulerError", 'running "Failing" filter plugin: it went wrong'),
        "score": ("SchedulerError", 'running Score plugins: plugin "Failing" failed with: it went wrong'),
        "reserve": ("SchedulerError", 'running Reserve plugin "Failing": it went wrong'),
        "permit": ("SchedulerError", 'running Permit plugin "Failing": it went wrong'),
        "prebind": ("Unschedulable", "not today"),
        "bind": ("SchedulerError", 'running Bind plugin "Failing": it went wrong'),
    }
    points = {"multiPoint": PluginSet((("Failing", 0),)), "bind": PluginSet((("Failing", 0), ("DefaultBinder", 0)))}

    async def main() -> None:
        async with bench(running(Failing, profiles=(Profile(plugins=points),))) as found:
            for number in range(2):
                found.api.put(node(f"node-{number}"))
            for name in expected:
                item = pod(name)
                item["status"]["nominatedNodeName"] = "node-0" if name != "score" else "elsewhere"
                found.api.put(item)
            await found.until(lambda: all(condition(found, name) for name in expected))
            told = {name: (condition(found, name)["reason"], condition(found, name)["message"]) for name in expected}
            assert told == expected
            await found.until(
                lambda: (
                    not any(
                        found.api.objects["pods"][f"default/{name}"]["status"].get("nominatedNodeName") for name in expected
                    )
                )
            )

    asyncio.run(main())


class Protocolled(Plugin):
    """Notes what it is called for."""

    name = "Protocolled"
    log: ClassVar[list[str]] = []
    instance: ClassVar[Plugin]

    def __init__(self, args: Object, handle: Any) -> None:
        super().__init__(args, handle)
        Protocolled.instance = self

    def events_to_register(self) -> Sequence[EventHint]:
        return ()

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        self.log.append(f"reserve {pod.name} {node_name}")
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        self.log.append(f"unreserve {pod.name}")

    def permit(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        return wait(0.05 if pod.name == "late" else 60)

    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        self.log.append(f"pre_bind {pod.name}")
        return None

    async def post_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        self.log.append(f"post_bind {pod.name}")


def test_a_pod_waits_at_permit_until_it_is_allowed_and_no_longer_than_it_may() -> None:
    async def main() -> None:
        Protocolled.log.clear()
        async with bench(running(Protocolled)) as found:
            found.api.put(node())
            found.api.put(pod("web"))
            found.api.put(pod("late"))
            waiting = Protocolled.instance.handle.waiting_pods
            await found.until(
                lambda: [pod.pod.name for pod in waiting.values()] == ["web"] and "unreserve late" in Protocolled.log
            )
            assert not where(found, "web")
            # While it waits, it says where it is going.
            await found.until(lambda: found.api.objects["pods"]["default/web"]["status"].get("nominatedNodeName") == "node-1")
            next(iter(waiting.values())).allow("Protocolled")
            await found.until(lambda: "post_bind web" in Protocolled.log)
            order = [entry for entry in Protocolled.log if "web" in entry]
            assert order == ["reserve web node-1", "pre_bind web", "post_bind web"]
            await found.until(lambda: condition(found, "late"))
            assert condition(found, "late")["message"] == (
                '0/1 nodes are available: 1 rejected due to timeout after waiting at plugin "Protocolled".'
            )

    asyncio.run(main())


def test_a_pod_that_waits_at_permit_may_be_preempted_without_being_deleted() -> None:
    async def main() -> None:
        async with bench(running(Protocolled)) as found:
            found.api.put(node(cpu="1"))
            found.api.put(pod("low", cpu="900m"))
            waiting = Protocolled.instance.handle.waiting_pods
            await found.until(lambda: len(waiting) == 1)
            found.api.put(pod("high", cpu="900m", priority=1000))
            (event,) = await found.until(lambda: events(found, "Preempted"))
            assert event["regarding"]["name"] == "low"
            assert not meta.being_deleted(found.api.objects["pods"]["default/low"])

    asyncio.run(main())


def test_what_was_reserved_for_a_pod_that_goes_or_is_bound_by_another_is_free_again() -> None:
    async def main() -> None:
        Protocolled.log.clear()
        async with bench(running(Protocolled)) as found:
            found.api.put(node())
            for name in ("gone", "taken", "bound"):
                found.api.put(pod(name))
            waiting = Protocolled.instance.handle.waiting_pods
            await found.until(lambda: len(waiting) == 3)
            found.api.remove("pods", "default/gone")
            for name, where_to in (("taken", "elsewhere"), ("bound", "node-1")):
                spec = found.api.objects["pods"][f"default/{name}"]["spec"]
                found.api.change("pods", f"default/{name}", spec={**spec, "nodeName": where_to})
            await found.until(lambda: {f"unreserve {name}" for name in ("gone", "taken", "bound")} <= set(Protocolled.log))
            await found.until(lambda: not waiting)
            assert where(found, "taken") == "elsewhere"
            assert not events(found, "FailedScheduling")

    asyncio.run(main())


def test_several_profiles_are_several_schedulers() -> None:
    most = {"scoringStrategy": {"type": "MostAllocated", "resources": [{"name": "cpu", "weight": 1}]}}
    packing = Profile("packing", {"score": PluginSet((("NodeResourcesFit", 9),), frozenset({"*"}))}, {"NodeResourcesFit": most})

    async def main() -> None:
        async with bench(running(profiles=(Profile(), packing))) as found:
            for number in range(3):
                found.api.put(node(f"node-{number}"))
            for number in range(3):
                found.api.put(pod(f"packed-{number}", schedulerName="packing"))
            await found.until(lambda: all(where(found, f"packed-{number}") for number in range(3)))
            assert len({where(found, f"packed-{number}") for number in range(3)}) == 1
            for number in range(2):
                found.api.put(pod(f"spread-{number}"))
            await found.until(lambda: all(where(found, f"spread-{number}") for number in range(2)))
            used = {where(found, f"spread-{number}") for number in range(2)}
            assert len(used) == 2
            assert where(found, "packed-0") not in used
            told = await found.until(lambda: len(said := events(found, "Scheduled")) == 5 and said)
            reported = {event["regarding"]["name"]: event["reportingController"] for event in told}
            assert reported == {
                **{f"packed-{number}": "packing" for number in range(3)},
                **{f"spread-{number}": "default-scheduler" for number in range(2)},
            }

    asyncio.run(main())


def test_a_guard_gives_up_what_takes_too_long_and_goes_on_after() -> None:
    guard = Guard(0.02)
    with pytest.raises(TimeoutError, match="gave no answer"):
        guard.call(_spin)
    deadline = time.monotonic() + 5
    while True:
        try:
            assert guard.call(lambda: 7) == 7
            break
        except TimeoutError:
            assert time.monotonic() < deadline
    guard.stop()


def _spin() -> None:
    while True:
        pass
