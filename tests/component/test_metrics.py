"""Metrics as Prometheus reads them: parsed again by a reading of the text format of our own."""

from __future__ import annotations

import re

from navarch.component import metrics
from navarch.component.metrics import Registry

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)\Z")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|\Z)')


def parsed(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    found = {}
    for line in text.decode().splitlines():
        if not line.startswith("#"):
            match = _LINE.match(line)
            assert match, line
            found[match[1], tuple(_LABEL.findall(match[2] or ""))] = float(match[3])
    return found


def test_counters_keep_every_digit_and_labels_are_escaped() -> None:
    registry = Registry()
    counter = registry.counter("c_total", "Counted.", "path")
    counter.add(123_456_789, 'a"b\\c\nd')
    registry.counter("c_total", "Counted.", "path").add(1, 'a"b\\c\nd')
    lines = list(registry.lines())
    assert lines[:2] == ["# HELP c_total Counted.", "# TYPE c_total counter"]
    assert lines[2] == 'c_total{path="a\\"b\\\\c\\nd"} 123456790'


def test_a_histogram_counts_up_to_each_bound_inclusive() -> None:
    registry = Registry()
    histogram = registry.histogram("h_seconds", "Took.", "verb", buckets=(0.1, 1))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value, "GET")
    found = parsed("\n".join(registry.lines()).encode())
    assert [found["h_seconds_bucket", (("verb", "GET"), ("le", le))] for le in ("0.1", "1", "+Inf")] == [2, 3, 4]
    assert found["h_seconds_count", (("verb", "GET"),)] == 4
    assert found["h_seconds_sum", (("verb", "GET"),)] == 7.65


def test_a_process_tells_of_itself() -> None:
    found = parsed(metrics.render())
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"):
        assert found[name, ()] > 0


def test_registries_do_not_share_their_figures() -> None:
    one, other = Registry(), Registry()
    one.gauge("g", "Of one.").set(1)
    other.gauge("g", "Of another.", collect=lambda: {(): 2.0})
    assert parsed(metrics.render(one))["g", ()] == 1
    assert parsed(metrics.render(other))["g", ()] == 2
