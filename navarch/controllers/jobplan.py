"""What to do for a Job: which pods to make and remove, how it ended if it did. Pure.

A finished pod is counted exactly once, though it may be deleted at any time: it carries a finalizer, is first noted by its uid
in `status.uncountedTerminatedPods`, then loses the finalizer, and only then becomes a number (KEP-2307).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import jobindexes
from navarch.controllers import pods as podrules

FINALIZER = "batch.kubernetes.io/job-tracking"
BACKOFF_INITIAL_SECONDS = 10.0
BACKOFF_MAX_SECONDS = 600.0
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
class Tally:
    """The job's pods, sorted by what they mean for it."""

    active: list[Object] = field(default_factory=list)
    terminating: list[Object] = field(default_factory=list)
    succeeded: list[Object] = field(default_factory=list)
    """Finished, and not yet counted or noted."""
    failed: list[Object] = field(default_factory=list)
    ignored: list[Object] = field(default_factory=list)
    """Failed, but by the pod failure policy not to be counted."""
    succeeded_total: int = 0
    failed_total: int = 0
    completed_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    failure_message: str = ""
    """Of a rule of the pod failure policy that fails the whole job."""


@dataclass(slots=True)
class Plan:
    status: Object
    create: list[int | None] = field(default_factory=list)
    """One entry for each pod to make: its index, or None."""
    delete: list[Object] = field(default_factory=list)
    discard: list[Object] = field(default_factory=list)
    """Pods to remove that count neither as succeeded nor as failed."""
    release: list[Object] = field(default_factory=list)
    """Pods to take the finalizer off, once the status is written."""
    after_seconds: float | None = None
    events: list[tuple[str, str, str]] = field(default_factory=list)
    """(type, reason, message)"""


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def is_finished(job: Object) -> bool:
    return meta.is_condition_true(job, "Complete") or meta.is_condition_true(job, "Failed")


def has_finalizer(pod: Object) -> bool:
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def replaces_failed_only(job: Object) -> bool:
    return bool(job["spec"].get("podReplacementPolicy") == "Failed" or job["spec"].get("podFailurePolicy"))


def finished_at(pod: Object) -> datetime:
    """When the last container ended; failing that, when the pod was deleted or made."""
    moments = []
    for status in (pod.get("status") or meta.EMPTY).get("containerStatuses") or ():
        ended = meta.get_path(status, "state", "terminated", "finishedAt")
        if ended:
            moments.append(meta.parse_time(ended))
    if moments:
        return max(moments)
    return meta.parse_time(pod["metadata"].get("deletionTimestamp") or pod["metadata"]["creationTimestamp"])


def tally(job: Object, pods: Iterable[Object]) -> Tally:
    """Sort the pods. Those that the status has noted or counted already are among the totals only."""
    status = job.get("status") or meta.EMPTY
    uncounted = status.get("uncountedTerminatedPods") or meta.EMPTY
    noted_succeeded, noted_failed = set(uncounted.get("succeeded") or ()), set(uncounted.get("failed") or ())
    result = Tally()
    limit = job["spec"].get("completions") or 0
    if is_indexed(job):
        result.completed_indexes = jobindexes.parse(status.get("completedIndexes"), limit)
        result.failed_indexes = jobindexes.parse(status.get("failedIndexes"), limit)
    for pod in pods:
        uid = meta.uid(pod)
        if podrules.phase(pod) == "Succeeded":
            index = jobindexes.of_pod(pod)
            # A second success of an index counts for nothing.
            if has_finalizer(pod) and uid not in noted_succeeded:
                result.succeeded.append(pod)
                if index is not None and index < limit:
                    result.completed_indexes.add(index)
        elif _counts_as_failed(job, pod) and has_finalizer(pod) and uid not in noted_failed:
            _judge_failure(job, pod, result)
        if meta.being_deleted(pod) and not podrules.is_finished(pod):
            result.terminating.append(pod)
        elif podrules.is_active(pod):
            result.active.append(pod)
    if is_indexed(job):
        result.succeeded_total = len(result.completed_indexes)
    else:
        result.succeeded_total = int(status.get("succeeded") or 0) + len(noted_succeeded) + len(result.succeeded)
    result.failed_total = int(status.get("failed") or 0) + len(noted_failed) + len(result.failed)
    return result


