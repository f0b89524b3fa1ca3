"""ResourceQuotas: what is used is told, charged and given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from navarch.api import registry
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.controllers import resourcequota
from tests.apiserver.samples import pod, sample
from tests.controllers.cluster import Cluster, cluster
from tests.controllers.world import workload

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUOTAS = "resourcequotas"


def quota(hard: Object, name: str = "quota", **spec: Any) -> Object:
    return {**sample(registry.resource(QUOTAS), name), "spec": {"hard": hard, **spec}}


def container(requests: Object, limits: Object | None = None) -> Object:
    return {"name": "main", "image": "app", "resources": {"requests": requests, "limits": limits or {}}}


async def told(found: Cluster, expected: Object, name: str = "quota") -> None:
    """Until the quota's status says that this is used, of exactly what is limited."""

    def is_so() -> bool:
        current = found.one(QUOTAS, f"default/{name}")
        status = (current or {}).get("status", {})
        return bool(current) and status.get("hard") == current["spec"]["hard"] and status.get("used") == expected

    try:
        await found.until(is_so)
    except TimeoutError:
        raise AssertionError(f"expected {expected}, last: {found.one(QUOTAS, f'default/{name}')}") from None


async def refusal(doing: Awaitable[Object]) -> StatusError:
    with pytest.raises(StatusError) as caught:
        await doing
    return caught.value


@asynccontextmanager
async def with_node(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as found:
        await found.add_node("node-1", "10.0.0.1")
        yield found


def run(tmp_path: Path, test: Callable[[Cluster], Awaitable[None]]) -> None:
    async def main() -> None:
        async with with_node(tmp_path) as found:
            await test(found)

    asyncio.run(main())


def test_what_was_there_before_the_quota_is_counted_promptly(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create("configmaps", sample(registry.resource("configmaps"), "one"))
        await found.client.create(QUOTAS, quota({"count/configmaps": "9", "pods": "5", QUOTAS: "1", "requests.storage": "1Gi"}))
        # The ConfigMap of the cluster's root certificate is there, too.
        await told(found, {"count/configmaps": "2", "pods": "0", QUOTAS: "1", "requests.storage": "0"})

    run(tmp_path, test)


LIVES = ("configmaps", "secrets", "services", "replicationcontrollers", "replicasets.apps", "persistentvolumeclaims")


def test_the_life_of_an_object_shows_in_what_is_used(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        names = {f"count/{name}": "10" for name in LIVES}
        await found.client.create(QUOTAS, quota(names))
        empty = {**dict.fromkeys(names, "0"), "count/configmaps": "1"}
        await told(found, empty)
        for name in LIVES:
            kind = registry.resource(name)
            body = sample(kind, "short-lived")
            if "replicas" in name or "replication" in name:
                body["spec"]["replicas"] = 0
            await found.client.create(name, body)
            await told(found, {**empty, f"count/{name}": str(int(empty[f"count/{name}"]) + 1)})
            await found.client.delete(name, "short-lived", "default")
            await told(found, empty)

    run(tmp_path, test)


def test_the_life_of_a_pod_shows_in_what_is_used(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        gpu = "example.com/dongle"
        hard = {"pods": "5", "cpu": "1", "memory": "500Mi", "requests.ephemeral-storage": "50Gi", f"requests.{gpu}": "3"}
        await found.client.create(QUOTAS, quota(hard))
        nothing = dict.fromkeys(hard, "0")
        await told(found, nothing)
        asked = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", gpu: "2"}
        body = pod("one", containers=[container(asked, {gpu: "2"})])
        await found.client.create("pods", body)
        full = {
            "pods": "1",
            "cpu": "500m",
            "memory": "252Mi",
            "requests.ephemeral-storage": "30Gi",
            f"requests.{gpu}": "2",
        }
        await told(found, full)
        for more in ({**asked, "cpu": "600m", gpu: "1"}, {**asked, gpu: "2"}):
            again = pod("two", containers=[container(more, {gpu: more[gpu]})])
            assert "exceeded quota: quota" in (await refusal(found.client.create("pods", again))).message
        patch = {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "100m"}}}]}}
        changed = await refusal(found.client.patch("pods", "one", patch, "default", patch_type="strategic"))
        assert changed.reason == "Invalid"
        await told(found, full)
        await found.client.delete("pods", "one", "default", grace_period_seconds=0)
        await told(found, nothing)

    run(tmp_path, test)


