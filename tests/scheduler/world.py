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


def framework(
    found: Snapshot, profile: Profile | None = None, *objects: Object, random: int = 1, informers: Objects | None = None
) -> Framework:
    """The plugins of a profile over a snapshot; `objects` are what informers know, if they are not given."""
    informers = informers or Objects(objects)
    chance = Random(random)
    handle = Handle(Nobody(), informers, found, Nobody(), lambda: chance, lambda: 0.0)  # type: ignore[arg-type]
    return build(profile or Profile(), handle)


class Nobody:
    """Stands for the API where nothing is to be written."""


class Objects:
    """Informers that know a few objects."""

    def __init__(self, objects: Sequence[Object]) -> None:
        self._objects = objects
        self._known: dict[str, Known] = {}

    def get(self, resource: str, **indexers: Indexer) -> Known:
        if resource not in self._known:
            kind = registry.resource(resource).kind
            self._known[resource] = Known([obj for obj in self._objects if obj["kind"] == kind])
        self._known[resource].indexers |= indexers
        return self._known[resource]


class Known:
    """One of them."""

    def __init__(self, objects: Sequence[Object]) -> None:
        self._objects = {meta.key(obj): obj for obj in objects}
        self._handlers: list[Handler] = []
        self.indexers: dict[str, Indexer] = {}

    def change(self, key: str, new: Object | None) -> None:
        """There is another object by that name now, or (None) none."""
        old = self._objects.pop(key, None)
        if new is not None:
            self._objects[key] = new
        for handler in self._handlers:
            handler(old, new)

    def add_handler(self, handler: Handler) -> None:
        self._handlers.append(handler)
        for obj in self._objects.values():
            handler(None, obj)

    def get(self, key: str) -> Object | None:
        return self._objects.get(key)

    def by_index(self, index: str, value: str) -> list[Object]:
        return [obj for obj in self._objects.values() if value in self.indexers[index](obj)]

    def list(self, namespace: str = "") -> list[Object]:
        return [obj for obj in self._objects.values() if namespace in ("", meta.namespace(obj))]


def service(labels: Object, name: str = "s", namespace: str = "default") -> Object:
    return {"kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": {"selector": labels}}


def decide(found: Snapshot, item: Object, *objects: Object, profile: Profile | None = None) -> Decision:
    return schedule(framework(found, profile, *objects), Templates(found), PodInfo(item), Random(1))


def feasible(found: Snapshot, item: Object, *objects: Object, profile: Profile | None = None) -> set[str]:
    fit = decide(found, item, *objects, profile=profile).fit
    return {name for name, row in found.rows.items() if fit.feasible[row]}
