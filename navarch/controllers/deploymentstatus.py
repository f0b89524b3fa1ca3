"""What a Deployment's status says: counts, and whether it is available and progressing. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import rollout
from navarch.controllers.rollout import Sets, counted

PROGRESSING, AVAILABLE, REPLICA_FAILURE = "Progressing", "Available", "ReplicaFailure"
NEW_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"
NO_DEADLINE = 2**31 - 1


def deadline(deployment: Object) -> int | None:
    """Seconds without progress after which a rollout counts as failed."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or seconds == NO_DEADLINE else int(seconds)


def condition(type_: str, status: str, reason: str, message: str, now: datetime) -> Object:
    stamp = meta.format_time(now)
    return {
        "type": type_,
        "status": status,
        "lastUpdateTime": stamp,
        "lastTransitionTime": stamp,
        "reason": reason,
        "message": message,
    }


def with_condition(conditions: list[Object], new: Object) -> list[Object]:
    """`conditions` with `new` as the last; unchanged if the present one has the same status and reason."""
    present = meta.find(conditions, "type", new["type"])
    if present is not None:
        if (present["status"], present.get("reason")) == (new["status"], new["reason"]):
            return conditions
        if present["status"] == new["status"]:
            new = {**new, "lastTransitionTime": present.get("lastTransitionTime")}
    return [*without_condition(conditions, new["type"]), new]


def without_condition(conditions: list[Object], type_: str) -> list[Object]:
    return [item for item in conditions if item["type"] != type_]


def counts(deployment: Object, sets: Sets) -> Object:
    """The numbers."""
    available = sum(counted(item, "availableReplicas") for item in sets.all)
    numbers = {
        "replicas": sum(counted(item, "replicas") for item in sets.all),
        "updatedReplicas": counted(sets.new, "replicas") if sets.new is not None else 0,
        "readyReplicas": sum(counted(item, "readyReplicas") for item in sets.all),
        "availableReplicas": available,
        # Of those that there should be: what nobody could create is unavailable too.
        "unavailableReplicas": max(sum(rollout.replicas(item) for item in sets.all) - available, 0),
    }
    result: Object = {"observedGeneration": deployment["metadata"].get("generation", 0)}
    result |= {name: number for name, number in numbers.items() if number}
    result["terminatingReplicas"] = sum(counted(item, "terminatingReplicas") for item in sets.all)
    collisions = (deployment.get("status") or meta.EMPTY).get("collisionCount")
    if collisions:
        result["collisionCount"] = collisions
    return result


def is_complete(deployment: Object, status: Object) -> bool:
    wanted = rollout.replicas(deployment)
    return all(status.get(name, 0) == wanted for name in ("updatedReplicas", "replicas", "availableReplicas")) and status.get(
        "observedGeneration", 0
    ) >= deployment["metadata"].get("generation", 0)


def _has_progressed(before: Object, after: Object) -> bool:
    def old(status: Object) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    grown = any(after.get(name, 0) > before.get(name, 0) for name in ("updatedReplicas", "readyReplicas", "availableReplicas"))
    return grown or old(after) < old(before)


def _has_timed_out(present: Object | None, seconds: int, now: datetime) -> bool:
    if present is None or present.get("reason") == NEW_AVAILABLE:
        return False
    if present.get("reason") == TIMED_OUT:
        return True
    return meta.parse_time(present["lastUpdateTime"]) + timedelta(seconds=seconds) < now


def compute(deployment: Object, sets: Sets, note: Object | None, *, rolling: bool, now: datetime) -> Object:
    """The status. `note` is a Progressing condition to be told first; `rolling` whether to judge the rollout's progress."""
    before: Object = deployment.get("status") or {}
    after = counts(deployment, sets)
    conditions: list[Object] = list(before.get("conditions") or ())
    enough = rollout.replicas(deployment) - rollout.max_unavailable(deployment)
    if after.get("availableReplicas", 0) >= enough:
        available = condition(AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
    else:
        available = condition(
            AVAILABLE, "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now
        )
    conditions = with_condition(conditions, available)
    if note is not None:
        conditions = with_condition(conditions, note)
    if rolling:
        conditions = _judge(deployment, sets, before, after, conditions, now)
        failed = _failure(sets)
        if failed is None:
            conditions = without_condition(conditions, REPLICA_FAILURE)
        else:
            conditions = with_condition(conditions, failed)
    after["conditions"] = conditions
    return after


def _judge(
    deployment: Object, sets: Sets, before: Object, after: Object, conditions: list[Object], now: datetime
) -> list[Object]:
    seconds = deadline(deployment)
    if seconds is None:
        return without_condition(conditions, PROGRESSING)
    present = meta.find(conditions, "type", PROGRESSING)
    is_done = after.get("replicas", 0) == after.get("updatedReplicas", 0) and (present or {}).get("reason") == NEW_AVAILABLE
    if is_done:
        return conditions
    subject = f'ReplicaSet "{meta.name(sets.new)}"' if sets.new is not None else f'Deployment "{meta.name(deployment)}"'
    if is_complete(deployment, after):
        new = condition(PROGRESSING, "True", NEW_AVAILABLE, f"{subject} has successfully progressed.", now)
        return with_condition(conditions, new)
    if _has_progressed(before, after):
        new = condition(PROGRESSING, "True", "ReplicaSetUpdated", f"{subject} is progressing.", now)
        if present is not None and present["status"] == "True":
            new["lastTransitionTime"] = present["lastTransitionTime"]
        # Told anew even where nothing but the time differs: from it the deadline counts.
        return [*without_condition(conditions, PROGRESSING), new]
    if _has_timed_out(present, seconds, now):
        new = condition(PROGRESSING, "False", TIMED_OUT, f"{subject} has timed out progressing.", now)
        return with_condition(conditions, new)
    return conditions


def _failure(sets: Sets) -> Object | None:
    """A failure of one of the sets, of the new one first, as a condition of the Deployment."""
    for item in ([sets.new] if sets.new is not None else []) + sets.old:
        found = meta.condition(item, REPLICA_FAILURE)
        if found is not None:
            return {**found, "lastUpdateTime": found.get("lastTransitionTime")}
    return None


def recheck_seconds(deployment: Object, status: Object, now: datetime) -> float | None:
    """When to look whether the rollout has missed its deadline."""
    seconds = deadline(deployment)
    present = meta.find(status.get("conditions") or (), "type", PROGRESSING)
    if seconds is None or present is None or is_complete(deployment, status) or present.get("reason") == TIMED_OUT:
        return None
    if present.get("reason") == NEW_AVAILABLE or deployment["spec"].get("paused"):
        return None
    due = meta.parse_time(present["lastUpdateTime"]) + timedelta(seconds=seconds)
    # One second more, since times are written in whole seconds.
    return max((due - now).total_seconds(), 0.0) + 1
