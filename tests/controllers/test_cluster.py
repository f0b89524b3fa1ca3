"""Controllers, scheduler and API server together."""

from __future__ import annotations

import asyncio
from pathlib import Path

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from tests.controllers.cluster import Cluster, cluster
from tests.controllers.world import template, workload


def ready_replicas(found: Cluster, resource: str = "deployments.apps", name: str = "web") -> int:
    obj = found.one(resource, f"default/{name}") or {}
    return int((obj.get("status") or {}).get("readyReplicas") or 0)


def test_a_deployment_runs_and_stands_behind_its_service(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await found.add_node("node-1", "10.0.0.1")
            await found.add_node("node-2", "10.0.0.2")
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

    asyncio.run(main())


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

    asyncio.run(main())


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

    asyncio.run(main())
