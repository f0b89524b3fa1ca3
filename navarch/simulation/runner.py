"""Runs a scenario: the same scenario and seed give the same history, to the last byte of its log.

The order of a run: the objects are applied; the steps of the timeline are begun at their moments, each as a task of its own, so
that one which waits (a drain) holds up no other; faults end when their time is over. When the scenario's time is over, whatever
fault is left is ended, everything gets time to settle, and the checkers are asked a last time, and the expectations of the end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from navarch.apimachinery.errors import StatusError
from navarch.component import clock, garbage
from navarch.component.tasks import Tasks
from navarch.simulation import invariants
from navarch.simulation.action import ActionError, Fault
from navarch.simulation.checkers import every
from navarch.simulation.checkers.checker import Checker
from navarch.simulation.cluster import Parts, SimulatedCluster
from navarch.simulation.defects import Defects
from navarch.simulation.document import ScenarioError
from navarch.simulation.guard import Guard
from navarch.simulation.loop import SimulatedClock, SimulatedLoop, StuckError
from navarch.simulation.record import ActionRecord, ExpectationRecord, Log, Record
from navarch.simulation.scenario import Expected, Scenario, Step, object_key
from navarch.simulation.stage import Stage
from navarch.simulation.stages import definition
from navarch.simulation.watchdog import Watchdog

logger = logging.getLogger(__name__)

EXPECTATION_STEP_SECONDS = 1.0
# While the control plane is away, what users do is tried again for so long.
USER_PATIENCE_SECONDS = 300.0
USER_RETRY_SECONDS = 1.0
# How often a loop that makes no progress is told to end.
GIVE_UP_ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a scenario is run."""

    seed: int = 0
    log: Callable[[str], object] | None = None
    """Is given every line of the log of changes."""
    checkers: Sequence[type[Checker]] = field(default_factory=every.checkers)
    written_heartbeats: bool = False


def run(scenario: Scenario, options: Options, steps: Sequence[Step] | None = None) -> Record:
    """Run a scenario, or with `steps` just these of it, and tell what happened. It has a loop of its own.

    Raises ScenarioError where the API refuses what it begins with.
    """
    began = _real_seconds()
    loop = SimulatedLoop()
    simulated = SimulatedClock(loop, options.seed)
    drawn = scenario.draw(options.seed) if steps is None else list(steps)
    log = Log(options.log)

    made: list[_Run] = []

    async def timed() -> Record:
        simulated.use()
        made.append(_Run(scenario, drawn, options, log))
        return await made[0].run()

    try:
        with garbage.rarely():
            try:
                record = loop.run_until_complete(timed())
            except StuckError as error:
                if not made:
                    raise
                record = made[0].stuck(str(error))
                _give_up(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
    record.digest = log.digest
    record.real_seconds = _real_seconds() - began
    return record


def _give_up(loop: SimulatedLoop) -> None:
    """End all there is on a loop that makes no progress."""
    for _ in range(GIVE_UP_ATTEMPTS):
        tasks = asyncio.all_tasks(loop)
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        with suppress(StuckError):
            loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))


def _real_seconds() -> float:
    return clock.SystemClock().monotonic()


@dataclass(slots=True)
class _Lasting:
    """A fault under way."""

    fault: Fault
    noted: ActionRecord
    begun: Any = None


