"""Delete Jobs some time after they finished, where they ask for it."""

from __future__ import annotations

from datetime import datetime, timedelta

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers.controller import Cluster, Controller

RESOURCE = "jobs.batch"


def finished_at(job: Object) -> datetime | None:
    """When the job completed or failed; None if it has not."""
    for type_ in ("Complete", "Failed"):
        condition = meta.condition(job, type_)
        if condition is not None and condition.get("status") == "True":
            return meta.parse_time(condition["lastTransitionTime"])
    return None


def seconds_left(job: Object, now: datetime) -> float | None:
    """How long the job may stay; None means forever, or that it still runs."""
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    since = finished_at(job)
    if ttl is None or since is None or meta.being_deleted(job):
        return None
    return (since + timedelta(seconds=ttl) - now).total_seconds()


async def reconcile(job: Object, cluster: Cluster) -> float | None:
    left = seconds_left(job, cluster.now())
    if left is None or left > 0:
        return left
    # The cache may be behind: somebody may have given it more time.
    live = await cluster.client.get(RESOURCE, meta.name(job), meta.namespace(job))
    left = seconds_left(live, cluster.now())
    if left is None or left > 0 or meta.uid(live) != meta.uid(job):
        return left
    await cluster.delete(RESOURCE, live, propagation_policy="Foreground")
    return None


def _finished(old: Object | None, new: Object | None) -> bool:
    return new is not None and new["spec"].get("ttlSecondsAfterFinished") is not None and finished_at(new) is not None


CONTROLLER = Controller("ttl-after-finished-controller", RESOURCE, reconcile, relevant=_finished)
