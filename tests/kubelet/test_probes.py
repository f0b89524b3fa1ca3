"""Probes as a state machine."""

from __future__ import annotations

from typing import Any

from navarch.kubelet import probes
from navarch.kubelet.probes import ContainerProbes, Outcome, ProbeState, ProbeType


def results(type_: ProbeType, outcomes: list[Outcome], **fields: Any) -> list[str]:
    spec = probes.parse({probes.PROBE_FIELDS[type_]: {"exec": {}, **fields}}, type_)
    assert spec is not None
    state, found = probes.initial(type_), []
    for outcome in outcomes:
        state = probes.observe(spec, state, outcome)
        found.append(state.result)
    return found


def test_defaults_are_kubernetes() -> None:
    spec = probes.parse({"livenessProbe": {"exec": {}}}, "liveness")
    assert spec is not None
    assert (spec.period_seconds, spec.timeout_seconds, spec.success_threshold, spec.failure_threshold) == (10, 1, 1, 3)
    assert probes.parse({}, "liveness") is None


def test_a_container_is_alive_until_enough_probes_in_a_row_fail() -> None:
    assert results("liveness", ["failure", "failure", "success", "failure", "failure", "failure"]) == [
        *["success"] * 5,
        "failure",
    ]


def test_a_container_is_not_ready_until_enough_probes_in_a_row_succeed() -> None:
    assert results("readiness", ["success", "success"], successThreshold=2) == ["failure", "success"]
    assert results("readiness", ["success", "failure", "failure", "failure"]) == ["success", "success", "success", "failure"]


def test_a_startup_probe_says_nothing_at_first() -> None:
    assert results("startup", ["failure", "success"]) == ["unknown", "success"]
    assert results("startup", ["failure"], failureThreshold=1) == ["failure"]


def test_a_probe_that_could_not_be_carried_out_decides_nothing() -> None:
    assert results("liveness", ["failure", "failure", "error", "error", "failure"]) == [*["success"] * 4, "failure"]


def test_a_container_without_probes_is_started_and_ready() -> None:
    assert ContainerProbes().started({}) and ContainerProbes().ready({})
    both = {"startupProbe": {}, "readinessProbe": {}}
    assert not ContainerProbes().started(both) and not ContainerProbes().ready(both)
    assert ContainerProbes({"startup": "success", "readiness": "success"}).ready(both)


def test_the_first_probe_waits_for_the_initial_delay() -> None:
    spec = probes.parse({"livenessProbe": {"exec": {}, "initialDelaySeconds": 20}}, "liveness")
    assert spec is not None
    assert probes.first_delay_seconds(spec, 5) == 15
    assert probes.first_delay_seconds(spec, 50) == 0


def test_messages_name_the_probe() -> None:
    assert probes.event("readiness", "failure", "no") == ("Unhealthy", "Readiness probe failed: no")
    assert probes.event("startup", "warning", "gone") == ("ProbeWarning", "Startup probe warning: gone")
    errored = "Liveness probe errored and resulted in unknown state: no"
    assert probes.event("liveness", "error", "no") == ("Unhealthy", errored)
    assert ProbeState("success").run == 0
