"""An event loop on which waiting takes no time: whenever nothing is ready, its clock jumps to the next timer.

With `VirtualClock` beside it a whole cluster runs on this time: an hour of it passes in the time its work takes. Only for what
does no IO: what a socket would bring is not waited for. Work for threads is done at once, on the loop.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable
from typing import Any

from navarch.component import clock

START_SECONDS = 1_893_456_000.0
"""2030-01-01T00:00:00Z, a Tuesday."""


class _Jumping(selectors.DefaultSelector):
    """Does not wait, but tells the loop how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.now_seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("nothing can happen any more: no task is ready and no timer is set")
            self.now_seconds += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_seconds

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it belongs to who waits for the future
            future.set_exception(error)
        return future


class VirtualClock:
    """Reads the loop's time; chance comes from a seed."""

    def __init__(self, loop: VirtualLoop, seed: int = 0) -> None:
        self._loop = loop
        self.random = random.Random(seed)

    def time(self) -> float:
        return START_SECONDS + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    def use(self) -> None:
        """From now on in this context."""
        clock.use(self)
