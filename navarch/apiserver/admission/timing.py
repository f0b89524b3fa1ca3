"""How long admission takes, under kube-apiserver's names (k8s.io/apiserver/pkg/admission/metrics).

Each write goes through a dozen plugins twice, nearly all of which take microseconds: so of a step that was quick nothing is
done but to add up the moments at which its plugins were through. How long each of them took is found when somebody asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import add, sub

from navarch.component.metrics import Distribution, Labels, Registry

BUCKETS_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)
# Of more moments the sum would be too large to tell microseconds.
ADDED_TOGETHER = 256
ADMIT, VALIDATE = "admit", "validate"
_STEP = ""
"""In the place of a plugin's name: all of them, one after the other."""


class Timed:
    """One step of what goes through the same plugins."""

    __slots__ = ("_moments", "_names", "_others", "_quick", "_seconds", "_waiting")

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._quick = self._waiting = 0
        """How many were quick: those whose seconds are known, and those of which moments are added up."""
        self._seconds = [0.0] * len(names)
        self._moments = [0.0] * (len(names) + 1)
        """When the step began, and when each plugin was through."""
        self._others: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
        """By name and whether it was a refusal: how many in each bucket, and their seconds."""

    def passed(self, moments: list[float]) -> None:
        """Nobody refused; `moments` are when the step began, and when each plugin was through, in seconds."""
        if moments[-1] - moments[0] <= BUCKETS_SECONDS[0]:
            self._moments = list(map(add, self._moments, moments))
            self._waiting += 1
            if self._waiting == ADDED_TOGETHER:
                self._settle()
        else:
            self._note(moments, "false")

    def _settle(self) -> None:
        self._seconds = list(map(add, self._seconds, map(sub, self._moments[1:], self._moments)))
        self._quick += self._waiting
        self._moments = [0.0] * len(self._moments)
        self._waiting = 0

    def refused(self, moments: list[float]) -> None:
        """The last of these plugins did."""
        self._note(moments, "true")

    def _note(self, moments: list[float], rejected: str) -> None:
        last = len(moments) - 2
        for number, (began, ended) in enumerate(pairwise(moments)):
            self._take(self._names[number], rejected if number == last else "false", ended - began)
        self._take(_STEP, rejected, moments[-1] - moments[0])

    def _take(self, name: str, rejected: str, seconds: float) -> None:
        counts, taken = self._others.setdefault((name, rejected), ([0] * (len(BUCKETS_SECONDS) + 1), [0.0]))
        counts[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        taken[0] += seconds

    def found(self) -> Iterator[tuple[str, str, Distribution]]:
        """(name of the plugin or "", whether it refused, how long that took)."""
        self._settle()
        if self._quick:
            quick = [self._quick] + [0] * len(BUCKETS_SECONDS)
            for name, seconds in zip(self._names, self._seconds, strict=True):
                yield name, "false", (quick, seconds)
            yield _STEP, "false", (quick, sum(self._seconds))
        for (name, rejected), (counts, taken) in self._others.items():
            yield name, rejected, (counts, taken[0])


class AdmissionTimes:
    """Of all steps."""

    def __init__(self, registry: Registry) -> None:
        self._steps: dict[tuple[str, str, tuple[str, ...]], Timed] = {}
        registry.histogram(
            "apiserver_admission_controller_admission_duration_seconds",
            "Admission controller latency histogram in seconds, identified by name and broken out for each operation and API "
            "resource and type (validate or admit).",
            *("name", "type", "operation", "rejected"),
            buckets=BUCKETS_SECONDS,
            collect=lambda: {labels: found for labels, found in self._collected().items() if labels[0] != _STEP},
        )
        registry.histogram(
            "apiserver_admission_step_admission_duration_seconds",
            "Admission sub-step latency histogram in seconds, broken out for each operation and API resource and step type "
            "(validate or admit).",
            *("type", "operation", "rejected"),
            buckets=BUCKETS_SECONDS,
            collect=lambda: {labels[1:]: found for labels, found in self._collected().items() if labels[0] == _STEP},
        )

    def step(self, type_: str, operation: str, names: Sequence[str]) -> Timed:
        """For what is done to objects by plugins of these names, in this order; `type_` is ``admit`` or ``validate``."""
        return self._steps.setdefault((type_, operation, tuple(names)), Timed(names))

    def _collected(self) -> dict[Labels, Distribution]:
        """By name (that of a step is empty), type, operation, rejected."""
        found: dict[Labels, Distribution] = {}
        for (type_, operation, _), timed in self._steps.items():
            for name, rejected, (counts, seconds) in timed.found():
                labels = (name, type_, operation, rejected)
                before, seconds_before = found.get(labels, ([0] * len(counts), 0.0))
                found[labels] = list(map(add, before, counts)), seconds_before + seconds
        return found
