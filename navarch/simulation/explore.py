"""Runs a scenario with many seeds, as many at a time as there are cores, and makes the first that fails as small as it can."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from navarch.component import garbage
from navarch.simulation import runner, scenario, shrink
from navarch.simulation.record import Record
from navarch.simulation.scenario import Scenario, Step
from navarch.simulation.shrink import Smallest

# Seeds that wait for a process, for each that has one.
AHEAD = 2
CHUNK_SEEDS = 4


@dataclass(frozen=True)
class Outcome:
    """What became of one seed."""

    seed: int
    digest: str
    failures: tuple[str, ...]
    changes: int
    real_seconds: float


def explore(
    found: Scenario, seeds: Iterable[int], *, processes: int | None = None, prepare: Callable[[], None] | None = None
) -> Generator[Outcome, None, None]:
    """Outcomes as they come. `prepare` is called once in each process, before anything else.

    Whoever has seen enough closes the iterator: what has not begun does not begin.
    """
    workers = processes or os.cpu_count() or 1
    # Forked children would share locks that some thread holds.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare, initargs=(prepare,))
    pending: set[Future[list[Outcome]]] = set()
    chunks = _chunks(iter(seeds))
    try:
        while True:
            while len(pending) < workers * AHEAD and (chunk := next(chunks, None)) is not None:
                pending.add(pool.submit(_outcomes, found, chunk))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _chunks(seeds: Iterator[int]) -> Iterator[list[int]]:
    while chunk := [seed for _, seed in zip(range(CHUNK_SEEDS), seeds, strict=False)]:
        yield chunk


def _prepare(prepare: Callable[[], None] | None) -> None:
    # What components complain about is what faults are for; what is wrong is among the findings.
    logging.getLogger("navarch").addHandler(logging.NullHandler())
    logging.getLogger("navarch").propagate = False
    garbage.settle()
    if prepare is not None:
        prepare()


def _outcomes(found: Scenario, seeds: Sequence[int]) -> list[Outcome]:
    return [outcome(runner.run(found, runner.Options(seed=seed))) for seed in seeds]


def outcome(record: Record) -> Outcome:
    """What is told of a run from another process."""
    return Outcome(record.seed, record.digest, tuple(record.failures), record.changes, record.real_seconds)


def make_smaller(found: Scenario, seed: int, runs_limit: int = shrink.RUNS_LIMIT) -> Smallest:
    """The smallest of a seed that fails; in this process."""

    def run(tried: Scenario, steps: Sequence[Step]) -> Record:
        return runner.run(tried, runner.Options(seed=seed), steps)

    steps = found.draw(seed)
    return shrink.smallest(found, steps, run(found, steps), run, runs_limit)


def write(found: Smallest, directory: Path) -> Path:
    """The file of what is left, beside which it is replayed."""
    path = directory / f"{Path(found.scenario.file).stem}.seed-{found.record.seed}.yaml"
    path.write_text(scenario.write(found.scenario, found.steps))
    return path
