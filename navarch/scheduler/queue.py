"""Pods that wait to be scheduled: ready now, backing off, gated, or unschedulable until something changes.

Pure: the time comes as an argument. A pod leaves `unschedulable` when a change happens that by the hint of a plugin which
rejected it may help it, or after five minutes. Unschedulable pods of equal template, rejected by the same plugins, are a
group: what does not help one does not help the others. So an event is weighed once for a group; then one of its pods, the
scout, goes ahead, and the next follows only if that one got somewhere. Pods in back-off are taken early when nothing else is
ready (KEP-5142), except after errors.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from navarch.apimachinery.errors import Object
from navarch.scheduler.events import ANY, Action, EventHint, Hint, HintFunction, on
from navarch.scheduler.framework import Status
from navarch.scheduler.podinfo import PodInfo

logger = logging.getLogger(__name__)

BACKOFF_INITIAL_SECONDS = 1.0
BACKOFF_MAX_SECONDS = 10.0
UNSCHEDULABLE_LIMIT_SECONDS = 300.0
ANYTHING = "*"
"""Stands for every resource, where there is no telling what helps."""
_ANY_EVENT: Sequence[EventHint] = (on(ANYTHING, ANY),)


@dataclass(slots=True, eq=False)
class Queued:
    """A pod in the queue."""

    info: PodInfo
    since: float
    attempts: int = 0
    rejections: int = 0
    """How often no node could take it."""
    errors: int = 0
    """How often in a row something went wrong instead."""
    rejected_by: frozenset[str] = frozenset()
    """Plugins that said no; empty if there was no node to ask about."""
    left_at: float = 0.0
    """When it was last put back."""
    place: str = ""
    """``active``, ``backoff``, ``unschedulable``, ``gated``, or "" while it is being scheduled."""
    group: Group | None = None
    """The unschedulable pods it is one of, or goes ahead of."""
    is_expected: bool = False
    """Whether room is being made for it."""
    events_seen: int = 0
    """How many events there had been when it was taken."""


@dataclass(slots=True, eq=False)
class Group:
    """Unschedulable pods that the same changes may help."""

    key: tuple[Any, ...]
    hints: Sequence[EventHint]
    one_by_one: bool
    """Whether one's failure tells of the others."""
    pods: dict[str, Queued] = field(default_factory=dict)
    """By uid, in the order in which they were put there."""
    order: list[tuple[tuple[Any, ...], int, Queued]] = field(default_factory=list)
    """A heap of them, whose turn it is first; also of some that have left."""

    def first(self) -> Queued:
        while self.pods.get(self.order[0][2].info.uid) is not self.order[0][2]:
            heapq.heappop(self.order)
        return self.order[0][2]


@dataclass(slots=True)
class Rules:
    """What the queue asks plugins."""

    sort_key: Callable[[PodInfo, float], tuple[Any, ...]]
    hints: Callable[[PodInfo, str], Sequence[EventHint] | None]
    """(pod, plugin) -> what it registered for; None: it did not say."""
    pre_enqueue: Callable[[PodInfo], Status | None] = lambda pod: None
    is_shared: Callable[[PodInfo, Collection[str]], bool] = lambda pod, plugins: True
    """Whether what these plugins say of the pod holds for all of its template."""
    may_fit: Callable[[PodInfo], bool] = lambda pod: True
    """A closer look at a pod that something might have helped."""


