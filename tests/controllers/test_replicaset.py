"""ReplicaSets: counting, choosing whom to delete, adopting, failing."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.controllers import pods as podrules
from navarch.controllers import replicaset, replicationcontroller
from tests.controllers.world import events, kubelet, make_ready, on_bench, pods, template, workload

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(
    name: str, *, node: str = "n", phase: str = "Running", ready: bool = True, age: int = 1000, **annotations: str
) -> Object:
    stamp = meta.format_time(NOW - timedelta(seconds=age))
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": stamp}] if ready else []
    metadata: Object = {
        "name": name,
        "uid": name,
        "creationTimestamp": stamp,
        "annotations": annotations,
        "labels": {"app": "web"},
    }
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": phase, "conditions": conditions}}


def order(*candidates: Object, **related: int) -> list[str]:
    return [meta.name(item) for item in podrules.in_deletion_order(candidates, related, NOW)]


def test_unscheduled_then_pending_then_unready_pods_go_first() -> None:
    found = order(
        pod("ready"), pod("unready", ready=False), pod("pending", phase="Pending", ready=False), pod("nowhere", node="")
    )
    assert found == ["nowhere", "pending", "unready", "ready"]


def test_deletion_cost_and_crowded_nodes_decide_between_ready_pods() -> None:
    cost = {podrules.DELETION_COST: "-1"}
    assert order(pod("a"), pod("cheap", **cost)) == ["cheap", "a"]
    assert order(pod("lone", node="x"), pod("crowded", node="y"), x=1, y=2) == ["crowded", "lone"]


def test_younger_pods_go_before_much_older_ones() -> None:
    assert order(pod("old", age=100_000), pod("young", age=10)) == ["young", "old"]


def test_orders_of_magnitude_have_the_steps_of_nanoseconds() -> None:
    # 2**33 ns are 8.59 s.
    assert order(pod("a", age=9), pod("b", age=8)) == ["b", "a"]
    assert order(pod("a", age=7), pod("b", age=8)) == ["a", "b"]


def test_pods_whose_sidecars_restarted_more_go_before_others() -> None:
    calm, restless = pod("a"), pod("b")
    restless["spec"]["initContainers"] = [{"name": "s", "restartPolicy": "Always"}]
    restless["status"]["initContainerStatuses"] = [{"name": "s", "restartCount": 3}, {"name": "once", "restartCount": 9}]
    assert order(calm, restless) == ["b", "a"]
    assert podrules.restarts(restless) == (0, 3)


def test_status_counts_what_is_there() -> None:
    owner = {**workload("ReplicaSet"), "kind": "ReplicaSet"}
    going = meta.set_path(pod("going"), meta.format_time(NOW), "metadata", "deletionTimestamp")
    pods = [pod("a"), pod("b", ready=False), pod("done", phase="Failed"), going]
    status = replicaset.status(owner, replicaset.count(owner, pods, NOW), None, 0, NOW)
    assert status == {
        "replicas": 2,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "terminatingReplicas": 1,
        "observedGeneration": 0,
    }


@st.composite
def some_pods(draw: st.DrawFn) -> Object:
    made = pod("a", phase=draw(st.sampled_from(["Pending", "Running", "Succeeded", "Failed"])), ready=draw(st.booleans()))
    made["metadata"]["labels"] = draw(st.sampled_from([{"app": "web"}, {"app": "web", "track": "x"}, {"track": "x"}]))
    if draw(st.booleans()):
        made["metadata"]["deletionTimestamp"] = meta.format_time(NOW)
    return made


@given(st.lists(some_pods()), st.sampled_from([{"app": "web"}, {"app": "web", "track": "x"}]))
def test_a_tally_says_what_counting_says(pods: list[Object], labels: dict[str, str]) -> None:
    owner = {**workload("ReplicaSet"), "kind": "ReplicaSet"}
    owner = meta.set_path(owner, labels, "spec", "template", "metadata", "labels")
    selector = replicaset.selector_of(owner)
    found = replicaset.counted(owner, Counter(map(replicaset.facts, pods)), selector)
    if all(selector.matches(meta.labels(item)) for item in pods):
        assert found == replicaset.count(owner, pods, NOW)
    else:
        assert found is None


def test_a_tally_does_not_know_what_time_will_bring() -> None:
    owner = workload("ReplicaSet", minReadySeconds=30)
    assert replicaset.counted(owner, {replicaset.facts(pod("a")): 1}, replicaset.selector_of(owner)) is None


def test_pods_become_available_after_min_ready_seconds() -> None:
    owner = workload("ReplicaSet", minReadySeconds=30)
    todo = replicaset.plan(owner, [pod("a", age=10), pod("b", age=40)], [], NOW)
    assert todo.after_seconds == 20


def test_the_number_of_pods_is_kept() -> None:
    async def main() -> None:
        async with on_bench(replicaset.CONTROLLER) as found:
            kubelet(found)
            found.api.put(workload("ReplicaSet"))
            await found.until(lambda: _status(found).get("availableReplicas") == 3)
            await found.client.delete("pods", meta.name(pods(found)[0]), "default")
            await found.until(lambda: len(pods(found)) == 3 and _status(found).get("availableReplicas") == 3)
            await found.client.patch("replicasets.apps", "web", {"spec": {"replicas": 1}}, "default")
            await found.until(lambda: _status(found).get("replicas") == 1)
            assert len(pods(found)) == 1
            await found.until(lambda: len(events(found, "SuccessfulCreate")) == 4)

    asyncio.run(main())


def _status(found: Any) -> Object:
    status: Object = found.api.objects["replicasets.apps"]["default/web"].get("status") or {}
    return status


def test_never_more_pods_are_created_than_asked_for_however_slow_the_cache() -> None:
    async def main() -> None:
        async with on_bench(replicaset.CONTROLLER) as found:
            most = 0

            def count(old: Object | None, new: Object | None) -> None:
                nonlocal most
                most = max(most, len(found.api.all("pods")))

            found.informers.get("pods").add_handler(count)
            found.api.put(workload("ReplicaSet", replicas=50))
            await found.until(lambda: len(found.api.all("pods")) == 50)
            for item in found.api.all("pods"):
                make_ready(found, item)
            await found.until(lambda: _status(found).get("readyReplicas") == 50)
            assert most == 50

    asyncio.run(main())


def test_orphans_that_match_are_adopted_and_those_that_no_longer_match_released() -> None:
    async def main() -> None:
        async with on_bench(replicaset.CONTROLLER) as found:
            orphan = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "orphan", "labels": {"app": "web"}}}
            found.api.put({**orphan, "spec": template()["spec"], "status": {"phase": "Running"}})
            owner = found.api.put(workload("ReplicaSet", replicas=2))
            await found.until(lambda: len(pods(found)) == 2)
            assert all(meta.is_controlled_by(item, owner) for item in pods(found))
            await found.client.patch("pods", "orphan", {"metadata": {"labels": {"app": "other"}}}, "default")
            await found.until(lambda: len(pods(found)) == 3)
            assert meta.controller_of(found.api.objects["pods"]["default/orphan"]) is None

    asyncio.run(main())


def test_a_refused_creation_is_told_as_condition_and_event_and_tried_again() -> None:
    async def main() -> None:
        async with on_bench(replicaset.CONTROLLER) as found:
            refusal = errors.forbidden("", "pods", "web-x", "exceeded quota")
            found.api.refuse = lambda method, path, body: refusal if method == "POST" and path.endswith("/pods") else None
            found.api.put(workload("ReplicaSet"))
            await found.until(lambda: _status(found).get("conditions"))
            assert _status(found)["conditions"][0]["reason"] == "FailedCreate"
            await found.until(lambda: events(found, "FailedCreate"))
            found.api.refuse = lambda method, path, body: None
            await found.until(lambda: len(pods(found)) == 3 and "conditions" not in _status(found))

    asyncio.run(main())


def test_a_replication_controller_does_the_same() -> None:
    async def main() -> None:
        async with on_bench(replicationcontroller.CONTROLLER) as found:
            kubelet(found)
            found.api.put(workload("ReplicationController", api_version="v1", selector={"app": "web"}))
            await found.until(
                lambda: (
                    (found.api.objects["replicationcontrollers"]["default/web"].get("status") or {}).get("readyReplicas") == 3
                )
            )

    asyncio.run(main())
