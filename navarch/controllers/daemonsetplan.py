"""Which nodes get a pod of a DaemonSet, which pods go, and what its status says. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from navarch.api.apps.daemonset import REVISION_HISTORY_LIMIT, TEMPLATE_GENERATION
from navarch.api.core import nodeselector
from navarch.api.core.nodeselector import NAME_FIELD
from navarch.apimachinery import intstr, meta
from navarch.apimachinery.errors import Object
from navarch.controllers import history
from navarch.controllers import pods as podrules
from navarch.controllers.history import HASH_LABEL, History

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
    finished: list[Object] = field(default_factory=list)
    """Those of `delete` that have ended where daemons should run."""


def tolerations(template_spec: Object) -> list[Object]:
    """The pods' tolerations: those of the template and those that every daemon has, without a limit in time."""
    found: list[Object] = list(template_spec.get("tolerations") or ())
    for key, effect in (*_TOLERATED, *((_NETWORK_UNAVAILABLE,) if template_spec.get("hostNetwork") else ())):
        wanted = {"key": key, "operator": "Exists", "effect": effect}
        if wanted not in found:
            alike = [item for item in found if _is_for_the_same(item, wanted)]
            found = [wanted if item in alike else item for item in found] + ([] if alike else [wanted])
    return found


def _is_for_the_same(toleration: Object, other: Object) -> bool:
    return all((toleration.get(name) or "") == (other.get(name) or "") for name in ("key", "operator", "effect", "value"))


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
    """The pods of each node; without those that have ended and go already, and those that were made for no node."""
    found: dict[str, list[Object]] = {}
    for pod in pods:
        node = target_node(pod)
        if node and not (podrules.is_finished(pod) and meta.being_deleted(pod)):
            found.setdefault(node, []).append(pod)
    return found


def is_updated(pod: Object, hashed: str) -> bool:
    """Whether the pod is of the present template."""
    return meta.labels(pod).get(HASH_LABEL) == hashed


