"""The record of a run as text: what happened, what was found, and how to see it again."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator

from navarch.simulation.arguments import show_duration
from navarch.simulation.record import Record

LINES_LIMIT = 20


def lines(record: Record, replay: str) -> Iterator[str]:
    """The summary, line by line. `replay`: the command that runs the same again."""
    pace = record.seconds / record.real_seconds if record.real_seconds else 0.0
    yield f"scenario   {record.scenario} (seed {record.seed})"
    yield f"time       {show_duration(record.seconds)} in {record.real_seconds:.1f} s ({pace:,.0f} times as fast)"
    yield f"changes    {record.changes:,}, up to revision {record.revision:,}"
    yield f"history    {record.digest[:16]}"
    yield f"nodes      {len(record.nodes):,}: {_counted(states[-1][1] for states in record.nodes.values())}"
    last = Counter("deleted" if pod.deleted is not None else pod.spans[-1].phase for pod in record.pods.values())
    yield f"pods       {len(record.pods):,}: {_listed(last)}"
    yield f"events     {len(record.events):,}: {_counted(event.reason for event in record.events)}"
    yield f"actions    {_counted(action.name for action in record.actions if not action.is_fault)}"
    yield f"faults     {_counted(action.name for action in record.actions if action.is_fault)}"
    for what, count in sorted(record.left_out.items()):
        yield f"           {count:,} more {what} are not shown"
    met = sum(not expected.unmet for expected in record.expectations)
    if record.expectations:
        yield f"expected   {met} of {len(record.expectations)} expectations were met"
    failures = record.failures
    if not failures:
        yield "passed     nothing was found"
        return
    yield f"FAILED     {len(failures)} things that must not be:"
    # Findings come first among the failures, and have their moments.
    moments = [show_duration(finding.at) for finding in record.findings]
    for index, failure in enumerate(failures[:LINES_LIMIT]):
        at = f"{moments[index]}: " if index < len(moments) else ""
        yield f"  {at}{failure}"
    if len(failures) > LINES_LIMIT:
        yield f"  and {len(failures) - LINES_LIMIT} more"
    yield f"replay     {replay}"


def replay_command(record: Record, *options: str) -> str:
    """The command line that runs the same again."""
    return shlex.join(["navarch", "simulate", record.file, "--seed", str(record.seed), *options])


def _counted(words: Iterator[str]) -> str:
    return _listed(Counter(words))


def _listed(counts: Counter[str]) -> str:
    found = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{count:,} {word}" for word, count in found[:LINES_LIMIT])
    return shown + (f" and {len(found) - LINES_LIMIT} others" if len(found) > LINES_LIMIT else "") or "none"
