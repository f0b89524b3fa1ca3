"""The clock: one door, which a context can have to itself."""

from __future__ import annotations

import asyncio
import contextvars
import random
import re
import uuid

from navarch.component import clock


class Fixed:
    """A clock that stands still."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.random = random.Random(seed)
        self._seconds = seconds

    def time(self) -> float:
        return self._seconds

    def monotonic(self) -> float:
        return self._seconds


def within(fixed: Fixed, function: object) -> object:
    def call() -> object:
        clock.use(fixed)
        return function()  # type: ignore[operator]

    return contextvars.copy_context().run(call)


def test_a_context_has_its_own_time_and_chance() -> None:
    assert within(Fixed(0.0, 1), clock.timestamp) == "1970-01-01T00:00:00Z"
    assert within(Fixed(1.5, 1), clock.micro_timestamp) == "1970-01-01T00:00:01.500000Z"
    assert within(Fixed(0.0, 7), clock.uid) == within(Fixed(0.0, 7), clock.uid)
    assert within(Fixed(0.0, 7), clock.uid) != within(Fixed(0.0, 8), clock.uid)
    assert clock.timestamp() > "2020", "others keep the machine's"


def test_tasks_inherit_the_clock_of_who_starts_them() -> None:
    async def child() -> str:
        return clock.timestamp()

    async def test() -> str:
        clock.use(Fixed(86400.0, 1))
        return await asyncio.create_task(child())

    assert asyncio.run(test()) == "1970-01-02T00:00:00Z"


def test_uids_are_random_uuids_of_version_four() -> None:
    for _ in range(50):
        text = clock.uid()
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, uuid.RFC_4122, text)


def test_name_suffixes_spell_no_words() -> None:
    for length in (5, 10):
        assert re.fullmatch(rf"[bcdfghjklmnpqrstvwxz2-9]{{{length}}}", clock.name_suffix(length))
    assert len({clock.name_suffix() for _ in range(200)}) > 190


def test_jitter_only_lengthens() -> None:
    for _ in range(50):
        assert 2.0 <= clock.jitter(2.0, 0.5) <= 3.0


def test_the_machines_clock_never_goes_back() -> None:
    before = clock.monotonic()
    assert clock.monotonic() >= before
    assert abs(clock.now().timestamp() - clock.time_seconds()) < 1
