"""Start Jobs when their CronJob's schedule is due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from navarch.apimachinery import cronschedule, meta
from navarch.apimachinery.cronschedule import Interval, Schedule
from navarch.apimachinery.errors import Object, StatusError
from navarch.controllers import pods as podrules
from navarch.controllers.controller import Cluster, Controller, is_namespace_terminating

RESOURCE = "cronjobs.batch"
JOBS = "jobs.batch"
SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MISSED_LIMIT = 100
"""More missed starts than these are told of, since something is wrong then."""


@dataclass(slots=True)
class Plan:
    status: Object
    start: datetime | None = None
    """The scheduled time for which to start a job now."""
    replace: list[Object] = field(default_factory=list)
    """Jobs that make room for it."""
    delete: list[Object] = field(default_factory=list)
    """Finished jobs beyond the history that is kept."""
    after_seconds: float | None = None
    events: list[tuple[str, str, str]] = field(default_factory=list)


def zone(cronjob: Object) -> tzinfo:
    """The schedule's time zone. Raises ValueError for one that does not exist."""
    name = cronjob["spec"].get("timeZone")
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"unknown time zone {name}") from error


def due_times(schedule: Schedule | Interval, since: datetime, now: datetime) -> tuple[datetime | None, int]:
    """(the latest time that is due, how many are) after `since`; counts no further than just above the limit."""
    latest, count = None, 0
    moment = schedule.next(since)
    while moment is not None and moment <= now:
        latest, count = moment, count + 1
        if count > MISSED_LIMIT:
            # Long ago: look for the latest in ever shorter spans instead of counting on.
            return _latest(schedule, moment, now), count
        moment = schedule.next(moment)
    return latest, count


def _latest(schedule: Schedule | Interval, known: datetime, now: datetime) -> datetime:
    low = known
    span = (now - known) / 2
    while span > timedelta(minutes=1):
        found = schedule.next(low + span)
        if found is not None and found <= now:
            low = found
            span = (now - low) / 2
        else:
            span /= 2
    while (following := schedule.next(low)) is not None and following <= now:
        low = following
    return low


def _finished(job: Object) -> str:
    return next((type_ for type_ in ("Complete", "Failed") if meta.is_condition_true(job, type_)), "")


def _reference(job: Object) -> Object:
    return {
        "kind": "Job",
        "namespace": meta.namespace(job),
        "name": meta.name(job),
        "uid": meta.uid(job),
        "apiVersion": "batch/v1",
        "resourceVersion": job["metadata"].get("resourceVersion", ""),
    }


def plan(cronjob: Object, jobs: Sequence[Object], now: datetime) -> Plan:
    """All the rules."""
    result = Plan(dict(cronjob.get("status") or {}))
    _note_jobs(cronjob, jobs, result)
    result.delete = _beyond_history(cronjob, jobs)
    spec = cronjob["spec"]
    if meta.being_deleted(cronjob) or spec.get("suspend"):
        return result
    try:
        schedule = cronschedule.parse(spec["schedule"], zone(cronjob))
    except ValueError as error:
        text = f'unparseable schedule: "{spec["schedule"]}" : {error}'
        result.events.append(("Warning", "UnparseableSchedule", text))
        return result
    upcoming = schedule.next(now)
    result.after_seconds = (upcoming - now).total_seconds() + 0.1 if upcoming is not None else None
    due = _due(cronjob, schedule, now, result)
    if due is None:
        return result
    active = [job for job in jobs if not _finished(job)]
    policy = spec.get("concurrencyPolicy", "Allow")
    if any(meta.annotations(job).get(SCHEDULED_AT) == meta.format_time(due) for job in jobs):
        return result  # Started already; the status had not been written.
    if policy == "Forbid" and active:
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        result.events.append(("Normal", "JobAlreadyActive", text))
        return result
    if policy == "Replace":
        result.replace = active
    result.start = due
    return result


def _due(cronjob: Object, schedule: Schedule | Interval, now: datetime, result: Plan) -> datetime | None:
    last = (cronjob.get("status") or meta.EMPTY).get("lastScheduleTime")
    since = meta.parse_time(last) if last else podrules.created(cronjob)
    deadline = cronjob["spec"].get("startingDeadlineSeconds")
    earliest = since
    if deadline is not None:
        earliest = max(since, now - timedelta(seconds=deadline))
    due, missed = due_times(schedule, earliest, now)
    if missed > MISSED_LIMIT:
        text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        result.events.append(("Warning", "TooManyMissedTimes", text))
    if due is None and deadline is not None:
        late, _ = due_times(schedule, since, now)
        if late is not None:
            text = f"Missed scheduled time to start a job: {late.astimezone(UTC).strftime('%a, %d %b %Y %H:%M:%S %z')}"
            result.events.append(("Warning", "MissSchedule", text))
    return due


