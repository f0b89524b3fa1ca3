"""Run the pods of Jobs to completion, by the rules of `jobplan`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object, StatusError
from navarch.apimachinery.selectors import Selector
from navarch.client.informer import Informers
from navarch.controllers import jobindexes, jobplan
from navarch.controllers import pods as podrules
from navarch.controllers.controller import (
    BY_CONTROLLER,
    Cluster,
    Controller,
    Watch,
    controller_uid,
    is_namespace_terminating,
    slow_start,
)
from navarch.controllers.jobplan import FINALIZER, Plan

RESOURCE = "jobs.batch"
MANAGED_BY = "kubernetes.io/job-controller"
INDEX_ENV = "JOB_COMPLETION_INDEX"
GENERATED_NAME_LIMIT = 58
HOSTNAME_LIMIT = 63


def selector_of(job: Object) -> Selector:
    return selectors.from_label_selector(job["spec"].get("selector"))


def new_pod(job: Object, index: int | None, pods: Sequence[Object]) -> Object:
    """A pod of the job; with `index`, for that part of an Indexed job."""
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
            counted, ignored = jobplan.failures_of_index(job, pods, index)
            annotations[jobindexes.FAILURES_ANNOTATION] = str(counted)
            if ignored:
                annotations[jobindexes.IGNORED_FAILURES_ANNOTATION] = str(ignored)
        labels = {**(pod["metadata"].get("labels") or {}), jobindexes.ANNOTATION: text}
        pod["metadata"] |= {"annotations": annotations, "labels": labels}
        pod["spec"] = _indexed_spec(pod["spec"], f"{name[: HOSTNAME_LIMIT - len(text) - 1]}-{text}")
    pod["metadata"]["finalizers"] = [*(pod["metadata"].get("finalizers") or ()), FINALIZER]
    return pod


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


async def reconcile(job: Object, cluster: Cluster) -> float | None:
    if job["spec"].get("managedBy", MANAGED_BY) != MANAGED_BY:
        return None
    pods = await cluster.claim(job, "pods", selector_of(job))
    todo = jobplan.plan(job, pods, cluster.now())
    await _release((pod for pod in todo.discard if jobplan.has_finalizer(pod)), cluster)
    failure = await _delete(job, [*todo.discard, *todo.delete], cluster)
    if todo.status != job.get("status"):
        await cluster.update_status(RESOURCE, {**job, "status": todo.status})
        for type_, reason, message in todo.events:
            cluster.event(job, type_, reason, message)
    # Only what the status has noted may be let go.
    await _release(_countable(pods, todo), cluster)
    if failure is None and todo.create:
        failure = await _create(job, todo, pods, cluster)
    if failure is not None:
        raise failure
    return todo.after_seconds


def _countable(pods: Sequence[Object], todo: Plan) -> list[Object]:
    noted = todo.status.get("uncountedTerminatedPods") or {}
    uids = {uid for field in ("succeeded", "failed") for uid in noted.get(field) or ()}
    released = {meta.uid(pod) for pod in todo.release}
    ignored = [pod for pod in pods if podrules.is_finished(pod) and jobplan.has_finalizer(pod)]
    extra = {meta.uid(pod) for pod in ignored if meta.uid(pod) not in uids and podrules.phase(pod) == "Failed"}
    # What failed and is not noted, though there was room, is ignored by policy: it is let go uncounted.
    if len(uids) >= jobplan.UNCOUNTED_LIMIT:
        extra = set()
    return [pod for pod in pods if jobplan.has_finalizer(pod) and meta.uid(pod) in uids | released | extra]


async def _release(pods: Iterable[Object], cluster: Cluster) -> None:
    for pod in pods:
        await release(pod, cluster)


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


async def _delete(job: Object, pods: Sequence[Object], cluster: Cluster) -> Exception | None:
    async def one(pod: Object) -> None:
        try:
            await cluster.delete("pods", pod)
        except StatusError as error:
            cluster.event(job, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            raise
        cluster.event(job, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")

    results = await asyncio.gather(*(one(pod) for pod in pods[: jobplan.POD_CHANGES_LIMIT]), return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            return result
        if isinstance(result, BaseException):
            raise result
    return None


async def _create(job: Object, todo: Plan, pods: Sequence[Object], cluster: Cluster) -> Exception | None:
    indexes = iter(todo.create)

    async def one() -> None:
        pod = new_pod(job, next(indexes), pods)
        try:
            made = await cluster.create("pods", pod)
        except StatusError as error:
            if not is_namespace_terminating(error):
                cluster.event(job, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        cluster.event(job, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(made)}")

    _, failure = await slow_start(len(todo.create), one)
    if isinstance(failure, StatusError) and is_namespace_terminating(failure):
        return None
    return failure


CONTROLLER = Controller("job-controller", RESOURCE, reconcile, owns=("pods",), selector=selector_of)


# Pods whose job is gone.


async def _release_orphan(pod: Object, cluster: Cluster) -> None:
    if not jobplan.has_finalizer(pod):
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
    if new is None or not jobplan.has_finalizer(new):
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