def _counts_as_failed(job: Object, pod: Object) -> bool:
    if podrules.phase(pod) == "Failed":
        return True
    return meta.being_deleted(pod) and not replaces_failed_only(job)


def _judge_failure(job: Object, pod: Object, result: Tally) -> None:
    action, message = failure_action(job, pod)
    if action == "Ignore":
        result.ignored.append(pod)
        return
    result.failed.append(pod)
    if action == "FailJob" and not result.failure_message:
        result.failure_message = message
    index, per_index = jobindexes.of_pod(pod), job["spec"].get("backoffLimitPerIndex")
    if index is not None and per_index is not None and (action == "FailIndex" or jobindexes.failures(pod) >= per_index):
        result.failed_indexes.add(index)


def failure_action(job: Object, pod: Object) -> tuple[str, str]:
    """(action, message) of the first rule of the pod failure policy that matches; ("Count", "") if none does."""
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        found = _exit_code_match(rule.get("onExitCodes"), pod)
        if found is not None:
            name, code = found
            where = f"matching {rule['action']} rule at index {number}"
            return rule["action"], f"Container {name} for pod {meta.key(pod)} failed with exit code {code} {where}"
        for pattern in rule.get("onPodConditions") or ():
            condition = meta.condition(pod, pattern["type"])
            if condition is not None and condition.get("status") == pattern.get("status", "True"):
                where = f"matching {rule['action']} rule at index {number}"
                return rule["action"], f"Pod {meta.key(pod)} has condition {pattern['type']} {where}"
    return "Count", ""


def _exit_code_match(requirement: Object | None, pod: Object) -> tuple[str, int] | None:
    if requirement is None:
        return None
    status = pod.get("status") or meta.EMPTY
    for container in [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]:
        code = meta.get_path(container, "state", "terminated", "exitCode")
        if not code or requirement.get("containerName") not in (None, container["name"]):
            continue
        if (code in requirement["values"]) == (requirement["operator"] == "In"):
            return container["name"], code
    return None


