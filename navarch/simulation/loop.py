"""An event loop whose time may pass as it likes.

- ``virtual``: waiting takes no time. Whenever nothing is ready, the clock jumps to the next timer: an hour of a cluster's life
  takes as long as its work does.
- ``held``: time stands still, and the loop waits for the world outside, as for clients over HTTP.
- ``real``: time is the machine's.

With `SimulatedClock` a whole cluster runs on this time, and draws its chances from one seed.

A `Process` is what was begun inside it: it can be stopped as by SIGSTOP, timers and all, and go on later.

Work for threads is done at once, on the loop: what runs beside it would not run the same way twice. Work that says that it
takes time (`SimulatedLoop.spend`) holds up the loop where it is done on it, and only who waits for it where it is a thread's.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import selectors
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar, copy_context
from typing import Any, Literal, TypeVar

from navarch.component import clock

Pace = Literal["virtual", "held", "real"]

START_SECONDS = 1_893_456_000.0
"""2030-01-01T00:00:00Z, a Tuesday: when a simulation begins unless it is told otherwise."""
BUSY_LIMIT_SECONDS = 60.0
"""Real time in which virtual time may move by less than a moment before somebody is taken to be in a circle…"""
BUSY_LIMIT_SECONDS_PER_NODE = 1.0
"""…and so much more for each node of the cluster, whose pods may all begin in one moment."""
MOMENT_SECONDS = 1.0
TURNS_WATCHED = 200
"""How many turns of the loop tell who is busy."""
NAMES_SHOWN = 10
T = TypeVar("T")
_MACHINE = clock.SystemClock()


class StuckError(AssertionError):
    """Nothing can happen any more, or something happens without end."""


_process: ContextVar[Process | None] = ContextVar("navarch_simulated_process", default=None)


class Process:
    """Tasks, timers and callbacks that were begun inside it; while it is frozen none of them runs, whatever becomes due."""

    def __init__(self, loop: SimulatedLoop) -> None:
        loop.has_processes()
        self._loop = loop
        self._outside = copy_context()
        self._inside = copy_context()
        self._inside.run(_process.set, self)
        self._held: list[asyncio.Handle] = []
        self.is_frozen = False

    def run(self, function: Callable[[], T]) -> T:
        """Call it inside: what it begins belongs to the process."""
        return self._inside.copy().run(function)

    @property
    def outside(self) -> Context:
        """For what is done on behalf of the process by others."""
        return self._outside.copy()

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        """Go on: what has become due meanwhile happens now, in the order in which it did."""
        self.is_frozen = False
        held, self._held = self._held, []
        self._loop.run_again(held)

    def hold(self, handle: asyncio.Handle) -> None:
        self._held.append(handle)


class _Handle(asyncio.Handle):
    """Of a process: waits where that is frozen."""

    def __init__(self, process: Process, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._process = process

    def _run(self) -> None:
        if self._process.is_frozen:
            self._process.hold(self)
        else:
            super()._run()


class _TimerHandle(_Handle, asyncio.TimerHandle):
    """The same, of a timer."""


class _Selector(selectors.DefaultSelector):
    """Keeps the loop's time: it is told of every wait."""

    def __init__(self) -> None:
        super().__init__()
        self.pace: Pace = "virtual"
        self.busy: Callable[[], str] = lambda: ""
        """Who was, in the turns that were watched."""
        self.watch: Callable[[], None] = lambda: None
        """Look who is ready in this turn."""
        self.nodes = 0
        self._now = 0.0
        self._since = _MACHINE.monotonic()
        """Of real pace: when it was `_now`. Of virtual pace: when the moment began."""
        self._moment = 0.0
        """Where virtual time was when the moment began."""
        self._turns = 0
        """That have been watched since the moment has lasted too long."""

    def set_pace(self, pace: Pace) -> None:
        self._now, self._since, self.pace = self.now(), _MACHINE.monotonic(), pace
        self._moment = self._now

    def skip(self, seconds: float) -> None:
        self._now += seconds

    def now(self) -> float:
        return self._now + _MACHINE.monotonic() - self._since if self.pace == "real" else self._now

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.pace == "real":
            return super().select(timeout)
        if self.pace == "held":
            return super().select(timeout if timeout is not None and timeout <= 0 else None)
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise StuckError("nothing can happen any more: no task is ready and no timer is set")
        self._now += max(timeout, 0.0)
        if self._now - self._moment >= MOMENT_SECONDS:
            self._begin_moment()
        elif _MACHINE.monotonic() - self._since > (limit := BUSY_LIMIT_SECONDS + BUSY_LIMIT_SECONDS_PER_NODE * self.nodes):
            self._turns += 1
            self.watch()
            if self._turns >= TURNS_WATCHED:
                passed = self._now - self._moment
                self._begin_moment()
                stood = f"only {passed:g} s have passed" if passed else "time has stood still"
                raise StuckError(f"{stood} for {limit:.0f} s of work: {self.busy()}")
        return ready

    def _begin_moment(self) -> None:
        self._moment, self._since, self._turns = self._now, _MACHINE.monotonic(), 0


