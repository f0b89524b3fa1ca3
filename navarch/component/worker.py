"""An executor of one thread, for an event loop's `run_in_executor`, at half of what the standard one costs the processor.

The standard one makes a future with a lock and a condition for each call, and asyncio one of its own which follows that. Here
the thread tells the loop's own future. A loop that does such things itself (the simulation's) never asks for a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")


class Worker(Executor):
    """Begins its thread when there is something to do, and does one thing after the other."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._is_shut = False

    def submit(self, action: Callable[..., Result], /, *arguments: Any) -> asyncio.Future[Result]:  # type: ignore[override]
        """Is called by the running loop, which takes a future of its own as it is (`asyncio.wrap_future`).

        It is done to its end, also where nobody waits for it any more. Raises RuntimeError after `shutdown`.
        """
        if self._is_shut:
            raise RuntimeError(f"the thread {self._name} does nothing any more")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def job() -> None:
            try:
                result = action(*arguments)
            except BaseException as error:  # noqa: BLE001 - it belongs to who waits for the future
                _tell(loop, _failed, future, error)
            else:
                _tell(loop, _succeeded, future, result)

        self._jobs.put(job)
        if self._thread is None:
            self._thread = Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        return future

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            # Else it would keep its arguments until there is another one.
            del job

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """What was asked for is done all the same. Blocks until it is, unless it shall not `wait`."""
        assert not cancel_futures, "nothing is taken back"
        self._is_shut = True
        if self._thread is not None:
            self._jobs.put(None)
            if wait:
                self._thread.join()
            self._thread = None


def _tell(loop: asyncio.AbstractEventLoop, tell: Callable[..., None], *arguments: Any) -> None:
    try:
        loop.call_soon_threadsafe(tell, *arguments)
    except RuntimeError:
        # Nobody is there to hear it.
        assert loop.is_closed()


def _succeeded(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():
        future.set_result(result)


def _failed(future: asyncio.Future[Result], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
