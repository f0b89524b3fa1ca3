"""Pods with names and an order: each StatefulSet's pods are made, replaced and removed one after the other.

Pod N is made when all before it are ready, and removed when all after it have gone; `podManagementPolicy: Parallel` does away
with that. Updates go from the highest number down to the partition. Pods below it keep the revision that the set had before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object, StatusError
from navarch.apimachinery.selectors import Selector
from navarch.client.informer import Informers
from navarch.controllers import history, statefulsetclaims
from navarch.controllers import pods as podrules
from navarch.controllers.controller import Cluster, Controller, Watch, is_namespace_terminating
from navarch.controllers.history import HASH_LABEL, History

RESOURCE = "statefulsets.apps"
POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"


@dataclass(slots=True)
class Plan:
    create: list[tuple[int, Object]] = field(default_factory=list)
    """(ordinal, revision) of pods to make."""
    delete: list[Object] = field(default_factory=list)
    keep: list[Object] = field(default_factory=list)
    """Pods that stay, as they should be."""
    provide: list[Object] = field(default_factory=list)
    """Pods that hold up others since they do not run yet, and may lack claims."""
    condemned: list[Object] = field(default_factory=list)
    """Pods that go since the set has shrunk, though perhaps not yet."""
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
    result.condemned = [numbered[number] for number in surplus]
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
        else:
            if not is_ordered(owner) or is_healthy(owner, pod, now):
                result.keep.append(pod)
                continue
            if podrules.phase(pod) == "Pending":
                result.provide.append(pod)
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
    return {**pod, "spec": statefulsetclaims.with_volumes(spec, owner, number)}


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
    failure: Exception | None = None
    try:
        await _carry_out(owner, todo, cluster)
    except (StatusError, OSError) as error:
        is_expected = isinstance(error, StatusError) and is_namespace_terminating(error)
        failure = None if is_expected else error
    after = status(owner, pods, revisions, now)
    if after != owner.get("status"):
        await cluster.update_status(RESOURCE, {**owner, "status": after})
    keep = {history.hash_of(revisions.current), history.hash_of(revisions.update)}
    for item in history.outdated(owner, found, pods, keep):
        await cluster.delete(history.RESOURCE, item)
    if failure is not None:
        raise failure
    return todo.after_seconds


async def _carry_out(owner: Object, todo: Plan, cluster: Cluster) -> None:
    for pod in todo.provide:
        await _provide(owner, pod, cluster)
    for pod in todo.keep:
        await _keep(owner, pod, cluster)
    for pod in todo.condemned:
        # First whose they are: when the pod has gone, nobody could be told any more.
        await _hand_over_claims(owner, pod, cluster)
    for pod in todo.delete:
        await _delete(owner, pod, cluster)
    for number, revision in todo.create:
        await _create(owner, number, revision, cluster)


def _before(owner: Object, found: History) -> Object:
    """The revision that the status calls current."""
    assert found.current is not None
    name = (owner.get("status") or meta.EMPTY).get("currentRevision")
    return next((item for item in found.others if meta.name(item) == name), found.current)


async def _delete(owner: Object, pod: Object, cluster: Cluster) -> None:
    try:
        await cluster.delete("pods", pod)
    except StatusError as error:
        _tell(owner, "delete", meta.name(pod), error, cluster)
        raise
    _tell(owner, "delete", meta.name(pod), None, cluster)


async def _create(owner: Object, number: int, revision: Object, cluster: Cluster) -> None:
    pod = new_pod(owner, number, revision)
    name = meta.name(pod)
    if any(statefulsetclaims.is_stale(claim, owner, name) for claim in statefulsetclaims.present(owner, number, cluster)):
        return
    try:
        await statefulsetclaims.make(owner, number, cluster)
        await cluster.create("pods", pod)
    except (StatusError, OSError) as error:
        is_quiet = isinstance(error, StatusError) and (is_namespace_terminating(error) or error.is_already_exists)
        if not is_quiet:
            _tell(owner, "create", name, error, cluster)
        raise
    _tell(owner, "create", name, None, cluster)


async def _provide(owner: Object, pod: Object, cluster: Cluster) -> None:
    """A pod that does not run yet gets claims that are missing."""
    number = ordinal(owner, pod)
    assert number is not None
    await statefulsetclaims.make(owner, number, cluster)
    try:
        await _hand_over_claims(owner, pod, cluster)
    except StatusError as error:
        _tell(owner, "update", meta.name(pod), error, cluster)
        raise


async def _keep(owner: Object, pod: Object, cluster: Cluster) -> None:
    """A pod is what the set's pod of that number is, and uses its claims, which are whose they should be."""
    number = ordinal(owner, pod)
    assert number is not None
    wanted, is_changed = pod, False
    if meta.labels(pod).get(POD_NAME_LABEL) != meta.name(pod):
        labels = {**meta.labels(pod), POD_NAME_LABEL: meta.name(pod), POD_INDEX_LABEL: str(number)}
        wanted = meta.set_path(wanted, labels, "metadata", "labels")
    try:
        is_equipped = statefulsetclaims.has_volumes(pod, owner, number)
        if not is_equipped or podrules.phase(pod) == "Pending":
            await statefulsetclaims.make(owner, number, cluster)
        if not is_equipped:
            wanted = {**wanted, "spec": statefulsetclaims.with_volumes(pod["spec"], owner, number)}
        is_changed = await _hand_over_claims(owner, pod, cluster)
        if wanted is not pod:
            await cluster.update("pods", wanted)
    except (StatusError, OSError) as error:
        _tell(owner, "update", meta.name(pod), error, cluster)
        raise
    if is_changed or wanted is not pod:
        _tell(owner, "update", meta.name(pod), None, cluster)


def _tell(owner: Object, verb: str, pod_name: str, error: StatusError | OSError | None, cluster: Cluster) -> None:
    what = f"{verb} Pod {pod_name} in StatefulSet {meta.name(owner)}"
    if error is None:
        cluster.event(owner, "Normal", f"Successful{verb.capitalize()}", f"{what} successful")
        return
    text = error.message if isinstance(error, StatusError) else str(error)
    cluster.event(owner, "Warning", f"Failed{verb.capitalize()}", f"{what} failed error: {text}")


async def _hand_over_claims(owner: Object, pod: Object, cluster: Cluster) -> bool:
    number = ordinal(owner, pod)
    assert number is not None
    return await statefulsetclaims.hand_over(owner, pod, number, cluster, surplus=number not in ordinals(owner))


def _set_of_claim(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    """The set whose pod waits until a claim has gone."""
    if new is not None or old is None:
        return
    for owner in informers.get(RESOURCE).list(meta.namespace(old)):
        templates = owner["spec"].get("volumeClaimTemplates") or ()
        if any(meta.name(old).startswith(f"{meta.name(template)}-{meta.name(owner)}-") for template in templates):
            yield meta.key(owner)


CONTROLLER = Controller(
    "statefulset-controller",
    RESOURCE,
    reconcile,
    owns=("pods", history.RESOURCE),
    selector=selector_of,
    watches=(Watch(statefulsetclaims.RESOURCE, _set_of_claim),),
)
