"""Pods with names and an order: each StatefulSet's pods are made, replaced and removed one after the other.

Pod N is made when all before it are ready, and removed when all after it have gone; `podManagementPolicy: Parallel` does away
with that. Updates go from the highest number down to the partition. Pods below it keep the revision that the set had before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from navarch.api import registry
from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object, StatusError
from navarch.apimachinery.selectors import Selector
from navarch.controllers import history
from navarch.controllers import pods as podrules
from navarch.controllers.controller import Cluster, Controller, is_namespace_terminating
from navarch.controllers.history import HASH_LABEL, History

RESOURCE = "statefulsets.apps"
CLAIMS = "persistentvolumeclaims"
POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"


@dataclass(slots=True)
class Plan:
    create: list[tuple[int, Object]] = field(default_factory=list)
    """(ordinal, revision) of pods to make."""
    delete: list[Object] = field(default_factory=list)
    after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Revisions:
    """The revision the set had before, and the one it is to have."""

    current: Object
    update: Object


def ordinal(owner: Object, pod: Object) -> int | None:
    """The pod's number; None if its name is not one that the set gives."""
    parent, _, number = meta.name(pod).rpartition("-")
    return int(number) if parent == meta.name(owner) and number.isdigit() else None


def ordinals(owner: Object) -> range:
    """The numbers of the pods that should exist."""
    start = int((owner["spec"].get("ordinals") or meta.EMPTY).get("start") or 0)
    return range(start, start + int(owner["spec"].get("replicas", 1)))


