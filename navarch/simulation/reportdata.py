"""What the page of a run shows, as plain JSON: rows of nodes with their pods, counts of pods by phase, events, actions, and
findings.

However large the run was, the page stays one that a browser can draw: pods are shown one by one while there are few enough of
them, otherwise as counts; counts are exact where they change seldom, otherwise one for each of a number of moments; many nodes
share a row.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from navarch.simulation.record import Record

PHASES = ("Pending", "Running", "Ready", "Terminating", "Succeeded", "Failed", UNKNOWN := "Unknown")
UNSCHEDULED = ""
"""The row of pods that are on no node."""
SPANS_LIMIT = 60_000
"""More than so many spans of pods are not shown one by one."""
ROWS_LIMIT = 400
CHANGES_LIMIT = 2000
"""Of one row: more changes than these are taken together."""
ROWS_CHANGES_LIMIT = 150_000
"""Of all rows together."""


@dataclass(slots=True)
class _Stay:
    """A pod on a node, or on none yet."""

    pod: int
    spans: list[tuple[float, int]]
    """(since, phase)"""
    end: float
    lane: int = 0


@dataclass(slots=True)
class _Row:
    """One node, or some that share a row."""

    nodes: list[str]
    stays: list[_Stay] = field(default_factory=list)


class _Strings:
    """Each string once, told by its number."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._numbers: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        number = self._numbers.setdefault(text, len(self.all))
        if number == len(self.all):
            self.all.append(text)
        return number


