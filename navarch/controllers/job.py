"""Run the pods of Jobs to completion, by the rules of `jobplan`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object, StatusError
from navarch.apimachinery.selectors import Selector
from navarch.client.informer import Informers
from navarch.component.tasks import side_by_side
from navarch.controllers import jobindexes, jobplan, jobpolicies, jobtally, podcontrol
from navarch.controllers import pods as podrules
from navarch.controllers.controller import (
    BY_CONTROLLER,
    Cluster,
    Controller,
    Watch,
    controller_uid,
    is_namespace_terminating,
)
from navarch.controllers.jobbackoff import Record
from navarch.controllers.jobtally import FINALIZER

RESOURCE = "jobs.batch"
MANAGED_BY = "kubernetes.io/job-controller"
INDEX_ENV = "JOB_COMPLETION_INDEX"
GENERATED_NAME_LIMIT = 58
HOSTNAME_LIMIT = 63


def selector_of(job: Object) -> Selector:
    return selectors.from_label_selector(job["spec"].get("selector"))


def new_pod(job: Object, index: int | None, replaced: Object | None) -> Object:
    """A pod of the job; with `index`, for that part of an Indexed job, carrying on the count of failures of `replaced`."""
    name = meta.name(job)
    if index is None:
        pod = podrules.from_template(job["spec"]["template"], job)
    else:
        suffix = f"-{index}-"
        pod = podrules.from_template(
            job["spec"]["template"], job, generate_name=name[: GENERATED_NAME_LIMIT - len(suffix)] + suffix
        )
        text = str(index)
        annotations = {**(pod["metadata"].get("annotations") or {}), jobindexes.ANNOTATION: text}
        if job["spec"].get("backoffLimitPerIndex") is not None:
            counted, ignored = _failures(job, replaced)
            annotations[jobindexes.FAILURES_ANNOTATION] = str(counted)
            if ignored:
                annotations[jobindexes.IGNORED_FAILURES_ANNOTATION] = str(ignored)
        labels = {**(pod["metadata"].get("labels") or {}), jobindexes.ANNOTATION: text}
        pod["metadata"] |= {"annotations": annotations, "labels": labels}
        pod["spec"] = _indexed_spec(pod["spec"], f"{name[: HOSTNAME_LIMIT - len(text) - 1]}-{text}")
    if not jobtally.has_finalizer(pod):
        pod["metadata"]["finalizers"] = [*(pod["metadata"].get("finalizers") or ()), FINALIZER]
    return pod


def _failures(job: Object, failed: Object | None) -> tuple[int, int]:
    """(counted, ignored) failures of an index, of which this pod is the last."""
    if failed is None:
        return 0, 0
    is_ignored = jobpolicies.failure_action(job, failed)[0] == "Ignore"
    return jobindexes.failures(failed) + (not is_ignored), jobindexes.ignored_failures(failed) + is_ignored


def _indexed_spec(spec: Object, hostname: str) -> Object:
    path = {"fieldPath": f"metadata.labels['{jobindexes.ANNOTATION}']"}
    variable = {"name": INDEX_ENV, "valueFrom": {"fieldRef": path}}

    def with_variable(container: Object) -> Object:
        present = container.get("env") or []
        if any(item["name"] == INDEX_ENV for item in present):
            return container
        return {**container, "env": [*present, variable]}

    result = {**spec, "hostname": hostname}
    for field in ("containers", "initContainers"):
        if spec.get(field):
            result[field] = [with_variable(item) for item in spec[field]]
    return result


async def _forget(key: str, cluster: Cluster) -> None:
    cluster.memory.pop(key, None)


def _remembered(job: Object, cluster: Cluster) -> Record | None:
    """The failures in a row of a running job's pods, some of which have gone."""
    uid, record = cluster.memory.get(meta.key(job), ("", None))
    return record if uid == meta.uid(job) else None


