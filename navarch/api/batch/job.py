"""Job: pods that run to completion."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.apps import workload
from navarch.api.batch import jobrules, jobstatus
from navarch.api.batch.jobrules import CONTROLLER_UID, JOB_NAME, OLD_CONTROLLER_UID, OLD_JOB_NAME
from navarch.api.core import podwarnings
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object

BACKOFF_LIMIT = 6
NO_LIMIT = 2**31 - 1
MANY_COMPLETIONS, MANY_AT_ONCE = 100_000, 10_000


def default(job: Object) -> Object:
    spec = job.setdefault("spec", {})
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", NO_LIMIT if spec.get("backoffLimitPerIndex") is not None else BACKOFF_LIMIT)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    has_policy = spec.get("podFailurePolicy") is not None
    spec.setdefault("podReplacementPolicy", "Failed" if has_policy else "TerminatingOrFailed")
    default_template(spec)
    labels = spec["template"]["metadata"].get("labels")
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = labels
    return job


def default_template(spec: Object) -> None:
    """Defaults of what a CronJob's template has, too: the pods, and that a pattern of their conditions means that these are
    true. Changes `spec`."""
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"
    workload.default_template(spec)


def prepare_create(job: Object) -> Object:
    """The server chooses the selector and labels, unless `manualSelector` says that the user does."""
    spec, metadata = job["spec"], job["metadata"]
    result = {**job, "status": {}}
    if spec.get("manualSelector"):
        return result
    uid, name, template = metadata["uid"], metadata.get("name", ""), spec["template"]
    said, selector = template["metadata"].get("labels") or {}, spec.get("selector") or {}
    labels = {OLD_JOB_NAME: name, JOB_NAME: name, OLD_CONTROLLER_UID: uid, CONTROLLER_UID: uid} | said
    matched = {CONTROLLER_UID: uid} | (selector.get("matchLabels") or {})
    result["spec"] = {
        **spec,
        "selector": {**selector, "matchLabels": matched},
        "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
    }
    # A Job that has its labels from its template (they are one object then) has all of them.
    if not metadata.get("labels") or metadata["labels"] is said:
        result["metadata"] = {**metadata, "labels": dict(labels)}
    return result


def _status(job: Object) -> str:
    for type_ in ("Complete", "Failed"):
        if meta.is_condition_true(job, type_):
            return type_
    if meta.being_deleted(job):
        return "Terminating"
    for type_ in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if meta.is_condition_true(job, type_):
            return type_
    return "Running"


def row(job: Object, now: datetime) -> list[Any]:
    spec, status = job["spec"], job.get("status") or {}
    completions = spec.get("completions")
    done = status.get("succeeded", 0)
    if completions is not None:
        shown = f"{done}/{completions}"
    else:
        parallel = spec.get("parallelism", 0)
        shown = f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    duration = ""
    if status.get("startTime"):
        end = meta.parse_time(status["completionTime"]) if status.get("completionTime") else now
        duration = printing.human_duration((end - meta.parse_time(status["startTime"])).total_seconds())
    return [
        job["metadata"]["name"],
        _status(job),
        shown,
        duration,
        printing.age(job, now),
        *workload.wide_cells(spec),
    ]


def warnings(job: Object, old: Object | None) -> Iterator[str]:
    if old is None:
        yield from podwarnings.of_name(job)
    if old is None or job["spec"] != old["spec"]:
        yield from spec_warnings(job["spec"], "spec")


def spec_warnings(spec: Object, path: str) -> Iterator[str]:
    """Of a JobSpec."""
    many = (spec.get("completions") or 0) > MANY_COMPLETIONS and (spec.get("parallelism") or 0) > MANY_AT_ONCE
    if spec.get("completionMode") == "Indexed" and many:
        yield (
            f"{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
            "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )
    yield from podwarnings.of_template(spec["template"], f"{path}.template")


KIND = Kind(
    group="batch",
    version="v1",
    kind="Job",
    plural="jobs",
    categories=("all",),
    subresources=("status",),
    default=default,
    prepare_create=prepare_create,
    validate_create=jobrules.validate_create,
    validate_update=jobrules.validate_update,
    validate_status_update=jobstatus.validate,
    warnings=warnings,
    has_generation=True,
    default_propagation="Background",
    unselectable='field label "{}" not supported for batchv1.Job',
    selectable_fields={"status.successful": lambda obj: str((obj.get("status") or {}).get("succeeded", 0))},
    columns=(
        NAME,
        Column("Status"),
        Column("Completions"),
        Column("Duration"),
        AGE,
        Column("Containers", priority=1),
        Column("Images", priority=1),
        Column("Selector", priority=1),
    ),
    row=row,
)
