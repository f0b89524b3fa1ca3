"""Disruption budgets: how many pods may go."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.component import clock
from navarch.controllers import disruption
from tests.controllers.cluster import cluster
from tests.controllers.world import on_bench, workload

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def budget(**spec: Any) -> Object:
    metadata = {"name": "budget", "namespace": "default"}
    spec = {"selector": {"matchLabels": {"app": "web"}}, **spec}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}


def pod(name: str, *, ready: bool = True) -> Object:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": True}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    metadata = {"name": name, "namespace": "default", "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Running", "conditions": conditions}}


@pytest.mark.parametrize(
    ("spec", "healthy", "allowed"),
    [
        ({"minAvailable": 2}, 4, 2),
        ({"minAvailable": 2}, 2, 0),
        ({"minAvailable": "50%"}, 3, 1),
        ({"maxUnavailable": 1}, 4, 1),
        ({"maxUnavailable": 1}, 3, 0),
        ({"maxUnavailable": "25%"}, 4, 1),
        ({"minAvailable": 5}, 4, 0),
        ({}, 4, 0),
    ],
)
def test_allowed_disruptions(spec: Object, healthy: int, allowed: int) -> None:
    pods = [pod(f"p{n}", ready=n < healthy) for n in range(4)]
    status = disruption.status(budget(**spec), pods, 4, {}, NOW)
    assert (status["currentHealthy"], status["disruptionsAllowed"]) == (healthy, allowed)
    assert status["conditions"][0]["status"] == ("True" if allowed else "False")


def test_evictions_that_do_not_show_yet_are_remembered_for_a_while() -> None:
    fresh, stale = (meta.format_time(NOW - timedelta(seconds=age)) for age in (20, 130))
    with_evicted = {**budget(minAvailable=1), "status": {"disruptedPods": {"p0": fresh, "p1": stale, "gone": fresh}}}
    pods = [pod("p0"), pod("p1"), pod("p2")]
    kept, after_seconds, late = disruption.still_disrupted(with_evicted, {meta.name(item): item for item in pods}, NOW)
    status = disruption.status(with_evicted, pods, 0, kept, NOW)
    assert status["disruptedPods"] == {"p0": fresh}
    assert status["currentHealthy"] == 2
    assert late == [pods[1]]
    assert after_seconds == pytest.approx(100, abs=0.2)


def test_where_nobody_knows_how_many_there_should_be_nothing_may_go_and_all_else_stays() -> None:
    before = {"currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3, "disruptionsAllowed": 1, "observedGeneration": 1}
    counted = {**budget(maxUnavailable=1), "status": before}
    after = disruption.failed_status(meta.set_path(counted, 2, "metadata", "generation"), "why", NOW)
    (condition,) = after.pop("conditions")
    assert after == {**before, "disruptionsAllowed": 0}
    assert (condition["reason"], condition["message"], condition["observedGeneration"]) == ("SyncFailed", "why", 1)


def test_pods_without_a_controller_are_told_of_where_it_matters() -> None:
    alone = meta.without_path(pod("p"), "metadata", "ownerReferences")
    counted = budget(maxUnavailable=1)
    assert "(selector: &LabelSelector{MatchLabels:map[string]string{" in disruption.unmanaged(counted, [alone])
    assert disruption.unmanaged(counted, [pod("p")]) == ""
    assert disruption.unmanaged(budget(minAvailable=1), [alone]) == ""


@pytest.mark.parametrize(
    ("conditions", "left"),
    [
        ({"status": "True", "reason": "PreemptionByScheduler"}, 20.0),
        ({"status": "True", "reason": "TerminationByKubelet"}, None),
        ({"status": "False"}, None),
        (None, None),
    ],
)
def test_that_a_pod_is_to_go_is_taken_back_when_it_stays(conditions: Object | None, left: float | None) -> None:
    stamp = meta.format_time(NOW - timedelta(seconds=100))
    conditions = conditions and {"type": "DisruptionTarget", "lastTransitionTime": stamp, **conditions}
    found = meta.set_path(pod("p"), [conditions] if conditions else [], "status", "conditions")
    assert disruption.stale_in_seconds(found, NOW) == left
    assert disruption.stale_in_seconds(meta.set_path(found, stamp, "metadata", "deletionTimestamp"), NOW) is None


def test_stale_conditions_become_false() -> None:
    async def main() -> None:
        async with on_bench(disruption.STALE_CONDITIONS) as found:
            stamp = meta.format_time(clock.now() - timedelta(seconds=121))
            target = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "EvictionByEvictionAPI",
                "lastTransitionTime": stamp,
            }
            found.api.put({"apiVersion": "v1", "kind": "Pod", **meta.set_path(pod("p"), [target], "status", "conditions")})

            def condition() -> Object:
                return meta.condition(found.api.objects["pods"]["default/p"], "DisruptionTarget") or {}

            await found.until(lambda: condition().get("status") == "False")
            assert "reason" not in condition()

    asyncio.run(main())


def test_whoever_has_a_scale_says_how_many_pods_there_should_be(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            definition = await found.client.create("customresourcedefinitions.apiextensions.k8s.io", _fleets())

            def is_established() -> bool:
                current = found.one("customresourcedefinitions.apiextensions.k8s.io", meta.name(definition)) or {}
                return meta.is_condition_true(current, "Established")

            await found.until(is_established)
            fleet = {"apiVersion": "example.com/v1", "kind": "Fleet", "metadata": {"name": "a"}, "spec": {"ships": 5}}
            path = "/apis/example.com/v1/namespaces/default/fleets"
            fleet = await found.client.transport.request("POST", path, body=fleet)
            agent = await found.client.create("daemonsets.apps", workload("DaemonSet", name="agent"))
            await found.client.create("poddisruptionbudgets.policy", budget(maxUnavailable=1))
            await found.client.create("pods", _owned("p", fleet))

            def status() -> Object:
                return (found.one("poddisruptionbudgets.policy", "default/budget") or {}).get("status") or {}

            await found.until(lambda: status().get("expectedPods") == 5)
            await found.client.create("pods", _owned("q", agent))
            await found.until(lambda: status()["conditions"][0]["reason"] == "SyncFailed")
            assert status()["conditions"][0]["message"] == "daemonsets.apps does not implement the scale subresource"

    asyncio.run(main())


def _fleets() -> Object:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        "subresources": {"scale": {"specReplicasPath": ".spec.ships", "statusReplicasPath": ".status.ships"}},
    }
    names = {"plural": "fleets", "singular": "fleet", "kind": "Fleet", "listKind": "FleetList"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "fleets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    }


def _owned(name: str, owner: Object) -> Object:
    metadata = {
        "name": name,
        "namespace": "default",
        "labels": {"app": "web"},
        "ownerReferences": [meta.owner_reference(owner)],
    }
    spec = {"containers": [{"name": "c", "image": "nginx:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_evictions_are_refused_when_the_budget_is_spent(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await found.add_node("node-1", "10.0.0.1")
            await found.client.create("poddisruptionbudgets.policy", budget(minAvailable=2))
            await found.client.create("deployments.apps", workload("Deployment"))

            def allowed() -> int:
                current = found.one("poddisruptionbudgets.policy", "default/budget") or {}
                return int((current.get("status") or {}).get("disruptionsAllowed", 0))

            await found.until(lambda: allowed() == 1)
            found.stuck.add("nginx:1")  # Whatever comes instead never becomes ready.
            first, second, _ = found.all("pods")
            await found.client.create("pods", _eviction(first), "default", name=meta.name(first), subresource="eviction")
            with pytest.raises(StatusError) as refusal:
                await found.client.create("pods", _eviction(second), "default", name=meta.name(second), subresource="eviction")
            assert refusal.value.code == 429
            await found.until(lambda: allowed() == 0)

    asyncio.run(main())


def _eviction(target: Object) -> Object:
    metadata = {"name": meta.name(target), "namespace": meta.namespace(target)}
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
