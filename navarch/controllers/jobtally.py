"""The pods of a Job, sorted by what they mean for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import jobbackoff, jobindexes, jobpolicies
from navarch.controllers import pods as podrules

FINALIZER = "batch.kubernetes.io/job-tracking"


@dataclass(slots=True)
class Tally:
    """What `tally` finds."""

    active: list[Object] = field(default_factory=list)
    terminating: list[Object] = field(default_factory=list)
    succeeded: list[Object] = field(default_factory=list)
    """Finished, and not yet counted or noted."""
    failed: list[Object] = field(default_factory=list)
    ignored: list[Object] = field(default_factory=list)
    """Failed, but by the pod failure policy not to be counted."""
    delayed: dict[int, Object] = field(default_factory=dict)
    """Index -> the failed pod that is to be replaced; it is kept till then, since its successor carries on its numbers."""
    succeeded_total: int = 0
    failed_total: int = 0
    completed_indexes: set[int] = field(default_factory=set)
    failed_indexes: set[int] = field(default_factory=set)
    failure_message: str = ""
    """Of a rule of the pod failure policy that fails the whole job."""


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def has_finalizer(pod: Object) -> bool:
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def replaces_failed_only(job: Object) -> bool:
    return bool(job["spec"].get("podReplacementPolicy") == "Failed" or job["spec"].get("podFailurePolicy"))


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
    failed = []
    for pod in pods:
        uid = meta.uid(pod)
        if has_finalizer(pod) and is_valid(job, pod):
            index = jobindexes.of_pod(pod)
            # One that was noted as failed when it was told to go may still end well: it is one of both all the same.
            if podrules.phase(pod) == "Succeeded" and uid not in noted_succeeded and uid not in noted_failed:
                result.succeeded.append(pod)
                if is_indexed(job) and index is not None:
                    result.completed_indexes.add(index)
            elif counts_as_failed(job, pod):
                failed.append(pod)
                if uid not in noted_failed:
                    _judge_failure(job, pod, result)
        if meta.being_deleted(pod) and not podrules.is_finished(pod):
            result.terminating.append(pod)
        elif podrules.is_active(pod):
            result.active.append(pod)
    if is_indexed(job) and job["spec"].get("backoffLimitPerIndex") is not None:
        result.delayed = _delayed(failed, result)
    if is_indexed(job):
        result.succeeded_total = len(result.completed_indexes)
    else:
        result.succeeded_total = int(status.get("succeeded") or 0) + len(noted_succeeded) + len(result.succeeded)
    result.failed_total = int(status.get("failed") or 0) + len(noted_failed) + len(result.failed)
    return result


def is_valid(job: Object, pod: Object) -> bool:
    """Whether the pod can count: of an Indexed job only one that has an index below the completions."""
    index = jobindexes.of_pod(pod)
    return not is_indexed(job) or (index is not None and index < job["spec"]["completions"])


def counts_as_failed(job: Object, pod: Object) -> bool:
    if podrules.phase(pod) == "Failed":
        return True
    # A pod that is deleted may never come to a phase.
    return meta.being_deleted(pod) and podrules.phase(pod) != "Succeeded" and not replaces_failed_only(job)


def _judge_failure(job: Object, pod: Object, result: Tally) -> None:
    action, message = jobpolicies.failure_action(job, pod)
    if action == "Ignore":
        result.ignored.append(pod)
        return
    result.failed.append(pod)
    if action == "FailJob" and not result.failure_message:
        result.failure_message = message
    index, per_index = jobindexes.of_pod(pod), job["spec"].get("backoffLimitPerIndex")
    if index is not None and per_index is not None and (action == "FailIndex" or jobindexes.failures(pod) >= per_index):
        result.failed_indexes.add(index)


def _delayed(failed: Iterable[Object], found: Tally) -> dict[int, Object]:
    """The last failed pod of each index that is still to be tried again."""
    settled = found.completed_indexes | found.failed_indexes | {jobindexes.of_pod(pod) for pod in found.active}
    result: dict[int, Object] = {}
    for pod in failed:
        index = jobindexes.of_pod(pod)
        if index is None or index in settled:
            continue
        last = result.get(index)
        if last is None or (
            jobindexes.all_failures(last) <= jobindexes.all_failures(pod)
            and jobbackoff.finished_at(pod) >= jobbackoff.finished_at(last)
        ):
            result[index] = pod
    return result
