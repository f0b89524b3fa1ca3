"""How long a Job waits with its next pod after pods failed one after the other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import jobindexes

INITIAL_SECONDS = 10.0
MAX_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Record:
    """Failures since the last success."""

    failures: int = 0
    last: datetime | None = None
    """When the last of them was."""

    def seconds_left(self, now: datetime) -> float:
        """Until the next pod may be made."""
        if self.last is None or not self.failures:
            return 0.0
        delay = min(INITIAL_SECONDS * 2.0 ** min(self.failures - 1, 16), MAX_SECONDS)
        return max(delay - (now - self.last).total_seconds(), 0.0)


def after(before: Record, succeeded: Sequence[Object], failed: Sequence[Object]) -> Record:
    """The record when these pods have finished too."""
    if not succeeded and not failed:
        return before
    times = [finished_at(pod) for pod in failed]
    if succeeded:
        success, before = max(finished_at(pod) for pod in succeeded), Record()
        times = [moment for moment in times if moment > success]
    return Record(before.failures + len(times), max(times)) if times else before


def of_index(failed: Object) -> Record:
    """The record of one index, given the last of its pods that failed."""
    return Record(jobindexes.all_failures(failed) + 1, finished_at(failed))


def finished_at(pod: Object) -> datetime:
    """When the last container ended; failing that, when the pod ceased to be ready, was deleted, or was made."""
    status = pod.get("status") or meta.EMPTY
    ends = [meta.get_path(item, "state", "terminated", "finishedAt") for item in status.get("containerStatuses") or ()]
    if ends and all(ends):
        return max(meta.parse_time(item) for item in ends)
    ready = meta.condition(pod, "Ready")
    if ready is not None and ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return meta.parse_time(ready["lastTransitionTime"])
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp"):
        # That is when its grace will have passed.
        grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
        return meta.parse_time(metadata["deletionTimestamp"]) - grace
    return meta.parse_time(metadata["creationTimestamp"])
