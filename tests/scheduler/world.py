"""Nodes and pods for tests of the scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from random import Random
from typing import Any

from navarch.api import registry
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.client.informer import Handler, Indexer
from navarch.scheduler.cycle import Decision, schedule
from navarch.scheduler.framework import Handle
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.profiles import Profile, build
from navarch.scheduler.runtime import Framework
from navarch.scheduler.snapshot import Snapshot
from navarch.scheduler.vectors import Templates

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


def framework(found: Snapshot, profile: Profile | None = None, *objects: Object, random: int = 1) -> Framework:
    """The plugins of a profile over a snapshot; `objects` are what informers know."""
    informers = Objects(objects)
    chance = Random(random)
    handle = Handle(Nobody(), informers, found, Nobody(), lambda: chance, lambda: 0.0)  # type: ignore[arg-type]
    return build(profile or Profile(), handle)


class Nobody:
    """Stands for the API where nothing is to be written."""


class Objects:
    """Informers that know a few objects."""

    def __init__(self, objects: Sequence[Object]) -> None:
        self._objects = objects

    def get(self, resource: str, **indexers: Indexer) -> Known:
        kind = registry.resource(resource).kind
        return Known([obj for obj in self._objects if obj["kind"] == kind])


class Known:
    """One of them."""

    def __init__(self, objects: Sequence[Object]) -> None:
        self._objects = list(objects)

    def add_handler(self, handler: Handler) -> None:
        for obj in self._objects:
            handler(None, obj)

    def get(self, key: str) -> Object | None:
        return next((obj for obj in self._objects if meta.key(obj) == key), None)

    def list(self, namespace: str = "") -> list[Object]:
        return [obj for obj in self._objects if namespace in ("", meta.namespace(obj))]


def service(labels: Object, name: str = "s", namespace: str = "default") -> Object:
    return {"kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": {"selector": labels}}


def decide(found: Snapshot, item: Object, *objects: Object, profile: Profile | None = None) -> Decision:
    return schedule(framework(found, profile, *objects), Templates(found), PodInfo(item), Random(1))


def feasible(found: Snapshot, item: Object, *objects: Object, profile: Profile | None = None) -> set[str]:
    fit = decide(found, item, *objects, profile=profile).fit
    return {name for name, row in found.rows.items() if fit.feasible[row]}
