"""Tasks: watched, started again, stopped together."""

from __future__ import annotations

import asyncio

import pytest

from navarch.component import tasks
from navarch.component.tasks import Tasks, side_by_side


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "RESTART_BACKOFF_INITIAL_SECONDS", 0.001)


def test_a_loop_that_fails_is_logged_and_started_again(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        group, runs, third = Tasks("group"), 0, asyncio.Event()

        async def loop() -> None:
            nonlocal runs
            runs += 1
            if runs == 3:
                third.set()
                await asyncio.Event().wait()
            raise ValueError(f"run {runs}")

        group.run_forever(loop, name="loop")
        await asyncio.wait_for(third.wait(), 5)
        await group.stop()
        assert runs == 3

    asyncio.run(test())
    assert "task group/loop failed" in caplog.text and "run 2" in caplog.text


def test_stopping_cancels_everything_and_waits_for_it() -> None:
    async def test() -> None:
        group, ended = Tasks("group"), []

        async def wait(name: str) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.001)
                ended.append(name)

        for name in ("a", "b"):
            group.start(wait(name), name=name)
        group.run_forever(lambda: wait("c"), name="c")
        await asyncio.sleep(0)
        await group.stop()
        assert sorted(ended) == ["a", "b", "c"]

    asyncio.run(test())


def test_a_task_that_starts_another_while_it_stops_is_stopped_too() -> None:
    async def test() -> None:
        group = Tasks("group")

        async def stubborn() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                group.start(asyncio.Event().wait(), name="late")

        group.start(stubborn(), name="stubborn")
        await asyncio.sleep(0)
        await asyncio.wait_for(group.stop(), 5)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(test())


def test_a_task_that_fails_once_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        group = Tasks("group")

        async def fail() -> None:
            raise ZeroDivisionError

        task = group.start(fail(), name="once")
        await asyncio.wait([task])
        await asyncio.sleep(0)
        await group.stop()

    asyncio.run(test())
    assert "task group/once failed" in caplog.text


def test_what_is_done_side_by_side_has_ended_before_a_failure_is_told() -> None:
    async def test() -> None:
        ended = []

        async def fail() -> None:
            raise ZeroDivisionError

        async def slow() -> None:
            await asyncio.sleep(0)
            ended.append("slow")

        with pytest.raises(ZeroDivisionError):
            await side_by_side([fail(), slow()])
        assert ended == ["slow"]

    asyncio.run(test())
