"""CronJobs: when a schedule is due, and what then happens. The pure rules."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from navarch.apimachinery import cronschedule, meta
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.controllers import cronjob
from tests.controllers.cluster import Cluster, cluster

NOW = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)  # A Thursday.


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("* * * * *", "2026-01-01 12:01"),
        ("*/15 * * * *", "2026-01-01 12:15"),
        ("0 0 * * *", "2026-01-02 00:00"),
        ("@hourly", "2026-01-01 13:00"),
        ("30 3 * * mon-fri", "2026-01-02 03:30"),
        ("0 0 * * 0", "2026-01-04 00:00"),
        ("0 12 13 * fri", "2026-01-02 12:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("5,10 1-3/2 * feb *", "2026-02-01 01:05"),
        ("0 0 30 2 *", None),
        ("@every 5m", "2026-01-01 12:05"),
    ],
)
def test_the_next_due_time(schedule: str, expected: str | None) -> None:
    found = cronschedule.parse(schedule, UTC).next(NOW)
    assert (found.strftime("%Y-%m-%d %H:%M") if found else None) == expected


@pytest.mark.parametrize(
    "schedule", ["", "* * * *", "60 * * * *", "* * * * 7", "*/0 * * * *", "5-1 * * * *", "x * * * *", "@never"]
)
def test_schedules_that_make_no_sense_are_refused(schedule: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        cronschedule.parse(schedule, UTC)


def test_time_zones_and_their_changes_to_summer_time() -> None:
    zone = ZoneInfo("Europe/Berlin")
    daily = cronschedule.parse("30 2 * * *", zone)
    before = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
    # 02:30 does not exist on 29 March 2026.
    assert daily.next(before) == datetime(2026, 3, 30, 0, 30, tzinfo=UTC)
    assert cronschedule.parse("0 9 * * *", zone).next(before) == datetime(2026, 3, 29, 7, 0, tzinfo=UTC)


def cron(status: Object | None = None, created_minutes_ago: float = 3, **spec: Any) -> Object:
    created = meta.format_time(NOW - timedelta(minutes=created_minutes_ago))
    metadata = {"name": "tick", "namespace": "default", "uid": "cron", "creationTimestamp": created}
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {}}}, **spec}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec, "status": status or {}}


def job(name: str, ended: str = "", minutes_ago: float = 5) -> Object:
    stamp = meta.format_time(NOW - timedelta(minutes=minutes_ago))
    status: Object = {"startTime": stamp}
    if ended:
        status["conditions"] = [{"type": ended, "status": "True"}]
    if ended == "Complete":
        status["completionTime"] = stamp
    return {"metadata": {"name": name, "namespace": "default", "uid": name}, "status": status}


def test_the_latest_due_time_is_started_once() -> None:
    todo = cronjob.plan(cron(), [], NOW)
    assert todo.start == NOW.replace(second=0)
    assert todo.after_seconds == pytest.approx(30.1)
    made = cronjob.new_job(cron(), todo.start)
    assert meta.name(made) == f"tick-{int(todo.start.timestamp()) // 60}"
    assert meta.annotations(made)[cronjob.SCHEDULED_AT] == "2026-01-01T12:00:00Z"
    there = cronjob.new_job(cron(timeZone="America/New_York"), todo.start)
    assert meta.annotations(there)[cronjob.SCHEDULED_AT] == "2026-01-01T07:00:00-05:00"
    assert cronjob.plan(cron({"lastScheduleTime": meta.format_time(todo.start)}), [], NOW).start is None
    made["metadata"]["uid"] = "made"
    assert cronjob.plan(cron({"active": [{"name": meta.name(made), "uid": "made"}]}), [made], NOW).start is None


def test_concurrency_is_allowed_forbidden_or_ends_the_one_before() -> None:
    running, active = [job("running"), job("by-hand")], {"active": [{"name": "running", "uid": "running"}]}
    assert cronjob.plan(cron(active), running, NOW).start is not None
    forbidden = cronjob.plan(cron(active, concurrencyPolicy="Forbid"), running, NOW)
    assert (forbidden.start, forbidden.events[-1][1]) == (None, "JobAlreadyActive")
    replacing = cronjob.plan(cron(active, concurrencyPolicy="Replace"), running, NOW)
    assert replacing.start is not None
    assert replacing.replace == running[:1]


def test_jobs_that_were_not_started_here_are_in_nobodys_way() -> None:
    todo = cronjob.plan(cron(concurrencyPolicy="Forbid"), [job("by-hand")], NOW)
    assert todo.start is not None
    message = "Saw a job that the controller did not create or forgot: by-hand"
    assert (todo.events, "active" in todo.status) == ([("Warning", "UnexpectedJob", message)], False)


def test_starts_that_are_too_late_are_missed_in_silence() -> None:
    late = cronjob.plan(cron(schedule="58 11 * * *", startingDeadlineSeconds=60), [], NOW)
    assert (late.start, late.events) == (None, [])
    assert cronjob.plan(cron(schedule="58 11 * * *", startingDeadlineSeconds=600), [], NOW).start is not None


def test_after_many_missed_starts_only_the_latest_is_made_up_for() -> None:
    todo = cronjob.plan(cron(created_minutes_ago=60 * 24 * 30), [], NOW)
    assert todo.start == NOW.replace(second=0)
    assert todo.events[0][1] == "TooManyMissedTimes"


def test_suspended_and_unreadable_ones_start_nothing() -> None:
    assert cronjob.plan(cron(suspend=True), [], NOW).start is None
    broken = cronjob.plan(cron(schedule="often"), [], NOW)
    assert (broken.start, broken.events[0][1]) == (None, "UnparseableSchedule")
    (lost,) = cronjob.plan(cron(timeZone="Mars/Olympus", suspend=True), [], NOW).events
    assert lost == ("Warning", "UnknownTimeZone", 'invalid timeZone: "Mars/Olympus": unknown time zone Mars/Olympus')
    (never,) = cronjob.plan(cron(schedule="0 0 30 2 *"), [], NOW).events
    assert never[1:] == (
        "InvalidSchedule",
        "invalid schedule: 0 0 30 2 * : time difference between two schedules is less than 1 second",
    )


def test_history_is_kept_to_its_limits_and_the_status_follows_the_jobs() -> None:
    done = [job(f"done-{n}", "Complete", minutes_ago=n) for n in range(1, 6)]
    failed = [job(f"failed-{n}", "Failed", minutes_ago=n) for n in range(1, 3)]
    active = {"active": [{"uid": name, "name": name} for name in ("done-1", "lost", "running")]}
    unstarted = job("failed-0", "Failed")
    del unstarted["status"]["startTime"]
    todo = cronjob.plan(cron(active), [*done, *failed, unstarted, job("running")], NOW)
    assert {meta.name(item) for item in todo.delete} == {"done-4", "done-5", "failed-1", "failed-2"}
    assert [item["name"] for item in todo.status["active"]] == ["running"]
    assert todo.status["lastSuccessfulTime"] == done[0]["status"]["completionTime"]
    assert [reason for _, reason, _ in todo.events] == ["SawCompletedJob", "MissingJob"]


def test_a_due_cronjob_runs_its_job(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await found.add_node("node-1", "10.0.0.1")
            template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "work"}]}}
            made = await found.client.create(
                "cronjobs.batch",
                {
                    "apiVersion": "batch/v1",
                    "kind": "CronJob",
                    "metadata": {"name": "tick", "namespace": "default"},
                    "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}},
                },
            )
            # As if it had last run some minutes ago.
            last = meta.format_time(clock.now() - timedelta(minutes=3))
            await found.client.patch(
                "cronjobs.batch", meta.name(made), {"status": {"lastScheduleTime": last}}, "default", subresource="status"
            )
            await found.until(lambda: _status(found).get("lastSuccessfulTime") and not _status(found).get("active"))
            (ran,) = found.all("jobs.batch")
            assert meta.is_condition_true(ran, "Complete")
            assert _status(found)["lastScheduleTime"] == meta.annotations(ran)[cronjob.SCHEDULED_AT]

    asyncio.run(main())


def _status(found: Cluster) -> Object:
    status: Object = (found.one("cronjobs.batch", "default/tick") or {}).get("status") or {}
    return status