class SimulatedLoop(asyncio.SelectorEventLoop):
    """The loop. It begins at virtual pace."""

    def __init__(self) -> None:
        self._times = _Selector()
        self._times.busy = self._busy
        self._times.watch = self._watch
        self._seen: Counter[str] = Counter()
        super().__init__(self._times)
        self._thread_seconds: float | None = None
        """What the work of a thread that is being done has spent; None: none is."""

    def time(self) -> float:
        return self._times.now()

    @property
    def pace(self) -> Pace:
        return self._times.pace

    @pace.setter
    def pace(self, pace: Pace) -> None:
        self._times.set_pace(pace)

    def expect_nodes(self, count: int) -> None:
        """So many nodes there are now: much may happen in one moment."""
        self._times.nodes = count

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()
        outer, self._thread_seconds = self._thread_seconds, 0.0
        result, failure = None, None
        try:
            result = func(*args)
        except Exception as error:  # noqa: BLE001 - it belongs to who waits for the future
            failure = error
        spent, self._thread_seconds = self._thread_seconds, outer
        if spent:
            self.call_later(spent, _end, future, result, failure)
        else:
            _end(future, result, failure)
        return future

    # Processes. Where there are none, nothing is looked at.

    def has_processes(self) -> None:
        """From now on callbacks may belong to processes."""
        self._call_soon = self._call_soon_of_process
        self.call_at = self._call_at_of_process  # type: ignore[method-assign,assignment]

    def run_again(self, handles: list[asyncio.Handle]) -> None:
        """Run handles that were held, at the next turn."""
        self._ready.extend(handles)  # type: ignore[attr-defined]

    def _call_soon_of_process(self, callback: Callable[..., Any], args: Any, context: Context | None) -> asyncio.Handle:
        process = _process.get() if context is None else context.get(_process)
        if process is None:
            return super()._call_soon(callback, args, context)  # type: ignore[misc,no-any-return]
        handle = _Handle(process, callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def _call_at_of_process(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        process = _process.get() if context is None else context.get(_process)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        timer = _TimerHandle(process, when, callback, args, self, context)
        timer._scheduled = True  # type: ignore[attr-defined]
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        return timer

    def spend(self, seconds: float) -> None:
        """Work that is being done takes so long."""
        if self._thread_seconds is None:
            self._times.skip(seconds)
        else:
            self._thread_seconds += seconds

    def _watch(self) -> None:
        now = self.time() + self._clock_resolution  # type: ignore[attr-defined]
        due = [timer for timer in self._scheduled[:1] if timer.when() <= now]  # type: ignore[attr-defined]
        ready: list[asyncio.Handle] = [*self._ready, *due]  # type: ignore[attr-defined]
        self._seen.update({name for handle in ready if not handle.cancelled() for name in _names(handle)})

    def _busy(self) -> str:
        seen, self._seen = self._seen, Counter()
        names = sorted(seen, key=lambda name: (-seen[name], name))
        shown = ", ".join(names[:NAMES_SHOWN]) or "callbacks of no task"
        return f"{shown} and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else shown


def _names(handle: asyncio.Handle) -> Iterator[str]:
    """Names of the tasks that a handle has go on, itself or by ending what they wait for."""
    callbacks = [handle._callback]  # type: ignore[attr-defined]
    for argument in handle._args or ():
        if isinstance(argument, asyncio.Future):
            callbacks += [callback for callback, _ in argument._callbacks or ()]
    for callback in callbacks:
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, asyncio.Task):
            yield owner.get_name()


def _end(future: asyncio.Future[Any], result: Any, failure: Exception | None) -> None:
    if future.done():
        return
    if failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)


class SimulatedClock:
    """Reads the loop's time; chance comes from a seed."""

    def __init__(self, loop: SimulatedLoop, seed: int = 0, start_seconds: float = START_SECONDS) -> None:
        self._loop = loop
        self._start_seconds = start_seconds
        self.random = random.Random(seed)

    def time(self) -> float:
        return self._start_seconds + self._loop.time()

    def monotonic(self) -> float:
        return self._loop.time()

    def use(self) -> None:
        """From now on in this context."""
        clock.use(self)