def is_ordered(owner: Object) -> bool:
    return bool(owner["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady")


def strategy(owner: Object) -> str:
    return str((owner["spec"].get("updateStrategy") or meta.EMPTY).get("type") or "RollingUpdate")


def partition(owner: Object) -> int:
    found = meta.get_path(owner["spec"], "updateStrategy", "rollingUpdate", "partition")
    return int(found or 0)


def is_healthy(owner: Object, pod: Object, now: datetime) -> bool:
    """Whether the pod runs, is ready for long enough, and stays."""
    minimum = owner["spec"].get("minReadySeconds") or 0
    is_running = podrules.phase(pod) == "Running" and not meta.being_deleted(pod)
    return is_running and podrules.is_available(pod, minimum, now)


def has_revision(pod: Object, revision: Object) -> bool:
    return meta.labels(pod).get(HASH_LABEL) == history.hash_of(revision)


def plan(owner: Object, pods: Iterable[Object], revisions: Revisions, now: datetime) -> Plan:
    """All the rules."""
    result = Plan()
    numbered = {number: pod for pod in pods if (number := ordinal(owner, pod)) is not None}
    wanted = ordinals(owner)
    result.after_seconds = podrules.next_availability(numbered.values(), owner["spec"].get("minReadySeconds") or 0, now)
    if meta.being_deleted(owner):
        return result
    if _staff(owner, numbered, wanted, revisions, result, now):
        return result
    surplus = sorted((number for number in numbered if number not in wanted), reverse=True)
    if _condemn(owner, numbered, surplus, result, now):
        return result
    if strategy(owner) == "RollingUpdate":
        _update(owner, numbered, wanted, revisions, result, now)
    return result


def _staff(
    owner: Object, numbered: dict[int, Object], wanted: range, revisions: Revisions, result: Plan, now: datetime
) -> bool:
    """Make what is missing; whether to wait before going on."""
    for number in wanted:
        pod = numbered.get(number)
        if pod is None:
            result.create.append((number, _revision_for(owner, number, numbered, wanted, revisions)))
        elif podrules.is_finished(pod):
            if not meta.being_deleted(pod):
                result.delete.append(pod)
        elif is_healthy(owner, pod, now):
            continue
        if is_ordered(owner):
            return True
    return False


def _revision_for(owner: Object, number: int, numbered: dict[int, Object], wanted: range, revisions: Revisions) -> Object:
    """Of what revision the missing pod of that number is to be."""
    if strategy(owner) != "RollingUpdate":
        return revisions.update
    if number < wanted.start + partition(owner):
        return revisions.current
    # It is its turn when all above it have had theirs; else it is as it was.
    above = (numbered.get(other) for other in range(number + 1, wanted.stop))
    has_turn = all(pod is None or has_revision(pod, revisions.update) for pod in above)
    return revisions.update if has_turn else revisions.current


def _condemn(owner: Object, numbered: dict[int, Object], surplus: Sequence[int], result: Plan, now: datetime) -> bool:
    """Remove what is too much, the highest first; whether to wait before going on."""
    unhealthy = [number for number, pod in sorted(numbered.items()) if not is_healthy(owner, pod, now)]
    for number in surplus:
        pod = numbered[number]
        if not is_ordered(owner):
            if not meta.being_deleted(pod):
                result.delete.append(pod)
            continue
        if meta.being_deleted(pod):
            return True
        if not is_healthy(owner, pod, now) and unhealthy and unhealthy[0] != number:
            return True
        result.delete.append(pod)
        return True
    return False


def _update(
    owner: Object, numbered: dict[int, Object], wanted: range, revisions: Revisions, result: Plan, now: datetime
) -> None:
    """Take the highest pod of an old revision away, if all above it work."""
    for number in reversed(wanted[partition(owner) :]):
        pod = numbered.get(number)
        if pod is None or meta.being_deleted(pod):
            return
        if not has_revision(pod, revisions.update):
            result.delete.append(pod)
            return
        if not is_healthy(owner, pod, now):
            return


def status(owner: Object, pods: Iterable[Object], revisions: Revisions, now: datetime) -> Object:
    """Counts and revisions; an update that is through makes its revision the current one."""
    own = [pod for pod in pods if ordinal(owner, pod) is not None]
    minimum = owner["spec"].get("minReadySeconds") or 0
    ready = [pod for pod in own if podrules.phase(pod) == "Running" and podrules.is_ready(pod)]
    staying = [pod for pod in own if not meta.being_deleted(pod)]
    current, update = (sum(has_revision(pod, item) for pod in staying) for item in (revisions.current, revisions.update))
    counts = {
        "readyReplicas": len(ready),
        "currentReplicas": current,
        "updatedReplicas": update,
    }
    result: Object = {
        "observedGeneration": owner["metadata"].get("generation", 0),
        "replicas": len(own),
        "availableReplicas": sum(podrules.is_available(pod, minimum, now) for pod in ready),
        "currentRevision": meta.name(revisions.current),
        "updateRevision": meta.name(revisions.update),
        "collisionCount": (owner.get("status") or meta.EMPTY).get("collisionCount") or 0,
    }
    is_through = strategy(owner) == "RollingUpdate" and update == len(own) == len(ready) == len(ordinals(owner))
    if is_through:
        result["currentRevision"] = result["updateRevision"]
        counts["currentReplicas"] = update
    return result | {name: number for name, number in counts.items() if number}


def new_pod(owner: Object, number: int, revision: Object) -> Object:
    """The pod of that number, from the template that `revision` keeps."""
    template = meta.without_path(revision["data"]["spec"]["template"], "$patch")
    name = f"{meta.name(owner)}-{number}"
    pod = podrules.from_template(template, owner, name=name)
    labels = {POD_NAME_LABEL: name, POD_INDEX_LABEL: str(number), HASH_LABEL: history.hash_of(revision)}
    pod["metadata"]["labels"] = {**(pod["metadata"].get("labels") or {}), **labels}
    spec = {**pod["spec"], "hostname": name}
    if owner["spec"].get("serviceName"):
        spec["subdomain"] = owner["spec"]["serviceName"]
    claimed = claims(owner, number)
    if claimed:
        volumes = [item for item in spec.get("volumes") or () if item["name"] not in claimed]
        for volume, claim in claimed.items():
            volumes.append({"name": volume, "persistentVolumeClaim": {"claimName": meta.name(claim)}})
        spec["volumes"] = volumes
    return {**pod, "spec": spec}


def claims(owner: Object, number: int) -> dict[str, Object]:
    """Volume -> the claim that the pod of that number has for it."""
    found = {}
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        volume = meta.name(template)
        labels = {**meta.labels(template), **(meta.get_path(owner["spec"], "selector", "matchLabels") or {})}
        metadata = {"name": f"{volume}-{meta.name(owner)}-{number}", "namespace": meta.namespace(owner), "labels": labels}
        if meta.annotations(template):
            metadata["annotations"] = dict(meta.annotations(template))
        claim: Object = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}
        found[volume] = {**claim, "spec": template.get("spec") or {}}
    return found


