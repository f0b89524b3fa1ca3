"""CronJob: a Job made again and again, on a schedule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from navarch.api import printing
from navarch.api.batch import job, jobrules
from navarch.api.core import podwarnings
from navarch.api.core.nonnegative import nonnegative
from navarch.api.internalform import invalid_struct
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import cronschedule, meta
from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required

POLICIES = ("Allow", "Forbid", "Replace")
SUCCESSFUL_HISTORY_LIMIT, FAILED_HISTORY_LIMIT = 3, 1
# A Job's name is the CronJob's with eleven characters of time behind it.
NAME_LIMIT = 63 - 11
_ZONE_PART = re.compile(r"(?!-)[A-Za-z._0-9+-]{1,14}")


def default(cronjob: Object) -> Object:
    spec = cronjob.setdefault("spec", {})
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", SUCCESSFUL_HISTORY_LIMIT)
    spec.setdefault("failedJobsHistoryLimit", FAILED_HISTORY_LIMIT)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    # Completions and the rest are filled in when a Job is made.
    job.default_template(template.setdefault("spec", {}))
    return cronjob


def validate_create(cronjob: Object) -> Iterator[FieldError]:
    yield from _validate(cronjob, None)
    if len(meta.name(cronjob)) > NAME_LIMIT:
        yield invalid_value("metadata.name", meta.name(cronjob), f"must be no more than {NAME_LIMIT} characters")


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    if new["spec"] != old["spec"]:
        yield from _validate(new, old["spec"])


def _validate(cronjob: Object, before: Object | None) -> Iterator[FieldError]:
    spec = cronjob["spec"]
    yield from _schedule(spec, had_zone=before is not None and "TZ" in before.get("schedule", ""))
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None and deadline < 0:
        yield nonnegative("spec.startingDeadlineSeconds", deadline)
    if spec.get("timeZone") is not None and (before is None or spec["timeZone"] != before.get("timeZone")):
        yield from _time_zone(spec["timeZone"])
    if spec["concurrencyPolicy"] not in POLICIES:
        yield not_supported("spec.concurrencyPolicy", spec["concurrencyPolicy"], POLICIES)
    yield from _job_template(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec")
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        if spec[field] < 0:
            yield nonnegative(f"spec.{field}", spec[field])


def _job_template(spec: Object, path: str) -> Iterator[FieldError]:
    yield from jobrules.validate_spec(spec, path)
    if spec.get("selector") is not None:
        yield invalid_struct(f"{path}.selector", spec["selector"], jobrules.SELECTOR, "`selector` will be auto-generated")
    if spec.get("manualSelector"):
        yield not_supported(f"{path}.manualSelector", True, ("nil", "false"))


def _schedule(spec: Object, *, had_zone: bool) -> Iterator[FieldError]:
    """`had_zone`: whether the schedule that is replaced has a zone of its own, as was possible once."""
    schedule = spec.get("schedule", "")
    if not schedule:
        yield required("spec.schedule")
        return
    try:
        cronschedule.parse(schedule, UTC)
    except ValueError as error:
        yield invalid_value("spec.schedule", schedule, str(error))
    if "TZ" in schedule and not had_zone:
        text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield invalid_value("spec.schedule", schedule, text)
    elif "TZ" in schedule and spec.get("timeZone") is not None:
        text = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        yield invalid_value("spec.schedule", schedule, text)


def _time_zone(zone: str) -> Iterator[FieldError]:
    path, unknown = "spec.timeZone", invalid_value("spec.timeZone", zone, f"unknown time zone {zone}")
    if not zone:
        yield invalid_value(path, zone, "timeZone must be nil or non-empty string")
        return
    if not all(_ZONE_PART.fullmatch(part) and part not in (".", "..") for part in zone.split("/")):
        yield unknown
        return
    if zone.lower() == "local":
        text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield invalid_value(path, zone, text)
    try:
        if zone != "Local":
            ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield unknown


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
    validate_create=validate_create,
    validate_update=validate_update,
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