def ending(job: Object, found: Tally, now: datetime) -> End | None:
    """How the job ends, if it does; an end that was announced stays."""
    for type_, succeeds in (("FailureTarget", False), ("SuccessCriteriaMet", True)):
        announced = meta.condition(job, type_)
        if announced is not None and announced.get("status") == "True":
            return End(succeeds, announced.get("reason", ""), announced.get("message", ""))
    spec = job["spec"]
    if found.failure_message:
        return End(False, "PodFailurePolicy", found.failure_message)
    if found.failed_total > spec.get("backoffLimit", 6) or _restarted_too_often(job, found):
        return End(False, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = deadline_left(job, now)
    if left is not None and left <= 0:
        return End(False, "DeadlineExceeded", "Job was active longer than specified deadline")
    return _ending_of_indexes(job, found) or _completion(job, found)


def _restarted_too_often(job: Object, found: Tally) -> bool:
    if meta.get_path(job["spec"], "template", "spec", "restartPolicy") != "OnFailure":
        return False
    restarts = 0
    for pod in found.active:
        status = pod.get("status") or meta.EMPTY
        for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
            restarts += container.get("restartCount", 0)
    limit = job["spec"].get("backoffLimit", 6)
    return restarts > 0 if limit == 0 else restarts >= limit


def _ending_of_indexes(job: Object, found: Tally) -> End | None:
    spec = job["spec"]
    if not is_indexed(job):
        return None
    for number, rule in enumerate((spec.get("successPolicy") or {}).get("rules") or ()):
        wanted = jobindexes.parse(rule["succeededIndexes"], spec["completions"]) if rule.get("succeededIndexes") else None
        done = found.completed_indexes if wanted is None else found.completed_indexes & wanted
        needed = rule.get("succeededCount") or (len(wanted) if wanted is not None else spec["completions"])
        if len(done) >= needed:
            return End(True, "SuccessPolicy", f"Matched rules at index {number}")
    if spec.get("backoffLimitPerIndex") is None:
        return None
    most = spec.get("maxFailedIndexes")
    if most is not None and len(found.failed_indexes) > most:
        return End(False, "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
    if found.failed_indexes and len(found.failed_indexes | found.completed_indexes) >= spec["completions"]:
        return End(False, "FailedIndexes", "Job has failed indexes")
    return None


def _completion(job: Object, found: Tally) -> End | None:
    wanted = job["spec"].get("completions")
    if wanted is None:
        done = found.succeeded_total > 0 and not found.active and not found.terminating
    else:
        done = found.succeeded_total >= wanted
    return End(True, *REACHED) if done else None


def deadline_left(job: Object, now: datetime) -> float | None:
    """Seconds until the job has run too long."""
    seconds, start = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or meta.EMPTY).get("startTime")
    if seconds is None or not start or job["spec"].get("suspend"):
        return None
    return (meta.parse_time(start) + timedelta(seconds=seconds) - now).total_seconds()


def backoff_left(pods: Iterable[Object], now: datetime) -> float:
    """Seconds until the next pod may be made after pods failed one after the other."""
    finished = sorted((pod for pod in pods if podrules.is_finished(pod)), key=finished_at)
    failures = 0
    for pod in reversed(finished):
        if podrules.phase(pod) != "Failed":
            break
        failures += 1
    if not failures:
        return 0.0
    delay = min(BACKOFF_INITIAL_SECONDS * 2.0 ** min(failures - 1, 16), BACKOFF_MAX_SECONDS)
    return max(delay - (now - finished_at(finished[-1])).total_seconds(), 0.0)


def with_condition(
    conditions: Sequence[Object], type_: str, status: str, reason: str, message: str, now: datetime
) -> list[Object]:
    present = meta.find(conditions, "type", type_)
    if present is not None and present.get("status") == status and present.get("reason") == reason:
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


def plan(job: Object, pods: Sequence[Object], now: datetime) -> Plan:
    """All the rules."""
    if is_finished(job):
        return Plan(job["status"], release=[pod for pod in pods if has_finalizer(pod)])
    found = tally(job, pods)
    result = Plan(_counted(job, pods, found))
    status, spec = result.status, job["spec"]
    suspended = bool(spec.get("suspend"))
    if not suspended and not status.get("startTime"):
        status["startTime"] = meta.format_time(now)
    end = ending({**job, "status": status}, found, now)
    if end is not None:
        _end(job, found, end, result, now)
    elif suspended:
        result.discard = list(found.active)
    elif not meta.being_deleted(job):
        _staff(job, pods, found, result, now)
    if end is None:
        _note_suspension(job, result, now)
        left = deadline_left({**job, "status": status}, now)
        result.after_seconds = podrules.earliest(result.after_seconds, left)
    going = {meta.uid(pod) for pod in (*result.delete, *result.discard)}
    staying = [pod for pod in found.active if meta.uid(pod) not in going]
    # The numbers are those of what was found; pods made and removed now show next time.
    _set(status, "active", len(staying))
    status["ready"] = sum(podrules.is_ready(pod) for pod in staying)
    status["terminating"] = len(found.terminating)
    return result


def _set(status: Object, name: str, value: object) -> None:
    """Set a field, or leave it out if there is nothing to say."""
    if value:
        status[name] = value
    else:
        status.pop(name, None)


def _counted(job: Object, pods: Sequence[Object], found: Tally) -> Object:
    """The status after pods that lost their finalizer became numbers, and finished ones were noted."""
    status: Object = dict(job.get("status") or {})
    uncounted = status.get("uncountedTerminatedPods") or {}
    held = {meta.uid(pod) for pod in pods if has_finalizer(pod)}
    after: dict[str, list[str]] = {}
    for name, new in (("succeeded", found.succeeded), ("failed", found.failed)):
        noted = list(uncounted.get(name) or ())
        flushed = [uid for uid in noted if uid not in held]
        if name == "failed" or not is_indexed(job):
            _set(status, name, int(status.get(name) or 0) + len(flushed))
        left = [uid for uid in noted if uid in held] + [meta.uid(pod) for pod in new]
        if left:
            after[name] = left[:UNCOUNTED_LIMIT]
    if is_indexed(job):
        _set(status, "succeeded", len(found.completed_indexes))
        _set(status, "completedIndexes", jobindexes.write(found.completed_indexes))
        if job["spec"].get("backoffLimitPerIndex") is not None:
            status["failedIndexes"] = jobindexes.write(found.failed_indexes)
    status["uncountedTerminatedPods"] = after
    return status


def _end(job: Object, found: Tally, end: End, result: Plan, now: datetime) -> None:
    """Announce the end, remove what still runs, and say it is over when nothing is left."""
    status = result.status
    conditions = status.get("conditions") or []
    announced = "SuccessCriteriaMet" if end.succeeds else "FailureTarget"
    conditions = with_condition(conditions, announced, "True", end.reason, end.message, now)
    result.delete = list(found.active)
    if not found.active and not found.terminating and not status["uncountedTerminatedPods"]:
        type_ = "Complete" if end.succeeds else "Failed"
        conditions = with_condition(conditions, type_, "True", end.reason, end.message, now)
        if end.succeeds:
            status["completionTime"] = meta.format_time(now)
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


def _staff(job: Object, pods: Sequence[Object], found: Tally, result: Plan, now: datetime) -> None:
    """Bring the number of running pods to what parallelism and completions ask for."""
    spec = job["spec"]
    parallelism, completions = int(spec.get("parallelism", 1)), spec.get("completions")
    active = found.active
    if is_indexed(job):
        active, superfluous = _without_superfluous(found, completions)
        result.discard.extend(superfluous)
    if completions is None:
        wanted = len(active) if found.succeeded_total > 0 else parallelism
    else:
        wanted = min(parallelism, completions - found.succeeded_total)
        if spec.get("backoffLimitPerIndex") is not None:
            wanted = min(wanted, completions - len(found.completed_indexes | found.failed_indexes))
    surplus = len(active) - max(min(wanted, parallelism), 0)
    if surplus > 0:
        ordered = podrules.in_deletion_order(active, {}, now)
        result.discard.extend(ordered[:surplus])
        return
    occupied = len(active) + (len(found.terminating) if replaces_failed_only(job) else 0)
    missing = min(wanted - occupied, POD_CHANGES_LIMIT)
    if missing <= 0:
        return
    if spec.get("backoffLimitPerIndex") is not None:
        _staff_by_index(job, pods, found, active, missing, result, now)
        return
    left = backoff_left(pods, now)
    if left > 0:
        result.after_seconds = left
    elif is_indexed(job):
        result.create.extend(free_indexes(job, found, active)[:missing])
    else:
        result.create.extend([None] * missing)


def _without_superfluous(found: Tally, completions: int) -> tuple[list[Object], list[Object]]:
    """Active pods, one for each index that is still to be done, and the others."""
    kept: dict[int, Object] = {}
    others = []
    for pod in sorted(found.active, key=lambda item: (podrules.created(item), meta.name(item))):
        index = jobindexes.of_pod(pod)
        if index is None or index >= completions or index in kept or index in found.completed_indexes:
            others.append(pod)
        else:
            kept[index] = pod
    return list(kept.values()), others


def free_indexes(job: Object, found: Tally, active: Iterable[Object]) -> list[int | None]:
    """Indexes that nobody works on and that are not done, lowest first."""
    taken = {jobindexes.of_pod(pod) for pod in active} | found.completed_indexes | found.failed_indexes
    if replaces_failed_only(job):
        taken |= {jobindexes.of_pod(pod) for pod in found.terminating}
    return [index for index in range(job["spec"]["completions"]) if index not in taken]


def _staff_by_index(
    job: Object,
    pods: Sequence[Object],
    found: Tally,
    active: Sequence[Object],
    missing: int,
    result: Plan,
    now: datetime,
) -> None:
    """Where each index has a back-off of its own."""
    of_index: dict[int | None, list[Object]] = {}
    for pod in pods:
        of_index.setdefault(jobindexes.of_pod(pod), []).append(pod)
    for index in free_indexes(job, found, active):
        left = backoff_left(of_index.get(index, ()), now)
        if left > 0:
            result.after_seconds = podrules.earliest(result.after_seconds, left)
        elif len(result.create) < missing:
            result.create.append(index)


def failures_of_index(job: Object, pods: Iterable[Object], index: int) -> tuple[int, int]:
    """(counted, ignored) failures of an index so far, which its next pod carries on."""
    counted = ignored = 0
    for pod in pods:
        if jobindexes.of_pod(pod) != index or not _counts_as_failed(job, pod):
            continue
        is_ignored = failure_action(job, pod)[0] == "Ignore"
        counted = max(counted, jobindexes.failures(pod) + (not is_ignored))
        text = meta.annotations(pod).get(jobindexes.IGNORED_FAILURES_ANNOTATION, "")
        ignored = max(ignored, (int(text) if text.isdigit() else 0) + is_ignored)
    return counted, ignored