class _Run:
    """One run."""

    def __init__(self, scenario: Scenario, steps: Sequence[Step], options: Options, log: Log) -> None:
        self._scenario = scenario
        self._steps = steps
        self._log = log
        parts = Parts(
            nodes=0,
            separate_caches=scenario.separate_caches,
            control_planes=scenario.control_planes,
            written_heartbeats=options.written_heartbeats,
            controllers=True,
            stages=definition.of_objects(scenario.stages),
        )
        self._cluster = SimulatedCluster(parts)
        self._stage = Stage(self._cluster, options.seed, scenario.namespace)
        self._record = Watchdog.new_record(scenario.name, scenario.file, options.seed)
        self._watchdog = Watchdog(self._cluster, self._record, log, options.checkers)
        for function in invariants.read(scenario.invariants):
            self._watchdog.add(function)
        self._observer = self._watchdog.observer
        self._tasks = Tasks("scenario")
        self._lasting: dict[int, _Lasting] = {}
        """Faults under way by number, oldest first."""

    async def run(self) -> Record:
        record, scenario = self._record, self._scenario
        defects = Defects(asyncio.get_running_loop(), self._watchdog.reporter("defects"))
        try:
            with defects, Guard(self._watchdog.reporter("clock")):
                await self._start()
                for expected in scenario.expectations:
                    if expected.expectation.at is not None:
                        self._tasks.start(self._expect_at(expected), name=f"expectation-{expected.line}")
                await self._timeline()
                await self._end_faults()
                await self._settle()
        finally:
            record.seconds = self._observer.seconds
            await self._tasks.stop()
            await self._cluster.stop()
        return record

    def stuck(self, message: str) -> Record:
        """The record of a run that cannot go on."""
        self._watchdog.reporter("progress")("", message)
        return self._record

    async def _start(self) -> None:
        scenario, cluster = self._scenario, self._cluster
        await cluster.start()
        for group in scenario.nodes:
            options: dict[str, Any] = {"labels": group.labels, "taints": list(group.taints)}
            if group.capacity:
                options["capacity"] = group.capacity
            try:
                await cluster.add_nodes(group.count, **options)
            except StatusError as error:
                raise ScenarioError(f"{scenario.file}:{group.line}: {error.message}") from None
        for obj in scenario.objects:
            try:
                await self._user(lambda obj=obj: self._stage.apply(dict(obj)))  # type: ignore[misc]
            except (StatusError, ActionError) as error:
                raise ScenarioError(f"{scenario.where(obj)}: {object_key(obj)}: {error}") from None

    async def _user(self, do: Callable[[], Any]) -> None:
        """Do what a user does, who tries again while there is no server, or it is not well. Raises StatusError, ActionError."""
        deadline = clock.monotonic() + USER_PATIENCE_SECONDS
        while True:
            try:
                await do()
                return
            except (StatusError, OSError) as error:
                passes = isinstance(error, OSError) or error.code >= 500 or error.code in (409, 429) or _is_early(error)
                if not passes or clock.monotonic() >= deadline:
                    raise
            await clock.sleep(USER_RETRY_SECONDS)

    # The timeline

    async def _timeline(self) -> None:
        for step in self._steps:
            await clock.sleep(max(0.0, step.at - self._observer.seconds))
            self._tasks.start(self._do(step), name=step.action.name)
        await clock.sleep(max(0.0, self._scenario.seconds - self._observer.seconds))

    async def _do(self, step: Step) -> None:
        action, at = step.action, self._observer.seconds
        is_fault = isinstance(action, Fault)
        noted = ActionRecord(at, action.name, str(action), is_fault, step.line)
        self._record.actions.append(noted)
        self._log.line(f"{at:.6f} do {action}")
        try:
            if is_fault:
                assert isinstance(action, Fault)
                await self._fault(action, noted)
            else:
                await self._user(lambda: action.begin(self._stage))
        except (ActionError, StatusError, OSError) as error:
            # A fault that has nothing to strike any more does no harm; an action that cannot be done is a mistake.
            if step.line or not is_fault:
                noted.error = str(error) or type(error).__name__

    async def _fault(self, fault: Fault, noted: ActionRecord) -> None:
        number = len(self._record.actions)
        lasting = self._lasting[number] = _Lasting(fault, noted)
        lasting.begun = await fault.begin(self._stage)
        if fault.lasts_seconds is not None:
            await clock.sleep(fault.lasts_seconds)
            await self._end(number)

    async def _end(self, number: int) -> None:
        lasting = self._lasting.pop(number, None)
        if lasting is not None:
            lasting.noted.ended = self._observer.seconds
            self._log.line(f"{lasting.noted.ended:.6f} end {lasting.fault}")
            await lasting.fault.end(self._stage, lasting.begun)

    async def _end_faults(self) -> None:
        for number in list(self._lasting):
            await self._end(number)

    # What must be so

    async def _expect_at(self, expected: Expected) -> None:
        at = expected.expectation.at
        assert at is not None
        await clock.sleep(max(0.0, at - self._observer.seconds))
        await self._expect(expected)

    async def _expect(self, expected: Expected) -> None:
        deadline = self._observer.seconds + expected.expectation.within
        while unmet := await self._look(expected):
            if self._observer.seconds >= deadline:
                break
            await clock.sleep(EXPECTATION_STEP_SECONDS)
        until, seen = expected.expectation.until, self._record.revision
        while until is not None and not unmet and self._observer.seconds < until:
            await clock.sleep(EXPECTATION_STEP_SECONDS)
            # Where nothing has changed it is as it was.
            if self._record.revision != seen:
                seen, unmet = self._record.revision, await self._look(expected)
        noted = ExpectationRecord(self._observer.seconds, expected.line, str(expected.expectation), unmet)
        self._record.expectations.append(noted)

    async def _look(self, expected: Expected) -> str:
        """Why an expectation is not met; waits while there is nobody to ask."""
        found = ""

        async def look() -> None:
            nonlocal found
            found = await expected.expectation.unmet(self._stage)

        try:
            await self._user(look)
        except (ActionError, StatusError, OSError) as error:
            return f"cannot be looked at: {error}"
        return found

    async def _settle(self) -> None:
        await clock.sleep(self._scenario.settle_seconds)
        self._watchdog.settled()
        for expected in self._scenario.expectations:
            if expected.expectation.at is None:
                await self._expect(expected)


def _is_early(error: StatusError) -> bool:
    """Whether it is only that the namespace, or its service account, is not there yet."""
    return error.code in (403, 404) and ("serviceaccount" in error.message.lower() or "namespace" in error.message.lower())