def test_the_devices_that_claims_ask_for_show_in_what_is_used(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        claims = "resourceclaims.resource.k8s.io"
        body = sample(registry.resource(claims), "two")
        exactly = {"deviceClassName": "gpu", "count": 2}
        body["spec"] = {"devices": {"requests": [{"name": "a", "exactly": exactly}]}}
        await found.client.create(claims, body)
        hard = {"gpu.deviceclass.resource.k8s.io/devices": "4", f"count/{claims}": "5"}
        await found.client.create(QUOTAS, quota(hard))
        await told(found, dict(zip(hard, ("2", "1"), strict=True)))
        await found.client.delete(claims, "two", "default")
        await told(found, dict.fromkeys(hard, "0"))

    run(tmp_path, test)


def test_devices_are_counted_once_whether_asked_for_as_a_resource_or_claimed(tmp_path: Path) -> None:
    """The claim of a pod's extended resources counts for what the pod does not: the same devices by their other name."""

    async def test(found: Cluster) -> None:
        claims, classes, gpu = "resourceclaims.resource.k8s.io", "deviceclasses.resource.k8s.io", "example.com/gpu"
        hard = {f"requests.{gpu}": "9", "requests.deviceclass.resource.kubernetes.io/gpu": "9"}
        await found.client.create(QUOTAS, quota(hard))
        await told(found, dict.fromkeys(hard, "0"))
        exactly = {"deviceClassName": "gpu", "count": 2}
        plain = sample(registry.resource(claims), "plain")
        plain["spec"] = {"devices": {"requests": [{"name": "a", "exactly": exactly}]}}
        await found.client.create(claims, plain)
        await told(found, dict(zip(hard, ("0", "2"), strict=True)))
        named = sample(registry.resource(classes), "gpu")
        named["spec"]["extendedResourceName"] = gpu
        await found.client.create(classes, named)
        await told(found, dict.fromkeys(hard, "2"))
        owner = await found.client.create("pods", pod("one", containers=[container({gpu: "2"}, {gpu: "2"})]))
        await told(found, dict(zip(hard, ("4", "2"), strict=True)))
        reference = {"apiVersion": "v1", "kind": "Pod", "name": "one", "uid": meta.uid(owner), "controller": True}
        for name, uses in (("its", ("4", "4")), ("more", ("6", "6"))):
            # Only the first of such claims is what the pod asked for.
            metadata = {**plain["metadata"], "name": name, "ownerReferences": [reference]}
            metadata["annotations"] = {"resource.kubernetes.io/extended-resource-claim": "true"}
            await found.client.create(claims, {**plain, "metadata": metadata})
            await told(found, dict(zip(hard, uses, strict=True)))

    run(tmp_path, test)


def test_pods_that_have_ended_use_nothing(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(QUOTAS, quota({"pods": "1", "count/pods": "5"}))
        await told(found, {"pods": "0", "count/pods": "0"})
        await found.client.create("pods", pod("one", restartPolicy="Never"))
        await told(found, {"pods": "0", "count/pods": "1"})

    run(tmp_path, test)


def test_a_quota_changes_and_goes(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(QUOTAS, quota({"cpu": "1", "memory": "500Mi"}))
        await told(found, {"cpu": "0", "memory": "0"})
        current = await found.client.get(QUOTAS, "quota", "default")
        wider = meta.set_path(current, {"cpu": "2", "memory": "1Gi", "pods": "3"}, "spec", "hard")
        assert (await found.client.update(QUOTAS, wider))["spec"]["hard"]["cpu"] == "2"
        await told(found, {"cpu": "0", "memory": "0", "pods": "0"})
        patched = {"spec": {"hard": {"cpu": None}}}
        await found.client.patch(QUOTAS, "quota", patched, "default")
        await told(found, {"memory": "0", "pods": "0"})
        await found.client.delete(QUOTAS, "quota", "default")
        assert (await refusal(found.client.get(QUOTAS, "quota", "default"))).is_not_found
        await found.client.create("pods", pod("free"))

    run(tmp_path, test)


def test_the_status_says_what_the_spec_limits_whatever_is_written_to_it(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(QUOTAS, quota({"cpu": "500m", "memory": "500Mi"}))
        await told(found, {"cpu": "0", "memory": "0"})
        current = await found.client.get(QUOTAS, "quota", "default")
        more = {"cpu": "2", "memory": "1Gi"}
        updated = await found.client.update_status(QUOTAS, meta.set_path(current, more, "status", "hard"))
        assert (updated["status"]["hard"], updated["spec"]) == (more, current["spec"])
        patched = await found.client.patch(QUOTAS, "quota", {"spec": {"hard": more}}, "default")
        assert patched["spec"]["hard"] == more
        await told(found, {"cpu": "0", "memory": "0"})
        partly = {"status": {"hard": {"memory": "2Gi"}}, "spec": {"hard": {"cpu": "9"}}}
        status = await found.client.patch(QUOTAS, "quota", partly, "default", subresource="status")
        assert status["status"]["hard"] == {"cpu": "2", "memory": "2Gi"}
        assert status["spec"]["hard"] == more

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("scopes", "hard", "inside", "outside"),
    [
        (
            ("BestEffort", "NotBestEffort"),
            {"pods": "5"},
            {},
            {"containers": [container({"cpu": "100m", "memory": "1Mi"}, {"cpu": "100m", "memory": "1Mi"})]},
        ),
        (
            ("Terminating", "NotTerminating"),
            {"pods": "5", "requests.cpu": "1", "limits.memory": "1Gi"},
            {"containers": [container({"cpu": "500m"}, {"memory": "200Mi"})], "activeDeadlineSeconds": 3600},
            {"containers": [container({"cpu": "500m"}, {"memory": "200Mi"})]},
        ),
    ],
)
def test_scopes_count_what_is_in_them(
    tmp_path: Path, scopes: tuple[str, str], hard: Object, inside: Object, outside: Object
) -> None:
    async def test(found: Cluster) -> None:
        nothing = dict.fromkeys(hard, "0")
        for scope in scopes:
            await found.client.create(QUOTAS, quota(hard, scope.lower(), scopes=[scope]))
            await told(found, nothing, scope.lower())
        for spec, counting, other in ((inside, *scopes), (outside, *reversed(scopes))):
            await found.client.create("pods", pod("one", **spec))
            full = {"pods": "1"}
            if len(hard) > 1:
                full |= {"requests.cpu": "500m", "limits.memory": "200Mi"}
            await told(found, full, counting.lower())
            await told(found, nothing, other.lower())
            await found.client.delete("pods", "one", "default", grace_period_seconds=0)
            await told(found, nothing, counting.lower())
            await found.until(lambda: not found.all("pods"))

    run(tmp_path, test)


def test_a_workload_gets_as_many_pods_as_the_quota_lets_it(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(QUOTAS, quota({"pods": "2"}))
        await told(found, {"pods": "0"})
        await found.client.create("replicasets.apps", workload("ReplicaSet"))
        await told(found, {"pods": "2"})
        failed = await found.until(lambda: [event for event in found.all("events") if event["reason"] == "FailedCreate"])
        assert "exceeded quota: quota, requested: pods=1, used: pods=2, limited: pods=2" in failed[0]["message"]
        await found.client.patch(QUOTAS, "quota", {"spec": {"hard": {"pods": "9"}}}, "default")
        await told(found, {"pods": "3"})

    run(tmp_path, test)


def counted(hard: Object, objects: dict[str, list[Object]]) -> Object:
    return resourcequota.used(quota(hard), objects.get, NOW)


def going(name: str, seconds_ago: int, grace: int) -> Object:
    body = pod(name)
    body["metadata"] |= {
        "deletionTimestamp": meta.format_time(NOW - timedelta(seconds=seconds_ago)),
        "deletionGracePeriodSeconds": grace,
    }
    return body


def test_a_pod_whose_time_to_end_is_over_counts_no_more() -> None:
    lost, leaving = going("lost", 60, 30), going("leaving", 10, 30)
    assert counted({"pods": "5", "count/pods": "5"}, {"pods": [lost, leaving, pod("there")]}) == {
        "pods": "2",
        "count/pods": "3",
    }
    assert resourcequota.until_next_expiry([lost, leaving, pod("there")], NOW) == 20
    assert resourcequota.until_next_expiry([pod("there")], NOW) == resourcequota.RESYNC_SECONDS


def test_what_nobody_knows_how_to_count_is_left_out() -> None:
    assert counted({"count/widgets.example.com": "5", "pods": "5"}, {"pods": []}) == {"pods": "0"}


def test_every_namespaced_kind_that_is_stored_under_its_own_name_is_watched() -> None:
    watched = {watch.resource for watch in resourcequota.controller().watches}
    assert {"pods", "services", "configmaps", "deployments.apps", "jobs.batch", "leases.coordination.k8s.io"} <= watched
    assert not {"events", "nodes", "bindings", QUOTAS} & watched
