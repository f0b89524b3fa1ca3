"""One pod of each DaemonSet on every node that qualifies.

Pods are bound by the scheduler like all others: each is made for one node, by an affinity for that node's name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from navarch.api.apps.daemonset import TEMPLATE_GENERATION
from navarch.api.core import nodeselector
from navarch.api.core.nodeselector import NAME_FIELD
from navarch.apimachinery import intstr, meta, selectors
from navarch.apimachinery.errors import Object, StatusError
from navarch.apimachinery.selectors import Selector
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.controllers import history
from navarch.controllers import pods as podrules
from navarch.controllers.controller import Cluster, Controller, Watch, is_namespace_terminating, slow_start
from navarch.controllers.history import HASH_LABEL

RESOURCE = "daemonsets.apps"
BURST = 250
BACKOFF_INITIAL_SECONDS = 1.0
BACKOFF_MAX_SECONDS = 900.0
BACKOFF_LIMIT = 4096
TEMPLATE_GENERATION_LABEL = "pod-template-generation"
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_NETWORK_UNAVAILABLE = ("node.kubernetes.io/network-unavailable", "NoSchedule")


@dataclass(slots=True)
class Plan:
    create: list[str] = field(default_factory=list)
    """Names of nodes that need a pod."""
    delete: list[Object] = field(default_factory=list)
    failed: list[Object] = field(default_factory=list)
    """Those of `delete` that failed."""


def tolerations(template_spec: Object) -> list[Object]:
    """The pods' tolerations: those of the template and those that every daemon has."""
    wanted = [*_TOLERATED, *((_NETWORK_UNAVAILABLE,) if template_spec.get("hostNetwork") else ())]
    present: list[Object] = list(template_spec.get("tolerations") or ())
    added = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in wanted]
    return present + [item for item in added if item not in present]


def matches_node(template_spec: Object, node: Object) -> bool:
    """Whether nodeName, nodeSelector and required affinity allow the node."""
    if template_spec.get("nodeName") and template_spec["nodeName"] != meta.name(node):
        return False
    return nodeselector.allows(template_spec, node)


def runs_on(daemonset: Object, node: Object) -> tuple[bool, bool]:
    """(whether a pod should be on the node, whether one that is there may stay)."""
    spec = daemonset["spec"]["template"].get("spec") or {}
    if not matches_node(spec, node):
        return False, False
    tolerated = tolerations(spec)
    hard = [
        taint["effect"]
        for taint in (node.get("spec") or {}).get("taints") or ()
        if taint.get("effect") in ("NoSchedule", "NoExecute")
        and not any(nodeselector.tolerates(item, taint) for item in tolerated)
    ]
    return not hard, "NoExecute" not in hard


