"""Roll a Deployment's template out over ReplicaSets, one for each template it had."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object, StatusError
from navarch.apimachinery.selectors import Selector
from navarch.client.informer import Informers
from navarch.controllers import deploymentstatus, rollback, rollout
from navarch.controllers import pods as podrules
from navarch.controllers.controller import (
    BY_CONTROLLER,
    Cluster,
    Controller,
    Watch,
    controller_uid,
    is_namespace_terminating,
)
from navarch.controllers.rollout import Sets

RESOURCE = "deployments.apps"
REPLICASETS = "replicasets.apps"


@dataclass(slots=True)
class Plan:
    """What to do for one Deployment."""

    sets: Sets
    create: Object | None = None
    update: list[Object] = field(default_factory=list)
    """ReplicaSets as they are to be written."""
    delete: list[Object] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    revision: str = ""
    """The revision that the Deployment is to be annotated with; "" leaves it."""
    note: Object | None = None
    """A Progressing condition to tell."""
    rolling: bool = False


def plan(deployment: Object, replicasets: Sequence[Object], old_pods: Sequence[Object], now: datetime) -> Plan:
    """All the rules. `old_pods` are the pods of ReplicaSets of earlier templates, which Recreate waits for."""
    sets = rollout.split(deployment, replicasets)
    result = Plan(sets)
    if meta.being_deleted(deployment):
        return result
    spec = deployment["spec"]
    result.note = _pause_note(deployment, now)
    if spec.get("paused") or rollout.is_scaling(deployment, sets):
        rollout.scale(deployment, sets)
        if spec.get("paused") and rollback.revision_wanted(deployment) is None:
            result.delete = rollout.outdated(deployment, sets)
    else:
        result.rolling = True
        _step(deployment, sets, old_pods, result)
        if deploymentstatus.is_complete(deployment, deployment.get("status") or {}):
            result.delete = rollout.outdated(deployment, sets)
    for item in sets.all:
        changed = _changed(deployment, item, sets)
        if changed is not item:
            result.update.append(changed)
        if sets.size(item) != rollout.replicas(item):
            result.events.append(_scaled(item, rollout.replicas(item), sets.size(item)))
    number = ""
    if result.create is not None:
        number = meta.annotations(result.create)[rollout.REVISION]
    elif sets.new is not None:
        number = rollout.new_annotations(deployment, sets)[rollout.REVISION]
    if number and meta.annotations(deployment).get(rollout.REVISION) != number:
        result.revision = number
    if result.note is None and sets.new is not None and _is_progress_unknown(deployment):
        text = f'Found new replica set "{meta.name(sets.new)}"'
        result.note = deploymentstatus.condition("Progressing", "True", "FoundNewReplicaSet", text, now)
    return result


def _is_progress_unknown(deployment: Object) -> bool:
    has_deadline = deploymentstatus.deadline(deployment) is not None
    return has_deadline and meta.condition(deployment, deploymentstatus.PROGRESSING) is None


def _step(deployment: Object, sets: Sets, old_pods: Sequence[Object], result: Plan) -> None:
    """Grow and shrink sets as the strategy has it."""
    if not rollout.is_rolling(deployment):
        active = [item for item in sets.old if sets.size(item) > 0]
        for item in active:
            sets.resize(item, 0)
        if active or any(not podrules.is_finished(pod) for pod in old_pods):
            return
    if sets.new is None:
        collisions = rollout.counted(deployment, "collisionCount")
        result.create = rollout.new_replicaset(deployment, sets, collisions)
        size = rollout.replicas(result.create)
        if size:
            result.events.append(_scaled(result.create, 0, size))
    elif rollout.is_rolling(deployment):
        rollout.roll(deployment, sets)
    elif sets.size(sets.new) != rollout.replicas(deployment):
        sets.resize(sets.new, rollout.replicas(deployment))


def _scaled(item: Object, before: int, after: int) -> str:
    direction = "up" if after > before else "down"
    return f"Scaled {direction} replica set {meta.name(item)} from {before} to {after}"


def _changed(deployment: Object, item: Object, sets: Sets) -> Object:
    """A ReplicaSet as it is to be; the same object if nothing changes."""
    annotations = dict(meta.annotations(item))
    changed = item
    if item is sets.new:
        annotations = rollout.new_annotations(deployment, sets)
        if (item["spec"].get("minReadySeconds") or 0) != (deployment["spec"].get("minReadySeconds") or 0):
            changed = meta.set_path(changed, deployment["spec"].get("minReadySeconds") or 0, "spec", "minReadySeconds")
    if meta.uid(item) in sets.resized:
        annotations |= rollout.size_notes(deployment)
    if sets.size(item) != rollout.replicas(item):
        changed = meta.set_path(changed, sets.size(item), "spec", "replicas")
    if annotations != meta.annotations(item):
        changed = meta.set_path(changed, annotations, "metadata", "annotations")
    return changed


def _pause_note(deployment: Object, now: datetime) -> Object | None:
    """The condition that a Deployment was paused or resumed, if that is news."""
    present = meta.condition(deployment, deploymentstatus.PROGRESSING) or {}
    if deploymentstatus.deadline(deployment) is None or present.get("reason") == deploymentstatus.TIMED_OUT:
        return None
    was_paused = present.get("reason") == deploymentstatus.PAUSED
    is_paused = bool(deployment["spec"].get("paused"))
    if is_paused and not was_paused:
        return deploymentstatus.condition("Progressing", "Unknown", deploymentstatus.PAUSED, "Deployment is paused", now)
    if was_paused and not is_paused:
        return deploymentstatus.condition("Progressing", "Unknown", deploymentstatus.RESUMED, "Deployment is resumed", now)
    return None


def selector_of(deployment: Object) -> Selector:
    return selectors.from_label_selector(deployment["spec"].get("selector"))


async def reconcile(deployment: Object, cluster: Cluster) -> float | None:
    selector = selector_of(deployment)
    if selector.is_everything:
        cluster.event(
            deployment, "Warning", "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required."
        )
        return None
    replicasets = await cluster.claim(deployment, REPLICASETS, selector)
    sets = rollout.split(deployment, replicasets)
    back_to = rollback.revision_wanted(deployment)
    if back_to is not None and not deployment["spec"].get("paused") and not meta.being_deleted(deployment):
        found = rollback.plan(deployment, sets, back_to)
        await cluster.update(RESOURCE, found.deployment)
        cluster.event(deployment, found.type, found.reason, found.message)
        return None
    old_pods = [pod for item in sets.old for pod in cluster.owned(item, "pods")]
    todo = plan(deployment, replicasets, old_pods, cluster.now())
    if todo.create is not None:
        made = await _create(deployment, todo, cluster)
        if made is None:
            return None  # Its name was taken; the next try has another.
        todo.sets.new = made
        text = f'Created new replica set "{meta.name(made)}"'
        todo.note = deploymentstatus.condition("Progressing", "True", "NewReplicaSetCreated", text, cluster.now())
    for changed in todo.update:
        written = await cluster.update(REPLICASETS, changed)
        _replace(todo.sets, written)
    for text in todo.events:
        cluster.event(deployment, "Normal", "ScalingReplicaSet", text)
    for item in todo.delete:
        await cluster.delete(REPLICASETS, item)
    now = cluster.now()
    status = deploymentstatus.compute(deployment, todo.sets, todo.note, rolling=todo.rolling, now=now)
    if todo.revision or status != deployment.get("status"):
        # An update of the status may annotate too: so it is one write, and its owner that of the status.
        after = {**deployment, "status": status}
        if todo.revision:
            annotations = {**meta.annotations(deployment), rollout.REVISION: todo.revision}
            after = meta.set_path(after, annotations, "metadata", "annotations")
        await cluster.update_status(RESOURCE, after)
    return deploymentstatus.recheck_seconds(deployment, status, now)


def _replace(sets: Sets, written: Object) -> None:
    if sets.new is not None and meta.uid(sets.new) == meta.uid(written):
        sets.new = written
    sets.old = [written if meta.uid(item) == meta.uid(written) else item for item in sets.old]


async def _create(deployment: Object, todo: Plan, cluster: Cluster) -> Object | None:
    """Make the new ReplicaSet; None if the hash of its template collided with another's."""
    assert todo.create is not None
    name = meta.name(todo.create)
    try:
        return await cluster.create(REPLICASETS, todo.create)
    except StatusError as error:
        if error.is_already_exists:
            return await _taken(deployment, todo.create, cluster)
        if not is_namespace_terminating(error):
            text = f'Failed to create new replica set "{name}": {error.message}'
            cluster.event(deployment, "Warning", "ReplicaSetCreateError", text)
            await _tell_failure(deployment, todo, text, cluster)
            raise
        return None


