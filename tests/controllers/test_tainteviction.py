"""Pods go from tainted nodes, and are told so; and how pods are told that they have to go at all."""

from __future__ import annotations

import asyncio

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.controllers import nodelifecycle, podgc, tainteviction
from navarch.controllers.config import ControllerConfig
from tests.controllers.world import node, on_bench
from tests.fakeapi import Bench

TAINT = {"key": "broken", "effect": "NoExecute"}


def pod(name: str, *tolerations: Object, phase: str = "Running", **status: str) -> Object:
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "node-1", "tolerations": list(tolerations)}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": phase, **status}}


def for_seconds(seconds: int) -> Object:
    return {"key": "broken", "operator": "Exists", "tolerationSeconds": seconds}


def messages(found: Bench) -> list[str]:
    events = found.api.all("events") + found.api.all("events.events.k8s.io")
    return sorted(event.get("message") or event.get("note", "") for event in events)


def test_pods_are_evicted_finished_or_not_and_told_why() -> None:
    async def main() -> None:
        async with on_bench(tainteviction.controller()) as found:
            found.api.put(node())
            for obj in (pod("runs"), pod("done", phase="Succeeded"), pod("stays", {"operator": "Exists"})):
                found.api.put(obj)
            found.api.change("nodes", "node-1", spec={"taints": [TAINT]})
            await found.until(lambda: len(messages(found)) == 2)
            assert messages(found) == [f"Marking for deletion Pod default/{name}" for name in ("done", "runs")]
            await found.until(lambda: meta.being_deleted(found.api.one("pods", "default/runs") or {"metadata": {}}))
            going = found.api.one("pods", "default/runs")
            assert going is not None
            condition = meta.condition(going, "DisruptionTarget")
            assert condition is not None
            assert (condition["reason"], condition["observedGeneration"]) == ("DeletionByTaintManager", 1)
            assert not meta.being_deleted(found.api.one("pods", "default/stays") or {})

    asyncio.run(main())


def test_an_eviction_that_does_not_come_is_told_too() -> None:
    async def main() -> None:
        async with on_bench(tainteviction.controller()) as found:
            found.api.put(node(taints=[TAINT]))
            for name in ("spared", "gone"):
                found.api.put(pod(name, for_seconds(300)))
            found.api.put(pod("never-meant", {"operator": "Exists"}))
            await found.until(lambda: len(found.api.all("pods")) == 3)
            # Those that are at work have looked at it by the time that they have done so with one that comes later.
            found.api.put(pod("later"))
            await found.until(lambda: messages(found) == ["Marking for deletion Pod default/later"])
            found.api.remove("pods", "default/gone")
            found.api.change("nodes", "node-1", spec={})
            await found.until(lambda: len(messages(found)) == 3)
            assert messages(found)[:2] == [f"Cancelling deletion of Pod default/{name}" for name in ("gone", "spared")]

    asyncio.run(main())


def test_of_too_many_finished_pods_the_evicted_go_first() -> None:
    async def main() -> None:
        async with on_bench(podgc.controller(ControllerConfig(terminated_pod_threshold=2))) as found:
            found.api.put(node())
            found.api.instant_pods = True
            for name, reason in (("a-oldest", ""), ("b-evicted", "Evicted"), ("c-newest", "")):
                found.api.put(pod(name, phase="Failed", reason=reason))
            await found.until(lambda: len(found.api.all("pods")) == 2)
            assert [meta.name(left) for left in found.api.all("pods")] == ["a-oldest", "c-newest"]

    asyncio.run(main())


def test_pods_that_go_with_an_out_of_service_node_fail_without_a_reason() -> None:
    async def main() -> None:
        async with on_bench(podgc.controller(ControllerConfig())) as found:
            found.api.put(node(ready="False", taints=[{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]))
            lost: Object = pod("lost")
            lost["metadata"] |= {"deletionTimestamp": clock.timestamp(), "finalizers": ["example.com/hold"]}
            found.api.put(lost)
            after = await found.until(
                lambda: (now := found.api.one("pods", "default/lost")) and now["status"]["phase"] == "Failed" and now
            )
            assert meta.condition(after, "DisruptionTarget") is None

    asyncio.run(main())


def test_nodes_that_come_and_go_are_told_of() -> None:
    async def main() -> None:
        async with on_bench(nodelifecycle.controller(ControllerConfig())) as found:
            found.api.put(node())
            await found.until(lambda: messages(found) == ["Node node-1 event: Registered Node node-1 in Controller"])
            found.api.remove("nodes", "node-1")
            await found.until(lambda: len(messages(found)) == 2)
            assert messages(found)[1] == "Node node-1 event: Removing Node node-1 from Controller"

    asyncio.run(main())
