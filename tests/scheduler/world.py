"""Nodes and pods for tests of the scheduler."""

from __future__ import annotations

from itertools import count
from random import Random
from typing import Any

from navarch.apimachinery.errors import Object
from navarch.scheduler.cycle import Decision, schedule
from navarch.scheduler.plugins import default_plugins
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import Snapshot

_numbers = count()


def node(
    name: str, *, cpu: str = "4", memory: str = "8Gi", pods: str = "110", labels: Object | None = None, **more: Any
) -> Object:
    spec = {field: more.pop(field) for field in ("taints", "unschedulable") if field in more}
    status = {"allocatable": {"cpu": cpu, "memory": memory, "pods": pods, **more.pop("extended", {})}, **more}
    found = {"kubernetes.io/hostname": name, **(labels or {})}
    return {"metadata": {"name": name, "labels": found}, "spec": spec, "status": status}


def pod(
    name: str = "", *, cpu: str = "", memory: str = "", labels: Object | None = None, namespace: str = "default", **spec: Any
) -> Object:
    name = name or f"pod-{next(_numbers)}"
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    containers = [{"name": "c", "image": "i", "resources": {"requests": requests}}]
    metadata = {"name": name, "namespace": namespace, "uid": name, "labels": labels or {}}
    return {"metadata": metadata, "spec": {"containers": containers, **spec}}


def snapshot(*nodes: Object, placed: dict[str, list[Object]] | None = None) -> Snapshot:
    found = Snapshot()
    for item in nodes:
        found.set_node(item)
    for name, pods in (placed or {}).items():
        for item in pods:
            found.add_pod(PodInfo(item), name)
    return found


def decide(found: Snapshot, item: Object, **more: Any) -> Decision:
    return schedule(default_plugins(**more), PodInfo(item), found, Random(1))


def feasible(found: Snapshot, item: Object) -> set[str]:
    fit = decide(found, item).fit
    return {name for name, row in found.rows.items() if fit.feasible[row]}