async def reconcile(job: Object, cluster: Cluster) -> float | None:
    if job["spec"].get("managedBy", MANAGED_BY) != MANAGED_BY:
        return None
    pods = await cluster.claim(job, "pods", selector_of(job), FINALIZER)
    todo = jobplan.plan(job, pods, cluster.now(), _remembered(job, cluster))
    await _release((pod for pod in todo.discard if jobtally.has_finalizer(pod)), cluster)
    failure = await podcontrol.delete(job, [*todo.discard, *todo.delete][: jobplan.POD_CHANGES_LIMIT], cluster)
    if failure is None and todo.create:
        pods_to_make = (new_pod(job, index, None if index is None else todo.replaced.get(index)) for index in todo.create)
        made, failure = await podcontrol.create(job, pods_to_make, len(todo.create), cluster)
        if made:
            todo.status["active"] = todo.status.get("active", 0) + made
    if todo.status != job.get("status"):
        await cluster.update_status(RESOURCE, {**job, "status": todo.status})
        for type_, reason, message in todo.events:
            cluster.event(job, type_, reason, message)
    if todo.backoff is not None:
        cluster.memory[meta.key(job)] = meta.uid(job), todo.backoff
    else:
        cluster.memory.pop(meta.key(job), None)
    # Only what the status has noted may be let go.
    await _release(todo.release, cluster)
    if failure is not None and not is_namespace_terminating(failure):
        raise failure
    return todo.after_seconds


async def _release(pods: Iterable[Object], cluster: Cluster) -> None:
    left = list(pods)
    while left:
        await side_by_side(release(pod, cluster) for pod in left[: jobplan.POD_CHANGES_LIMIT])
        del left[: jobplan.POD_CHANGES_LIMIT]


async def release(pod: Object, cluster: Cluster) -> None:
    """Take the tracking finalizer off a pod; one that has gone is fine."""
    metadata = pod["metadata"]
    left = [item for item in metadata.get("finalizers") or () if item != FINALIZER]
    changes = {"finalizers": left or None, "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    try:
        await cluster.patch("pods", pod, {"metadata": changes})
    except StatusError as error:
        if not error.is_not_found:
            raise


CONTROLLER = Controller("job-controller", RESOURCE, reconcile, gone=_forget, owns=("pods",), selector=selector_of)


# Pods whose job is gone.


async def _release_orphan(pod: Object, cluster: Cluster) -> None:
    if not jobtally.has_finalizer(pod):
        return
    owner = meta.controller_of(pod)
    if owner is not None and owner["kind"] == "Job":
        job = cluster.cached(RESOURCE, owner["name"], meta.namespace(pod))
        if job is None or meta.uid(job) != owner["uid"]:
            # The cache may be behind.
            try:
                job = await cluster.client.get(RESOURCE, owner["name"], meta.namespace(pod))
            except StatusError as error:
                if not error.is_not_found:
                    raise
                job = None
        if job is not None and meta.uid(job) == owner["uid"]:
            return
    await release(pod, cluster)


def _tracked(old: Object | None, new: Object | None) -> bool:
    if new is None or not jobtally.has_finalizer(new):
        return False
    return old is None or meta.controller_of(old) != meta.controller_of(new) or meta.being_deleted(new)


def _pods_of_gone_job(old: Object | None, new: Object | None, informers: Informers) -> Iterable[str]:
    if new is None and old is not None:
        for pod in informers.get("pods").by_index(BY_CONTROLLER, meta.uid(old)):
            yield meta.key(pod)


_BY_CONTROLLER: dict[str, Callable[[Object], Iterable[str]]] = {BY_CONTROLLER: controller_uid}
ORPHANS = Controller(
    "job-orphan-controller",
    "pods",
    _release_orphan,
    relevant=_tracked,
    indexers=_BY_CONTROLLER,
    watches=(Watch(RESOURCE, _pods_of_gone_job),),
)
