"""How many pods with volumes or devices a second are created, decided and bound: workloads of Kubernetes' scheduler_perf.

    python bench/scheduler_volumes.py [--only NAME ...] [--scale 0.1]

API server over a store in memory and scheduler are in one process; everything goes through the real pipeline, no network. The
clock runs from the first create that is made for the measured pods (their volumes and claims are among them) until the last
has been seen bound. The baseline, of the same run, is the same number of pods without volumes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import uvloop

from navarch.apimachinery.errors import Object
from navarch.client.client import Client
from navarch.component import garbage
from navarch.simulation.cluster import Parts, SimulatedCluster

CREATES_IN_FLIGHT = 64
WORKLOAD_LIMIT_SECONDS = 600.0
DEVICES_PER_NODE = 10
EXTENDED_RESOURCES = 25
VOLUMES_PER_NODE = 39
SPACE = "sched"
IN_TREE_DRIVER, DRIVER, DEVICE_DRIVER = "ebs.csi.aws.com", "csi.example.com", "gpu.example.com"

Make = Callable[[Client, int], Awaitable[None]]


def pod(number: int, **spec: Any) -> Object:
    requests = {"cpu": "100m", "memory": "500Mi"}
    container = {"name": "pause", "image": "registry.example/pause:3.10", "resources": {"requests": requests}}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}"}, "spec": spec}


async def plain(client: Client, number: int) -> None:
    await client.create("pods", pod(number), SPACE)


def with_volume(source: Callable[[int], Object]) -> Make:
    """A pod with a claim that is bound to a volume already."""

    async def make(client: Client, number: int) -> None:
        name = f"claim-{number}"
        shared = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
        reference = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": SPACE, "name": name}
        spec = {**shared, "capacity": {"storage": "1Gi"}, "claimRef": reference, **source(number)}
        await client.create("persistentvolumes", {"metadata": {"name": f"volume-{number}"}, "spec": spec})
        metadata = {"name": name, "annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
        asked = {**shared, "resources": {"requests": {"storage": "1Gi"}}, "volumeName": f"volume-{number}"}
        await client.create("persistentvolumeclaims", {"metadata": metadata, "spec": asked}, SPACE)
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]
        await client.create("pods", pod(number, volumes=volumes), SPACE)

    return make


async def with_device(client: Client, number: int) -> None:
    """A pod with a claim on one device."""
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu"}}
    claim = {"metadata": {"name": f"claim-{number}"}, "spec": {"devices": {"requests": [request]}}}
    await client.create("resourceclaims.resource.k8s.io", claim, SPACE)
    container = {"resources": {"claims": [{"name": "gpu"}]}}
    made = pod(number, resourceClaims=[{"name": "gpu", "resourceClaimName": f"claim-{number}"}])
    made["spec"]["containers"][0] = {**made["spec"]["containers"][0], **container}
    await client.create("pods", made, SPACE)


async def with_extended_resource(client: Client, number: int) -> None:
    """A pod that asks for one of several extended resources, all of which can be had of the same devices."""
    asked = {f"example.com/gpu-{number % EXTENDED_RESOURCES}": "1"}
    made = pod(number)
    resources = made["spec"]["containers"][0]["resources"]
    made["spec"]["containers"][0]["resources"] = {"requests": {**resources["requests"], **asked}, "limits": asked}
    await client.create("pods", made, SPACE)


@dataclass(frozen=True, slots=True)
class Workload:
    name: str
    threshold: int
    """Pods a second that scheduler_perf itself asks for."""
    make: Make
    nodes: int
    init: int
    measured: int
    driver: str = ""
    migrated: str = ""
    has_devices: bool = False


WORKLOADS = (
    Workload(
        "SchedulingMigratedInTreePVs",
        90,
        with_volume(lambda number: {"awsElasticBlockStore": {"volumeID": f"vol-{number}"}}),
        5000,
        5000,
        1000,
        IN_TREE_DRIVER,
        "kubernetes.io/aws-ebs",
    ),
    Workload(
        "SchedulingCSIPVs",
        48,
        with_volume(lambda number: {"csi": {"driver": DRIVER, "volumeHandle": f"vol-{number}"}}),
        5000,
        5000,
        1000,
        DRIVER,
    ),
    Workload("SchedulingWithResourceClaims", 70, with_device, 500, 2500, 2500, has_devices=True),
    Workload("ExtendedResource_25Classes", 197, with_extended_resource, 500, 2500, 2500, has_devices=True),
)


async def in_flight(calls: Iterator[Callable[[], Awaitable[Any]]], limit: int = CREATES_IN_FLIGHT) -> None:
    async def worker() -> None:
        for call in calls:
            await call()

    await asyncio.gather(*(worker() for _ in range(limit)))


async def add_node(client: Client, workload: Workload, number: int) -> None:
    name = f"node-{number}"
    amounts = {"cpu": "4", "memory": "32Gi", "pods": "110"}
    conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
    status = {"capacity": amounts, "allocatable": amounts, "conditions": conditions}
    node = {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, "spec": {}, "status": status}
    await client.create("nodes", node)
    if workload.driver:
        annotations = {"storage.alpha.kubernetes.io/migrated-plugins": workload.migrated} if workload.migrated else {}
        driver = {"name": workload.driver, "nodeID": name, "allocatable": {"count": VOLUMES_PER_NODE}}
        csi_node = {"metadata": {"name": name, "annotations": annotations}, "spec": {"drivers": [driver]}}
        await client.create("csinodes.storage.k8s.io", csi_node)
    if workload.has_devices:
        pool = {"name": name, "generation": 1, "resourceSliceCount": 1}
        devices = [{"name": f"device-{index}"} for index in range(DEVICES_PER_NODE)]
        spec = {"driver": DEVICE_DRIVER, "pool": pool, "nodeName": name, "devices": devices}
        await client.create("resourceslices.resource.k8s.io", {"metadata": {"name": name}, "spec": spec})


async def measure(workload: Workload, make: Make, scale: float) -> tuple[float, float]:
    """Pods a second, and microseconds of processor time for each."""
    cluster = SimulatedCluster(Parts(nodes=0, controllers=False, scheduler=True))
    await cluster.start()
    client, bound, numbers = cluster.client, set(), count()

    def changed(old: Object | None, new: Object | None) -> None:
        if new is not None and new["spec"].get("nodeName"):
            bound.add(new["metadata"]["uid"])

    async def place(amount: int) -> None:
        wanted = len(bound) + amount
        await in_flight((lambda: make(client, next(numbers))) for _ in range(amount))
        async with asyncio.timeout(WORKLOAD_LIMIT_SECONDS):
            while len(bound) < wanted:
                await asyncio.sleep(0.002)

    try:
        cluster.informers.get("pods").add_handler(changed)
        await client.create("namespaces", {"metadata": {"name": SPACE}})
        selector = {"cel": {"expression": f"device.driver == '{DEVICE_DRIVER}'"}}
        await client.create("deviceclasses.resource.k8s.io", {"metadata": {"name": "gpu"}, "spec": {"selectors": [selector]}})
        for number in range(EXTENDED_RESOURCES):
            spec = {"selectors": [selector], "extendedResourceName": f"example.com/gpu-{number}"}
            await client.create("deviceclasses.resource.k8s.io", {"metadata": {"name": f"gpu-{number}"}, "spec": spec})
        nodes = range(max(int(workload.nodes * scale), 1))
        await in_flight((lambda number=number: add_node(client, workload, number)) for number in nodes)  # type: ignore[misc]
        await place(max(int(workload.init * scale), 1))
        garbage.settle()  # As a server does.
        amount = max(int(workload.measured * scale), 1)
        began, used = time.perf_counter(), time.process_time()
        await place(amount)
        return amount / (time.perf_counter() - began), (time.process_time() - used) / amount * 1e6
    finally:
        gc.unfreeze()
        await cluster.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--scale", type=float, default=1.0, help="of nodes and pods")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    for workload in WORKLOADS:
        if asked.only and workload.name not in asked.only:
            continue
        per_second, cost_us = uvloop.run(measure(workload, workload.make, asked.scale))
        baseline, plain_us = uvloop.run(measure(workload, plain, asked.scale))
        found[workload.name] = {
            "pods_per_second": round(per_second),
            "baseline_plain_pods_per_second": round(baseline),
            "cpu_us_per_pod": round(cost_us),
            "baseline_plain_cpu_us_per_pod": round(plain_us),
            "threshold": workload.threshold,
            "times_threshold": round(per_second / workload.threshold, 1),
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
