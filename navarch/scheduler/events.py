"""Changes of the cluster that may let a waiting pod be scheduled, and what a plugin makes of them (KEP-4247).

A plugin registers for events, each with a hint: a cheap pure function that is told of the change and says whether pods which
the plugin rejected might fit now. Pods of equal template get one answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import TYPE_CHECKING

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object

if TYPE_CHECKING:
    from navarch.scheduler.podinfo import PodInfo

ASSIGNED_POD = "AssignedPod"
"""A pod that is on a node."""
POD = "Pod"
"""The waiting pod itself."""
NODE = "Node"
NAMESPACE = "Namespace"
# Plugins about storage and devices name resources as the API does: "persistentvolumeclaims", "storageclasses.storage.k8s.io" …


class Action(Flag):
    """What happened to an object; several may hold of one change."""

    ADD = auto()
    DELETE = auto()
    NODE_ALLOCATABLE = auto()
    NODE_LABEL = auto()
    NODE_TAINT = auto()
    """Also `unschedulable`, which stands for one."""
    NODE_FEATURES = auto()
    """What the node declares in `status.declaredFeatures`."""
    LABEL = auto()
    POD_SCALE_DOWN = auto()
    POD_TOLERATION = auto()
    POD_GATES = auto()
    """Scheduling gates have gone."""
    POD_CLAIMS = auto()
    """Names of generated resource claims have been written into the status."""
    UPDATE = auto()
    """Any other change."""


ANY = ~Action(0)
UPDATES = ANY & ~Action.ADD & ~Action.DELETE


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """A kind of change: any of `actions` to an object of `resource`."""

    resource: str
    actions: Action


class Hint(Enum):
    QUEUE = "Queue"
    SKIP = "QueueSkip"


HintFunction = Callable[["PodInfo", Object | None, Object | None], Hint]
"""(waiting pod, the changed object before, and after). None: there was, or is, none."""


@dataclass(frozen=True, slots=True)
class EventHint:
    """An event a plugin registers for. Without a hint every such event may help."""

    event: ClusterEvent
    hint: HintFunction | None = None


def on(resource: str, actions: Action, hint: HintFunction | None = None) -> EventHint:
    return EventHint(ClusterEvent(resource, actions), hint)


def node_actions(old: Object, new: Object) -> Action:
    """How a node changed, as far as pods could care."""
    found = Action(0)
    before, after = old.get("spec") or meta.EMPTY, new.get("spec") or meta.EMPTY
    was, now = old.get("status") or meta.EMPTY, new.get("status") or meta.EMPTY
    if was.get("allocatable") != now.get("allocatable"):
        found |= Action.NODE_ALLOCATABLE
    if meta.labels(old) != meta.labels(new):
        found |= Action.NODE_LABEL
    if before.get("taints") != after.get("taints") or before.get("unschedulable") != after.get("unschedulable"):
        found |= Action.NODE_TAINT
    if was.get("declaredFeatures") != now.get("declaredFeatures"):
        found |= Action.NODE_FEATURES
    return found


def has_same_spec(old: Object, new: Object) -> bool:
    """Of two versions of a pod. Every change of a spec counts up the generation, save where the pod is."""
    before, after = old["spec"], new["spec"]
    generation = old["metadata"].get("generation")
    if generation is not None and generation == new["metadata"].get("generation"):
        return bool(before.get("nodeName") == after.get("nodeName"))
    return bool(before == after)


def pod_actions(old: Object, new: Object) -> Action:
    """How a pod changed, as far as it or others could care."""
    found = Action(0)
    before, after = old["spec"], new["spec"]
    if meta.labels(old) != meta.labels(new):
        found |= Action.LABEL
    if not has_same_spec(old, new):
        if before.get("tolerations") != after.get("tolerations"):
            found |= Action.POD_TOLERATION
        if before.get("schedulingGates") and not after.get("schedulingGates"):
            found |= Action.POD_GATES
        if _asks(before) != _asks(after):
            found |= Action.POD_SCALE_DOWN
        if not found:
            found |= Action.UPDATE
    if _status(old, "resourceClaimStatuses") != _status(new, "resourceClaimStatuses"):
        found |= Action.POD_CLAIMS
    if _status(old, "containerStatuses") != _status(new, "containerStatuses"):
        found |= Action.POD_SCALE_DOWN
    return found


def _asks(spec: Object) -> list[object]:
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return [container.get("resources") for container in containers] + [spec.get("resources")]


def _status(pod: Object, field: str) -> list[object]:
    found = (pod.get("status") or meta.EMPTY).get(field) or ()
    if field == "containerStatuses":
        return [(item.get("resources"), item.get("allocatedResources")) for item in found]
    return list(found)
