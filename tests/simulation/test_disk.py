"""The disk under a simulated control plane."""

from __future__ import annotations

import asyncio

import pytest

from navarch.component import clock
from navarch.simulation.disk import Disk
from navarch.simulation.loop import SimulatedClock, SimulatedLoop
from navarch.storage.backend import StorageFullError, StorageUnavailableError
from navarch.storage.changes import Change, Record

KEY = "/registry/pods/a/b"


def change(revision: int) -> Change:
    return Change(Record(KEY, b"{}", revision, 1), None, False)


def test_what_was_durable_is_there_for_the_next_who_opens_it() -> None:
    disk = Disk(lambda seconds: None)
    disk.append([change(1)], reserved=100)
    disk.append([change(2)])
    disk.forget([(1, 2)], 2)
    disk.close()
    assert [(record.revision, is_deleted) for record, is_deleted in disk.load()] == [(2, False)]
    assert (disk.marks().reserved, disk.marks().compacted) == (100, 2)


def test_a_full_disk_and_one_that_is_off_take_nothing() -> None:
    disk = Disk(lambda seconds: None)
    disk.is_full = True
    with pytest.raises(StorageFullError):
        disk.append([change(1)])
    disk.append([], reserved=10)
    disk.is_full, disk.is_off = False, True
    with pytest.raises(StorageUnavailableError):
        disk.append([change(1)])
    assert list(disk.load()) == []


def test_time_that_is_spent_holds_up_the_loop_or_only_who_waits() -> None:
    loop = SimulatedLoop()
    seen: list[tuple[str, float]] = []

    async def other() -> None:
        await clock.sleep(1)
        seen.append(("other", clock.monotonic()))

    async def live() -> None:
        SimulatedClock(loop).use()
        disk = Disk(loop.spend)
        disk.sync_seconds = 3.0
        waiting = asyncio.create_task(other())
        await asyncio.to_thread(disk.append, [change(1)])
        seen.append(("thread", clock.monotonic()))
        await waiting
        waiting = asyncio.create_task(other())
        await asyncio.sleep(0)
        disk.append([change(2)])
        seen.append(("loop", clock.monotonic()))
        await waiting

    loop.run_until_complete(live())
    loop.close()
    assert seen == [("other", 1), ("thread", 3), ("loop", 6), ("other", 6)]


def test_what_fails_in_a_thread_fails_when_its_time_is_over() -> None:
    loop = SimulatedLoop()

    def work() -> None:
        loop.spend(2)
        raise ValueError("no")

    async def live() -> float:
        with pytest.raises(ValueError, match="no"):
            await asyncio.to_thread(work)
        return loop.time()

    assert loop.run_until_complete(live()) == 2
    loop.close()
