"""A work queue of keys: each key waits at most once, is worked on by one worker at a time, and failures come back later.

Semantics of client-go's util/workqueue: a key added while it is being worked on is queued again when that work is done;
rate-limited adds back off exponentially per key until `forget`. A queue with a name is counted under client-go's metrics.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque

from navarch.component import clock, metrics

BACKOFF_INITIAL_SECONDS = 0.005
BACKOFF_MAX_SECONDS = 1000.0

_BUCKETS_SECONDS = tuple(10.0**power for power in range(-8, 4))
_ADDS = metrics.default.counter("workqueue_adds_total", "Total number of adds handled by workqueue", "name")
_RETRIES = metrics.default.counter("workqueue_retries_total", "Total number of retries handled by workqueue", "name")
_WAITED = metrics.default.histogram(
    "workqueue_queue_duration_seconds",
    "How long in seconds an item stays in workqueue before being requested.",
    "name",
    buckets=_BUCKETS_SECONDS,
)
_WORKED = metrics.default.histogram(
    "workqueue_work_duration_seconds",
    "How long in seconds processing an item from workqueue takes.",
    "name",
    buckets=_BUCKETS_SECONDS,
)
_named: weakref.WeakSet[WorkQueue] = weakref.WeakSet()


def _depths() -> dict[metrics.Labels, float]:
    found: dict[metrics.Labels, float] = {}
    for queue in _named:
        found[(queue.name,)] = found.get((queue.name,), 0.0) + len(queue)
    return found


metrics.default.gauge("workqueue_depth", "Current depth of workqueue", "name", collect=_depths)


class WorkQueue:
    """Keys to be worked on."""

    def __init__(
        self,
        name: str = "",
        *,
        backoff_initial_seconds: float = BACKOFF_INITIAL_SECONDS,
        backoff_max_seconds: float = BACKOFF_MAX_SECONDS,
    ):
        self.name = name
        if name:
            _named.add(self)
        self._since: dict[str, float] = {}
        """When what waits was added, then when work on it began."""
        self._backoff_initial = backoff_initial_seconds
        self._backoff_max = backoff_max_seconds
        self._ready: deque[str] = deque()
        self._dirty: set[str] = set()
        self._processing: set[str] = set()
        self._failures: dict[str, int] = {}
        self._delayed: dict[str, asyncio.TimerHandle] = {}
        self._wakeup = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def is_idle(self) -> bool:
        """Nothing ready and nothing in work; delayed keys do not count."""
        return not self._dirty and not self._processing

    def add(self, key: str) -> None:
        """Queue `key` now."""
        if self._closed:
            return
        timer = self._delayed.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._dirty:
            return
        self._dirty.add(key)
        if self.name:
            _ADDS.add(1, self.name)
        if key not in self._processing:
            self._make_ready(key)

    def _make_ready(self, key: str) -> None:
        self._ready.append(key)
        self._since[key] = clock.monotonic()
        self._wakeup.set()

    def add_after(self, key: str, seconds: float) -> None:
        """Queue `key` in `seconds`; of several such calls the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        if self._closed or key in self._dirty:
            return
        loop = asyncio.get_running_loop()
        present = self._delayed.get(key)
        if present is not None:
            if present.when() <= loop.time() + seconds:
                return
            present.cancel()
        self._delayed[key] = loop.call_later(seconds, self._due, key)

    def add_rate_limited(self, key: str) -> None:
        """Queue `key` after its back-off, which doubles with every call until `forget`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        if self.name:
            _RETRIES.add(1, self.name)
        self.add_after(key, min(self._backoff_initial * 2 ** min(failures, 32), self._backoff_max))

    def retries(self, key: str) -> int:
        """How often `key` was added rate-limited since it was forgotten."""
        return self._failures.get(key, 0)

    def forget(self, key: str) -> None:
        """`key` succeeded: its next failure starts with the shortest back-off."""
        self._failures.pop(key, None)

    async def get(self) -> str:
        """The next key; the caller must call `done`. Raises CancelledError if the queue is closed."""
        while not self._ready:
            if self._closed:
                raise asyncio.CancelledError
            self._wakeup.clear()
            await self._wakeup.wait()
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        now = clock.monotonic()
        if self.name:
            _WAITED.observe(now - self._since[key], self.name)
        self._since[key] = now
        return key

    def done(self, key: str) -> None:
        """Work on `key` has ended; if it was added meanwhile it is queued again."""
        self._processing.discard(key)
        began = self._since.pop(key)
        if self.name:
            _WORKED.observe(clock.monotonic() - began, self.name)
        if key in self._dirty:
            self._make_ready(key)

    def close(self) -> None:
        """Drop what waits and wake every worker."""
        self._closed = True
        for timer in self._delayed.values():
            timer.cancel()
        self._delayed.clear()
        self._ready.clear()
        self._wakeup.set()

    def _due(self, key: str) -> None:
        self._delayed.pop(key, None)
        self.add(key)
