"""Metrics in Prometheus' text format, without a library: counting costs a dict update, observing one more bisection.

What many parts of a process count stands in `default`; whoever must not share its figures with another instance in the same
process has a `Registry` of its own. Gauges may be read only when somebody looks (`collect`).
"""

from __future__ import annotations

import resource
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from navarch.component import clock

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]
Collect = Callable[[], Mapping[Labels, float]]
Distribution = tuple[Sequence[int], float]
"""How many values fell into each bucket, the last of which takes what is over all bounds; and their sum."""


class Metric:
    """A named family of values, one per combination of labels."""

    def __init__(self, kind: str, name: str, text: str, labels: Labels, collect: Collect | None = None) -> None:
        self.kind, self.name, self.text, self.labels = kind, name, text, labels
        self.values: dict[Labels, float] = {}
        self._collect = collect

    def add(self, amount: float, *labels: str) -> None:
        """Count `amount` more."""
        self.values[labels] = self.values.get(labels, 0.0) + amount

    def set(self, value: float, *labels: str) -> None:
        """The value is now `value`."""
        self.values[labels] = value

    def lines(self) -> Iterable[str]:
        values = self._collect() if self._collect is not None else self.values
        for labels, value in values.items():
            yield _line(self.name, zip(self.labels, labels, strict=True), value)


class Histogram:
    """A named family of distributions."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        text: str,
        labels: Labels,
        buckets: Sequence[float],
        collect: Callable[[], Mapping[Labels, Distribution]] | None = None,
    ) -> None:
        self.name, self.text, self.labels = name, text, labels
        self._buckets = tuple(buckets)
        self._collect = collect
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Take in one value."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * (len(self._buckets) + 1)
            self._sums[labels] = 0.0
        counts[bisect_left(self._buckets, value)] += 1
        self._sums[labels] += value

    def distributions(self) -> Mapping[Labels, Distribution]:
        """What was taken in, by labels."""
        if self._collect is not None:
            return self._collect()
        return {labels: (counts, self._sums[labels]) for labels, counts in self._counts.items()}

    def lines(self) -> Iterable[str]:
        for labels, (counts, amount) in self.distributions().items():
            pairs = list(zip(self.labels, labels, strict=True))
            total = 0
            for bound, count in zip((*self._buckets, float("inf")), counts, strict=True):
                total += count
                shown = "+Inf" if bound == float("inf") else f"{bound:g}"
                yield _line(f"{self.name}_bucket", [*pairs, ("le", shown)], total)
            yield _line(f"{self.name}_sum", pairs, amount)
            yield _line(f"{self.name}_count", pairs, total)


class Registry:
    """Metrics by name; asking for one that is there returns it."""

    def __init__(self, before_reading: Callable[[], None] = lambda: None) -> None:
        """`before_reading` is called when somebody is about to look, for what is not counted yet."""
        self._before_reading = before_reading
        self._metrics: dict[str, Metric] = {}
        self._histograms: dict[str, Histogram] = {}

    def counter(self, name: str, text: str, *labels: str, collect: Collect | None = None) -> Metric:
        return self._metrics.setdefault(name, Metric("counter", name, text, labels, collect))

    def gauge(self, name: str, text: str, *labels: str, collect: Collect | None = None) -> Metric:
        return self._metrics.setdefault(name, Metric("gauge", name, text, labels, collect))

    def histogram(
        self,
        name: str,
        text: str,
        *labels: str,
        buckets: Sequence[float],
        collect: Callable[[], Mapping[Labels, Distribution]] | None = None,
    ) -> Histogram:
        return self._histograms.setdefault(name, Histogram(name, text, labels, buckets, collect))

    def lines(self) -> Iterable[str]:
        self._before_reading()
        families: list[Metric | Histogram] = [*self._metrics.values(), *self._histograms.values()]
        for metric in families:
            yield f"# HELP {metric.name} {metric.text}"
            yield f"# TYPE {metric.name} {metric.kind}"
            yield from metric.lines()


default = Registry()


def render(*registries: Registry) -> bytes:
    """All metrics of the process, and those of these registries, as text."""
    return text(default, *registries)


def text(*registries: Registry) -> bytes:
    """The metrics of these registries as text."""
    return ("\n".join(line for registry in registries for line in registry.lines()) + "\n").encode()


def _line(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    # As many digits as it has: counters outgrow six.
    number = str(int(value)) if value == int(value) else repr(value)
    return f"{name}{{{shown}}} {number}" if shown else f"{name} {number}"


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _one(read: Callable[[], float]) -> Collect:
    return lambda: {(): read()}


_PROCESS = Path("/proc/self")
_STARTED_SECONDS = clock.time_seconds()


def _memory_bytes(field: int) -> float:
    return int((_PROCESS / "statm").read_text().split()[field]) * float(resource.getpagesize())


def _count_process() -> None:
    """What every process tells of itself; some of it only Linux knows."""
    gauge, cpu = default.gauge, "Total user and system CPU time spent in seconds."
    default.counter("process_cpu_seconds_total", cpu, collect=_one(time.process_time))
    started = "Start time of the process since unix epoch in seconds."
    gauge("process_start_time_seconds", started, collect=_one(lambda: _STARTED_SECONDS))
    most = "Maximum number of open file descriptors."
    gauge("process_max_fds", most, collect=_one(lambda: float(resource.getrlimit(resource.RLIMIT_NOFILE)[0])))
    if not _PROCESS.exists():
        return
    gauge("process_resident_memory_bytes", "Resident memory size in bytes.", collect=_one(lambda: _memory_bytes(1)))
    gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", collect=_one(lambda: _memory_bytes(0)))
    opened = "Number of open file descriptors."
    gauge("process_open_fds", opened, collect=_one(lambda: float(sum(1 for _ in (_PROCESS / "fd").iterdir()))))


_count_process()