def selector_of(owner: Object) -> Selector:
    return selectors.from_label_selector(owner["spec"].get("selector"))


async def reconcile(owner: Object, cluster: Cluster) -> float | None:
    selector = selector_of(owner)
    pods = [pod for pod in await cluster.claim(owner, "pods", selector) if ordinal(owner, pod) is not None]
    found = await history.sync(owner, RESOURCE, selector, cluster)
    if found is None or found.current is None:
        return None
    revisions = Revisions(_before(owner, found), found.current)
    now = cluster.now()
    todo = plan(owner, pods, revisions, now)
    for pod in todo.delete:
        await _delete(owner, pod, cluster)
    failure: Exception | None = None
    for number, revision in todo.create:
        try:
            await _create(owner, number, revision, cluster)
        except StatusError as error:
            failure = None if is_namespace_terminating(error) else error
            break
    after = status(owner, pods, revisions, now)
    if after != owner.get("status"):
        await cluster.update_status(RESOURCE, {**owner, "status": after})
    keep = {history.hash_of(revisions.current), history.hash_of(revisions.update)}
    for item in history.outdated(owner, found, pods, keep):
        await cluster.delete(history.RESOURCE, item)
    if failure is not None:
        raise failure
    return todo.after_seconds


def _before(owner: Object, found: History) -> Object:
    """The revision that the status calls current."""
    assert found.current is not None
    name = (owner.get("status") or meta.EMPTY).get("currentRevision")
    return next((item for item in found.others if meta.name(item) == name), found.current)


async def _delete(owner: Object, pod: Object, cluster: Cluster) -> None:
    what = f"delete Pod {meta.name(pod)} in StatefulSet {meta.name(owner)}"
    try:
        await cluster.delete("pods", pod)
    except StatusError as error:
        cluster.event(owner, "Warning", "FailedDelete", f"{what} failed error: {error.message}")
        raise
    cluster.event(owner, "Normal", "SuccessfulDelete", f"{what} successful")


async def _create(owner: Object, number: int, revision: Object, cluster: Cluster) -> None:
    for claim in claims(owner, number).values():
        await _claim(owner, claim, number, cluster)
    pod = new_pod(owner, number, revision)
    name = meta.name(pod)
    try:
        await cluster.create("pods", pod)
    except StatusError as error:
        if not is_namespace_terminating(error) and not error.is_already_exists:
            text = f"create Pod {name} in StatefulSet {meta.name(owner)} failed error: {error.message}"
            cluster.event(owner, "Warning", "FailedCreate", text)
        raise
    cluster.event(owner, "Normal", "SuccessfulCreate", f"create Pod {name} in StatefulSet {meta.name(owner)} successful")


async def _claim(owner: Object, claim: Object, number: int, cluster: Cluster) -> None:
    pod, name = f"{meta.name(owner)}-{number}", meta.name(claim)
    what = f"Claim {name} Pod {pod} in StatefulSet {meta.name(owner)}"
    if CLAIMS not in {kind.resource for kind in registry.kinds()}:
        cluster.event(owner, "Warning", "FailedCreate", f"create {what} failed error: this cluster has no persistent volumes")
        raise OSError(f"no persistent volumes for StatefulSet {meta.key(owner)}")
    try:
        await cluster.client.create(CLAIMS, claim)
    except StatusError as error:
        if error.is_already_exists:
            return
        cluster.event(owner, "Warning", "FailedCreate", f"create {what} failed error: {error.message}")
        raise
    cluster.event(owner, "Normal", "SuccessfulCreate", f"create {what} success")


CONTROLLER = Controller("statefulset-controller", RESOURCE, reconcile, owns=("pods", history.RESOURCE), selector=selector_of)