def target_node(pod: Object) -> str:
    """The node that a daemon pod is on, or was made for."""
    if podrules.node_name(pod):
        return podrules.node_name(pod)
    required = meta.get_path(pod["spec"], "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    for term in (required or {}).get("nodeSelectorTerms") or ():
        for item in term.get("matchFields") or ():
            if item["key"] == NAME_FIELD and item["operator"] == "In" and len(item.get("values") or ()) == 1:
                return str(item["values"][0])
    return ""


def by_node(pods: Iterable[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for pod in pods:
        found.setdefault(target_node(pod), []).append(pod)
    return found


def new_pod(daemonset: Object, node: str, hashed: str) -> Object:
    """A pod for one node."""
    template = daemonset["spec"]["template"]
    spec: Object = {**(template.get("spec") or {})}
    spec["tolerations"] = tolerations(spec)
    names = {"matchFields": [{"key": NAME_FIELD, "operator": "In", "values": [node]}]}
    path = ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    spec = meta.set_path(spec, {"nodeSelectorTerms": [names]}, *path)
    pod = podrules.from_template({**template, "spec": spec}, daemonset)
    labels = {**(pod["metadata"].get("labels") or {}), HASH_LABEL: hashed}
    generation = meta.annotations(daemonset).get(TEMPLATE_GENERATION)
    if generation:
        labels[TEMPLATE_GENERATION_LABEL] = generation
    return meta.set_path(pod, labels, "metadata", "labels")


def limits(daemonset: Object, desired: int) -> tuple[int, int]:
    """(max surge, max unavailable) in pods."""
    strategy = daemonset["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return 0, 0
    rolling = strategy.get("rollingUpdate") or {}
    surge = intstr.scaled(rolling.get("maxSurge", 0), desired, True)
    return surge, intstr.scaled(rolling.get("maxUnavailable", 1), desired, True)


def plan(daemonset: Object, pods: Sequence[Object], nodes: Sequence[Object], hashed: str, now: datetime) -> Plan:
    """Which nodes get a pod, and which pods go; `hashed` names the present template."""
    result = Plan()
    grouped = by_node(pods)
    desired = 0
    may_surge = limits(daemonset, 1)[0] > 0
    for node in nodes:
        should_run, may_stay = runs_on(daemonset, node)
        desired += should_run
        present = grouped.pop(meta.name(node), [])
        if not may_stay:
            result.delete.extend(pod for pod in present if not meta.being_deleted(pod))
        elif should_run or present:
            _plan_node(meta.name(node), present, should_run, hashed if may_surge else "", result)
    # What is left was made for nodes that are gone; pods on them are the pod garbage collector's.
    result.delete.extend(
        pod for group in grouped.values() for pod in group if not podrules.node_name(pod) and not meta.being_deleted(pod)
    )
    strategy = (daemonset["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate")
    if strategy == "RollingUpdate" and not result.create and not result.delete:
        _roll(daemonset, pods, nodes, hashed, desired, now, result)
    return result


def _plan_node(name: str, present: Sequence[Object], should_run: bool, surge_hash: str, result: Plan) -> None:
    running = []
    for pod in present:
        if podrules.is_finished(pod):
            if not meta.being_deleted(pod):
                result.delete.append(pod)
                result.failed.append(pod)
        else:
            running.append(pod)
    if not running:
        if should_run and not present:
            result.create.append(name)
        return
    # Of several the one that is ready longest stays; while surging, one of each template.
    running.sort(key=lambda pod: (meta.being_deleted(pod), not podrules.is_ready(pod), podrules.created(pod), meta.name(pod)))
    kept: set[bool] = set()
    for pod in running:
        kind = bool(surge_hash) and meta.labels(pod).get(HASH_LABEL) == surge_hash
        if kind in kept and not meta.being_deleted(pod):
            result.delete.append(pod)
        kept.add(kind)


def _roll(
    daemonset: Object,
    pods: Sequence[Object],
    nodes: Sequence[Object],
    hashed: str,
    desired: int,
    now: datetime,
    result: Plan,
) -> None:
    """Replace pods of older templates, no more at a time than the strategy allows."""
    surge, unavailable = limits(daemonset, desired)
    minimum = daemonset["spec"].get("minReadySeconds") or 0
    grouped = by_node(pod for pod in pods if not podrules.is_finished(pod))
    needless: list[Object] = []
    candidates: list[Object] = []
    away = surging = 0
    for node in nodes:
        if not runs_on(daemonset, node)[0]:
            continue
        present = grouped.get(meta.name(node), [])
        new = next((pod for pod in present if meta.labels(pod).get(HASH_LABEL) == hashed), None)
        old = next((pod for pod in present if meta.labels(pod).get(HASH_LABEL) != hashed), None)
        new_works = new is not None and not meta.being_deleted(new) and podrules.is_available(new, minimum, now)
        if surge:
            if old is None or meta.being_deleted(old):
                surging += new is None and old is not None
            elif new is None:
                (candidates if podrules.is_available(old, minimum, now) else needless).append(old)
            elif new_works:
                result.delete.append(old)
            else:
                surging += 1
            continue
        if old is None:
            away += not new_works
        elif meta.being_deleted(old):
            away += 1
        elif not podrules.is_available(old, minimum, now):
            needless.append(old)
            away += 1
        elif new is None:
            candidates.append(old)
    if surge:
        chosen = needless + candidates[: max(surge - surging, 0)]
        result.create.extend(target_node(pod) for pod in chosen)
    else:
        # Old pods that don't work go at once: nothing becomes less available by it.
        result.delete.extend(needless + candidates[: max(unavailable - away, 0)])


def status(daemonset: Object, pods: Sequence[Object], nodes: Sequence[Object], hashed: str, now: datetime) -> Object:
    """The counts; one pod, the oldest, stands for each node."""
    minimum = daemonset["spec"].get("minReadySeconds") or 0
    grouped = by_node(pod for pod in pods if podrules.node_name(pod) or target_node(pod))
    count: dict[str, int] = dict.fromkeys(
        ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"), 0
    )
    updated = available = 0
    for node in nodes:
        present = sorted(grouped.get(meta.name(node), []), key=podrules.created)
        if not runs_on(daemonset, node)[0]:
            count["numberMisscheduled"] += bool(present)
            continue
        count["desiredNumberScheduled"] += 1
        if not present:
            continue
        count["currentNumberScheduled"] += 1
        ready = next((pod for pod in present if podrules.is_ready(pod) and not meta.being_deleted(pod)), None)
        count["numberReady"] += ready is not None
        available += any(podrules.is_available(pod, minimum, now) and not meta.being_deleted(pod) for pod in present)
        updated += any(meta.labels(pod).get(HASH_LABEL) == hashed for pod in present)
    result: Object = {**count, "observedGeneration": daemonset["metadata"].get("generation", 0)}
    more = {
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": count["desiredNumberScheduled"] - available,
        "collisionCount": (daemonset.get("status") or {}).get("collisionCount"),
    }
    return result | {name: number for name, number in more.items() if number}


class Backoff:
    """How long to let failed pods of one node lie, so that a node that refuses a pod is not flooded with new ones."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        """(DaemonSet, node) -> (delay, when the last pod was replaced)."""

    def seconds_left(self, key: tuple[str, str], now: float) -> float:
        """0 if a failed pod may be replaced now, which then counts."""
        delay, since = self._failures.pop(key, (0.0, 0.0))
        left = since + delay - now
        if left > 0:
            self._failures[key] = (delay, since)
            return left
        # A node that gave no trouble for long starts over.
        again = delay and now - since < 2 * BACKOFF_MAX_SECONDS
        self._failures[key] = (min(delay * 2, BACKOFF_MAX_SECONDS) if again else BACKOFF_INITIAL_SECONDS, now)
        if len(self._failures) > BACKOFF_LIMIT:
            self._failures.popitem(last=False)
        return 0.0


_backoff = Backoff()


def selector_of(daemonset: Object) -> Selector:
    return selectors.from_label_selector(daemonset["spec"].get("selector"))


async def reconcile(daemonset: Object, cluster: Cluster) -> float | None:
    selector = selector_of(daemonset)
    if selector.is_everything:
        text = "This daemon set is selecting all pods. A non-empty selector is required."
        cluster.event(daemonset, "Warning", "SelectingAll", text)
        return None
    pods = await cluster.claim(daemonset, "pods", selector)
    if meta.being_deleted(daemonset):
        return None
    found = await history.sync(daemonset, RESOURCE, selector, cluster)
    if found is None or found.current is None:
        return None
    hashed = history.hash_of(found.current)
    nodes = cluster.informer("nodes").list()
    now = cluster.now()
    todo = plan(daemonset, pods, nodes, hashed, now)
    wait = _let_lie(daemonset, todo)
    failure = await _carry_out(daemonset, todo, hashed, cluster)
    for item in history.outdated(daemonset, found, pods):
        await cluster.delete(history.RESOURCE, item)
    after = status(daemonset, pods, nodes, hashed, now)
    if after != daemonset.get("status"):
        await cluster.update_status(RESOURCE, {**daemonset, "status": after})
    if failure is not None:
        raise failure
    return podrules.earliest(wait, podrules.next_availability(pods, daemonset["spec"].get("minReadySeconds") or 0, now))


def _let_lie(daemonset: Object, todo: Plan) -> float | None:
    """Take failed pods whose back-off has not passed out of the plan; when the next one passes."""
    waits = []
    for pod in todo.failed:
        left = _backoff.seconds_left((meta.uid(daemonset), target_node(pod)), clock.monotonic())
        if left:
            todo.delete = [item for item in todo.delete if item is not pod]
            waits.append(left)
    todo.failed = [pod for pod in todo.failed if any(pod is item for item in todo.delete)]
    return min(waits, default=None)


async def _carry_out(daemonset: Object, todo: Plan, hashed: str, cluster: Cluster) -> Exception | None:
    for pod in todo.failed:
        reason = "FailedDaemonPod" if podrules.phase(pod) == "Failed" else "SucceededDaemonPod"
        verb = "failed" if podrules.phase(pod) == "Failed" else "succeeded"
        where = f"on node {target_node(pod)}, will try to {'kill' if verb == 'failed' else 'delete'} it"
        type_ = "Warning" if verb == "failed" else "Normal"
        cluster.event(daemonset, type_, reason, f"Found {verb} daemon pod {meta.key(pod)} {where}")
    for pod in todo.delete[:BURST]:
        await cluster.delete("pods", pod)
        cluster.event(daemonset, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")
    names = iter(todo.create[:BURST])

    async def one() -> None:
        pod: Any = new_pod(daemonset, next(names), hashed)
        try:
            made = await cluster.create("pods", pod)
        except StatusError as error:
            if is_namespace_terminating(error):
                return
            cluster.event(daemonset, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        cluster.event(daemonset, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(made)}")

    _, failure = await slow_start(min(len(todo.create), BURST), one)
    return failure


def _of_node(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    if old is not None and new is not None and _facts(old) == _facts(new):
        return
    for daemonset in informers.get(RESOURCE).list():
        yield meta.key(daemonset)


def _facts(node: Object) -> tuple[object, ...]:
    return meta.labels(node), (node.get("spec") or {}).get("taints")


CONTROLLER = Controller(
    "daemonset-controller",
    RESOURCE,
    reconcile,
    owns=("pods", history.RESOURCE),
    selector=selector_of,
    watches=(Watch("nodes", _of_node),),
)