async def _tell_failure(deployment: Object, todo: Plan, text: str, cluster: Cluster) -> None:
    """Say that there is no new ReplicaSet, to those who wait for progress; of all else the status stays as it is."""
    if deploymentstatus.deadline(deployment) is None:
        return
    before: Object = deployment.get("status") or {}
    conditions: list[Object] = list(before.get("conditions") or ())
    failed = deploymentstatus.condition("Progressing", "False", "ReplicaSetCreateError", text, cluster.now())
    for new in (todo.note, failed):
        if new is not None:
            conditions = deploymentstatus.with_condition(conditions, new)
    if conditions != before.get("conditions"):
        await cluster.update_status(RESOURCE, {**deployment, "status": {**before, "conditions": conditions}})


async def _taken(deployment: Object, wanted: Object, cluster: Cluster) -> Object | None:
    """The ReplicaSet that has the name already, if it is this Deployment's own; else count a collision."""
    present = await cluster.client.get(REPLICASETS, meta.name(wanted), meta.namespace(wanted))
    if meta.is_controlled_by(present, deployment) and rollout.has_template(present, deployment["spec"]["template"]):
        return present
    collisions = rollout.counted(deployment, "collisionCount") + 1
    status = {**(deployment.get("status") or {}), "collisionCount": collisions}
    await cluster.update_status(RESOURCE, {**deployment, "status": status})
    return None


def _of_gone_pod(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    """Recreate goes on when the last old pod has gone."""
    if old is None or new is not None:
        return
    owner = meta.controller_of(old)
    if owner is None or owner["kind"] != "ReplicaSet":
        return
    replicaset = informers.get(REPLICASETS).get(f"{meta.namespace(old)}/{owner['name']}")
    above = meta.controller_of(replicaset) if replicaset is not None else None
    if above is None:
        return
    deployment = informers.get(RESOURCE).get(f"{meta.namespace(old)}/{above['name']}")
    if deployment is not None and not rollout.is_rolling(deployment):
        yield meta.key(deployment)


CONTROLLER = Controller(
    "deployment-controller",
    RESOURCE,
    reconcile,
    owns=(REPLICASETS,),
    selector=selector_of,
    watches=(Watch("pods", _of_gone_pod, {BY_CONTROLLER: controller_uid}),),
)
