"""Volumes, devices and explanations against the real API: what the scheduler writes is what the API takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from navarch.apimachinery import meta
from navarch.client.client import Client
from navarch.scheduler.engine import Engine
from navarch.simulation.cluster import Parts, SimulatedCluster
from tests.scheduler.storage import claim, csi_node, storage_class, using, volume
from tests.scheduler.test_dynamicresources import claim as device_claim
from tests.scheduler.test_dynamicresources import device, device_class, resource_slice
from tests.scheduler.test_scheduler import node, pod
from tests.scheduler.test_volumebinding import clean


def test_the_api_takes_what_the_scheduler_writes() -> None:
    async def main() -> None:
        cluster = SimulatedCluster(Parts(nodes=0, controllers=False, scheduler=True))
        await cluster.start()
        try:
            client = cluster.client
            for name in ("node-1", "node-2"):
                await client.create("nodes", node(name))
            await volumes(client)
            await devices(client)
            await explanations(cluster)
        finally:
            await cluster.stop()

    asyncio.run(main())


async def until(question: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(20):
        while not (answer := await question()):
            await asyncio.sleep(0.01)
    return answer


async def put_pod(client: Client, name: str, **spec: Any) -> None:
    await client.create("pods", {**pod(name, **spec), "status": {}}, "default")


async def node_of(client: Client, name: str) -> str:
    return str((await client.get("pods", name, "default"))["spec"].get("nodeName", ""))


async def volumes(client: Client) -> None:
    await client.create("storageclasses.storage.k8s.io", storage_class())
    await client.create("csinodes.storage.k8s.io", csi_node("node-1", 3))
    local = {"path": "/data"}
    await client.create("persistentvolumes", clean(volume("v", on=("node-2",), local=local)))
    made = await client.create("persistentvolumes", clean(volume("elsewhere", on=("node-9",), local=local)))
    for name in ("elsewhere", "v"):
        made = await client.get("persistentvolumes", name)
        await client.update("persistentvolumes", {**made, "status": {"phase": "Available"}}, subresource="status")
    await client.create("persistentvolumeclaims", clean(claim("c")), "default")
    await put_pod(client, "stored", volumes=using("c"))

    async def reserved() -> Any:
        return (await client.get("persistentvolumes", "v"))["spec"].get("claimRef")

    assert (await until(reserved))["name"] == "c"
    present = await client.get("persistentvolumeclaims", "c", "default")
    bound = meta.set_path(present, "yes", "metadata", "annotations", "pv.kubernetes.io/bind-completed")
    await client.update("persistentvolumeclaims", meta.set_path(bound, "v", "spec", "volumeName"))
    assert await until(lambda: node_of(client, "stored")) == "node-2"


async def devices(client: Client) -> None:
    await client.create("deviceclasses.resource.k8s.io", device_class())
    await client.create("resourceslices.resource.k8s.io", resource_slice("node-1", device("d0")))
    await client.create("resourceclaims.resource.k8s.io", device_claim("gpu"), "default")
    await put_pod(client, "computing", resourceClaims=[{"name": "gpu", "resourceClaimName": "gpu"}])
    assert await until(lambda: node_of(client, "computing")) == "node-1"
    status = (await client.get("resourceclaims.resource.k8s.io", "gpu", "default"))["status"]
    assert [result["device"] for result in status["allocation"]["devices"]["results"]] == ["d0"]
    assert [consumer["name"] for consumer in status["reservedFor"]] == ["computing"]


async def explanations(cluster: SimulatedCluster) -> None:
    await put_pod(cluster.client, "large", cpu="3")
    explainer = cluster.server.pipeline.explain.explainer
    assert explainer is not None
    found = explainer("default", "large")
    assert found["message"].startswith("0/2 nodes are available: 2 Insufficient cpu.")
    assert found["fitsEmptyNodes"] == {"count": 0, "of": 2}
    # Both have 2; on one there is a pod with 100m, on the other too.
    assert [change["change"] for change in found["changes"]] == ["node-1 would fit with 1100m more cpu"]
    with pytest.raises(LookupError):
        explainer("default", "nobody")


def test_a_pod_that_is_labelled_with_its_zone_as_it_is_bound_is_counted_but_once() -> None:
    async def main() -> None:
        cluster = SimulatedCluster(Parts(nodes=0, controllers=False, scheduler=False))
        await cluster.start()
        engine = Engine(cluster.client, cluster.informers)
        try:
            await engine.start()
            placed, zone = node(), {"topology.kubernetes.io/zone": "a"}
            placed["metadata"]["labels"] |= zone
            await cluster.client.create("nodes", placed)
            await put_pod(cluster.client, "web", labels={"app": "web"})

            async def seen_bound() -> Any:
                pod = await cluster.client.get("pods", "web", "default")
                found = engine.snapshot.placed(meta.uid(pod))
                return found if found is not None and "nodeName" in found.info.pod["spec"] else None

            found = await until(seen_bound)
            assert found.info.labels == meta.labels(found.info.pod) == {"app": "web", **zone}
            assert [change.sign for change in engine.snapshot.log if change.info is not None] == [1]
        finally:
            await engine.stop()
            await cluster.stop()

    asyncio.run(main())
