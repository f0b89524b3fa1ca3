"""What the specs of Jobs must keep to, and what of them may change (k8s.io/kubernetes/pkg/apis/batch/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from navarch.api import labelselector
from navarch.api.batch import jobpolicies
from navarch.api.core import podspec
from navarch.api.core.nonnegative import nonnegative
from navarch.api.internalform import CORE, invalid_struct
from navarch.api.objectmeta import IMMUTABLE, immutable
from navarch.apimachinery import meta, names, selectors
from navarch.apimachinery.errors import FieldError, Object, invalid_value, not_supported, required, too_long

CONTROLLER_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
OLD_CONTROLLER_UID, OLD_JOB_NAME = "controller-uid", "job-name"
MODES = ("NonIndexed", "Indexed")
REPLACEMENT_POLICIES = ("Failed", "TerminatingOrFailed")
MANAGER_LIMIT_BYTES = 63
PARALLELISM_LIMIT = FAILED_INDEXES_LIMIT = 100_000
# What is written down of so many indexes must not grow without end.
MANY_COMPLETIONS, PARALLELISM_LIMIT_OF_MANY, FAILED_INDEXES_LIMIT_OF_MANY = 100_000, 10_000, 10_000
_BATCH = "io.k8s.api.batch.v1."
SELECTOR = "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"
_COUNTS = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
# What finds a node for the pods of a Job that does not run yet, beside affinity to nodes.
_DIRECTIVES = ("nodeSelector", "tolerations", "schedulingGates")


def validate_create(job: Object) -> Iterator[FieldError]:
    yield from _generated_labels(job, ("", "batch.kubernetes.io/"))
    yield from _with_selector(job["spec"])
    yield from _hostnames(job)


def _generated_labels(job: Object, prefixes: tuple[str, ...]) -> Iterator[FieldError]:
    """That the labels and the selector are those that the server makes, unless `manualSelector` says otherwise."""
    spec, uid, name = job["spec"], job["metadata"].get("uid", ""), meta.name(job)
    selector = spec.get("selector")
    if spec.get("manualSelector") or selector is None:
        return
    labels = (spec["template"].get("metadata") or meta.EMPTY).get("labels") or {}
    expected = {
        f"{prefix}{key}": value for prefix in prefixes for key, value in ((OLD_CONTROLLER_UID, uid), (OLD_JOB_NAME, name))
    }
    for key, value in expected.items():
        where, text = f"spec.template.metadata.labels[{key}]", f"must be '{value}'"
        if key not in labels:
            yield required(where, text)
        elif labels[key] != value:
            yield invalid_value(where, labels, text)
    if not _selects(selector, expected, otherwise=True):
        yield invalid_struct("spec.selector", selector, SELECTOR, "`selector` not auto-generated")


def _selects(selector: Object | None, labels: Object, *, otherwise: bool) -> bool:
    """Whether a selector matches; `otherwise` where it is none."""
    if selector is None:
        return False
    try:
        return bool(selectors.from_label_selector(dict(selector)).matches(labels))
    except ValueError:
        return otherwise


def _with_selector(spec: Object) -> Iterator[FieldError]:
    yield from validate_spec(spec, "spec")
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
    else:
        yield from labelselector.validate(selector, "spec.selector")
    labels = (spec["template"].get("metadata") or meta.EMPTY).get("labels") or {}
    if not _selects(selector, labels, otherwise=True):
        yield invalid_value("spec.template.metadata.labels", labels or None, "`selector` does not match template `labels`")


def _hostnames(job: Object) -> Iterator[FieldError]:
    """Pods of an indexed Job are called by its name and their index."""
    spec, name = job["spec"], meta.name(job)
    completions = spec.get("completions") or 0
    if spec.get("completionMode") == "Indexed" and completions > 0:
        last = f"{name}-{completions - 1}"
        if list(names.dns1123_label(last)):
            yield invalid_value("metadata.name", name, f"will not able to create pod with invalid DNS label: {last}")


def validate_spec(spec: Object, path: str) -> Iterator[FieldError]:
    """A Job's spec without its selector; that of a CronJob's template lacks defaults."""
    for field in _COUNTS:
        if spec.get(field) is not None and spec[field] < 0:
            yield nonnegative(f"{path}.{field}", spec[field])
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if spec.get("managedBy") is not None:
        yield from _manager(spec["managedBy"], f"{path}.managedBy")
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in MODES:
        yield not_supported(f"{path}.completionMode", mode, MODES)
    elif mode == "Indexed":
        yield from _indexed(spec, path)
    else:
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(field) is not None:
                yield invalid_value(f"{path}.{field}", spec[field], "requires indexed completion mode")
    if spec.get("podFailurePolicy") is not None:
        yield from jobpolicies.validate_failure_policy(spec, f"{path}.podFailurePolicy")
    if spec.get("successPolicy") is not None:
        where, policy = f"{path}.successPolicy", spec["successPolicy"]
        if mode == "Indexed":
            yield from jobpolicies.validate_success_policy(spec, where)
        else:
            yield invalid_struct(where, policy, f"{_BATCH}SuccessPolicy", "requires indexed completion mode")
    replacement = spec.get("podReplacementPolicy")
    choices = ("Failed",) if spec.get("podFailurePolicy") is not None else REPLACEMENT_POLICIES
    if replacement is not None and replacement not in choices:
        yield not_supported(f"{path}.podReplacementPolicy", replacement, choices)
    yield from podspec.validate_pod_template(spec["template"], f"{path}.template")
    yield from _restart_policy(spec, f"{path}.template.spec.restartPolicy")


def _manager(manager: str, path: str) -> Iterator[FieldError]:
    if not manager:
        yield required(path)
    else:
        yield from (invalid_value(path, part, text) for part, text in names.domain_prefixed_path(manager))
    if len(manager.encode()) > MANAGER_LIMIT_BYTES:
        yield too_long(path, MANAGER_LIMIT_BYTES)


def _indexed(spec: Object, path: str) -> Iterator[FieldError]:
    completions, parallelism, failed = (spec.get(field) for field in ("completions", "parallelism", "maxFailedIndexes"))
    if completions is None:
        yield required(f"{path}.completions", "when completion mode is Indexed")
    if parallelism is not None and parallelism > PARALLELISM_LIMIT:
        text = f"must be less than or equal to {PARALLELISM_LIMIT} when completion mode is Indexed"
        yield invalid_value(f"{path}.parallelism", parallelism, text)
    if completions is not None and failed is not None and failed > completions:
        yield invalid_value(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")
    if failed is not None and failed > FAILED_INDEXES_LIMIT:
        yield invalid_value(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {FAILED_INDEXES_LIMIT}")
    if completions is None or completions <= MANY_COMPLETIONS or spec.get("backoffLimitPerIndex") is None:
        return
    if failed is None:
        yield required(f"{path}.maxFailedIndexes", f"must be specified when completions is above {MANY_COMPLETIONS}")
    limits = (("parallelism", PARALLELISM_LIMIT_OF_MANY), ("maxFailedIndexes", FAILED_INDEXES_LIMIT_OF_MANY))
    for field, limit in limits:
        if spec.get(field) is not None and spec[field] > limit:
            when = f"when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
            yield invalid_value(f"{path}.{field}", spec[field], f"must be less than or equal to {limit} {when}")


def _restart_policy(spec: Object, path: str) -> Iterator[FieldError]:
    policy = spec["template"]["spec"]["restartPolicy"]
    if policy == "Always":
        yield required(path, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        yield not_supported(path, policy, ("OnFailure", "Never"))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        yield invalid_value(path, policy, 'only "Never" is supported when podFailurePolicy is specified')


# Updates


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = new["spec"], old["spec"]
    if now == before:
        # What was stored under older rules can still be let go.
        return
    labels = (before["template"].get("metadata") or meta.EMPTY).get("labels") or {}
    # Jobs of old lack the labels with a prefix.
    prefixes = ("", "batch.kubernetes.io/") if {CONTROLLER_UID, JOB_NAME} <= labels.keys() else ("",)
    yield from _generated_labels(new, prefixes)
    of_spec = list(_with_selector(now))
    yield from of_spec
    yield from _hostnames(new)
    # Upstream looks at the spec again.
    yield from of_spec
    yield from _completions(now, before)
    yield from _unchanged(now, before, "selector", SELECTOR)
    yield from _template(now["template"], before["template"], is_suspended=_may_be_moved(old))
    yield from immutable("spec.completionMode", now.get("completionMode"), before.get("completionMode"))
    yield from _unchanged(now, before, "podFailurePolicy", f"{_BATCH}PodFailurePolicy")
    yield from immutable("spec.backoffLimitPerIndex", now.get("backoffLimitPerIndex"), before.get("backoffLimitPerIndex"))
    yield from immutable("spec.managedBy", now.get("managedBy"), before.get("managedBy"))
    yield from _unchanged(now, before, "successPolicy", f"{_BATCH}SuccessPolicy")


def _unchanged(now: Object, before: Object, field: str, definition: str) -> Iterator[FieldError]:
    if now.get(field) == before.get(field):
        return
    if now.get(field) is None:
        yield invalid_value(f"spec.{field}", None, IMMUTABLE)
    else:
        yield invalid_struct(f"spec.{field}", now[field], definition, IMMUTABLE)


def _completions(now: Object, before: Object) -> Iterator[FieldError]:
    """An indexed Job may grow and shrink, if all its pods may run at once (KEP-3715)."""
    completions = now.get("completions")
    if now.get("completionMode") != "Indexed":
        yield from immutable("spec.completions", completions, before.get("completions"))
    elif completions not in (before.get("completions"), None, now.get("parallelism")):
        yield invalid_value("spec.completions", completions, "can only be modified in tandem with spec.parallelism")


def _may_be_moved(old: Object) -> bool:
    """Whether nothing of a Job runs, since it is suspended: then it may still be said where and with what it is to run
    (KEP-2926, KEP-5440)."""
    status = old.get("status") or meta.EMPTY
    has_stopped = meta.is_condition_true(old, "Suspended") and not status.get("active")
    return bool(old["spec"].get("suspend")) and (not status.get("startTime") or has_stopped)


def _template(now: Object, before: Object, *, is_suspended: bool) -> Iterator[FieldError]:
    definition = f"{CORE}PodTemplateSpec"
    if not is_suspended:
        if now != before:
            yield invalid_struct("spec.template", now, definition, IMMUTABLE)
        return
    # Labels and annotations may change, too, and of the rest of the metadata nothing comes.
    compared = {**before["spec"], **_chosen(now["spec"], before["spec"])}
    compared = {field: value for field, value in compared.items() if value is not None}
    if now["spec"] != compared:
        yield invalid_struct("spec.template.spec", now["spec"], f"{CORE}PodSpec", IMMUTABLE)


def _chosen(now: Object, before: Object) -> Object:
    """What may be chosen of a pod's spec, as it is chosen now; None is not there."""
    chosen: dict[str, Any] = {field: now.get(field) for field in _DIRECTIVES}
    chosen["affinity"] = _affinity(now.get("affinity"), before.get("affinity"))
    for kind in ("containers", "initContainers"):
        ours, theirs = before.get(kind) or [], now.get(kind) or []
        if ours and len(ours) == len(theirs):
            chosen[kind] = [_with_resources(*pair) for pair in zip(ours, theirs, strict=True)]
    return chosen


def _affinity(now: Object | None, before: Object | None) -> Object | None:
    """`before` with the affinity to nodes that there is now."""
    kept = {field: value for field, value in (before or meta.EMPTY).items() if field != "nodeAffinity"}
    if now is None:
        return kept or None
    return {**kept, "nodeAffinity": now["nodeAffinity"]} if "nodeAffinity" in now else kept


def _with_resources(before: Object, now: Object) -> Object:
    kept = {field: value for field, value in before.items() if field != "resources"}
    return {**kept, "resources": now["resources"]} if "resources" in now else kept
