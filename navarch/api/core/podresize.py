"""The subresource ``resize`` of pods: how much cpu and memory running containers have (KEP-1287)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from navarch.api.core import containerresources, podannotations, podcontainers, podqos, podupdate
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value

ONLY_COMPUTE = "only cpu and memory resources are mutable"
ONLY_COMPUTE_OF_POD = "only cpu and memory resources are mutable at pod-level"
ONLY_COMPUTE_OF_INIT = "only cpu and memory resources for init or sidecar containers are mutable"
NO_RESTART_OF_INIT = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
_RESIZED = ("resources", "resizePolicy")
_LISTS = ("containers", "initContainers")


def prepare(new: Object, old: Object) -> Object:
    """`old` with the resources of `new`; where containers are not the same ones, they are as sent, so that they are refused."""
    sent = new["spec"] if isinstance(new.get("spec"), dict) else {}
    spec = {**old["spec"]}
    for field in _LISTS:
        before, now = spec.get(field) or [], sent.get(field) or []
        if [container.get("name") for container in before] != [container.get("name") for container in now]:
            spec[field] = [_defaulted(container) for container in now]
        elif before:
            spec[field] = [_resized(container, wanted) for container, wanted in zip(before, now, strict=True)]
    if sent.get("resources") is not None:
        spec["resources"] = _rounded(sent["resources"])
        containerresources.default_pod_level(spec)
    elif "resources" in spec:
        del spec["resources"]
    return {**old, "metadata": podupdate.metadata_of_part(new, old), "spec": spec}


def _defaulted(container: Object) -> Object:
    sent = copy.deepcopy(container)
    podcontainers.default(sent)
    containerresources.default_requests(sent["resources"])
    return sent


def _resized(container: Object, wanted: Object) -> Object:
    resized = {key: value for key, value in container.items() if key not in _RESIZED}
    resized["resources"] = _rounded(wanted.get("resources") or {})
    containerresources.default_requests(resized["resources"])
    if wanted.get("resizePolicy"):
        resized["resizePolicy"] = wanted["resizePolicy"]
    return resized


def _rounded(resources: Object) -> Object:
    copied = copy.deepcopy(resources)
    containerresources.default(copied)
    return copied


def validate(new: Object, old: Object) -> Iterator[FieldError]:
    """What a resize may not change."""
    now, before = new["spec"], old["spec"]
    if podannotations.is_mirror(old["metadata"]):
        yield forbidden_field("", "static pods cannot be resized")
        return
    if (before.get("os") or meta.EMPTY).get("name") == "windows":
        yield forbidden_field("", "windows pods cannot be resized")
        return
    yield from podupdate.validate(new)
    yield from _whole(new, old)
    problems = list(_same_containers(now, before))
    if problems:
        yield from problems
        return
    for field in reversed(_LISTS):
        for index, container in enumerate(now.get(field) or ()):
            where, old_container = f"spec.{field}[{index}]", before[field][index]
            yield from _nothing_removed(container, old_container, f"{where}.resources", "resource")
    for container, old_container in zip(now["containers"], before["containers"], strict=True):
        if _differs(container, old_container):
            yield forbidden_field("spec", ONLY_COMPUTE)
    for index, container in enumerate(now.get("initContainers") or ()):
        yield from _init(container, before["initContainers"][index], f"spec.initContainers[{index}]")


def _whole(new: Object, old: Object) -> Iterator[FieldError]:
    """What is wrong with a resize in view of the pod as a whole."""
    status = old.get("status") or meta.EMPTY
    now, before = new["spec"].get("resources"), old["spec"].get("resources")
    qos = status.get("qosClass") or podqos.class_of(old["spec"])
    if podqos.class_of(new["spec"]) != qos:
        # It is the class of the pod as it was that upstream shows.
        yield invalid_value("spec", qos, "Pod QOS Class may not change as a result of resizing")
    if not _is_supported(old):
        yield forbidden_field("spec", "Pod running on node without support for resize")
    if _is_set(now) or _is_set(before):
        yield from _pod_level(now, before)
    elif (now is None) != (before is None):
        yield forbidden_field("spec", ONLY_COMPUTE)
    if status.get("nodeAllocatableResourceClaimStatuses"):
        yield forbidden_field("spec", "pods with node allocatable resource claims cannot be resized")


def _is_set(resources: Object | None) -> bool:
    return bool(resources and (resources.get("requests") or resources.get("limits")))


def _is_supported(pod: Object) -> bool:
    """Whether the kubelet that runs a pod says how much its containers have; one that does not cannot change it."""
    for container in (pod.get("status") or meta.EMPTY).get("containerStatuses") or ():
        if (container.get("state") or meta.EMPTY).get("running") is not None:
            return container.get("resources") is not None
    return True


def _same_containers(now: Object, before: Object) -> Iterator[FieldError]:
    for field, prefix in (("containers", ""), ("initContainers", "initContainers ")):
        new_list, old_list = now.get(field) or [], before.get(field) or []
        shown = prefix.strip() or "containers"
        if len(new_list) != len(old_list):
            yield forbidden_field(f"spec.{field}", f"{shown} may not be added or removed on resize")
            continue
        for index, container in enumerate(new_list):
            if container.get("name") != old_list[index].get("name"):
                yield forbidden_field(f"spec.{field}[{index}].name", f"{shown} may not be renamed or reordered on resize")


def _pod_level(now: Object | None, before: Object | None) -> Iterator[FieldError]:
    if before is not None:
        if now is None:
            yield forbidden_field("spec.resources", "pod-level resources cannot be removed")
            return
        yield from _sides_kept(now, before, "spec.resources", "pod-level resource")
    now, before = now or {}, before or {}
    if _others(now) != _others(before) or (now.get("claims") or []) != (before.get("claims") or []):
        yield forbidden_field("spec", ONLY_COMPUTE_OF_POD)


def _nothing_removed(container: Object, old_container: Object, path: str, shown: str) -> Iterator[FieldError]:
    yield from _sides_kept(container.get("resources") or meta.EMPTY, old_container.get("resources") or meta.EMPTY, path, shown)


def _sides_kept(now: Mapping[str, Any], before: Mapping[str, Any], path: str, shown: str) -> Iterator[FieldError]:
    for side in ("requests", "limits"):
        if set(before.get(side) or ()) - set(now.get(side) or ()):
            yield forbidden_field(f"{path}.{side}", f"{shown} {side} cannot be removed")


def _others(resources: Mapping[str, Any]) -> Object:
    """The amounts that a resize cannot change."""
    return {
        side: {name: amount for name, amount in (resources.get(side) or meta.EMPTY).items() if name not in podqos.COMPUTE}
        for side in containerresources.SIDES
    }


def _differs(container: Object, old_container: Object) -> bool:
    """Whether more than cpu and memory differs. Claimed devices always do: upstream forgets them of the new one."""
    before = old_container.get("resources") or meta.EMPTY
    others = _others(container.get("resources") or meta.EMPTY), _others(before)
    return bool(before.get("claims")) or {**container, "resources": others[0]} != {**old_container, "resources": others[1]}


def _init(container: Object, old_container: Object, path: str) -> Iterator[FieldError]:
    if _differs(container, old_container):
        yield forbidden_field(path, ONLY_COMPUTE_OF_INIT)
    if container.get("restartPolicy") != "Always" and container != old_container:
        for policy in container.get("resizePolicy") or ():
            if policy.get("restartPolicy") == "RestartContainer":
                yield forbidden_field(path, NO_RESTART_OF_INIT)
