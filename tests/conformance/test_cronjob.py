"""CronJobs."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.lifecycles import supports_api_operations
from tests.conformance.objects import template
from tests.conformance.world import Space

CRONJOBS, JOBS = "cronjobs.batch", "jobs.batch"


def cronjob(name: str, schedule: str = "*/1 * * * ?", image: str = "registry.example/pause:1", **spec: Any) -> Object:
    pods = template({"cron": name}, image, restartPolicy="OnFailure")
    spec = {"schedule": schedule, "jobTemplate": {"spec": {"parallelism": 1, "completions": 1, "template": pods}}, **spec}
    return {"metadata": {"name": name}, "spec": spec}


def active(space: Space, name: str) -> list[str]:
    return [each["name"] for each in space.get(CRONJOBS, name)["status"].get("active") or ()]


@behaviour("CronJob AllowConcurrent")
def test_jobs_may_run_beside_each_other(space: Space) -> None:
    space.create(CRONJOBS, cronjob("concurrent", concurrencyPolicy="Allow"))
    space.world.until(lambda: len(active(space, "concurrent")) >= 2)
    assert len([each for each in space.list(JOBS) if each["status"].get("active")]) >= 2


@behaviour("CronJob Suspend")
def test_a_suspended_cronjob_starts_nothing(space: Space) -> None:
    space.create(CRONJOBS, cronjob("suspended", concurrencyPolicy="Allow", suspend=True))
    space.world.pass_time(300)
    assert active(space, "suspended") == [] and space.list(JOBS) == []


@behaviour("CronJob ForbidConcurrent")
def test_a_job_that_runs_keeps_the_next_from_starting(space: Space) -> None:
    space.create(CRONJOBS, cronjob("forbid", concurrencyPolicy="Forbid"))
    space.world.until(lambda: len(active(space, "forbid")) == 1)
    first = active(space, "forbid")
    space.world.pass_time(180)
    assert active(space, "forbid") == first and len(space.list(JOBS)) == 1


@behaviour("CronJob ReplaceConcurrent")
def test_a_job_that_runs_is_replaced_by_the_next(space: Space) -> None:
    space.create(CRONJOBS, cronjob("replace", concurrencyPolicy="Replace"))
    space.world.until(lambda: len(active(space, "replace")) == 1)
    first = active(space, "replace")
    space.world.until(lambda: len(active(space, "replace")) == 1 and active(space, "replace") != first)
    space.until_gone(JOBS, first[0])
    assert len([each for each in space.list(JOBS) if each["status"].get("active")]) <= 1


@behaviour("CronJob API Operations")
def test_a_cronjob_does_every_verb(space: Space) -> None:
    scheduled = {"status": {"lastScheduleTime": "2030-01-01T00:00:00Z"}}
    later = {"status": {"lastScheduleTime": "2030-01-01T01:00:00Z"}}
    body = {"spec": cronjob("any", "0 0 31 2 *", suspend=True)["spec"]}
    names = [f"cronjob-{number}" for number in range(3)]
    supports_api_operations(space, CRONJOBS, names, body, statuses={"status": [scheduled, later]})
