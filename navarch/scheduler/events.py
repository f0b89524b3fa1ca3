"""Changes of the cluster that may let a waiting pod be scheduled."""

from __future__ import annotations

from enum import Enum

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object


class ClusterEvent(Enum):
    """A kind of change."""

    NODE_ADD = "NodeAdd"
    NODE_ALLOCATABLE = "NodeAllocatableChange"
    NODE_LABEL = "NodeLabelChange"
    NODE_TAINT = "NodeTaintChange"
    POD_ADD = "AssignedPodAdd"
    """Also changed labels of a pod on a node."""
    POD_DELETE = "AssignedPodDelete"
    NAMESPACE_LABEL = "NamespaceLabelChange"


def node_events(old: Object, new: Object) -> set[ClusterEvent]:
    """How a node changed, as far as pods could care."""
    found = set()
    before, after = old.get("spec") or meta.EMPTY, new.get("spec") or meta.EMPTY
    if (old.get("status") or meta.EMPTY).get("allocatable") != (new.get("status") or meta.EMPTY).get("allocatable"):
        found.add(ClusterEvent.NODE_ALLOCATABLE)
    if meta.labels(old) != meta.labels(new):
        found.add(ClusterEvent.NODE_LABEL)
    if before.get("taints") != after.get("taints") or before.get("unschedulable") != after.get("unschedulable"):
        found.add(ClusterEvent.NODE_TAINT)
    return found
