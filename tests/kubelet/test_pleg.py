"""Who in the runtime changed."""

from __future__ import annotations

import asyncio

from navarch.cri import runtime_pb2 as pb
from navarch.cri.client import CRIError
from navarch.cri.fake import FakeRuntime
from navarch.kubelet import pleg
from navarch.kubelet.pleg import Pleg
from navarch.kubelet.runtime_pod import POD_UID


async def add(runtime: FakeRuntime, uid: str) -> str:
    labels = {POD_UID: uid}
    sandbox = await runtime.run_pod_sandbox(pb.PodSandboxConfig(labels=labels))
    container = await runtime.create_container(sandbox, pb.ContainerConfig(labels=labels), pb.PodSandboxConfig())
    await runtime.start_container(container)
    return container


def new(runtime: FakeRuntime, notified: list[str], seconds: float = 3600) -> Pleg:
    return Pleg(runtime, notified.append, relist_seconds=seconds, relist_with_events_seconds=seconds)


def test_only_pods_that_differ_changed() -> None:
    assert pleg.changed({"a": {"x": 1}, "b": {"y": 1}}, {"a": {"x": 1}, "b": {"y": 2}, "c": {}}) == {"b", "c"}
    assert pleg.changed({"a": {"x": 1}}, {}) == {"a"}


def test_a_relist_tells_of_what_changed_since_the_last() -> None:
    async def run() -> None:
        runtime, notified = FakeRuntime(), list[str]()
        one = new(runtime, notified)
        assert one.unhealthy()
        container = await add(runtime, "u1")
        await add(runtime, "u2")
        await one.relist()
        assert sorted(notified) == ["u1", "u2"] and set(one.pods) == {"u1", "u2"} and not one.unhealthy()
        notified.clear()
        await one.relist()
        assert not notified
        runtime.exit(container)
        await one.relist()
        assert notified == ["u1"]

    asyncio.run(run())


def test_what_a_worker_saw_itself_is_no_news() -> None:
    async def run() -> None:
        runtime, notified = FakeRuntime(), list[str]()
        one = new(runtime, notified)
        await add(runtime, "u1")
        one.saw("u1", await runtime.list_pod_sandboxes(), await runtime.list_containers())
        await one.relist()
        assert not notified

    asyncio.run(run())


def test_events_are_told_at_once_also_of_what_was_not_known() -> None:
    async def run() -> None:
        runtime, notified = FakeRuntime(), list[str]()
        one = new(runtime, notified)
        task = asyncio.ensure_future(one.run())
        await one.wait_listed()
        await asyncio.sleep(0)
        container = await add(runtime, "u1")
        runtime.exit(container)
        async with asyncio.timeout(5):
            while notified != ["u1"]:
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_an_end_that_the_runtime_lists_late_is_waited_for() -> None:
    class Late(FakeRuntime):
        """Tells of an end before it lists it."""

        async def list_containers(self, labels: object = None, *, sandbox_id: str = "") -> list[pb.Container]:  # type: ignore[override]
            found = list(await super().list_containers(None))
            self.looks += 1
            for container in found:
                if self.looks < 4:
                    container.state = pb.CONTAINER_RUNNING
            return found

        looks = 0

    async def run() -> None:
        runtime, notified = Late(), list[str]()
        container = await add(runtime, "u1")
        one = new(runtime, notified)
        await one.relist()
        notified.clear()
        runtime.exit(container)
        await one._settle(container)
        assert notified == ["u1"] and runtime.looks >= 4

    asyncio.run(run())


def test_a_runtime_that_does_not_answer_is_asked_again() -> None:
    async def run() -> None:
        runtime, notified = FakeRuntime(), list[str]()
        runtime.failures["*"] = CRIError("UNAVAILABLE", "away")
        await add_quietly(runtime)
        one = new(runtime, notified, 0.005)
        task = asyncio.ensure_future(one.run())
        await asyncio.sleep(0.01)
        assert one.unhealthy()
        runtime.failures.clear()
        async with asyncio.timeout(5):
            await one.wait_listed()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


async def add_quietly(runtime: FakeRuntime) -> None:
    failures, runtime.failures = runtime.failures, {}
    await add(runtime, "u1")
    runtime.failures = failures
