"""CronJob: a Job made again and again, on a schedule."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from navarch.api import printing
from navarch.api.apps import workload
from navarch.api.batch import job
from navarch.api.core import podwarnings
from navarch.api.core.nonnegative import nonnegative
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import cronschedule, names
from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required

POLICIES = ("Allow", "Forbid", "Replace")
SUCCESSFUL_HISTORY_LIMIT, FAILED_HISTORY_LIMIT = 3, 1
# A Job's name is the CronJob's with eleven characters of time behind it.
NAME_LIMIT = 63 - 11


def default(cronjob: Object) -> Object:
    spec = cronjob.setdefault("spec", {})
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", SUCCESSFUL_HISTORY_LIMIT)
    spec.setdefault("failedJobsHistoryLimit", FAILED_HISTORY_LIMIT)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    # Completions and the rest are filled in when a Job is made.
    job.default_failure_policy(template.setdefault("spec", {}))
    workload.default_template(template["spec"])
    return cronjob


def validate_name(name: str) -> Iterator[str]:
    yield from names.dns1123_subdomain(name)
    if len(name) > NAME_LIMIT:
        yield f"must be no more than {NAME_LIMIT} characters"


def validate(cronjob: Object) -> Iterator[FieldError]:
    spec = cronjob["spec"]
    yield from _schedule(spec)
    if spec["concurrencyPolicy"] not in POLICIES:
        yield not_supported("spec.concurrencyPolicy", spec["concurrencyPolicy"], POLICIES)
    for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        if spec.get(field) is not None and spec[field] < 0:
            yield nonnegative(f"spec.{field}", spec[field])
    job_spec = {**spec["jobTemplate"]["spec"]}
    job.default_counts(job_spec)
    yield from job.validate_spec(job_spec, "spec.jobTemplate.spec")


def _schedule(spec: Object) -> Iterator[FieldError]:
    schedule = spec.get("schedule", "")
    if not schedule:
        yield required("spec.schedule")
    elif "TZ" in schedule:
        text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield invalid_value("spec.schedule", schedule, text)
    else:
        try:
            cronschedule.parse(schedule, UTC)
        except ValueError as error:
            yield invalid_value("spec.schedule", schedule, str(error))
    zone = spec.get("timeZone")
    if zone == "":
        yield invalid_value("spec.timeZone", zone, "timeZone must be nil or non-empty string")
    elif zone is not None and zone.lower() == "local":
        text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield invalid_value("spec.timeZone", zone, text)
    elif zone is not None:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield invalid_value("spec.timeZone", zone, f"unknown time zone {zone}")


def row(cronjob: Object, now: datetime) -> list[Any]:
    spec, status = cronjob["spec"], cronjob.get("status") or {}
    container_names, images = printing.containers(spec["jobTemplate"]["spec"]["template"].get("spec"))
    last = status.get("lastScheduleTime")
    return [
        cronjob["metadata"]["name"],
        spec.get("schedule", ""),
        spec.get("timeZone") or printing.NONE,
        "True" if spec.get("suspend") else "False",
        len(status.get("active") or ()),
        printing.since(last, now) if last else printing.NONE,
        printing.age(cronjob, now),
        container_names,
        images,
        printing.selector(spec["jobTemplate"]["spec"].get("selector")),
    ]


def warnings(cronjob: Object, old: Object | None) -> Iterator[str]:
    spec = cronjob["spec"]
    if old is None:
        yield from podwarnings.of_name(cronjob)
    if old is None or spec != old["spec"]:
        yield from job.spec_warnings(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec")
    if old is not None and "TZ" in spec["schedule"]:
        yield (
            "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, "
            "see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        )


KIND = Kind(
    group="batch",
    version="v1",
    kind="CronJob",
    plural="cronjobs",
    short_names=("cj",),
    categories=("all",),
    subresources=("status",),
    default=default,
    validate_name=validate_name,
    validate=validate,
    warnings=warnings,
    has_generation=True,
    columns=(
        NAME,
        Column("Schedule"),
        Column("Timezone"),
        Column("Suspend", "boolean"),
        Column("Active", "integer"),
        Column("Last Schedule"),
        AGE,
        Column("Containers", priority=1),
        Column("Images", priority=1),
        Column("Selector", priority=1),
    ),
    row=row,
)
