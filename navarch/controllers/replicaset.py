"""Keep as many pods as each ReplicaSet (or ReplicationController) asks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat

from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object
from navarch.apimachinery.selectors import Selector
from navarch.controllers import podcontrol
from navarch.controllers import pods as podrules
from navarch.controllers.controller import Cluster, Controller, is_namespace_terminating

RESOURCE = "replicasets.apps"
BURST_REPLICAS = 500
"""How many pods are created or deleted at most before looking again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one set."""

    missing: int
    """Pods; a negative number if there are too many."""
    create: int
    delete: tuple[Object, ...]
    after_seconds: float | None
    """When a pod becomes available by the passing of time."""


def plan(owner: Object, pods: Sequence[Object], related: Iterable[Object], now: datetime) -> Plan:
    """`pods` are the set's own; `related` those of all sets with the same owner, itself included."""
    spec = owner["spec"]
    active = [pod for pod in pods if podrules.is_active(pod)]
    missing = _wanted(owner) - len(active)
    delete: tuple[Object, ...] = ()
    if missing < 0 and not meta.being_deleted(owner):
        on_node = Counter(podrules.node_name(pod) for pod in related if podrules.is_active(pod))
        delete = tuple(podrules.in_deletion_order(active, on_node, now)[: min(-missing, BURST_REPLICAS)])
    create = min(max(missing, 0), BURST_REPLICAS) if not meta.being_deleted(owner) else 0
    return Plan(missing, create, delete, podrules.next_availability(active, spec.get("minReadySeconds") or 0, now))


def _wanted(owner: Object) -> int:
    return int(owner["spec"].get("replicas", 1))


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many pods of a set are what."""

    active: int
    labelled: int
    """With all labels of the set's template."""
    ready: int
    available: int
    terminating: int


def count(owner: Object, pods: Sequence[Object], now: datetime) -> Replicas:
    """`pods` are the set's own."""
    spec = owner["spec"]
    active = [pod for pod in pods if podrules.is_active(pod)]
    wanted = _template_labels(spec)
    labelled = sum(wanted.items() <= meta.labels(pod).items() for pod in active)
    ready = [pod for pod in active if podrules.is_ready(pod)]
    patience = spec.get("minReadySeconds") or 0
    available = sum(podrules.is_available(pod, patience, now) for pod in ready) if patience else len(ready)
    return Replicas(len(active), labelled, len(ready), available, sum(_is_terminating(pod) for pod in pods))


Facts = tuple[bool, bool, bool, frozenset[tuple[str, str]]]
"""Of a pod: whether it is active, ready, terminating; its labels."""


def facts(pod: Object) -> Facts:
    """What `counted` has to know of a pod."""
    return podrules.is_active(pod), podrules.is_ready(pod), _is_terminating(pod), frozenset(meta.labels(pod).items())


def counted(owner: Object, tally: Mapping[Facts, int], selector: Selector) -> Replicas | None:
    """What `count` would say of pods of which there are so many of each kind; None where it must be asked.

    That is where pods become available by the passing of time, or are none of the set's any more.
    """
    spec = owner["spec"]
    if spec.get("minReadySeconds") or meta.being_deleted(owner):
        return None
    wanted = _template_labels(spec).items()
    active = labelled = ready = terminating = 0
    for (is_active, is_ready, is_terminating, items), number in tally.items():
        labels = dict(items)
        if not selector.matches(labels):
            return None
        terminating += number * is_terminating
        if is_active:
            active += number
            ready += number * is_ready
            labelled += number * (wanted <= labels.items())
    return Replicas(active, labelled, ready, ready, terminating)


def _template_labels(spec: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = ((spec.get("template") or meta.EMPTY).get("metadata") or meta.EMPTY).get("labels") or meta.EMPTY
    return labels


def _is_terminating(pod: Object) -> bool:
    return meta.being_deleted(pod) and not podrules.is_finished(pod)


def status(owner: Object, replicas: Replicas, failure: Exception | None, missing: int, now: datetime) -> Object:
    """The set's status, given how many pods there are and what went wrong when changing their number."""
    before = owner.get("status") or {}
    after: Object = {"replicas": replicas.active}
    counts = {
        "fullyLabeledReplicas": replicas.labelled,
        "readyReplicas": replicas.ready,
        "availableReplicas": replicas.available,
    }
    after |= {field: count for field, count in counts.items() if count}
    if owner["kind"] == "ReplicaSet":
        after["terminatingReplicas"] = replicas.terminating
    after["observedGeneration"] = owner["metadata"].get("generation", 0)
    conditions = before.get("conditions") or []
    failed = meta.find(conditions, "type", "ReplicaFailure")
    if failure is None:
        conditions = [item for item in conditions if item["type"] != "ReplicaFailure"]
    elif failed is None:
        new = {
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": meta.format_time(now),
            "reason": "FailedCreate" if missing > 0 else "FailedDelete",
            "message": str(failure),
        }
        conditions = [*conditions, new]
    if conditions:
        after["conditions"] = conditions
    return after


def selector_of(owner: Object) -> Selector:
    """Which pods a ReplicaSet or ReplicationController selects."""
    selector = owner["spec"].get("selector")
    if owner["kind"] == "ReplicationController":
        return selectors.from_set(selector) if selector else selectors.NOTHING
    return selectors.from_label_selector(selector)


async def reconcile(owner: Object, cluster: Cluster) -> float | None:
    selector = selector_of(owner)
    tally = cluster.tally(owner, "pods", facts)
    replicas = counted(owner, tally, selector) if tally is not None else None
    if replicas is not None and replicas.active == _wanted(owner):
        # As many as there should be: no pod has to be looked at.
        await _tell(owner, replicas, None, 0, cluster)
        return None
    pods = await cluster.claim(owner, "pods", selector)
    todo = plan(owner, pods, _related(owner, pods, cluster), cluster.now())
    failure: Exception | None = None
    if todo.create:
        template = podrules.from_template(owner["spec"].get("template") or {}, owner)
        _, failure = await podcontrol.create(owner, repeat(template), todo.create, cluster)
    elif todo.delete:
        failure = await podcontrol.delete(owner, todo.delete, cluster)
    await _tell(owner, count(owner, pods, cluster.now()), failure, todo.missing, cluster)
    if failure is not None and not is_namespace_terminating(failure):
        raise failure
    return todo.after_seconds


async def _tell(owner: Object, replicas: Replicas, failure: Exception | None, missing: int, cluster: Cluster) -> None:
    after = status(owner, replicas, failure, missing, cluster.now())
    if after != owner.get("status"):
        await cluster.update_status(_resource(owner), {**owner, "status": after})


def _resource(owner: Object) -> str:
    return RESOURCE if owner["kind"] == "ReplicaSet" else "replicationcontrollers"


def _related(owner: Object, pods: Sequence[Object], cluster: Cluster) -> Iterator[Object]:
    """Looked for only by who goes through them: that is when pods are to be deleted."""
    above = meta.controller_of(owner)
    if above is None or owner["kind"] != "ReplicaSet":
        yield from pods
        return
    for other in cluster.informer(RESOURCE).list(meta.namespace(owner)):
        if _has_owner(other, above["uid"]):
            yield from cluster.owned(other, "pods")


def _has_owner(obj: Object, uid: str) -> bool:
    reference = meta.controller_of(obj)
    return reference is not None and reference["uid"] == uid


CONTROLLER = Controller("replicaset-controller", RESOURCE, reconcile, owns=("pods",), selector=selector_of)
