"""`navarch simulate`: a scenario on a simulated cluster; what happened is printed, and what was wrong decides the exit code."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from navarch.cli.cluster import CommandError
from navarch.component import logs
from navarch.simulation import arguments, runner, scenario, summary
from navarch.simulation.record import Record
from navarch.simulation.scenario import Scenario, ScenarioError


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    scenario: Path
    seed: int = 0
    nodes: int | None = None
    duration: str | None = None
    log: Path | None = None
    report: Path | None = None
    verbosity: int = 0


def main(options: Options) -> int:
    """Run it; 1 if anything was wrong with the cluster. Raises CommandError for what is wrong with the scenario."""
    logs.configure(options.verbosity)
    if not options.verbosity:
        # What components complain about is what faults are for; defects are among the findings.
        for handler in logging.getLogger().handlers:
            handler.setLevel(logging.CRITICAL)
    found = _read(options)
    with contextlib.ExitStack() as stack:
        write: Callable[[str], object] | None = None
        if options.log is not None:
            write = stack.enter_context(options.log.open("w", encoding="utf-8")).write
        record = runner.run(found, runner.Options(seed=options.seed, log=write))
    text = "".join(f"{line}\n" for line in summary.lines(record, _replay(options, record)))
    print(text, end="")
    if options.report is not None:
        options.report.write_text(text)
    return 1 if record.failures else 0


def _read(options: Options) -> Scenario:
    try:
        found = scenario.read(options.scenario)
        if options.duration is not None:
            found = replace(found, seconds=arguments.duration(options.duration))
    except ScenarioError as error:
        raise CommandError(str(error)) from None
    except ValueError as error:
        raise CommandError(f"--for: {error}") from None
    if options.nodes is not None:
        if not 0 <= options.nodes <= scenario.NODES_LIMIT:
            raise CommandError(f"--nodes: a cluster has between 0 and {scenario.NODES_LIMIT} nodes")
        found = found.with_nodes(options.nodes)
    return found


def _replay(options: Options, record: Record) -> str:
    more: list[str] = []
    if options.nodes is not None:
        more += ["--nodes", str(options.nodes)]
    if options.duration is not None:
        more += ["--for", options.duration]
    return summary.replay_command(record, *more)
