"""Whether a node takes a pod that was given to it: what the scheduler cannot know or was not asked. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from navarch.apimachinery import quantity
from navarch.apimachinery.errors import Object
from navarch.kubelet import resources

REJECTED = "Pod was rejected: "


@dataclass(frozen=True, slots=True)
class Refusal:
    """The pod fails with this reason and message."""

    reason: str
    message: str


def forbidden(sysctls: Sequence[str]) -> Refusal | None:
    """`sysctls` are those of the pod that the node does not allow."""
    if sysctls:
        return Refusal("SysctlForbidden", f'forbidden sysctl: "{sysctls[0]}" not allowlisted')
    return None


def fits(pod: Object, others: Iterable[Object], allocatable: Mapping[str, str]) -> Refusal | None:
    """Whether the node has room beside `others`, the active pods it has already."""
    active = list(others)
    capacity = int(allocatable.get("pods", "110"))
    if len(active) + 1 > capacity:
        return _lacking("pods", 1, len(active), capacity)
    for name, scale in (("cpu", 1000), ("memory", 1)):
        if name not in allocatable:
            continue
        wanted = resources.pod_request(pod, name)
        used = sum(resources.pod_request(other, name) for other in active)
        total = quantity.milli(allocatable[name]) if scale == 1000 else quantity.value(allocatable[name])
        if wanted and used + wanted > total:
            return _lacking(name, wanted, used, total)
    return None


def _lacking(resource: str, wanted: int, used: int, capacity: int) -> Refusal:
    lacking = f"{resource}, requested: {wanted}, used: {used}, capacity: {capacity}"
    return Refusal(f"OutOf{resource}", f"{REJECTED}Node didn't have enough resource: {lacking}")
