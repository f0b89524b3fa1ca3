"""Claims, volumes and classes for tests of the scheduler."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object
from navarch.scheduler.cycle import run_filters
from navarch.scheduler.framework import CycleState
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.runtime import pre_filter
from navarch.scheduler.snapshot import Snapshot
from tests.scheduler.world import framework

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


def claim(
    name: str,
    size: str = "1Gi",
    *,
    of_class: str = "slow",
    volume: str = "",
    modes: tuple[str, ...] = ("ReadWriteOnce",),
    **more: Any,
) -> Object:
    """Fully bound, if a volume is named."""
    annotations = {"pv.kubernetes.io/bind-completed": "yes"} if volume else {}
    annotations |= more.pop("annotations", {})
    spec = {"accessModes": list(modes), "resources": {"requests": {"storage": size}}, "storageClassName": of_class}
    if volume:
        spec["volumeName"] = volume
    metadata = {
        "name": name,
        "namespace": "default",
        "uid": f"claim-{name}",
        "resourceVersion": "1",
        "annotations": annotations,
    }
    metadata |= more.pop("metadata", {})
    found = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}
    status = more.pop("status", {"phase": "Bound" if volume else "Pending"})
    return {**found, "spec": {**spec, **more}, "status": status}


def volume(
    name: str,
    size: str = "1Gi",
    *,
    of_class: str = "slow",
    on: tuple[str, ...] | None = None,
    key: str = HOST,
    labels: Object | None = None,
    modes: tuple[str, ...] = ("ReadWriteOnce",),
    phase: str = "Available",
    **more: Any,
) -> Object:
    """`on`: the values of the label `key` that tie it to nodes."""
    spec = {"capacity": {"storage": size}, "accessModes": list(modes), "storageClassName": of_class, **more}
    if on is not None:
        terms = [{"matchExpressions": [{"key": key, "operator": "In", "values": list(on)}]}]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    metadata = {"name": name, "uid": f"volume-{name}", "resourceVersion": "1", "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec, "status": {"phase": phase}}


def storage_class(
    name: str = "slow", *, waits: bool = True, provisioner: str = "kubernetes.io/no-provisioner", **more: Any
) -> Object:
    mode = "WaitForFirstConsumer" if waits else "Immediate"
    found = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}}
    return {**found, "provisioner": provisioner, "volumeBindingMode": mode, **more}


def csi_node(name: str, count: int | None = None, driver: str = "disk.example.com", migrated: str = "") -> Object:
    drivers: list[Object] = [{"name": driver, "nodeID": name}]
    if count is not None:
        drivers[0]["allocatable"] = {"count": count}
    annotations = {"storage.alpha.kubernetes.io/migrated-plugins": migrated} if migrated else {}
    metadata = {"name": name, "annotations": annotations}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": metadata, "spec": {"drivers": drivers}}


def attachment(name: str, node: str, volume_name: str, driver: str = "disk.example.com") -> Object:
    spec = {"attacher": driver, "nodeName": node, "source": {"persistentVolumeName": volume_name}}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": name}, "spec": spec}


def csi(handle: str, driver: str = "disk.example.com") -> Object:
    return {"driver": driver, "volumeHandle": handle}


def using(*claims: str) -> list[Object]:
    """A pod's `volumes`."""
    return [{"name": f"v{number}", "persistentVolumeClaim": {"claimName": name}} for number, name in enumerate(claims)]


def feasible(found: Snapshot, item: Object, *objects: Object) -> set[str]:
    """Nodes that no plugin rejects, each asked about all nodes."""
    plugins, info = framework(found, None, *objects), PodInfo(item)
    filtered = pre_filter(plugins, info, found, CycleState())
    if filtered.rejected is not None:
        return set()
    fit = run_filters(plugins, info, found, filtered)
    return {name for name, row in found.rows.items() if fit.feasible[row]}
