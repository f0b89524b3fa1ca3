"""Start Jobs when their CronJob's schedule is due."""

from __future__ import annotations

import contextlib
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
    _note_jobs(jobs, result)
    result.delete = _beyond_history(cronjob, jobs)
    spec = cronjob["spec"]
    if meta.being_deleted(cronjob):
        return result
    try:
        where = zone(cronjob)
    except ValueError as error:
        result.events.append(("Warning", "UnknownTimeZone", f'invalid timeZone: "{spec["timeZone"]}": {error}'))
        return result
    if spec.get("suspend"):
        return result
    try:
        schedule = cronschedule.parse(spec["schedule"], where)
    except ValueError as error:
        text = f'unparseable schedule: "{spec["schedule"]}" : {error}'
        result.events.append(("Warning", "UnparseableSchedule", text))
        return result
    upcoming = schedule.next(now)
    if upcoming is None:
        text = f"invalid schedule: {spec['schedule']} : time difference between two schedules is less than 1 second"
        result.events.append(("Warning", "InvalidSchedule", text))
        return result
    result.after_seconds = (upcoming - now).total_seconds() + 0.1
    due = _due(cronjob, schedule, now, result)
    active = result.status.get("active") or []
    if due is None or any(item.get("name") == job_name(cronjob, due) for item in active):
        return result
    policy = spec.get("concurrencyPolicy", "Allow")
    if policy == "Forbid" and active:
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        result.events.append(("Normal", "JobAlreadyActive", text))
        return result
    if policy == "Replace":
        uids = {item.get("uid") for item in active}
        result.replace = [job for job in jobs if meta.uid(job) in uids]
    result.start = due
    return result


def _due(cronjob: Object, schedule: Schedule | Interval, now: datetime, result: Plan) -> datetime | None:
    last = (cronjob.get("status") or meta.EMPTY).get("lastScheduleTime")
    since = meta.parse_time(last) if last else podrules.created(cronjob)
    deadline = cronjob["spec"].get("startingDeadlineSeconds")
    if deadline is not None:
        since = max(since, now - timedelta(seconds=deadline))
    due, missed = due_times(schedule, since, now)
    if missed > MISSED_LIMIT:
        text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        result.events.append(("Warning", "TooManyMissedTimes", text))
    return due


def _note_jobs(jobs: Sequence[Object], result: Plan) -> None:
    """Bring the list of active jobs, and the time of the last success, up to date.

    Only jobs that were started here are active: others that have this owner, made by hand, are in nobody's way.
    """
    status, by_uid = result.status, {meta.uid(job): job for job in jobs}
    active: list[Object] = list(status.get("active") or ())
    listed = {item.get("uid") for item in active}
    for job in jobs:
        if meta.uid(job) not in listed and not _finished(job):
            text = f"Saw a job that the controller did not create or forgot: {meta.name(job)}"
            result.events.append(("Warning", "UnexpectedJob", text))
        elif meta.uid(job) in listed and _finished(job):
            text = f"Saw completed job: {meta.name(job)}, condition: {_finished(job)}"
            result.events.append(("Normal", "SawCompletedJob", text))
    for item in active:
        if item.get("uid") not in by_uid:
            result.events.append(("Normal", "MissingJob", f"Active job went missing: {item.get('name')}"))
    _set_active(status, [item for item in active if item.get("uid") in by_uid and not _finished(by_uid[item["uid"]])])
    times = [job["status"]["completionTime"] for job in jobs if (job.get("status") or meta.EMPTY).get("completionTime")]
    newest = max([*times, status.get("lastSuccessfulTime") or ""], default="")
    if newest:
        status["lastSuccessfulTime"] = newest


def _set_active(status: Object, active: list[Object]) -> None:
    if active:
        status["active"] = active
    else:
        status.pop("active", None)


def _beyond_history(cronjob: Object, jobs: Iterable[Object]) -> list[Object]:
    surplus = []
    ordered = sorted(jobs, key=_age)
    for type_, field_name, default in (
        ("Complete", "successfulJobsHistoryLimit", 3),
        ("Failed", "failedJobsHistoryLimit", 1),
    ):
        limit = cronjob["spec"].get(field_name, default)
        finished = [job for job in ordered if _finished(job) == type_ and not meta.being_deleted(job)]
        surplus.extend(finished[: max(len(finished) - limit, 0)])
    return surplus


def _age(job: Object) -> tuple[bool, str, str]:
    """Oldest first; those that never started last."""
    started = (job.get("status") or meta.EMPTY).get("startTime") or ""
    return not started, started, meta.name(job)


def job_name(cronjob: Object, due: datetime) -> str:
    return f"{meta.name(cronjob)}-{int(due.timestamp()) // 60}"


def new_job(cronjob: Object, due: datetime) -> Object:
    """The job of one scheduled time; its name is that time, so that it is never made twice."""
    template = cronjob["spec"]["jobTemplate"]
    source = template.get("metadata") or meta.EMPTY
    metadata: dict[str, Any] = {
        "name": job_name(cronjob, due),
        "namespace": meta.namespace(cronjob),
        "annotations": {**(source.get("annotations") or {}), SCHEDULED_AT: _local(due, zone(cronjob))},
        "ownerReferences": [meta.owner_reference(cronjob)],
    }
    if source.get("labels"):
        metadata["labels"] = source["labels"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


def _local(moment: datetime, where: tzinfo) -> str:
    """In the schedule's time zone, as RFC 3339 has it."""
    return moment.astimezone(where).isoformat(timespec="seconds").replace("+00:00", "Z")


async def reconcile(cronjob: Object, cluster: Cluster) -> float | None:
    jobs = cluster.owned(cronjob, JOBS)
    todo = plan(cronjob, jobs, cluster.now())
    for type_, reason, message in todo.events:
        cluster.event(cronjob, type_, reason, message)
    for job in todo.replace:
        await _delete(cronjob, job, cluster)
    if todo.start is not None:
        await _start(cronjob, todo, cluster)
    for job in todo.delete:
        with contextlib.suppress(StatusError):
            await _delete(cronjob, job, cluster)
    if todo.status != (cronjob.get("status") or {}):
        await cluster.update_status(RESOURCE, {**cronjob, "status": todo.status})
    return todo.after_seconds


async def _delete(cronjob: Object, job: Object, cluster: Cluster) -> None:
    try:
        await cluster.delete(JOBS, job, propagation_policy="Background")
    except StatusError as error:
        cluster.event(cronjob, "Warning", "FailedDelete", f"Deleted job: {error.message}")
        raise
    cluster.event(cronjob, "Normal", "SuccessfulDelete", f"Deleted job {meta.name(job)}")


async def _start(cronjob: Object, todo: Plan, cluster: Cluster) -> None:
    assert todo.start is not None
    replaced = {meta.uid(job) for job in todo.replace}
    active = [item for item in todo.status.get("active") or () if item["uid"] not in replaced]
    _set_active(todo.status, active)
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
        if not meta.is_controlled_by(made, cronjob):
            return  # Somebody else's: it is theirs to tell of.
    else:
        cluster.event(cronjob, "Normal", "SuccessfulCreate", f"Created job {meta.name(made)}")
    todo.status["active"] = [*active, _reference(made)]
    todo.status["lastScheduleTime"] = meta.format_time(todo.start)


CONTROLLER = Controller("cronjob-controller", RESOURCE, reconcile, owns=(JOBS,))
