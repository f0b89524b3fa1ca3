"""The whole scheduler against a small API server."""

from __future__ import annotations

import asyncio
from typing import Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.client.eventseries import EVENTS
from navarch.scheduler.scheduler import Scheduler
from tests.fakeapi import Bench, bench


def node(name: str = "node-1", cpu: str = "2", **spec: Any) -> Object:
    status = {
        "allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    labels = {"kubernetes.io/hostname": name}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}


def pod(name: str, cpu: str = "100m", labels: Object | None = None, **spec: Any) -> Object:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    metadata = {"name": name, "labels": labels or {}}
    spec = {"schedulerName": "default-scheduler", "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}


def scheduler(found: Bench) -> Scheduler:
    return Scheduler(found.client, found.informers, host="host-1")


def where(found: Bench, name: str) -> str:
    return str(found.api.objects["pods"][f"default/{name}"]["spec"].get("nodeName", ""))


def condition(found: Bench, name: str) -> Object:
    return meta.condition(found.api.objects["pods"][f"default/{name}"], "PodScheduled") or {}


def events(found: Bench, reason: str) -> list[Object]:
    return [event for event in found.api.all(EVENTS) if event["reason"] == reason]


def test_a_pod_is_bound_and_an_event_says_so() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            found.api.put(node())
            found.api.put(pod("web"))
            await found.until(lambda: where(found, "web") == "node-1")
            (event,) = await found.until(lambda: events(found, "Scheduled"))
            assert event["note"] == "Successfully assigned default/web to node-1"
            assert (event["action"], event["regarding"]["name"]) == ("Binding", "web")
            assert event["reportingController"] == "default-scheduler"
            assert event["reportingInstance"] == "default-scheduler-host-1"

    asyncio.run(main())


def test_a_pod_that_does_not_fit_is_told_why_and_bound_when_there_is_room() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            found.api.put(node(cpu="1"))
            found.api.put(pod("big", cpu="800m"))
            await found.until(lambda: where(found, "big"))
            found.api.put(pod("next", cpu="800m"))
            await found.until(lambda: condition(found, "next"))
            assert condition(found, "next")["reason"] == "Unschedulable"
            assert condition(found, "next")["message"] == (
                "0/1 nodes are available: 1 Insufficient cpu. "
                "no new claims to deallocate, "
                "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
            )
            await found.until(lambda: events(found, "FailedScheduling"))
            found.api.remove("pods", "default/big")
            await found.until(lambda: where(found, "next") == "node-1")

    asyncio.run(main())


def test_without_nodes_a_pod_waits_for_one() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            early = pod("early")
            early["status"]["nominatedNodeName"] = "gone"
            found.api.put(early)
            await found.until(lambda: condition(found, "early"))
            assert condition(found, "early")["message"] == "no nodes available to schedule pods"
            assert "nominatedNodeName" not in found.api.objects["pods"]["default/early"]["status"]
            found.api.put(node())
            await found.until(lambda: where(found, "early") == "node-1")

    asyncio.run(main())


def test_a_long_message_is_cut_short_in_its_event_only() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            for number in range(40):
                found.api.put(node(f"node-{number}", cpu="4"))
            requests = {f"example.com/a-resource-with-a-long-name-{number}": "1" for number in range(40)}
            item = pod("web")
            item["spec"]["containers"][0]["resources"]["requests"] = requests
            found.api.put(item)
            await found.until(lambda: condition(found, "web"))
            (event,) = await found.until(lambda: events(found, "FailedScheduling"))
            message = condition(found, "web")["message"]
            assert len(message) > 1024
            assert event["action"] == "Scheduling"
            assert event["note"] == message[:1020] + " ..."

    asyncio.run(main())


def test_a_cordoned_node_takes_no_pod_until_it_is_uncordoned() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            found.api.put(node(unschedulable=True))
            found.api.put(pod("web"))
            await found.until(lambda: condition(found, "web"))
            assert condition(found, "web")["message"] == (
                "0/1 nodes are available: 1 node(s) were unschedulable. "
                "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
            )
            found.api.change("nodes", "node-1", spec={})
            await found.until(lambda: where(found, "web") == "node-1")

    asyncio.run(main())


def test_a_pod_of_high_priority_takes_the_place_of_a_lower_one() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            found.api.put(node(cpu="1"))
            low = pod("low", cpu="900m")
            low["metadata"]["generation"] = 3
            found.api.put(low)
            await found.until(lambda: where(found, "low"))
            found.api.put(pod("high", cpu="900m", priority=1000))
            victim = await found.until(
                lambda: (low := found.api.one("pods", "default/low")) and meta.being_deleted(low) and low, what="deletion"
            )
            told = meta.condition(victim, "DisruptionTarget") or {}
            assert (told["reason"], told["observedGeneration"]) == ("PreemptionByScheduler", 3)
            (event,) = await found.until(lambda: events(found, "Preempted"))
            high = found.api.objects["pods"]["default/high"]
            assert event["note"] == f"Preempted by pod {meta.uid(high)} on node node-1"
            assert (event["action"], event["regarding"]["name"]) == ("Preempting", "low")
            assert event["related"]["uid"] == meta.uid(high)
            assert found.api.objects["pods"]["default/high"]["status"]["nominatedNodeName"] == "node-1"
            found.api.remove("pods", "default/low")
            await found.until(lambda: where(found, "high") == "node-1")

    asyncio.run(main())


def test_pods_spread_over_nodes_and_none_gets_more_than_it_can_take() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            for number in range(3):
                found.api.put(node(f"node-{number}", cpu="1"))
            for number in range(12):
                found.api.put(pod(f"p{number}", cpu="250m"))
            await found.until(lambda: all(where(found, f"p{number}") for number in range(12)))
            placed = [where(found, f"p{number}") for number in range(12)]
            assert sorted(placed.count(f"node-{number}") for number in range(3)) == [4, 4, 4]

    asyncio.run(main())


def test_pods_of_other_schedulers_and_gated_pods_are_left_alone() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            found.api.put(node())
            found.api.put(pod("other", schedulerName="mine"))
            found.api.put(pod("gated", schedulingGates=[{"name": "wait"}]))
            found.api.put(pod("last"))
            await found.until(lambda: where(found, "last"))
            assert not where(found, "other")
            assert not where(found, "gated")
            gated = found.api.objects["pods"]["default/gated"]
            found.api.change("pods", "default/gated", spec={**gated["spec"], "schedulingGates": []})
            await found.until(lambda: where(found, "gated") == "node-1")

    asyncio.run(main())


def test_a_refused_binding_is_tried_again() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            failures = iter([ConnectionError("away")])
            found.api.refuse = lambda method, path, body: next(failures, None) if path.endswith("/binding") else None
            found.api.put(node())
            found.api.put(pod("web"))
            await found.until(lambda: where(found, "web") == "node-1")

    asyncio.run(main())