def _note_jobs(cronjob: Object, jobs: Sequence[Object], result: Plan) -> None:
    """Bring the list of active jobs, and the time of the last success, up to date."""
    status, by_uid = result.status, {meta.uid(job): job for job in jobs}
    for entry in status.get("active") or ():
        job = by_uid.get(entry.get("uid", ""))
        if job is None:
            text = f"Active job went missing: {entry.get('name')}"
            result.events.append(("Normal", "MissingJob", text))
        elif _finished(job):
            text = f"Saw completed job: {meta.name(job)}, condition: {_finished(job)}"
            result.events.append(("Normal", "SawCompletedJob", text))
    active = [_reference(job) for job in sorted(jobs, key=meta.name) if not _finished(job)]
    if active:
        status["active"] = active
    else:
        status.pop("active", None)
    times = [job["status"]["completionTime"] for job in jobs if (job.get("status") or meta.EMPTY).get("completionTime")]
    newest = max([*times, status.get("lastSuccessfulTime") or ""], default="")
    if newest:
        status["lastSuccessfulTime"] = newest


def _beyond_history(cronjob: Object, jobs: Iterable[Object]) -> list[Object]:
    surplus = []
    ordered = sorted(jobs, key=lambda job: ((job.get("status") or meta.EMPTY).get("startTime") or "", meta.name(job)))
    for type_, field_name, default in (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    ):
        limit = cronjob["spec"].get(field_name, default)
        finished = [job for job in ordered if _finished(job) == type_ and not meta.being_deleted(job)]
        surplus.extend(finished[: max(len(finished) - limit, 0)])
    return surplus


def new_job(cronjob: Object, due: datetime) -> Object:
    """The job of one scheduled time; its name is that time, so that it is never made twice."""
    template = cronjob["spec"]["jobTemplate"]
    source = template.get("metadata") or meta.EMPTY
    metadata: dict[str, Any] = {
        "name": f"{meta.name(cronjob)}-{int(due.timestamp()) // 60}",
        "namespace": meta.namespace(cronjob),
        "annotations": {**(source.get("annotations") or {}), SCHEDULED_AT: meta.format_time(due)},
        "ownerReferences": [meta.owner_reference(cronjob)],
    }
    if source.get("labels"):
        metadata["labels"] = source["labels"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


async def reconcile(cronjob: Object, cluster: Cluster) -> float | None:
    jobs = cluster.owned(cronjob, JOBS)
    todo = plan(cronjob, jobs, cluster.now())
    for type_, reason, message in todo.events:
        cluster.event(cronjob, type_, reason, message)
    for job in (*todo.replace, *todo.delete):
        await cluster.delete(JOBS, job, propagation_policy="Background")
        cluster.event(cronjob, "Normal", "SuccessfulDelete", f"Deleted job {meta.name(job)}")
    if todo.start is not None:
        await _start(cronjob, todo, cluster)
    if todo.status != (cronjob.get("status") or {}):
        await cluster.update_status(RESOURCE, {**cronjob, "status": todo.status})
    return todo.after_seconds


async def _start(cronjob: Object, todo: Plan, cluster: Cluster) -> None:
    assert todo.start is not None
    wanted = new_job(cronjob, todo.start)
    try:
        made = await cluster.create(JOBS, wanted)
    except StatusError as error:
        if is_namespace_terminating(error):
            return
        if not error.is_already_exists:
            cluster.event(cronjob, "Warning", "FailedCreate", f"Error creating job: {error.message}")
            raise
        made = await cluster.client.get(JOBS, meta.name(wanted), meta.namespace(wanted))
    else:
        cluster.event(cronjob, "Normal", "SuccessfulCreate", f"Created job {meta.name(made)}")
    replaced = {meta.uid(job) for job in todo.replace}
    active = [item for item in todo.status.get("active") or () if item["uid"] not in replaced]
    todo.status["active"] = [*active, _reference(made)]
    todo.status["lastScheduleTime"] = meta.format_time(todo.start)


CONTROLLER = Controller("cronjob-controller", RESOURCE, reconcile, owns=(JOBS,))
