"""Metrics in Prometheus' text format, without a library: counters and gauges that cost a dict update."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_metrics: dict[str, Metric] = {}


class Metric:
    """A named family of values, one per combination of labels."""

    def __init__(self, kind: str, name: str, text: str, labels: tuple[str, ...]) -> None:
        self.kind, self.name, self.text, self.labels = kind, name, text, labels
        self.values: dict[tuple[str, ...], float] = {}
        self.read: Callable[[], float] | None = None

    def add(self, amount: float, *labels: str) -> None:
        """Count `amount` more."""
        self.values[labels] = self.values.get(labels, 0.0) + amount

    def set(self, value: float, *labels: str) -> None:
        """The value is now `value`."""
        self.values[labels] = value


def counter(name: str, text: str, *labels: str) -> Metric:
    """The counter of that name, made when first asked for."""
    return _metrics.setdefault(name, Metric("counter", name, text, labels))


def gauge(name: str, text: str, *labels: str, read: Callable[[], float] | None = None) -> Metric:
    """The gauge of that name; `read` yields its value when it is looked at."""
    metric = _metrics.setdefault(name, Metric("gauge", name, text, labels))
    if read is not None:
        metric.read = read
    return metric


def render() -> bytes:
    """All metrics as text."""
    lines = []
    for metric in _metrics.values():
        lines += [f"# HELP {metric.name} {metric.text}", f"# TYPE {metric.name} {metric.kind}"]
        values = {(): metric.read()} if metric.read is not None else metric.values
        for labels, value in values.items():
            shown = ",".join(f'{name}="{_escaped(label)}"' for name, label in zip(metric.labels, labels, strict=True))
            lines.append(f"{metric.name}{{{shown}}} {value:g}" if shown else f"{metric.name} {value:g}")
    return ("\n".join(lines) + "\n").encode()


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


gauge("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", read=time.process_time)
gauge(
    "process_max_resident_memory_bytes",
    "Largest resident memory size in bytes.",
    read=lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
)
