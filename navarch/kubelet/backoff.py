"""How long to wait before something that failed is tried again: containers, and images that cannot be pulled.

Pure: times are seconds, given by the caller. A key's delay starts at `initial_seconds`, doubles with each failure up to
`max_seconds`, and starts over once nothing has failed for twice the maximum (client-go's util/flowcontrol).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

CONTAINER_INITIAL_SECONDS = 10.0
CONTAINER_MAX_SECONDS = 300.0
# A container that ran this long is as good as new (kubelet: containers' back-off is reset after 10 min).
RESET_FACTOR = 2.0


@dataclass(slots=True)
class _Entry:
    delay: float
    updated: float


class Backoff:
    """Delays by key."""

    def __init__(self, initial_seconds: float = CONTAINER_INITIAL_SECONDS, max_seconds: float = CONTAINER_MAX_SECONDS) -> None:
        self.initial_seconds = initial_seconds
        self.max_seconds = max_seconds
        self._entries: dict[str, _Entry] = {}

    def delay(self, key: str) -> float:
        """The present delay of `key`; 0 if it has not failed."""
        entry = self._entries.get(key)
        return entry.delay if entry else 0.0

    def remaining(self, key: str, failed_at: float, now: float) -> float:
        """How long from `now` until what failed at `failed_at` may be tried again; 0 means at once."""
        entry = self._entries.get(key)
        if entry is None or failed_at - entry.updated > RESET_FACTOR * self.max_seconds:
            return 0.0
        return max(0.0, failed_at + entry.delay - now)

    def remaining_since_update(self, key: str, now: float) -> float:
        """The same, where the last try itself is what failed."""
        entry = self._entries.get(key)
        if entry is None or now - entry.updated > RESET_FACTOR * self.max_seconds:
            return 0.0
        return max(0.0, entry.updated + entry.delay - now)

    def next(self, key: str, failed_at: float, now: float) -> float:
        """Note that `key`, which failed at `failed_at`, is tried again; returns the delay a next failure will have."""
        entry = self._entries.get(key)
        if entry is None or failed_at - entry.updated > RESET_FACTOR * self.max_seconds:
            entry = self._entries[key] = _Entry(self.initial_seconds, now)
        else:
            entry.delay = min(entry.delay * 2, self.max_seconds)
            entry.updated = now
        return entry.delay

    def forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._entries.pop(key, None)

    def forget_prefix(self, prefix: str) -> None:
        """Forget every key that starts with `prefix` (a pod's uid)."""
        self.forget([key for key in self._entries if key.startswith(prefix)])

    def forget_expired(self, now: float) -> None:
        """Drop keys nothing happened to for twice the maximum."""
        self.forget([key for key, entry in self._entries.items() if now - entry.updated > RESET_FACTOR * self.max_seconds])


@dataclass(slots=True)
class Retry:
    """How soon one thing that goes wrong is tried again: later each time, until it `succeeded`."""

    initial_seconds: float
    max_seconds: float
    _next: float = 0.0

    def failed(self) -> float:
        """The delay before the next try."""
        delay = max(self._next, self.initial_seconds)
        self._next = min(delay * 2, self.max_seconds)
        return delay

    def succeeded(self) -> None:
        self._next = 0.0


def duration_text(seconds: float) -> str:
    """As Go writes a duration: ``10s``, ``2m40s``, ``1.5s``, ``350ms``."""
    if seconds <= 0:
        return "0s"
    if seconds < 1:
        return f"{_number(seconds * 1000)}ms"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{_number(rest)}s"
    if hours:
        return f"{int(hours)}h{int(minutes)}m{text}"
    return f"{int(minutes)}m{text}" if minutes else text


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
