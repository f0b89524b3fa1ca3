"""`navarch simulate`: a scenario on a simulated cluster; what happened is printed, and what was wrong decides the exit code."""

from __future__ import annotations

import contextlib
import logging
import shlex
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from navarch.cli.cluster import CommandError
from navarch.component import clock, garbage, logs
from navarch.simulation import arguments, explore, library, report, runner, scenario, summary
from navarch.simulation.explore import Outcome
from navarch.simulation.record import Record
from navarch.simulation.scenario import Scenario, ScenarioError
from navarch.simulation.stages import definition

EXPLORE_STEP = 100
LIST_WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    scenario: str | Path
    """A file, or the name of one of navarch's own."""
    seed: int = 0
    nodes: int | None = None
    duration: str | None = None
    log: Path | None = None
    report: Path | None = None
    stages: tuple[Path, ...] = ()
    """More of them than the scenario has."""
    explore: int | None = None
    """So many seeds, from `seed` on."""
    processes: int | None = None
    verbosity: int = 0


def main(options: Options) -> int:
    """Run it; 1 if anything was wrong with the cluster. Raises CommandError for what is wrong with the scenario."""
    logs.configure(options.verbosity)
    if not options.verbosity:
        # What components complain about is what faults are for; defects are among the findings.
        for handler in logging.getLogger().handlers:
            handler.setLevel(logging.CRITICAL)
    found = _read(options)
    for file in filter(None, (options.log, options.report)):
        _look_at(file)
    try:
        return _explore(found, options) if options.explore is not None else _run(found, options)
    except ScenarioError as error:
        raise CommandError(str(error)) from None


def _look_at(file: Path) -> None:
    """Better before the run than after it. Raises CommandError for a file that cannot be written."""
    try:
        file.open("a").close()
    except OSError as error:
        raise CommandError(str(error)) from None


def _run(found: Scenario, options: Options) -> int:
    """One seed; 1 if it fails."""
    garbage.settle()
    with contextlib.ExitStack() as stack:
        write: Callable[[str], object] | None = None
        if options.log is not None:
            write = stack.enter_context(options.log.open("w", encoding="utf-8")).write
        record = runner.run(found, runner.Options(seed=options.seed, log=write))
    replay = _replay(options, record)
    _tell(record, replay, options.report)
    return 1 if record.failures else 0


def _tell(record: Record, replay: str, file: Path | None) -> None:
    """Print what happened, and write it to a file."""
    text = "".join(f"{line}\n" for line in summary.lines(record, replay))
    print(text, end="")
    if file is not None:
        is_page = file.suffix.lower() in report.SUFFIXES
        file.write_text(report.page(record, replay) if is_page else text, encoding="utf-8")


def show_list() -> int:
    """Print which scenarios navarch has."""
    for entry in library.entries():
        print(entry.name)
        print(textwrap.fill(entry.about, LIST_WIDTH, initial_indent="    ", subsequent_indent="    "))
    return 0


def _read(options: Options) -> Scenario:
    try:
        path = library.find(options.scenario) if isinstance(options.scenario, str) else options.scenario
        found = scenario.read(path)
        if path.parent == library.DIRECTORY:
            # Where navarch is installed makes no difference to what is told.
            found = replace(found, file=path.name)
        if options.duration is not None:
            found = replace(found, seconds=arguments.duration(options.duration))
        if options.stages:
            found = replace(found, stages=(*found.stages, *definition.load(options.stages)))
    except ScenarioError as error:
        raise CommandError(str(error)) from None
    except ValueError as error:
        raise CommandError(f"--for: {error}") from None
    if options.nodes is not None:
        if not 0 <= options.nodes <= scenario.NODES_LIMIT:
            raise CommandError(f"--nodes: a cluster has between 0 and {scenario.NODES_LIMIT} nodes")
        found = found.with_nodes(options.nodes)
    return found


def _explore(found: Scenario, options: Options) -> int:
    """Many seeds; 1 if one fails, which is then made as small as it can be."""
    if options.explore is None or options.explore < 1 or (options.processes or 1) < 1:
        raise CommandError("--explore and --processes: 1 or more")
    if options.log is not None:
        raise CommandError("--log is of one seed, and goes not with --explore")
    began, runs = clock.SystemClock().monotonic(), 0
    outcomes = explore.explore(found, range(options.seed, options.seed + options.explore), processes=options.processes)
    failed: Outcome | None = None
    with contextlib.closing(outcomes):
        for outcome in outcomes:
            runs += 1
            if outcome.failures:
                failed = outcome
                break
            if runs % EXPLORE_STEP == 0:
                print(f"{runs} seeds, nothing was found", flush=True)
    taken = clock.SystemClock().monotonic() - began
    if failed is None:
        print(f"passed     {runs} seeds in {taken:.1f} s ({runs / taken:.1f} a second), nothing was found")
        return 0
    print(f"FAILED     seed {failed.seed}, after {runs} seeds in {taken:.1f} s: {failed.failures[0]}", flush=True)
    print("           it is made smaller…", flush=True)
    smallest = explore.make_smaller(found, failed.seed)
    path = explore.write(smallest, Path.cwd())
    print(f"smallest   {len(smallest.steps)} steps, {len(smallest.scenario.objects)} objects, after {smallest.runs} runs:")
    print("".join(f"  {line}\n" for line in path.read_text().splitlines()))
    replay = shlex.join(["navarch", "simulate", path.name, "--seed", str(failed.seed)])
    _tell(smallest.record, replay, options.report)
    return 1


def _replay(options: Options, record: Record) -> str:
    more: list[str] = []
    if options.nodes is not None:
        more += ["--nodes", str(options.nodes)]
    if options.duration is not None:
        more += ["--for", options.duration]
    for file in options.stages:
        more += ["--stages", str(file)]
    return summary.replay_command(replace(record, file=str(options.scenario)), *more)
