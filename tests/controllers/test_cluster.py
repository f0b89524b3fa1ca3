"""Controllers, scheduler and API server together."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.controllers import podgc
from tests.controllers.cluster import Cluster, cluster
from tests.controllers.world import template, workload
from tests.fakeapi import run_in_virtual_time


def ready_replicas(found: Cluster, resource: str = "deployments.apps", name: str = "web") -> int:
    obj = found.one(resource, f"default/{name}") or {}
    return int((obj.get("status") or {}).get("readyReplicas") or 0)


async def _can_be_used(found: Cluster, nodes: int) -> None:
    """Pods come to all nodes alike if all are there when the first is placed."""
    await found.until(lambda: [node["spec"].get("taints") for node in found.all("nodes", "")] == [None] * nodes)


def test_a_deployment_runs_and_stands_behind_its_service(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await found.add_node("node-1", "10.0.0.1")
            await found.add_node("node-2", "10.0.0.2")
            await _can_be_used(found, 2)
            service = {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
            }
            await found.client.create("services", service)
            await found.client.create("deployments.apps", workload("Deployment", replicas=4))
            await found.until(lambda: ready_replicas(found) == 4)

            def addresses() -> list[str]:
                slices = found.all("endpointslices.discovery.k8s.io")
                ours = [item for item in slices if meta.labels(item).get("kubernetes.io/service-name") == "web"]
                return [e["addresses"][0] for item in ours for e in item.get("endpoints") or () if e["conditions"]["ready"]]

            await found.until(lambda: len(addresses()) == 4)
            pod_ips = {pod["status"]["podIP"] for pod in found.all("pods")}
            assert set(addresses()) == pod_ips
            await found.until(lambda: len(_legacy(found)) == 4)
            nodes = [pod["spec"]["nodeName"] for pod in found.all("pods")]
            assert sorted(nodes) == ["node-1", "node-1", "node-2", "node-2"]
            cidrs = {node["spec"]["podCIDR"] for node in found.informers.get("nodes").list()}
            assert cidrs == {"10.244.0.0/24", "10.244.1.0/24"}
            dns = await found.until(lambda: found.one("endpointslices.discovery.k8s.io", "kube-system/kube-dns-0"))
            assert [e["nodeName"] for e in dns["endpoints"]] == ["node-1", "node-2"]

    run_in_virtual_time(main)


def _legacy(found: Cluster) -> list[Object]:
    endpoints = found.one("endpoints", "default/web") or {}
    return [address for subset in endpoints.get("subsets") or () for address in subset.get("addresses") or ()]


def test_a_namespace_is_emptied_and_let_go(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await found.add_node("node-1", "10.0.0.1")
            await found.client.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gone"}})
            await found.until(lambda: found.one("serviceaccounts", "gone/default"))
            deployment = meta.set_path(workload("Deployment"), "gone", "metadata", "namespace")
            await found.client.create("deployments.apps", deployment)
            await found.until(lambda: len(found.all("pods", "gone")) == 3)
            await found.client.delete("namespaces", "gone")
            await found.until(lambda: found.one("namespaces", "gone") is None)
            assert not found.all("pods", "gone")
            assert not found.all("replicasets.apps", "gone")
            assert (await found.client.list("configmaps", "gone"))["items"] == []

    run_in_virtual_time(main)


def test_a_rollout_never_has_fewer_ready_pods_than_allowed(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await found.add_node("node-1", "10.0.0.1")
            await found.client.create("deployments.apps", workload("Deployment", replicas=4))
            await found.until(lambda: ready_replicas(found) == 4)
            lowest = 4

            def watch(old: Object | None, new: Object | None) -> None:
                nonlocal lowest
                ready = [p for p in found.all("pods") if meta.is_condition_true(p, "Ready") and not meta.being_deleted(p)]
                lowest = min(lowest, len(ready))

            found.informers.get("pods").add_handler(watch)
            await found.client.patch("deployments.apps", "web", {"spec": {"template": template("nginx:2")}}, "default")

            def done() -> bool:
                status = (found.one("deployments.apps", "default/web") or {}).get("status") or {}
                return status.get("updatedReplicas") == 4 == status.get("replicas") == status.get("availableReplicas")

            await found.until(done)
            assert lowest >= 3

    run_in_virtual_time(main)


async def _three_pods(found: Cluster) -> None:
    await found.add_node("node-1", "10.0.0.1")
    await found.client.create("deployments.apps", workload("Deployment"))
    await found.until(lambda: ready_replicas(found) == 3)


def test_deleting_a_deployment_takes_its_pods_along(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await _three_pods(found)
            await found.client.delete("deployments.apps", "web", "default")
            await found.until(lambda: not found.all("replicasets.apps") and not found.all("pods"))

    run_in_virtual_time(main)


def test_foreground_deletion_removes_the_owner_last(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await _three_pods(found)
            order: list[str] = []
            for resource in ("deployments.apps", "replicasets.apps", "pods"):
                found.informers.get(resource).add_handler(
                    lambda old, new, r=resource: order.append(r) if new is None else None  # type: ignore[misc]
                )
            await found.client.delete("deployments.apps", "web", "default", propagation_policy="Foreground")
            await found.until(lambda: found.one("deployments.apps", "default/web") is None)
            await found.until(lambda: len(order) == 5)
            assert order == ["pods", "pods", "pods", "replicasets.apps", "deployments.apps"]

    run_in_virtual_time(main)


def test_orphaned_dependants_stay(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await _three_pods(found)
            await found.client.delete("deployments.apps", "web", "default", propagation_policy="Orphan")
            await found.until(lambda: found.one("deployments.apps", "default/web") is None)
            (replicaset,) = found.all("replicasets.apps")
            assert meta.controller_of(replicaset) is None
            assert len(found.all("pods")) == 3

    run_in_virtual_time(main)


def test_a_silent_node_becomes_unknown_and_its_pods_leave_the_service(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path, node_monitor_grace_seconds=1.0) as found:
            await found.add_node("node-1", "10.0.0.1")
            await found.add_node("node-2", "10.0.0.2")
            found.tasks.start(_renew(found, "node-2"), name="renew")
            service = {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
            }
            await found.client.create("services", service)
            await _can_be_used(found, 2)
            await found.client.create("deployments.apps", workload("Deployment", replicas=4))
            await found.until(lambda: ready_replicas(found) == 4)
            found.silent.add("node-1")

            def node_1() -> Object:
                return found.one("nodes", "node-1") or {}

            def taints() -> set[tuple[str, str]]:
                return {(taint["key"], taint["effect"]) for taint in node_1()["spec"].get("taints") or ()}

            key = "node.kubernetes.io/unreachable"
            await found.until(lambda: taints() == {(key, "NoSchedule"), (key, "NoExecute")})
            condition = meta.condition(node_1(), "Ready") or {}
            assert (condition["status"], condition["reason"]) == ("Unknown", "NodeStatusUnknown")
            assert condition["message"] == "Kubelet stopped posting node status."
            await found.until(lambda: len(_legacy(found)) == 2)
            assert not meta.is_condition_true(found.one("nodes", "node-1") or {}, "Ready")
            # It comes back: its kubelet renews the lease and says that it is ready.
            ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": clock.timestamp()}
            found.tasks.start(_renew(found, "node-1"), name="renew")
            await found.client.patch(
                "nodes", "node-1", {"status": {"conditions": [ready]}}, patch_type="strategic", subresource="status"
            )
            await found.until(lambda: not taints())

    run_in_virtual_time(main)


def test_a_dead_node_is_given_up_when_another_is_fine_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path, node_monitor_grace_seconds=0.5) as found:
            # Both nodes fall silent, so nobody is evicted.
            await found.add_node("node-1", "10.0.0.1")
            await found.add_node("node-2", "10.0.0.2")

            def effects(name: str) -> set[str]:
                node = found.one("nodes", name)
                assert node is not None
                return {taint["effect"] for taint in node["spec"].get("taints") or ()}

            await found.until(lambda: effects("node-1") == effects("node-2") == {"NoSchedule"})
            found.tasks.start(_renew(found, "node-2"), name="renew")
            ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": clock.timestamp()}
            await found.client.patch(
                "nodes", "node-2", {"status": {"conditions": [ready]}}, patch_type="strategic", subresource="status"
            )
            await found.until(lambda: "NoExecute" in effects("node-1"))

    run_in_virtual_time(main)


async def _renew(found: Cluster, node: str) -> None:
    while True:
        spec = {"renewTime": clock.micro_timestamp()}
        await found.client.patch("leases.coordination.k8s.io", node, {"spec": spec}, "kube-node-lease")
        await clock.sleep(0.2)


def test_pods_that_do_not_tolerate_a_taint_are_evicted_at_once_others_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await _three_pods(found)
            taint = {"key": "broken", "effect": "NoExecute"}
            await found.client.patch("nodes", "node-1", {"spec": {"taints": [taint]}})
            await found.until(lambda: all(not pod["spec"].get("nodeName") for pod in found.all("pods")))
            await found.client.patch("nodes", "node-1", {"spec": {"taints": None}})
            await found.until(lambda: ready_replicas(found) == 3)

    run_in_virtual_time(main)


def test_pods_of_a_deleted_node_are_removed_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podgc, "QUARANTINE_SECONDS", 0.2)

    async def main() -> None:
        async with cluster(tmp_path) as found:
            await _three_pods(found)
            await found.add_node("node-2", "10.0.0.2")
            found.silent.add("node-1")
            await found.client.delete("nodes", "node-1")
            await found.until(
                lambda: (
                    [pod["spec"].get("nodeName") for pod in found.all("pods")] == ["node-2"] * 3 and ready_replicas(found) == 3
                )
            )

    run_in_virtual_time(main)
