"""Job: pods that run to completion."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import labelselector, printing
from navarch.api.apps import workload
from navarch.api.core import podspec, podwarnings
from navarch.api.core.nonnegative import nonnegative
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required

BACKOFF_LIMIT = 6
NO_LIMIT = 2**31 - 1
MANY_COMPLETIONS, MANY_AT_ONCE = 100_000, 10_000
CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
_OLD_CONTROLLER_UID, _OLD_JOB_NAME = "controller-uid", "job-name"


def default(job: Object) -> Object:
    default_spec(job.setdefault("spec", {}))
    return job


def default_spec(spec: Object) -> None:
    """Defaults of a job's spec. Changes `spec`."""
    default_counts(spec)
    if not spec.get("manualSelector"):
        spec.pop("manualSelector", None)
    spec.setdefault("podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    default_failure_policy(spec)
    workload.default_template(spec)


def default_failure_policy(spec: Object) -> None:
    """A pattern of a pod's condition means that it is true. Changes `spec`."""
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"


def default_counts(spec: Object) -> None:
    """Defaults that a CronJob's template is checked with, too, but does not keep. Changes `spec`."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", NO_LIMIT if spec.get("backoffLimitPerIndex") is not None else BACKOFF_LIMIT)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)


def prepare_create(job: Object) -> Object:
    """The server chooses the selector and labels, unless `manualSelector` says that the user does."""
    spec, uid, name = job["spec"], job["metadata"]["uid"], job["metadata"].get("name", "")
    result = {**job, "status": {}}
    if spec.get("manualSelector"):
        return result
    template = spec["template"]
    labels = {**(template["metadata"].get("labels") or {})}
    labels |= {CONTROLLER_UID: uid, JOB_NAME: name, _OLD_CONTROLLER_UID: uid, _OLD_JOB_NAME: name}
    selector = spec.get("selector") or {}
    matched = {**(selector.get("matchLabels") or {}), CONTROLLER_UID: uid}
    result["spec"] = {
        **spec,
        "selector": {**selector, "matchLabels": matched},
        "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
    }
    return result


def validate(job: Object) -> Iterator[FieldError]:
    spec = job["spec"]
    yield from validate_spec(spec, "spec")
    if spec.get("selector") is None:
        yield required("spec.selector")
        return
    yield from labelselector.validate(spec["selector"], "spec.selector")
    uid = job["metadata"].get("uid", "")
    labels = spec["template"]["metadata"].get("labels") or {}
    if not spec.get("manualSelector") and labels.get(CONTROLLER_UID) != uid:
        text = f"must be '{uid}'"
        yield invalid_value(f"spec.template.metadata.labels[{CONTROLLER_UID}]", labels.get(CONTROLLER_UID, ""), text)


def validate_spec(spec: Object, path: str) -> Iterator[FieldError]:
    """A job's spec without its selector."""
    counts = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
    for field in (*counts, "backoffLimitPerIndex", "maxFailedIndexes"):
        if spec.get(field) is not None and spec[field] < 0:
            yield nonnegative(f"{path}.{field}", spec[field])
    mode = spec["completionMode"]
    if mode not in ("Indexed", "NonIndexed"):
        yield not_supported(f"{path}.completionMode", mode, ("Indexed", "NonIndexed"))
    if mode == "Indexed" and spec.get("completions") is None:
        yield required(f"{path}.completions", "when completion mode is Indexed")
    template = spec["template"]
    yield from podspec.validate_pod_template(template, f"{path}.template")
    policy = template["spec"]["restartPolicy"]
    if policy not in ("Never", "OnFailure"):
        if policy == "Always":
            yield required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
        else:
            yield not_supported(f"{path}.template.spec.restartPolicy", policy, ("Never", "OnFailure"))


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = new["spec"], old["spec"]
    elastic = now.get("completionMode") == "Indexed" and now.get("completions") == now.get("parallelism")
    if now.get("completions") != before.get("completions") and not elastic:
        yield invalid_value("spec.completions", now.get("completions"), "field is immutable")
    for field in ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        if now.get(field) != before.get(field):
            yield invalid_value(f"spec.{field}", now.get(field), "field is immutable")
    suspended_unstarted = before.get("suspend") and not (old.get("status") or {}).get("startTime")
    if now["template"] != before["template"] and not suspended_unstarted:
        yield invalid_value("spec.template", now["template"], "field is immutable")


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
    validate=validate,
    warnings=warnings,
    validate_update=validate_update,
    has_generation=True,
    default_propagation="Background",
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
