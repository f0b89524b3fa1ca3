"""Disruption budgets: how many pods may go."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.controllers import disruption
from tests.controllers.cluster import cluster
from tests.controllers.world import workload

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def budget(**spec: Any) -> Object:
    metadata = {"name": "budget", "namespace": "default"}
    spec = {"selector": {"matchLabels": {"app": "web"}}, **spec}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}


def pod(name: str, *, ready: bool = True) -> Object:
    owner = {"kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": True}
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    metadata = {"name": name, "namespace": "default", "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Running", "conditions": conditions}}


def lookup(kind: str, namespace: str, name: str) -> Object | None:
    return {"metadata": {"uid": "rs", "name": "rs"}, "spec": {"replicas": 4}} if kind == "ReplicaSet" else None


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
    ],
)
def test_allowed_disruptions(spec: Object, healthy: int, allowed: int) -> None:
    pods = [pod(f"p{n}", ready=n < healthy) for n in range(4)]
    status, _, problem = disruption.status(budget(**spec), pods, lookup, NOW)
    assert not problem
    assert (status["currentHealthy"], status["disruptionsAllowed"]) == (healthy, allowed)
    assert status["conditions"][0]["status"] == ("True" if allowed else "False")


def test_evictions_that_do_not_show_yet_are_remembered_for_a_while() -> None:
    fresh, stale = (meta.format_time(NOW - timedelta(seconds=age)) for age in (20, 130))
    with_evicted = {**budget(minAvailable=1), "status": {"disruptedPods": {"p0": fresh, "p1": stale, "gone": fresh}}}
    status, after_seconds, _ = disruption.status(with_evicted, [pod("p0"), pod("p1"), pod("p2")], lookup, NOW)
    assert status["disruptedPods"] == {"p0": fresh}
    assert status["currentHealthy"] == 2
    assert after_seconds == 100


def test_percentages_need_controllers_that_know_their_size() -> None:
    foreign = pod("p")
    foreign["metadata"]["ownerReferences"] = [{**foreign["metadata"]["ownerReferences"][0], "kind": "Unheard"}]
    status, _, problem = disruption.status(budget(maxUnavailable=1), [foreign], lookup, NOW)
    assert problem == 'found no controllers for pod "p"'
    assert status["disruptionsAllowed"] == 0
    assert status["conditions"][0]["reason"] == "SyncFailed"


def test_pods_without_a_controller_are_not_counted_and_told_of() -> None:
    alone = meta.without_path(pod("p"), "metadata", "ownerReferences")
    counted = budget(maxUnavailable=1)
    status, _, problem = disruption.status(counted, [alone], lookup, NOW)
    assert (status["expectedPods"], status["desiredHealthy"], status["disruptionsAllowed"], problem) == (0, 0, 0, "")
    assert "(selector: &LabelSelector{MatchLabels:map[string]string{" in disruption.unmanaged(counted, [alone])
    assert disruption.unmanaged(counted, [pod("p")]) == ""
    assert disruption.unmanaged(budget(minAvailable=1), [alone]) == ""


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
