"""What happened in a simulation, as plain data: the text summary and any other report are made from it.

Times are seconds since the simulation's start. A record is small: of what comes in any number, only so much is kept, and what
was left out is counted. The log of every change is not kept but written, line by line, and summed up in a digest: two runs with
equal digests are equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

PODS_LIMIT = 200_000
EVENTS_LIMIT = 20_000
FINDINGS_LIMIT = 1000
NODE_STATES_LIMIT = 100_000

NodeState = Literal["ready", "not ready", "unknown", "gone"]


@dataclass(slots=True)
class Span:
    """A pod's phase on a node, from a moment on until the next span's, or the pod's end."""

    since: float
    phase: str
    """As kubectl would have it in one word: Pending, Running (not ready), Ready, Terminating, Succeeded, Failed."""
    node: str


@dataclass(slots=True)
class PodRecord:
    """One pod's life."""

    namespace: str
    name: str
    owner: str
    """``ReplicaSet/web-abc``, or ""."""
    created: float
    spans: list[Span] = field(default_factory=list)
    deleted: float | None = None


@dataclass(slots=True)
class EventRecord:
    """An Event of the API."""

    at: float
    type: str
    reason: str
    object: str
    message: str


@dataclass(slots=True)
class ActionRecord:
    """An action or a fault that was carried out."""

    at: float
    name: str
    text: str
    is_fault: bool
    line: int
    ended: float | None = None
    """Of a fault, when it was undone."""
    error: str = ""
    """Why it could not be carried out."""


@dataclass(slots=True)
class Finding:
    """Something that must not be: what a checker found, or an expectation that was not met."""

    at: float
    checker: str
    object: str
    message: str

    def __str__(self) -> str:
        return f"{self.checker}: {self.object}: {self.message}" if self.object else f"{self.checker}: {self.message}"


@dataclass(slots=True)
class ExpectationRecord:
    """An expectation, and whether it was met."""

    at: float
    line: int
    text: str
    unmet: str
    """Why it was not, or ""."""


@dataclass
class Record:
    """One run."""

    scenario: str
    file: str
    seed: int
    started: str
    """The simulation's wall clock at the start, RFC 3339."""
    seconds: float = 0.0
    """How long it lasted, on the cluster's time."""
    real_seconds: float = 0.0
    pods: dict[str, PodRecord] = field(default_factory=dict)
    """By uid."""
    nodes: dict[str, list[tuple[float, NodeState]]] = field(default_factory=dict)
    """By name: since when in which state."""
    events: list[EventRecord] = field(default_factory=list)
    actions: list[ActionRecord] = field(default_factory=list)
    expectations: list[ExpectationRecord] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    digest: str = ""
    """Of the log of everything."""
    changes: int = 0
    """How many objects were created, changed or deleted."""
    revision: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    """What was more than is kept: how many pods, events, findings, nodes."""

    @property
    def failures(self) -> list[str]:
        """What makes the run a failure, in a line each."""
        found = [str(finding) for finding in self.findings]
        found += [
            f"{self.file}:{expected.line}: expected {expected.text}: {expected.unmet}"
            for expected in self.expectations
            if expected.unmet
        ]
        found += [f"{self.file}:{action.line}: {action.name}: {action.error}" for action in self.actions if action.error]
        return found

    def keep(self, what: str, there: int, limit: int) -> bool:
        """Whether one more of `what` is kept; if not, it is counted."""
        if there < limit:
            return True
        self.left_out[what] = self.left_out.get(what, 0) + 1
        return False

    def find(self, at: float, checker: str, obj: str, message: str) -> None:
        """Take in a finding."""
        if self.keep("findings", len(self.findings), FINDINGS_LIMIT):
            self.findings.append(Finding(at, checker, obj, message))


class Log:
    """The log of everything: a digest, and lines for who wants them."""

    def __init__(self, write: Callable[[str], object] | None = None) -> None:
        self._write = write
        self._digest = hashlib.sha256()

    def line(self, text: str) -> None:
        """One line, without its end."""
        whole = f"{text}\n"
        self._digest.update(whole.encode())
        if self._write is not None:
            self._write(whole)

    @property
    def digest(self) -> str:
        """Of all lines so far; hexadecimal."""
        return self._digest.hexdigest()
