"""How long admission takes is told as if each plugin's time had been taken in by itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apiserver.admission.timing import ADDED_TOGETHER, BUCKETS_SECONDS, AdmissionTimes
from navarch.component.metrics import Histogram, Registry

CONTROLLER, STEP = (
    "apiserver_admission_controller_admission_duration_seconds",
    "apiserver_admission_step_admission_duration_seconds",
)
NAMES = ("First", "Second", "Third")


def shown(registry: Registry) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in registry.lines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def moments(durations: Sequence[float]) -> list[float]:
    found = [1000.0]
    for seconds in durations:
        found.append(found[-1] + seconds)
    return found


quick, any_time = st.floats(0, 1e-3), st.sampled_from((0.0, 1e-6, 0.004, 0.02, 0.2, 3.0))
steps = st.tuples(st.lists(quick | any_time, min_size=1, max_size=len(NAMES)), st.booleans())


@given(st.lists(steps, max_size=12), st.integers(1, ADDED_TOGETHER + 2))
def test_many_are_told_as_each_by_itself(taken: list[tuple[list[float], bool]], times: int) -> None:
    registry, plain = Registry(), Registry()
    each = plain.histogram(CONTROLLER, "", "name", "type", "operation", "rejected", buckets=BUCKETS_SECONDS)
    all_of_them = plain.histogram(STEP, "", "type", "operation", "rejected", buckets=BUCKETS_SECONDS)
    admission = AdmissionTimes(registry)
    for durations, refuses in taken:
        if not refuses:
            durations = (durations * len(NAMES))[: len(NAMES)]
        when = moments(durations)
        timed = admission.step("admit", "CREATE", NAMES)
        for _ in range(times):
            (timed.refused if refuses else timed.passed)(when)
            _observe(each, all_of_them, when, refuses)
    found, wanted = shown(registry), shown(plain)
    assert found.keys() == wanted.keys()
    assert all(found[name] == pytest.approx(value, abs=1e-6) for name, value in wanted.items())


def _observe(each: Histogram, all_of_them: Histogram, when: list[float], refuses: bool) -> None:
    last = len(when) - 2
    for number, began in enumerate(when[:-1]):
        rejected = "true" if refuses and number == last else "false"
        each.observe(when[number + 1] - began, NAMES[number], "admit", "CREATE", rejected)
    all_of_them.observe(when[-1] - when[0], "admit", "CREATE", "true" if refuses else "false")
