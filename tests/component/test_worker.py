"""One thread does one thing after the other, whoever still waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from navarch.component.worker import Worker

OnLoop = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def on_loop(request: pytest.FixtureRequest) -> OnLoop:
    found: OnLoop = request.param
    return found


def run(worker: Worker, action: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
    return asyncio.get_running_loop().run_in_executor(worker, action, *arguments)


def test_what_is_asked_for_is_done_in_order_in_one_thread_beside_the_loop(on_loop: OnLoop) -> None:
    done: list[int] = []

    def note(number: int) -> tuple[int, int]:
        done.append(number)
        return number, threading.get_ident()

    async def test() -> None:
        worker = Worker("test")
        found = await asyncio.gather(*(run(worker, note, number) for number in range(20)))
        assert [number for number, _ in found] == done == list(range(20))
        (thread,) = {thread for _, thread in found}
        assert thread != threading.get_ident()
        worker.shutdown()

    on_loop(test())


def test_an_error_is_told_and_the_next_is_done(on_loop: OnLoop) -> None:
    async def test() -> None:
        worker = Worker("test")
        with pytest.raises(ZeroDivisionError):
            await run(worker, lambda: 1 // 0)
        assert await run(worker, lambda: 1) == 1
        worker.shutdown()

    on_loop(test())


def test_it_is_done_to_its_end_where_nobody_waits_any_more(on_loop: OnLoop) -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), []

    def action() -> None:
        begun.set()
        may_end.wait()
        ended.append(True)

    async def test() -> None:
        worker = Worker("test")
        waiting = run(worker, action)
        while not begun.is_set():
            await asyncio.sleep(0)
        waiting.cancel()
        assert not ended
        may_end.set()
        assert await run(worker, lambda: list(ended)) == [True]
        worker.shutdown()

    on_loop(test())


def test_shutdown_waits_for_what_was_asked_for_and_nothing_is_taken_afterwards(on_loop: OnLoop) -> None:
    done: list[int] = []

    async def test() -> None:
        worker = Worker("test")
        for number in range(3):
            run(worker, done.append, number)
        worker.shutdown()
        assert done == [0, 1, 2]
        with pytest.raises(RuntimeError):
            run(worker, done.append, 3)

    on_loop(test())


def test_the_loop_may_end_first(on_loop: OnLoop) -> None:
    begun, may_end = threading.Event(), threading.Event()
    worker = Worker("test")

    async def test() -> None:
        run(worker, lambda: (begun.set(), may_end.wait()))
        while not begun.is_set():
            await asyncio.sleep(0)

    on_loop(test())
    may_end.set()
    worker.shutdown()


def test_where_nothing_was_asked_for_there_is_no_thread() -> None:
    before = threading.active_count()
    worker = Worker("test")
    assert threading.active_count() == before
    worker.shutdown()
