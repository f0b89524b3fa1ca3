"""Pods that wait to be scheduled: ready now, backing off, or unschedulable until something changes.

Pure: the time comes as an argument. The order is that of PrioritySort: higher priority first, then who waits longer. A pod
leaves `unschedulable` when a change happens that one of the plugins which rejected it asked for, or after five minutes. Pods
in back-off are taken early when nothing else is ready (KEP-5142), except after errors.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from navarch.scheduler.events import ClusterEvent
from navarch.scheduler.podinfo import PodInfo

BACKOFF_INITIAL_SECONDS = 1.0
BACKOFF_MAX_SECONDS = 10.0
UNSCHEDULABLE_LIMIT_SECONDS = 300.0


@dataclass(slots=True, eq=False)
class Queued:
    """A pod in the queue."""

    info: PodInfo
    since: float
    attempts: int = 0
    rejected_by: frozenset[str] = frozenset()
    """Plugins that said no; empty if there was no node to ask about."""
    failed: bool = False
    """Whether the last attempt ended in an error instead of a verdict."""
    left_at: float = 0.0
    """When it was last put back."""
    place: str = ""
    """``active``, ``backoff``, ``unschedulable``, ``gated``, or "" while it is being scheduled."""

    @property
    def backoff_seconds(self) -> float:
        return min(BACKOFF_INITIAL_SECONDS * 2.0 ** min(self.attempts - 1, 16), BACKOFF_MAX_SECONDS)

    @property
    def ready_at(self) -> float:
        return self.left_at + self.backoff_seconds


@dataclass(slots=True)
class SchedulingQueue:
    """`wakers`: which plugins care about which events."""

    wakers: Mapping[str, Collection[ClusterEvent]]
    _pods: dict[str, Queued] = field(default_factory=dict)
    _active: list[tuple[int, float, int, Queued]] = field(default_factory=list)
    _backoff: list[tuple[float, int, Queued]] = field(default_factory=list)
    _unschedulable: dict[str, Queued] = field(default_factory=dict)
    """By uid, in the order in which they were put there."""
    _waiting: dict[ClusterEvent, dict[str, Queued]] = field(default_factory=dict)
    """The same by what they wait for, so that an event costs nothing to those whom it does not help."""
    _sequence: int = 0

    def __len__(self) -> int:
        return len(self._pods)

    def get(self, uid: str) -> Queued | None:
        return self._pods.get(uid)

    def pods(self) -> Collection[Queued]:
        return self._pods.values()

    def set(self, info: PodInfo, now: float) -> None:
        """A pod is new, or has changed: what it asks for may be possible now."""
        queued = self._pods.get(info.uid)
        if queued is None:
            queued = self._pods[info.uid] = Queued(info, now)
            self._settle(queued)
            return
        before, queued.info = queued.info, info
        if queued.place == "gated":
            self._settle(queued)
        elif queued.place == "unschedulable" and (before.spec != info.spec or before.labels != info.labels):
            self._retry(queued, now)

    def delete(self, uid: str) -> None:
        """Forget a pod: it is bound, or gone."""
        queued = self._pods.pop(uid, None)
        if queued is not None:
            queued.place = ""
            self._stop_waiting(queued)

    def pop(self, now: float) -> Queued | None:
        """The next pod to schedule, if any is ready; the caller then deletes it or puts it back."""
        self._flush(now)
        while self._active:
            queued = heapq.heappop(self._active)[3]
            if queued.place == "active":
                return self._take(queued)
        return self._pop_early()

    def _pop_early(self) -> Queued | None:
        """The pod whose back-off ends first, unless it is one after an error."""
        kept = []
        found = None
        while self._backoff and found is None:
            entry = heapq.heappop(self._backoff)
            if entry[2].place != "backoff":
                continue
            if entry[2].failed:
                kept.append(entry)
            else:
                found = entry[2]
        for entry in kept:
            heapq.heappush(self._backoff, entry)
        return self._take(found) if found is not None else None

    def put_back(self, queued: Queued, rejected_by: Collection[str], now: float) -> None:
        """No node could take it."""
        if queued.info.uid in self._pods:
            queued.rejected_by, queued.failed, queued.left_at = frozenset(rejected_by), False, now
            queued.place = "unschedulable"
            self._unschedulable[queued.info.uid] = queued
            for event in self._wanted(queued):
                self._waiting.setdefault(event, {})[queued.info.uid] = queued

    def put_back_failed(self, queued: Queued, now: float) -> None:
        """Something went wrong that has nothing to do with where it could go."""
        if queued.info.uid in self._pods:
            queued.failed, queued.left_at = True, now
            self._push_backoff(queued)

    def happened(self, events: Collection[ClusterEvent], now: float) -> None:
        """The cluster changed: pods whom that may help get another try."""
        helped = {
            uid: queued for event in ClusterEvent if event in events for uid, queued in self._waiting.get(event, {}).items()
        }
        for queued in helped.values():
            self._retry(queued, now)

    def _wanted(self, queued: Queued) -> Collection[ClusterEvent]:
        """What may help a pod: what the plugins that rejected it asked for; anything, if there was no node at all."""
        if not queued.rejected_by:
            return tuple(ClusterEvent)
        return {event for plugin in queued.rejected_by for event in self.wakers.get(plugin, ())}

    def _stop_waiting(self, queued: Queued) -> None:
        if self._unschedulable.pop(queued.info.uid, None) is not None:
            for event in self._wanted(queued):
                self._waiting.get(event, {}).pop(queued.info.uid, None)

    def next_wake(self) -> float | None:
        """When a pod becomes ready by itself; None if none will."""
        times = [entry[0] for entry in self._backoff[:1]]
        first = next(iter(self._unschedulable.values()), None)
        if first is not None:
            times.append(first.left_at + UNSCHEDULABLE_LIMIT_SECONDS)
        return min(times, default=None)

    def _take(self, queued: Queued) -> Queued:
        queued.place = ""
        queued.attempts += 1
        return queued

    def _settle(self, queued: Queued) -> None:
        if queued.info.is_gated:
            queued.place = "gated"
        else:
            self._push_active(queued)

    def _retry(self, queued: Queued, now: float) -> None:
        self._stop_waiting(queued)
        if queued.ready_at <= now:
            self._push_active(queued)
        else:
            self._push_backoff(queued)

    def _push_active(self, queued: Queued) -> None:
        queued.place = "active"
        self._sequence += 1
        heapq.heappush(self._active, (-queued.info.priority, queued.since, self._sequence, queued))

    def _push_backoff(self, queued: Queued) -> None:
        queued.place = "backoff"
        self._sequence += 1
        heapq.heappush(self._backoff, (queued.ready_at, self._sequence, queued))

    def _flush(self, now: float) -> None:
        while self._backoff and (self._backoff[0][0] <= now or self._backoff[0][2].place != "backoff"):
            queued = heapq.heappop(self._backoff)[2]
            if queued.place == "backoff":
                self._push_active(queued)
        for queued in list(self._unschedulable.values()):
            if queued.left_at + UNSCHEDULABLE_LIMIT_SECONDS > now:
                break  # In the order in which they were put there.
            self._retry(queued, now)
