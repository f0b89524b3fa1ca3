"""What controllers have to say about pods: which count, which are ready, how they are made, which goes first. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_ORDER = {"Pending": 0, "Unknown": 1, "Running": 2}


def phase(pod: Object) -> str:
    return str((pod.get("status") or meta.EMPTY).get("phase") or "")


def is_finished(pod: Object) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Neither finished nor being deleted."""
    # Every workload asks that of each of its pods, again and again.
    if "deletionTimestamp" in pod["metadata"]:
        return False
    status = pod.get("status")
    return not status or status.get("phase") not in ("Succeeded", "Failed")


def is_ready(pod: Object) -> bool:
    return meta.is_condition_true(pod, "Ready")


def ready_since(pod: Object) -> datetime | None:
    condition = meta.condition(pod, "Ready")
    if condition is None or condition.get("status") != "True" or not condition.get("lastTransitionTime"):
        return None
    return meta.parse_time(condition["lastTransitionTime"])


def seconds_until_available(pod: Object, min_ready_seconds: float, now: datetime) -> float | None:
    """0 if the pod is available; how long until it will be, if it stays ready; None if it is not ready."""
    if not is_ready(pod):
        return None
    if not min_ready_seconds:
        return 0.0
    since = ready_since(pod)
    return None if since is None else max(0.0, min_ready_seconds - (now - since).total_seconds())


def is_available(pod: Object, min_ready_seconds: float, now: datetime) -> bool:
    return seconds_until_available(pod, min_ready_seconds, now) == 0


def earliest(*seconds: float | None) -> float | None:
    """The smallest of those that are not None."""
    return min((item for item in seconds if item is not None), default=None)


def next_availability(pods: Iterable[Object], min_ready_seconds: float, now: datetime) -> float | None:
    """In how many seconds the next ready pod becomes available; None if there is none to wait for."""
    if not min_ready_seconds:
        return None
    waits = [seconds_until_available(pod, min_ready_seconds, now) for pod in pods]
    return min((wait for wait in waits if wait), default=None)


def restarts(pod: Object) -> tuple[int, int]:
    """How often a container has restarted at most: (one of the pod's own, a sidecar)."""
    status = pod.get("status") or meta.EMPTY
    sidecars = {item["name"] for item in pod["spec"].get("initContainers") or () if item.get("restartPolicy") == "Always"}
    own = (item.get("restartCount", 0) for item in status.get("containerStatuses") or ())
    beside = (item.get("restartCount", 0) for item in status.get("initContainerStatuses") or () if item["name"] in sidecars)
    return max(own, default=0), max(beside, default=0)


def node_name(pod: Object) -> str:
    return str(pod["spec"].get("nodeName") or "")


def created(obj: Object) -> datetime:
    return meta.parse_time(obj["metadata"]["creationTimestamp"])


def deletion_cost(pod: Object) -> int:
    text = meta.annotations(pod).get(DELETION_COST, "0")
    try:
        return int(text)
    except ValueError:
        return 0


def disruption_target(pod: Object, reason: str, message: str, now: datetime) -> Object:
    """The condition by which a pod is told why it has to go."""
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": meta.format_time(now),
    }
    generation = pod["metadata"].get("generation")
    return condition | ({"observedGeneration": generation} if generation else {})


def from_template(template: Object, owner: Object, *, generate_name: str = "", name: str = "") -> Object:
    """A pod to be created, controlled by `owner`."""
    source = template.get("metadata") or meta.EMPTY
    metadata: Object = {"namespace": meta.namespace(owner)}
    if name:
        metadata["name"] = name
    else:
        metadata["generateName"] = generate_name or f"{meta.name(owner)}-"
    for field in ("labels", "annotations", "finalizers"):
        if source.get(field):
            metadata[field] = source[field]
    metadata["ownerReferences"] = [meta.owner_reference(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}


def in_deletion_order(pods: Sequence[Object], related_on_node: Mapping[str, int], now: datetime) -> list[Object]:
    """The pods, those first that should go first when a set is scaled down.

    `related_on_node` counts, per node, the active pods of all sets of the same owner: doubled ones go before single ones. Ages
    are compared by their order of magnitude only, so that pods of all ages are taken (KEP-2185).
    """

    def key(pod: Object) -> tuple[Any, ...]:
        since = ready_since(pod)
        ready_age = (now - since).total_seconds() if since is not None else 0.0
        node = node_name(pod)
        return (
            bool(node),
            _PHASE_ORDER.get(phase(pod), 0),
            is_ready(pod),
            deletion_cost(pod),
            -related_on_node.get(node, 0),
            _magnitude(ready_age),
            *(-number for number in restarts(pod)),
            _magnitude((now - created(pod)).total_seconds()),
            meta.uid(pod),
        )

    return sorted(pods, key=key)


def least_advanced_first(pods: Sequence[Object]) -> list[Object]:
    """The pods, those first that have come the least far, by which Jobs go: costs and nodes are nothing to them."""

    def key(pod: Object) -> tuple[Any, ...]:
        since = ready_since(pod)
        ready = -since.timestamp() if since is not None else -math.inf
        rank = (bool(node_name(pod)), _PHASE_ORDER.get(phase(pod), 0), is_ready(pod))
        return (*rank, ready, *(-number for number in restarts(pod)), -created(pod).timestamp())

    return sorted(pods, key=key)


def _magnitude(age_seconds: float) -> int:
    # In nanoseconds, which is where Kubernetes has the steps between orders of magnitude.
    return math.floor(math.log2(age_seconds * 1e9)) if age_seconds > 0 else -1