def _seniority(pod: Object) -> tuple[object, ...]:
    """Of several pods of a node the first stays: one that is bound, then the oldest."""
    return not podrules.node_name(pod), podrules.created(pod), meta.name(pod)


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
    """(max surge, max unavailable) in pods; both zero would allow no step, then one may be unavailable."""
    strategy = daemonset["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return 0, 0
    rolling = strategy.get("rollingUpdate") or {}
    surge = intstr.scaled(rolling.get("maxSurge", 0), desired, True)
    unavailable = intstr.scaled(rolling.get("maxUnavailable", 1), desired, True)
    return surge, 1 if desired and not surge and not unavailable else unavailable


def may_surge(daemonset: Object) -> bool:
    return limits(daemonset, 1)[0] > 0


def plan(
    daemonset: Object,
    pods: Sequence[Object],
    nodes: Sequence[Object],
    hashed: str,
    now: datetime,
    lying: Collection[str] = (),
) -> Plan:
    """Which nodes get a pod, and which pods go.

    `hashed` names the present template; `lying` are the uids of failed pods that are to lie for a while.
    """
    result = Plan()
    grouped = by_node(pods)
    where: dict[str, bool] = {}
    for node in nodes:
        name = meta.name(node)
        where[name], may_stay = runs_on(daemonset, node)
        present = grouped.get(name, [])
        if where[name] and not present:
            result.create.append(name)
        elif may_stay:
            _plan_node(daemonset, name, present, where[name], hashed, now, lying, result)
        else:
            result.delete.extend(pod for pod in present if not meta.being_deleted(pod))
    # Pods that were bound to nodes that are gone are the pod garbage collector's.
    result.delete.extend(
        pod
        for name, present in grouped.items()
        for pod in present
        if name not in where and not podrules.node_name(pod) and not meta.being_deleted(pod)
    )
    strategy = (daemonset["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate")
    if strategy == "RollingUpdate" and not result.create and not result.delete:
        _roll(daemonset, grouped, where, hashed, now, result)
    return result


def _plan_node(
    daemonset: Object,
    name: str,
    present: Sequence[Object],
    should_run: bool,
    hashed: str,
    now: datetime,
    lying: Collection[str],
    result: Plan,
) -> None:
    """One node where daemons may stay."""
    here = [pod for pod in present if not meta.being_deleted(pod)]
    finished = [pod for pod in here if podrules.is_finished(pod) and meta.uid(pod) not in lying]
    running = sorted((pod for pod in here if not podrules.is_finished(pod)), key=_seniority)
    result.delete.extend(finished)
    result.finished.extend(finished)
    if not may_surge(daemonset):
        result.delete.extend(running[1:])
        return
    if not running:
        # The next one does not wait until the last has gone, but until one that failed has lain long enough.
        if should_run and not any(meta.uid(pod) in lying for pod in here):
            result.create.append(name)
        return
    new: list[Object] = []
    old: list[Object] = []
    for pod in running:
        (new if is_updated(pod, hashed) else old).append(pod)
    result.delete.extend(new[1:] + old[1:])
    minimum = daemonset["spec"].get("minReadySeconds") or 0
    if new and old and (not podrules.is_ready(old[0]) or podrules.is_available(new[0], minimum, now)):
        result.delete.append(old[0])


def _roll(
    daemonset: Object, grouped: Mapping[str, list[Object]], where: Mapping[str, bool], hashed: str, now: datetime, result: Plan
) -> None:
    """Replace pods of older templates, no more at a time than the strategy allows.

    `where` tells of each node whether a daemon should run there.
    """
    surge, unavailable = limits(daemonset, sum(where.values()))
    minimum = daemonset["spec"].get("minReadySeconds") or 0

    def works(pod: Object) -> bool:
        return podrules.is_available(pod, minimum, now)

    if surge:
        _roll_surging(daemonset, grouped, where, hashed, works, surge, result)
        return
    away = sum(should_run and name not in grouped for name, should_run in where.items())
    candidates: list[Object] = []
    for present in grouped.values():
        new, old = _generations(present, hashed)
        if len(new) + len(old) != 1:
            away += 1  # There will be one, by other rules.
        elif new:
            away += not works(new[0])
        elif works(old[0]):
            candidates.append(old[0])
        else:
            # It goes at once: nothing becomes less available by it.
            away += 1
            result.delete.append(old[0])
    result.delete.extend(candidates[: max(unavailable - away, 0)])


def _roll_surging(
    daemonset: Object,
    grouped: Mapping[str, list[Object]],
    where: Mapping[str, bool],
    hashed: str,
    works: Callable[[Object], bool],
    surge: int,
    result: Plan,
) -> None:
    """New pods come before old ones go. Where no daemon should run any more, the old one stays until enough work elsewhere."""
    surging = available = 0
    candidates: list[str] = []
    leaving: list[Object] = []
    for name, present in grouped.items():
        if name not in where:
            continue  # The node is gone.
        new, old = _generations(present, hashed)
        if len(new) > 1 or len(old) > 1:
            surging += 1
            continue
        available += any(works(pod) for pod in old or new)
        if not old:
            continue
        if new:
            if works(new[0]):
                result.delete.append(old[0])
            else:
                surging += 1
        elif not where[name]:
            (leaving if works(old[0]) else result.delete).append(old[0])
        elif works(old[0]):
            candidates.append(name)
        else:
            result.create.append(name)
    result.delete.extend(leaving[: max(available - sum(where.values()), 0)])
    result.create.extend(candidates[: max(surge - surging, 0)])


def _generations(present: Iterable[Object], hashed: str) -> tuple[list[Object], list[Object]]:
    """Pods of a node that stay: (of the present template, of older ones)."""
    new: list[Object] = []
    old: list[Object] = []
    for pod in present:
        if not meta.being_deleted(pod):
            (new if is_updated(pod, hashed) else old).append(pod)
    return new, old


def status(daemonset: Object, pods: Sequence[Object], nodes: Sequence[Object], hashed: str, now: datetime) -> Object:
    """The counts; one pod, the most senior, stands for each node."""
    minimum = daemonset["spec"].get("minReadySeconds") or 0
    grouped = by_node(pods)
    count: dict[str, int] = dict.fromkeys(
        ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"), 0
    )
    updated = available = 0
    for node in nodes:
        present = grouped.get(meta.name(node))
        if not runs_on(daemonset, node)[0]:
            count["numberMisscheduled"] += bool(present)
            continue
        count["desiredNumberScheduled"] += 1
        if not present:
            continue
        count["currentNumberScheduled"] += 1
        first = min(present, key=_seniority)
        count["numberReady"] += podrules.is_ready(first)
        available += podrules.is_available(first, minimum, now)
        updated += is_updated(first, hashed)
    result: Object = {**count, "observedGeneration": daemonset["metadata"].get("generation", 0)}
    more = {
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": count["desiredNumberScheduled"] - available,
        "collisionCount": (daemonset.get("status") or {}).get("collisionCount"),
    }
    return result | {name: number for name, number in more.items() if number}


def outdated(daemonset: Object, found: History, pods: Sequence[Object]) -> list[Object]:
    """Revisions beyond the limit, oldest first: those count that pods are of, but they stay."""
    used = {meta.labels(pod).get(HASH_LABEL) for pod in pods}
    surplus = len(found.others) - int(daemonset["spec"].get("revisionHistoryLimit", REVISION_HISTORY_LIMIT))
    return [item for item in found.others if history.hash_of(item) not in used][: max(surplus, 0)]