class SchedulingQueue:
    """The pods that are on no node."""

    def __init__(
        self,
        rules: Rules,
        *,
        backoff_initial_seconds: float = BACKOFF_INITIAL_SECONDS,
        backoff_max_seconds: float = BACKOFF_MAX_SECONDS,
    ) -> None:
        self._rules = rules
        self._backoff_initial_seconds = backoff_initial_seconds
        self._backoff_max_seconds = backoff_max_seconds
        self._pods: dict[str, Queued] = {}
        self._active: list[tuple[tuple[Any, ...], int, Queued]] = []
        self._backoff: list[tuple[float, int, Queued]] = []
        self._groups: dict[tuple[Any, ...], Group] = {}
        self._listening: dict[str, dict[tuple[Any, ...], Group]] = {}
        """Resource -> groups that wait for its events."""
        self._stirred: dict[tuple[Any, ...], Group] = {}
        """Groups that something may have helped since the last pod was taken."""
        self._left: dict[str, Queued] = {}
        """Unschedulable pods, by uid, in the order in which they were put there."""
        self._sequence = 0
        self._events = 0

    def __len__(self) -> int:
        return len(self._pods)

    def get(self, uid: str) -> Queued | None:
        return self._pods.get(uid)

    def pods(self) -> Collection[Queued]:
        return self._pods.values()

    def backoff_seconds(self, queued: Queued) -> float:
        """Errors do not count against a pod any more once there is a verdict, nor verdicts while there are errors."""
        count = queued.errors or queued.rejections
        return min(self._backoff_initial_seconds * 2.0 ** min(count - 1, 16), self._backoff_max_seconds) if count else 0.0

    def _ready_at(self, queued: Queued) -> float:
        return queued.left_at + self.backoff_seconds(queued) if queued.attempts else 0.0

    # Pods come, change and go.

    def set(self, info: PodInfo, now: float) -> None:
        """A pod is new, or has changed: what it asks for may be possible now."""
        queued = self._pods.get(info.uid)
        if queued is None:
            queued = self._pods[info.uid] = Queued(info, now)
            self._settle(queued, now)
            return
        is_other = queued.info.template is not info.template
        if is_other:
            self._leave_group(queued, now)
        queued.info = info
        if queued.place == "gated" or (queued.place == "unschedulable" and is_other):
            self._settle(queued, now)

    def delete(self, uid: str, now: float) -> None:
        """Forget a pod: it is bound, or gone."""
        queued = self._pods.pop(uid, None)
        if queued is not None:
            queued.place = ""
            self._leave_group(queued, now)

    def activate(self, uids: Iterable[str], now: float) -> None:
        """Try these now, whatever they wait for."""
        for uid in uids:
            queued = self._pods.get(uid)
            if queued is not None and queued.place in ("unschedulable", "backoff", "gated"):
                self._leave_group(queued, now)
                self._push_active_unless_gated(queued)

    def stir(self, uid: str) -> None:
        """Look at once whether this one may fit now."""
        queued = self._pods.get(uid)
        if queued is not None and queued.group is not None:
            self._stir(queued.group)

    # Pods are taken and put back.

    def pop(self, now: float) -> Queued | None:
        """The next pod to schedule, if any is ready; the caller then deletes it or puts it back."""
        self._flush(now)
        while self._active:
            queued = heapq.heappop(self._active)[2]
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
            if entry[2].errors:
                kept.append(entry)
            else:
                found = entry[2]
        for entry in kept:
            heapq.heappush(self._backoff, entry)
        return self._take(found) if found is not None else None

    def put_back(self, queued: Queued, rejected_by: Collection[str], now: float, *, got_somewhere: bool = False) -> None:
        """No node could take it. `got_somewhere`: room is being made for it, and perhaps for others of its group too."""
        if self._pods.get(queued.info.uid) is not queued:
            return
        before, queued.group = queued.group, None
        queued.is_expected = got_somewhere
        queued.rejected_by, queued.left_at = frozenset(rejected_by), now
        queued.rejections, queued.errors = queued.rejections + 1, 0
        if queued.events_seen != self._events:
            # Something happened since it was looked at.
            self._push_backoff(queued)
        else:
            self._wait_for_events(queued)
        if before is not None and (got_somewhere or before is not queued.group):
            self._stir(before)

    def put_back_failed(self, queued: Queued, now: float) -> None:
        """Something went wrong that has nothing to do with where it could go."""
        if self._pods.get(queued.info.uid) is not queued:
            return
        queued.errors, queued.left_at = queued.errors + 1, now
        self._leave_group(queued, now)
        self._push_backoff(queued)

    def placed(self, queued: Queued, now: float) -> None:
        """It is assumed on a node, though not yet bound: the next of its group may follow."""
        self._leave_group(queued, now)

    def _take(self, queued: Queued) -> Queued:
        queued.place = ""
        queued.attempts += 1
        queued.events_seen = self._events
        return queued

    # What happens in the cluster.

    def happened(self, resource: str, actions: Action, old: Object | None, new: Object | None) -> bool:
        """The cluster changed; whether that may help anyone."""
        self._events += 1
        found = False
        for name in (resource, ANYTHING):
            for key, group in self._listening.get(name, {}).items():
                if key not in self._stirred and _may_help(group, resource, actions, old, new):
                    self._stirred[key] = group
                    found = True
        return found

    def next_wake(self) -> float | None:
        """When a pod becomes ready by itself; None if none will."""
        times = [entry[0] for entry in self._backoff[:1]]
        first = next(iter(self._left.values()), None)
        if first is not None:
            times.append(first.left_at + UNSCHEDULABLE_LIMIT_SECONDS)
        return min(times, default=None)

    def _wait_for_events(self, queued: Queued) -> None:
        info, plugins = queued.info, queued.rejected_by
        is_gated = queued.place == "gated"
        # What a node was promised to is no longer like the others of its template.
        one_by_one = not is_gated and not queued.is_expected and self._rules.is_shared(info, plugins)
        key: tuple[Any, ...] = (info.template.key, plugins) if one_by_one else (info.uid, plugins)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key, self._hints(info, plugins), one_by_one)
            for resource in {hint.event.resource for hint in group.hints}:
                self._listening.setdefault(resource, {})[key] = group
        group.pods[info.uid] = queued
        self._sequence += 1
        heapq.heappush(group.order, (self._rules.sort_key(info, queued.since), self._sequence, queued))
        queued.group = group
        if not is_gated:
            queued.place = "unschedulable"
            self._left[info.uid] = queued

    def _hints(self, info: PodInfo, plugins: Collection[str]) -> list[EventHint]:
        found: list[EventHint] = []
        for plugin in sorted(plugins):
            hints = self._rules.hints(info, plugin)
            found += _ANY_EVENT if hints is None else hints
        return found if plugins else list(_ANY_EVENT)

    def _leave_group(self, queued: Queued, now: float) -> None:
        """It is no longer one of its group; if it was the one that went ahead, another takes its turn."""
        group, queued.group = queued.group, None
        self._left.pop(queued.info.uid, None)
        if group is None:
            return
        was_waiting = group.pods.pop(queued.info.uid, None) is not None
        if group.pods:
            if not was_waiting:
                self._stir(group)
        else:
            self._drop(group)

    def _drop(self, group: Group) -> None:
        if self._groups.pop(group.key, None) is None:
            return
        self._stirred.pop(group.key, None)
        for resource in {hint.event.resource for hint in group.hints}:
            listening = self._listening[resource]
            del listening[group.key]
            if not listening:
                del self._listening[resource]

    def _stir(self, group: Group) -> None:
        if group.pods and group.key in self._groups:
            self._stirred[group.key] = group

    def _advance(self, group: Group, now: float) -> None:
        """Something may have helped: the first of the group goes ahead; all, if they are not alike."""
        first = group.first()
        if first.place == "gated":
            self._leave_group(first, now)
            self._settle(first, now)
            return
        if first.is_expected and self._rules.pre_enqueue(first.info) is not None:
            return  # Its room is still being made; it is stirred when that is done.
        if (group.one_by_one or first.is_expected) and not self._rules.may_fit(first.info):
            return
        for queued in [first] if group.one_by_one else list(group.pods.values()):
            del group.pods[queued.info.uid]
            self._left.pop(queued.info.uid, None)
            self._retry(queued, now)
        if not group.pods:
            # Whoever went ahead remembers it, but there is nobody to follow.
            self._drop(group)

    def _retry(self, queued: Queued, now: float) -> None:
        if self._ready_at(queued) <= now:
            self._push_active_unless_gated(queued)
        else:
            self._push_backoff(queued)

    def _settle(self, queued: Queued, now: float) -> None:
        """It is new or other than it was."""
        if self._ready_at(queued) > now and queued.place != "gated":
            self._push_backoff(queued)
        else:
            self._push_active_unless_gated(queued)

    def _push_active_unless_gated(self, queued: Queued) -> None:
        status = self._rules.pre_enqueue(queued.info)
        if status is not None:
            queued.place, queued.rejected_by = "gated", frozenset((status.plugin,))
            self._wait_for_events(queued)
            return
        queued.place = "active"
        self._sequence += 1
        heapq.heappush(self._active, (self._rules.sort_key(queued.info, queued.since), self._sequence, queued))

    def _push_backoff(self, queued: Queued) -> None:
        queued.place = "backoff"
        self._sequence += 1
        heapq.heappush(self._backoff, (self._ready_at(queued), self._sequence, queued))

    def _flush(self, now: float) -> None:
        while self._backoff and (self._backoff[0][0] <= now or self._backoff[0][2].place != "backoff"):
            queued = heapq.heappop(self._backoff)[2]
            if queued.place == "backoff":
                self._push_active_unless_gated(queued)
        while self._left:
            queued = next(iter(self._left.values()))
            if queued.left_at + UNSCHEDULABLE_LIMIT_SECONDS > now:
                break  # In the order in which they were put there.
            self._leave_group(queued, now)
            self._retry(queued, now)
        stirred, self._stirred = self._stirred, {}
        for group in stirred.values():
            self._advance(group, now)


def _may_help(group: Group, resource: str, actions: Action, old: Object | None, new: Object | None) -> bool:
    pod = next(iter(group.pods.values())).info
    for hint in group.hints:
        is_meant = hint.event.resource in (resource, ANYTHING) and hint.event.actions & actions
        if is_meant and (hint.hint is None or _says_yes(hint.hint, pod, old, new)):
            return True
    return False


def _says_yes(hint: HintFunction, pod: PodInfo, old: Object | None, new: Object | None) -> bool:
    try:
        return hint(pod, old, new) is Hint.QUEUE
    except Exception:
        # Rather one try too many than a pod that is forgotten.
        logger.exception("a queueing hint failed")
        return True
