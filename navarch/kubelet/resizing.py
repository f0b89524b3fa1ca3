"""Resources of containers that change while they run (KEP-1287).

What a pod asks for is in its spec; what the node has granted it is *allocated*; what the runtime has been told of a running
container is in force (*actual*). A request is granted when the node has room; then containers are brought to it one by one, by
telling the runtime or, where their resize policy says so, by starting them anew. Nothing here is kept: allocated and actual
resources are told in the pod's status, and found there again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from navarch.kubelet.runtime_pod import Container

PENDING = "PodResizePending"
IN_PROGRESS = "PodResizeInProgress"
CONDITIONS = (PENDING, IN_PROGRESS)
_LISTS = ("containers", "initContainers")
_STATUS_LISTS = ("containerStatuses", "initContainerStatuses")
_RESIZED = ("cpu", "memory")


class Resizing:
    """What the containers of one pod have. Remembers; does nothing by itself."""

    def __init__(self, pod: Object) -> None:
        """`pod` as the API has it when the kubelet first sees it."""
        self._allocated: dict[str, Object] = {}
        self._actual: dict[str, Object] = {}
        """By container id."""
        self._pending: Object | None = None
        self._problem = ""
        told = {status["name"]: status for status in _statuses(pod)}
        for container in _resizable(pod):
            status = told.get(container["name"])
            self._allocated[container["name"]] = _told_allocated(container, status)
            if status is not None and status.get("containerID") and status.get("resources") is not None:
                identity = str(status["containerID"]).rpartition("//")[2]
                self._actual[identity] = status["resources"]

    def note(self, running: Iterable[Container]) -> None:
        """Containers that run; those not known yet were started with what was allocated."""
        ids: set[str] = set()
        for container in running:
            ids.add(container.id)
            if container.name in self._allocated:
                self._actual.setdefault(container.id, self._allocated[container.name])
        for gone in self._actual.keys() - ids:
            del self._actual[gone]

    def allocated_pod(self, pod: Object) -> Object:
        """`pod` as if it asked for what it is allocated."""
        changed = False
        spec = dict(pod["spec"])
        for field in _LISTS:
            containers = spec.get(field)
            if containers:
                spec[field] = [self._as_allocated(container) for container in containers]
                changed = changed or spec[field] != containers
        return {**pod, "spec": spec} if changed else pod

    def _as_allocated(self, container: Object) -> Object:
        allocated = self._allocated.get(container["name"])
        if allocated is None or allocated == (container.get("resources") or {}):
            return container
        return {**container, "resources": allocated}

    def is_wanted(self, pod: Object) -> bool:
        """Whether the pod asks for something else than it is allocated."""
        return any(
            not _same(container.get("resources") or {}, self._allocated.get(container["name"])) for container in _resizable(pod)
        )

    def grant(self, pod: Object) -> None:
        """Allocate what the pod asks for."""
        self._allocated = {container["name"]: container.get("resources") or {} for container in _resizable(pod)}
        self._pending = None
        self._problem = ""

    def put_off(self, reason: str, message: str) -> None:
        self._pending = {"type": PENDING, "status": "True", "reason": reason, "message": message}

    @property
    def is_deferred(self) -> bool:
        return self._pending is not None and self._pending["reason"] == "Deferred"

    def behind(self, pod: Object, running: Iterable[Container]) -> list[tuple[Container, Object, Collection[str]]]:
        """(container, its spec, changed resources) of those that have something else than is allocated."""
        specs = {container["name"]: container for container in _resizable(pod)}
        found: list[tuple[Container, Object, Collection[str]]] = []
        for container in running:
            spec = specs.get(container.name)
            if spec is not None and container.id in self._actual:
                changed = changed_resources(self._actual[container.id], self._allocated[container.name])
                if changed:
                    found.append((container, spec, changed))
        return found

    def came_into_force(self, container: Container) -> None:
        self._actual[container.id] = self._allocated[container.name]

    def failed(self, message: str) -> None:
        """Not all could be brought into force; it will be tried again."""
        self._problem = message

    def withdrawn(self) -> None:
        """The pod asks for what it is allocated."""
        self._pending = None

    # What is told.

    def told(self, container_id: str, name: str) -> tuple[Object, Object] | None:
        """(allocated, actual) resources of a running container."""
        allocated = self._allocated.get(name)
        return None if allocated is None else (allocated, self._actual.get(container_id, allocated))

    def conditions(self, pod: Object, running: Iterable[Container]) -> Sequence[Object]:
        found = [] if self._pending is None else [self._pending]
        if self.behind(pod, running):
            problem = {"reason": "Error", "message": self._problem} if self._problem else {}
            found.append({"type": IN_PROGRESS, "status": "True", **problem})
        return found


def _resizable(pod: Object) -> Iterator[Object]:
    for field in _LISTS:
        yield from pod["spec"].get(field) or ()


def _statuses(pod: Object) -> Iterator[Object]:
    for field in _STATUS_LISTS:
        yield from (pod.get("status") or meta.EMPTY).get(field) or ()


def _told_allocated(container: Object, status: Object | None) -> Object:
    """What a container is allocated, as an earlier kubelet told; a new one is allocated what it asks for."""
    wanted: Object = container.get("resources") or {}
    if status is None or status.get("resources") is None:
        return wanted
    told: Object = dict(status["resources"])
    if status.get("allocatedResources"):
        told["requests"] = status["allocatedResources"]
    return wanted if _same(wanted, told) else told


def _same(wanted: Object, allocated: Object | None) -> bool:
    return allocated is not None and not changed_resources(allocated, wanted)


def changed_resources(old: Object, new: Object) -> list[str]:
    """Which of cpu and memory differ, in request or limit."""
    return [
        name
        for name in _RESIZED
        if any(
            not _is_equal((old.get(side) or meta.EMPTY).get(name), (new.get(side) or meta.EMPTY).get(name))
            for side in ("requests", "limits")
        )
    ]


def _is_equal(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or quantity.parse(one) == quantity.parse(other)


def needs_restart(container: Object, changed: Collection[str]) -> bool:
    """Whether the container's policy for what changed is that it starts anew."""
    policies = {policy["resourceName"]: policy["restartPolicy"] for policy in container.get("resizePolicy") or ()}
    return any(policies.get(name) == "RestartContainer" for name in changed)


def memory_limit_bytes(resources: Mapping[str, Any]) -> int:
    """0 where there is none."""
    return quantity.value((resources.get("limits") or meta.EMPTY).get("memory", "0"))


def event_message(begun: str, pod: Object) -> str:
    """``Pod resize started: {"containers":[…],"generation":2}``."""
    shown = [
        {"name": container["name"], "resources": container["resources"]}
        for container in _resizable(pod)
        if container.get("resources")
    ]
    details = {"containers": shown, "generation": pod["metadata"].get("generation", 0)}
    return f"{begun}: {json.dumps(details, separators=(',', ':'))}"