def data(record: Record, replay: str) -> dict[str, Any]:
    """All of it. Times are seconds since the start. What real time the run took is not in it."""
    strings = _Strings()
    rows = _rows(record)
    spans = sum(len(stay.spans) for row in rows for stay in row.stays)
    one_by_one = spans <= SPANS_LIMIT
    changes_limit = max(2, min(CHANGES_LIMIT, ROWS_CHANGES_LIMIT // max(1, len(rows))))
    return {
        "scenario": record.scenario,
        "file": record.file,
        "seed": record.seed,
        "replay": replay,
        "started": record.started,
        "seconds": _time(record.seconds),
        "digest": record.digest,
        "changes": record.changes,
        "revision": record.revision,
        "leftOut": dict(sorted(record.left_out.items())),
        "phases": PHASES,
        "counts": _counts([stay for row in rows for stay in row.stays], record.seconds, CHANGES_LIMIT),
        "rows": [_row(row, record, changes_limit, one_by_one=one_by_one) for row in rows],
        "pods": [
            [strings(f"{pod.namespace}/{pod.name}"), strings(pod.owner), _time(pod.created), _time(pod.deleted)]
            for pod in record.pods.values()
        ]
        if one_by_one
        else None,
        "podsInAll": len(record.pods),
        "nodesInAll": len(record.nodes),
        "actions": [
            {
                "at": _time(action.at),
                "ended": _time(action.ended),
                "name": action.name,
                "text": action.text,
                "fault": action.is_fault,
                "line": action.line,
                "error": action.error,
            }
            for action in record.actions
        ],
        "expectations": [
            {"at": _time(expected.at), "line": expected.line, "text": expected.text, "unmet": expected.unmet}
            for expected in record.expectations
        ],
        "findings": [
            {"at": _time(finding.at), "checker": finding.checker, "object": finding.object, "message": finding.message}
            for finding in record.findings
        ],
        "failures": record.failures,
        "events": [
            [_time(event.at), strings(event.type), strings(event.reason), strings(event.object), strings(event.message)]
            for event in record.events
        ],
        "strings": strings.all,
    }


def _time(seconds: float | None) -> float | None:
    """To the millisecond."""
    return None if seconds is None else round(seconds, 3)


def _rows(record: Record) -> list[_Row]:
    """Of pods on no node, and of all nodes in the order in which they came; neighbours share one where there are too many."""
    names = [name for name in record.nodes if name]
    # A node that is not kept in the record may still have pods.
    names += sorted({span.node for pod in record.pods.values() for span in pod.spans} - {*names, UNSCHEDULED})
    share = max(1, math.ceil(len(names) / ROWS_LIMIT))
    rows = [_Row([]), *(_Row(names[start : start + share]) for start in range(0, len(names), share))]
    phases = {name: number for number, name in enumerate(PHASES)}
    by_node = {name: row for row in rows for name in row.nodes} | {UNSCHEDULED: rows[0]}
    for number, pod in enumerate(record.pods.values()):
        end = record.seconds if pod.deleted is None else pod.deleted
        stay: _Stay | None = None
        where: str | None = None
        for span in pod.spans:
            if stay is None or span.node != where:
                if stay is not None:
                    stay.end = span.since
                stay, where = _Stay(number, [], end), span.node
                by_node[span.node].stays.append(stay)
            stay.spans.append((span.since, phases.get(span.phase, phases[UNKNOWN])))
    return rows


def _row(row: _Row, record: Record, changes_limit: int, *, one_by_one: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": _name(row.nodes),
        "nodes": len(row.nodes),
        "states": _states([record.nodes.get(name, []) for name in row.nodes]),
        "counts": _counts(row.stays, record.seconds, changes_limit),
    }
    if one_by_one:
        found["lanes"] = _arrange(row.stays)
        found["stays"] = [
            [stay.pod, stay.lane, _time(stay.end), *(part for since, phase in stay.spans for part in (_time(since), phase))]
            for stay in row.stays
        ]
    return found


def _name(nodes: Sequence[str]) -> str:
    if len(nodes) > 1:
        return f"{nodes[0]} … {nodes[-1]}"
    return nodes[0] if nodes else UNSCHEDULED


def _states(nodes: Sequence[Sequence[tuple[float, str]]]) -> list[list[Any]]:
    """Since when a row's node is in which state; of many, whether all are ready (those that are gone do not count)."""
    if len(nodes) <= 1:
        return [[_time(at), state] for states in nodes for at, state in states]
    changes = sorted((at, number, state) for number, states in enumerate(nodes) for at, state in states)
    now: dict[int, str] = {}
    found: list[list[Any]] = []
    for at, number, state in changes:
        now[number] = state
        there = [each for each in now.values() if each != "gone"]
        together = ("ready" if all(each == "ready" for each in there) else "not ready") if there else "gone"
        if not found or found[-1][1] != together:
            found.append([_time(at), together])
    return found


def _arrange(stays: Iterable[_Stay]) -> int:
    """Give stays lanes so that no two in one overlap; how many lanes there are."""
    busy: list[tuple[float, int]] = []
    """(until when, lane)"""
    free: list[int] = []
    lanes = 0
    for stay in sorted(stays, key=lambda stay: (stay.spans[0][0], stay.pod)):
        since = stay.spans[0][0]
        while busy and busy[0][0] <= since:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            stay.lane = heapq.heappop(free)
        else:
            stay.lane, lanes = lanes, lanes + 1
        heapq.heappush(busy, (max(stay.end, since), stay.lane))
    return lanes


def _counts(stays: Iterable[_Stay], seconds: float, limit: int) -> list[list[Any]]:
    """How many pods are in which phase from a moment on: ``[at, number by phase…]``.

    Of more than `limit` changes, what holds at the end of each of so many equal parts of the whole time.
    """
    changes: list[tuple[float, int, int]] = []
    for stay in stays:
        last: int | None = None
        for since, phase in stay.spans:
            changes.append((since, phase, 1))
            if last is not None:
                changes.append((since, last, -1))
            last = phase
        if last is not None and stay.end < seconds:
            changes.append((stay.end, last, -1))
    changes.sort()
    width = seconds / limit if len({at for at, _, _ in changes}) > limit else 0.0
    found: dict[float, list[Any]] = {}
    numbers = [0] * len(PHASES)
    for (at, phase, difference), after in itertools.zip_longest(changes, changes[1:]):
        numbers[phase] += difference
        if after is None or after[0] != at:
            key = min(limit - 1, at // width) * width if width else at
            found[key] = [_time(key), *numbers]
    return list(found.values())
