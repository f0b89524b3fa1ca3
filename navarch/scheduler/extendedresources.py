"""Extended resources that device classes give (KEP-5004): which class gives which, and what a pod that asks for them claims.

A class gives the resource that it names in ``spec.extendedResourceName``, and always one that is named after it. A node whose
device plugin offers a resource serves it itself; on any other node a claim is made for the pod, which the scheduler allocates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from navarch.api.core.resourcenames import is_extended
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.scheduler.podinfo import PodInfo, container_requests

if TYPE_CHECKING:
    from navarch.client.informer import Informer
    from navarch.scheduler.framework import Handle

CLASSES = "deviceclasses.resource.k8s.io"
IMPLICIT_PREFIX = "deviceclass.resource.kubernetes.io/"
ANNOTATION = "resource.kubernetes.io/extended-resource-claim"
"""On the claim that is made for a pod: "true"."""
UNNAMED = "<extended-resources>"
"""What that claim is called before it is written; no claim can have such a name."""


def names_of(device_class: Object) -> tuple[str, ...]:
    """The resources that a class gives."""
    implicit, explicit = IMPLICIT_PREFIX + meta.name(device_class), device_class["spec"].get("extendedResourceName")
    return (implicit, explicit) if explicit else (implicit,)


class ExtendedResources:
    """Which resources device classes give, kept up to date."""

    def __init__(self, classes: Informer, changed: Callable[[], None]) -> None:
        """`changed` is called when a resource is another class's than before, or no longer anyone's."""
        self._given: dict[str, str] = {}
        """Resource -> class."""
        self._candidates: dict[str, dict[str, Object]] = {}
        """Resource -> the classes that name it, by name."""
        self._tell = changed
        classes.add_handler(self._class_changed)

    def __contains__(self, resource: str) -> bool:
        return resource in self._given

    def __getitem__(self, resource: str) -> str:
        """The class that gives a resource."""
        return self._given[resource]

    def asked(self, pod: PodInfo) -> tuple[str, ...]:
        """Those of the pod's resources that classes give."""
        return tuple(sorted(name for name, amount in pod.requests.items() if amount and name in self._given))

    def others(self, pod: PodInfo) -> tuple[str, ...]:
        """Those that nobody but a node's device plugin could give."""
        return tuple(
            name
            for name, amount in pod.requests.items()
            if amount and name not in self._given and (is_extended(name) or name.startswith(IMPLICIT_PREFIX))
        )

    def _class_changed(self, old: Object | None, new: Object | None) -> None:
        touched = set()
        if old is not None:
            for resource in names_of(old):
                del self._candidates[resource][meta.name(old)]
                touched.add(resource)
        if new is not None:
            for resource in names_of(new):
                self._candidates.setdefault(resource, {})[meta.name(new)] = new
                touched.add(resource)
        before = [self._given.get(resource) for resource in touched]
        for resource in touched:
            self._choose(resource)
        if before != [self._given.get(resource) for resource in touched]:
            self._tell()

    def _choose(self, resource: str) -> None:
        """Of several classes that name one resource the newest gives it; of those of one moment the first by name."""
        candidates = self._candidates[resource]
        if candidates:
            by_name = sorted(candidates.values(), key=meta.name)
            newest = max(by_name, key=lambda found: str(found["metadata"].get("creationTimestamp") or ""))
            self._given[resource] = meta.name(newest)
        else:
            self._given.pop(resource, None)
            del self._candidates[resource]


def shared(handle: Handle) -> ExtendedResources:
    """Those of a scheduler, for all its plugins. When they change, nothing that was concluded about pods is relied on."""
    if handle.shared.extended_resources is None:
        handle.shared.extended_resources = ExtendedResources(handle.informers.get(CLASSES), handle.snapshot.forget)
    return handle.shared.extended_resources


# What a pod claims.


def requests_and_mappings(
    spec: Object, resources: Iterable[str], class_of: Callable[[str], str]
) -> tuple[list[Object], list[Object]]:
    """The requests of a pod's claim on devices for `resources`, and which of them serve which container's resource.

    Each container that stays (sidecars, too) has requests of its own. Those that only prepare the pod come one after the other,
    before containers that stand behind them in the pod: they use these containers' devices, and what they lack beyond
    that one request gives, as large as the largest lack.
    """
    early = spec.get("initContainers") or []
    containers = [*early, *(spec.get("containers") or ())]
    stays = [number >= len(early) or found.get("restartPolicy") == "Always" for number, found in enumerate(containers)]
    requests: list[Object] = []
    mappings: list[Object] = []
    for resource in sorted(resources):
        asked = [container_requests(found).get(resource, 0) for found in containers]
        kept: dict[int, Object] = {}
        for number, container in enumerate(containers):
            if stays[number] and asked[number]:
                kept[number] = _request(number, container, resource, class_of(resource), asked[number])
                mappings.append(_mapping(container, resource, kept[number]["name"]))
        largest: Object | None = None
        passing: list[tuple[Object, str]] = []
        for number, container in enumerate(containers):
            if stays[number]:
                continue
            lack = asked[number]
            for later in sorted(kept):
                if later > number and lack > 0:
                    passing.append((container, kept[later]["name"]))
                    lack -= kept[later]["exactly"]["count"]
            if lack > 0:
                passing.append((container, ""))
                if largest is None or lack > largest["exactly"]["count"]:
                    largest = _request(number, container, resource, class_of(resource), lack)
        if largest is not None:
            requests.append(largest)
        for container, name in passing:
            mappings.append(_mapping(container, resource, name or (largest or {})["name"]))
        requests += kept.values()
    return sorted(requests, key=lambda request: str(request["name"])), mappings


def _request(number: int, container: Object, resource: str, device_class: str, count: int) -> Object:
    """`number`: of the container, those that prepare the pod first."""
    place = sorted(container["resources"]["requests"]).index(resource)
    exactly = {"deviceClassName": device_class, "allocationMode": "ExactCount", "count": count}
    return {"name": f"container-{number}-request-{place}", "exactly": exactly}


def _mapping(container: Object, resource: str, request: str) -> Object:
    return {"containerName": container["name"], "resourceName": resource, "requestName": request}


def claim_for(pod: PodInfo, requests: Sequence[Object], uid: str) -> Object:
    """A pod's claim as it is before it is written; `uid` is one for the meantime."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid, "controller": True}
    metadata = {
        "name": UNNAMED,
        "namespace": pod.namespace,
        "uid": uid,
        "generateName": f"{pod.name}-extended-resources-",
        "annotations": {ANNOTATION: "true"},
        "ownerReferences": [owner],
    }
    return {"metadata": metadata, "spec": {"devices": {"requests": list(requests)}}}


def is_written(claim: Object) -> bool:
    return meta.name(claim) != UNNAMED


def owners(claim: Object) -> list[str]:
    """Index of such claims by the uid of their pod."""
    owner = meta.controller_of(claim)
    return [owner["uid"]] if owner is not None and meta.annotations(claim).get(ANNOTATION) == "true" else []
