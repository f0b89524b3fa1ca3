"""The one door through which time and randomness enter.

Nothing else in navarch reads the clock, draws a random number or invents a name. The current `Clock` is a context variable:
tasks inherit it, so a simulated cluster brings its own and several clusters can live in one process.
"""

from __future__ import annotations

import asyncio
import os
import random as _random
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

UIDS = 64
ENTROPY_BYTES = 4096
# Letters and digits of generated names: no vowels, and nothing that reads like another character
# (Kubernetes: k8s.io/apimachinery/pkg/util/rand), so that no name spells a word.
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
# What character a byte stands for, and the bytes that would make some likelier than others.
_CHARACTERS = bytes(ord(NAME_ALPHABET[byte % len(NAME_ALPHABET)]) for byte in range(256))
_LEFT_OVER = bytes(range(256 // len(NAME_ALPHABET) * len(NAME_ALPHABET), 256))


class Clock(Protocol):
    """Where time and chance come from."""

    random: _random.Random

    def time(self) -> float:
        """Seconds since the epoch (UTC)."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""


class _Entropy(_random.SystemRandom):
    """The system's entropy, fetched for many draws at once: each time is a call into the kernel."""

    def __init__(self) -> None:
        super().__init__()
        self._pool, self._used = b"", 0
        self._uids: list[str] = []
        self._characters, self._character = "", 0

    def getrandbits(self, k: int) -> int:
        size = (k + 7) // 8
        start = self._used
        if start + size > len(self._pool):
            self._pool, start = os.urandom(max(ENTROPY_BYTES, size)), 0
        self._used = start + size
        return int.from_bytes(self._pool[start : start + size]) >> (size * 8 - k)

    def uid(self) -> str:
        """A UUID. Made many together, one costs a third."""
        if not self._uids:
            self._uids = [_uid(self.getrandbits(128)) for _ in range(UIDS)]
        return self._uids.pop()

    def characters(self, length: int) -> str:
        """Of `NAME_ALPHABET`, each as likely as any other."""
        start = self._character
        if start + length > len(self._characters):
            self._characters, start = os.urandom(ENTROPY_BYTES).translate(_CHARACTERS, _LEFT_OVER).decode(), 0
        self._character = start + length
        return self._characters[start : start + length]


class SystemClock:
    """The machine's clock and entropy."""

    def __init__(self) -> None:
        self.random: _random.Random = _Entropy()
        # Each request asks several times: not through one more function.
        self.time = time.time
        self.monotonic = time.monotonic


_current: ContextVar[Clock] = ContextVar("navarch_clock", default=SystemClock())  # noqa: B039 - it has no state of its own


def use(clock: Clock) -> None:
    """Make `clock` the current one for this context and the tasks started from it."""
    _current.set(clock)


def current() -> Clock:
    """The clock of this context."""
    return _current.get()


def time_seconds() -> float:
    """Seconds since the epoch."""
    return _current.get().time()


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.fromtimestamp(_current.get().time(), UTC)


def monotonic() -> float:
    """Seconds on a clock that never goes back; only differences mean anything."""
    return _current.get().monotonic()


def timestamp() -> str:
    """Now as `metav1.Time`: RFC 3339 with seconds, e.g. ``2026-01-02T03:04:05Z``."""
    return _timestamp(int(_current.get().time()))


@lru_cache(4)
def _timestamp(seconds: int) -> str:
    # Every write asks, many in one second.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(at: float | None = None) -> str:
    """Now, or `at` (seconds since the epoch), as `metav1.MicroTime`: RFC 3339 with microseconds."""
    seconds, micros = divmod(round((_current.get().time() if at is None else at) * 1e6), 1_000_000)
    return f"{_timestamp(seconds)[:-1]}.{micros:06}Z"


async def sleep(seconds: float) -> None:
    """Let other tasks run for `seconds` of the event loop's time."""
    await asyncio.sleep(seconds)


def random() -> _random.Random:
    """The current source of randomness."""
    return _current.get().random


def jitter(seconds: float, factor: float) -> float:
    """`seconds`, lengthened at random by up to `factor` of itself."""
    return seconds * (1 + factor * _current.get().random.random())


def random_below(limit: int) -> int:
    """A random number from 0 to `limit` - 1."""
    return _current.get().random.randrange(limit)


def uid() -> str:
    """A random (version 4) UUID."""
    source = _current.get().random
    return source.uid() if type(source) is _Entropy else _uid(source.getrandbits(128))


def _uid(bits: int) -> str:
    bits = (bits & ~(0xF << 76)) | (4 << 76)
    bits = (bits & ~(0x3 << 62)) | (2 << 62)
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def name_suffix(length: int = 5) -> str:
    """Random characters for a generated name."""
    source = _current.get().random
    if type(source) is _Entropy:
        return source.characters(length)
    # So many bits make every character as likely as the next.
    bits = source.getrandbits(8 * length + 64)
    characters = []
    for _ in range(length):
        bits, index = divmod(bits, len(NAME_ALPHABET))
        characters.append(NAME_ALPHABET[index])
    return "".join(characters)
