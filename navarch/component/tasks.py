"""Long-running tasks that are started together, watched, and stopped together.

A component's background loops live in one `TaskGroup`-like `Tasks`. A loop that ends with an exception is a defect of that
loop only: it is logged with its traceback and started again after a back-off, as Kubernetes' components do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from navarch.component import clock

logger = logging.getLogger(__name__)

RESTART_BACKOFF_INITIAL_SECONDS = 0.5
RESTART_BACKOFF_MAX_SECONDS = 30.0
# A loop that ran this long before it failed starts over with the shortest back-off.
RESTART_BACKOFF_RESET_SECONDS = 60.0


class Tasks:
    """A set of tasks with one owner, who must call `stop`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping = False

    def start(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run `coroutine` once. If it fails, that is logged."""
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def run_forever(self, loop: Callable[[], Awaitable[None]], *, name: str) -> asyncio.Task[Any]:
        """Run `loop()`; whenever it returns or fails, run it again after a back-off, until `stop`."""
        return self.start(self._forever(loop, name), name=name)

    async def stop(self) -> None:
        """Cancel every task and wait until all have ended."""
        self._stopping = True
        while self._tasks:
            pending = list(self._tasks)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            self._tasks.difference_update(pending)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            logger.error("task %s failed", task.get_name(), exc_info=error)

    async def _forever(self, loop: Callable[[], Awaitable[None]], name: str) -> None:
        backoff = RESTART_BACKOFF_INITIAL_SECONDS
        while not self._stopping:
            started = clock.monotonic()
            try:
                await loop()
            except Exception:
                logger.exception("task %s/%s failed, starting it again in %.1f s", self.name, name, backoff)
            if clock.monotonic() - started > RESTART_BACKOFF_RESET_SECONDS:
                backoff = RESTART_BACKOFF_INITIAL_SECONDS
            await clock.sleep(clock.jitter(backoff, 0.1))
            backoff = min(backoff * 2, RESTART_BACKOFF_MAX_SECONDS)


async def side_by_side(calls: Iterable[Awaitable[None]]) -> None:
    """Make calls at the same time; the first failure is raised once all have ended, so none goes on unattended."""
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
