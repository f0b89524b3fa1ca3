"""What to do for a Job: which pods to make and remove, how it ended if it did. Pure.

A finished pod is counted exactly once, though it may be deleted at any time: it carries a finalizer, is first noted by its uid
in `status.uncountedTerminatedPods`, then loses the finalizer, and only then becomes a number (KEP-2307).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import jobbackoff, jobindexes, jobpolicies
from navarch.controllers import pods as podrules
from navarch.controllers.jobbackoff import Record
from navarch.controllers.jobtally import (
    Tally,
    counts_as_failed,
    has_finalizer,
    is_indexed,
    is_valid,
    replaces_failed_only,
    tally,
)

POD_CHANGES_LIMIT = 500
UNCOUNTED_LIMIT = 500

REACHED = ("CompletionsReached", "Reached expected number of succeeded pods")


@dataclass(frozen=True, slots=True)
class End:
    """How a job ends."""

    succeeds: bool
    reason: str
    message: str


@dataclass(slots=True)
class Plan:
    status: Object
    create: list[int | None] = field(default_factory=list)
    """One entry for each pod to make: its index, or None."""
    replaced: dict[int, Object] = field(default_factory=dict)
    """Index -> the failed pod whose numbers the next pod of the index carries on."""
    backoff: Record | None = None
    """The failures in a row, to be kept once the status is written."""
    delete: list[Object] = field(default_factory=list)
    discard: list[Object] = field(default_factory=list)
    """Pods to remove that count neither as succeeded nor as failed."""
    release: list[Object] = field(default_factory=list)
    """Pods to take the finalizer off, once the status is written."""
    after_seconds: float | None = None
    events: list[tuple[str, str, str]] = field(default_factory=list)
    """(type, reason, message)"""


def is_finished(job: Object) -> bool:
    return meta.is_condition_true(job, "Complete") or meta.is_condition_true(job, "Failed")


def ending(job: Object, pods: Iterable[Object], found: Tally, now: datetime) -> End | None:
    """How the job ends, if it does; an end that was announced stays."""
    for type_, succeeds in (("SuccessCriteriaMet", True), ("FailureTarget", False)):
        announced = meta.condition(job, type_)
        if announced is not None and announced.get("status") == "True":
            return End(succeeds, announced.get("reason", ""), announced.get("message", ""))
    spec = job["spec"]
    if found.failure_message:
        return End(False, "PodFailurePolicy", found.failure_message)
    if found.failed_total > spec.get("backoffLimit", 6) or _restarted_too_often(job, pods):
        return End(False, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = deadline_left(job, now)
    if left is not None and left <= 0:
        return End(False, "DeadlineExceeded", "Job was active longer than specified deadline")
    return _failure_of_indexes(job, found) or _success_of_indexes(job, found) or _completion(job, found)


def _restarted_too_often(job: Object, pods: Iterable[Object]) -> bool:
    if meta.get_path(job["spec"], "template", "spec", "restartPolicy") != "OnFailure":
        return False
    restarts = 0
    for pod in pods:
        if podrules.phase(pod) not in ("Running", "Pending"):
            continue
        status = pod["status"]
        for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
            restarts += container.get("restartCount", 0)
    limit = job["spec"].get("backoffLimit", 6)
    return restarts > 0 if limit == 0 else restarts >= limit


def _failure_of_indexes(job: Object, found: Tally) -> End | None:
    spec = job["spec"]
    if not is_indexed(job) or spec.get("backoffLimitPerIndex") is None:
        return None
    most = spec.get("maxFailedIndexes")
    if most is not None and len(found.failed_indexes) > most:
        return End(False, "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
    if found.failed_indexes and len(found.failed_indexes) + len(found.completed_indexes) >= spec["completions"]:
        return End(False, "FailedIndexes", "Job has failed indexes")
    return None


def _success_of_indexes(job: Object, found: Tally) -> End | None:
    if not is_indexed(job):
        return None
    number = jobpolicies.success_rule(job, found.completed_indexes)
    return None if number is None else End(True, "SuccessPolicy", f"Matched rules at index {number}")


def _completion(job: Object, found: Tally) -> End | None:
    wanted = job["spec"].get("completions")
    if wanted is None:
        done = found.succeeded_total > 0 and not found.active
    else:
        done = found.succeeded_total >= wanted
    return End(True, *REACHED) if done else None


def deadline_left(job: Object, now: datetime) -> float | None:
    """Seconds until the job has run too long."""
    seconds, start = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or meta.EMPTY).get("startTime")
    if seconds is None or not start or job["spec"].get("suspend"):
        return None
    return (meta.parse_time(start) + timedelta(seconds=seconds) - now).total_seconds()


def with_condition(
    conditions: Sequence[Object], type_: str, status: str, reason: str, message: str, now: datetime
) -> list[Object]:
    present = meta.find(conditions, "type", type_)
    told = (status, reason, message)
    if present is not None and told == (present.get("status"), present.get("reason"), present.get("message")):
        return list(conditions)
    stamp = meta.format_time(now)
    new = {
        "type": type_,
        "status": status,
        "lastProbeTime": stamp,
        "lastTransitionTime": stamp,
        "reason": reason,
        "message": message,
    }
    return meta.with_condition(conditions, new)


def plan(job: Object, pods: Sequence[Object], now: datetime, backoff: Record | None = None) -> Plan:
    """All the rules. `backoff` is what an earlier plan told of failures in a row."""
    if is_finished(job):
        return Plan(job["status"], release=[pod for pod in pods if has_finalizer(pod)])
    found = tally(job, pods)
    status: Object = dict(job.get("status") or {})
    suspended, going = bool(job["spec"].get("suspend")), meta.being_deleted(job)
    if not suspended and not status.get("startTime"):
        status["startTime"] = meta.format_time(now)
    end = ending({**job, "status": status}, pods, found, now)
    result = Plan(status, replaced=found.delayed, backoff=_backoff(job, pods, found, backoff))
    is_all_noted = _note(job, pods, found, end, result)
    if end is not None:
        _end(job, found, end, result, is_all_noted, now)
    elif suspended and not going:
        result.discard = list(found.active)
    elif not going:
        _staff(job, found, result, now)
    if end is None:
        if not going:
            _note_suspension(job, result, now)
        left = deadline_left({**job, "status": status}, now)
        result.after_seconds = podrules.earliest(result.after_seconds, left)
    removed = {meta.uid(pod) for pod in (*result.delete, *result.discard)}
    staying = [pod for pod in found.active if meta.uid(pod) not in removed]
    # Pods that are made now are added by who makes them.
    _set(status, "active", len(staying))
    status["ready"] = sum(podrules.is_ready(pod) for pod in staying)
    status["terminating"] = len(found.terminating) + len(removed)
    return result


def _backoff(job: Object, pods: Sequence[Object], found: Tally, before: Record | None) -> Record:
    if before is not None:
        return jobbackoff.after(before, found.succeeded, [*found.failed, *found.ignored])
    # Nobody remembers: the pods that are left tell.
    failed = [pod for pod in pods if counts_as_failed(job, pod)]
    return jobbackoff.after(Record(), [pod for pod in pods if podrules.phase(pod) == "Succeeded"], failed)


def _set(status: Object, name: str, value: object) -> None:
    """Set a field, or leave it out if there is nothing to say."""
    if value:
        status[name] = value
    else:
        status.pop(name, None)


def _note(job: Object, pods: Sequence[Object], found: Tally, end: End | None, result: Plan) -> bool:
    """Make those numbers that lost their finalizer, note those that are to lose it; whether there was room for all."""
    status = result.status
    uncounted = status.get("uncountedTerminatedPods") or {}
    held = {meta.uid(pod) for pod in pods if has_finalizer(pod)}
    noted: dict[str, list[str]] = {}
    for name in ("succeeded", "failed"):
        before = list(uncounted.get(name) or ())
        noted[name] = [uid for uid in before if uid in held]
        if name == "failed" or not is_indexed(job):
            _set(status, name, int(status.get(name) or 0) + len(before) - len(noted[name]))
    delayed = {meta.uid(pod) for pod in found.delayed.values()}
    is_all_noted = True
    for pod in pods:
        uid, succeeded, failed = meta.uid(pod), podrules.phase(pod) == "Succeeded", counts_as_failed(job, pod)
        is_over = end is not None or meta.being_deleted(job) or succeeded
        if not has_finalizer(pod) or not (is_over or (failed and uid not in delayed)):
            continue
        if len(noted["succeeded"]) + len(noted["failed"]) >= UNCOUNTED_LIMIT:
            is_all_noted = False
            break
        result.release.append(pod)
        # When a job fails, so do all its pods. Of an Indexed job the indexes tell who succeeded.
        if succeeded and uid not in noted["failed"]:
            if not is_indexed(job) and uid not in noted["succeeded"]:
                noted["succeeded"].append(uid)
        elif not (failed or (end is not None and not end.succeeds)) or uid in noted["failed"] or not is_valid(job, pod):
            continue
        elif jobpolicies.failure_action(job, pod)[0] != "Ignore":
            noted["failed"].append(uid)
    status["uncountedTerminatedPods"] = {name: uids for name, uids in noted.items() if uids}
    if is_indexed(job):
        _set(status, "succeeded", len(found.completed_indexes))
        _set(status, "completedIndexes", jobindexes.write(found.completed_indexes))
        if job["spec"].get("backoffLimitPerIndex") is not None:
            status["failedIndexes"] = jobindexes.write(found.failed_indexes)
    return is_all_noted


def _end(job: Object, found: Tally, end: End, result: Plan, is_all_noted: bool, now: datetime) -> None:
    """Announce the end, remove what still runs, and say it is over when nothing is left."""
    status = result.status
    conditions = status.get("conditions") or []
    announced = "SuccessCriteriaMet" if end.succeeds else "FailureTarget"
    conditions = with_condition(conditions, announced, "True", end.reason, end.message, now)
    result.delete = list(found.active)
    is_over = is_all_noted and not result.release and not status["uncountedTerminatedPods"]
    if is_over and not found.active and not found.terminating:
        type_ = "Complete" if end.succeeds else "Failed"
        conditions = with_condition(conditions, type_, "True", end.reason, end.message, now)
        if end.succeeds:
            status["completionTime"] = meta.format_time(now)
            if int(status.get("succeeded") or 0) > job["spec"].get("completions", float("inf")):
                text = "Too many succeeded pods running after completion count reached"
                result.events.append(("Warning", "TooManySucceededPods", text))
            result.events.append(("Normal", "Completed", "Job completed"))
        else:
            result.events.append(("Warning", end.reason, end.message))
    status["conditions"] = conditions


def _note_suspension(job: Object, result: Plan, now: datetime) -> None:
    status, conditions = result.status, result.status.get("conditions") or []
    was_suspended = meta.is_condition_true(job, "Suspended")
    if job["spec"].get("suspend"):
        status.pop("startTime", None)
        if not was_suspended:
            conditions = with_condition(conditions, "Suspended", "True", "JobSuspended", "Job suspended", now)
            result.events.append(("Normal", "Suspended", "Job suspended"))
    elif was_suspended:
        conditions = with_condition(conditions, "Suspended", "False", "JobResumed", "Job resumed", now)
        result.events.append(("Normal", "Resumed", "Job resumed"))
        status["startTime"] = meta.format_time(now)
    if conditions:
        status["conditions"] = conditions


def _staff(job: Object, found: Tally, result: Plan, now: datetime) -> None:
    """Bring the number of running pods to what parallelism and completions ask for."""
    spec, active = job["spec"], found.active
    parallelism, completions = int(spec.get("parallelism", 1)), spec.get("completions")
    if completions is None:
        wanted = len(active) if found.succeeded_total > 0 else parallelism
    else:
        wanted = max(min(parallelism, completions - found.succeeded_total), 0)
    result.discard = _surplus(job, active, len(active) - wanted)[:POD_CHANGES_LIMIT]
    if result.discard:
        return  # What is made depends on what is left.
    occupied = len(active) + (len(found.terminating) if replaces_failed_only(job) else 0)
    missing = min(wanted - occupied, POD_CHANGES_LIMIT)
    if missing <= 0:
        return
    if spec.get("backoffLimitPerIndex") is not None:
        _staff_by_index(job, found, missing, result, now)
        return
    assert result.backoff is not None
    left = result.backoff.seconds_left(now)
    if left > 0:
        result.after_seconds = left
    elif is_indexed(job):
        result.create.extend(islice(free_indexes(job, found), missing))
    else:
        result.create.extend([None] * missing)


def _surplus(job: Object, active: Sequence[Object], at_least: int) -> list[Object]:
    """Active pods to remove: those without a valid index of their own, and more if these are fewer than `at_least`."""
    surplus: list[Object] = []
    left = list(active)
    if is_indexed(job):
        of_index: dict[int, list[Object]] = {}
        for pod in active:
            index = jobindexes.of_pod(pod)
            if index is None or index >= job["spec"]["completions"]:
                surplus.append(pod)
            else:
                of_index.setdefault(index, []).append(pod)
        left = []
        for index in sorted(of_index):
            *others, best = podrules.least_advanced_first(of_index[index])
            surplus.extend(others)
            left.append(best)
    return surplus + podrules.least_advanced_first(left)[: max(at_least - len(surplus), 0)]


def free_indexes(job: Object, found: Tally) -> Iterator[int]:
    """Indexes that nobody works on and that are not done, lowest first."""
    taken = {jobindexes.of_pod(pod) for pod in found.active} | found.completed_indexes | found.failed_indexes
    if replaces_failed_only(job):
        taken |= {jobindexes.of_pod(pod) for pod in found.terminating}
    return (index for index in range(job["spec"]["completions"]) if index not in taken)


def _staff_by_index(job: Object, found: Tally, missing: int, result: Plan, now: datetime) -> None:
    """Where each index has a back-off of its own. No index is begun in the place of one that must wait."""
    waits = []
    for index in islice(free_indexes(job, found), missing):
        failed = found.delayed.get(index)
        left = jobbackoff.of_index(failed).seconds_left(now) if failed is not None else 0.0
        if left > 0:
            waits.append(left)
        else:
            result.create.append(index)
    if not result.create:
        result.after_seconds = min(waits, default=None)
