"""Probes as a state machine: what a row of outcomes says about a container, and what a probe's spec means.

Pure: outcomes and times are given. A result changes once `failureThreshold` or `successThreshold` outcomes in a row agree
(kubernetes.io/docs "Configure Liveness, Readiness and Startup Probes"); how a probe is carried out is prober.py's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from navarch.apimachinery.errors import Object

ProbeType = Literal["startup", "liveness", "readiness"]
Result = Literal["unknown", "success", "failure"]
Outcome = Literal["success", "warning", "failure", "error"]

PROBE_FIELDS: dict[ProbeType, str] = {
    "startup": "startupProbe",
    "liveness": "livenessProbe",
    "readiness": "readinessProbe",
}
# What counts until a probe has spoken (kubelet: prober/worker.go): alive, but neither ready nor started.
INITIAL_RESULTS: dict[ProbeType, Result] = {"startup": "unknown", "liveness": "success", "readiness": "failure"}


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """When to probe and how many outcomes in a row decide."""

    type: ProbeType
    initial_delay_seconds: int
    period_seconds: int
    timeout_seconds: int
    success_threshold: int
    failure_threshold: int
    termination_grace_seconds: int | None
    handler: Object = field(compare=False)


def parse(container: Object, type_: ProbeType) -> ProbeSpec | None:
    """The probe of that type, or None."""
    probe = container.get(PROBE_FIELDS[type_])
    if not probe:
        return None
    return ProbeSpec(
        type=type_,
        initial_delay_seconds=probe.get("initialDelaySeconds") or 0,
        period_seconds=probe.get("periodSeconds") or 10,
        timeout_seconds=probe.get("timeoutSeconds") or 1,
        success_threshold=probe.get("successThreshold") or 1,
        failure_threshold=probe.get("failureThreshold") or 3,
        termination_grace_seconds=probe.get("terminationGracePeriodSeconds"),
        handler=probe,
    )


@dataclass(frozen=True, slots=True)
class ProbeState:
    """The result so far, and how many outcomes in a row were the same."""

    result: Result
    last: Outcome | None = None
    run: int = 0


def initial(type_: ProbeType) -> ProbeState:
    return ProbeState(INITIAL_RESULTS[type_])


def observe(spec: ProbeSpec, state: ProbeState, outcome: Outcome) -> ProbeState:
    """The state after one more outcome. An error (the probe itself could not be carried out) decides nothing; a warning is a
    success."""
    if outcome == "error":
        return state
    if outcome == "warning":
        outcome = "success"
    run = state.run + 1 if outcome == state.last else 1
    threshold = spec.failure_threshold if outcome == "failure" else spec.success_threshold
    result: Result = outcome if run >= threshold else state.result
    return ProbeState(result, outcome, run)


def first_delay_seconds(spec: ProbeSpec, running_seconds: float) -> float:
    """How long until the first probe of a container that has run for `running_seconds`."""
    return max(0.0, spec.initial_delay_seconds - running_seconds)


@dataclass(frozen=True, slots=True)
class ContainerProbes:
    """Results of one container's probes; types it does not have are missing."""

    results: Mapping[ProbeType, Result] = field(default_factory=dict)

    def started(self, container: Object) -> bool:
        """Whether a running container counts as started."""
        return "startupProbe" not in container or self.results.get("startup") == "success"

    def ready(self, container: Object) -> bool:
        """Whether a running, started container counts as ready."""
        return "readinessProbe" not in container or self.results.get("readiness") == "success"

    def failed(self, type_: ProbeType) -> bool:
        return self.results.get(type_) == "failure"


def event(type_: ProbeType, outcome: Outcome, output: str) -> tuple[str, str]:
    """Reason and message of the event that tells of an outcome other than success."""
    name = type_.capitalize()
    if outcome == "warning":
        return "ProbeWarning", f"{name} probe warning: {output}"
    if outcome == "error":
        return "Unhealthy", f"{name} probe errored and resulted in unknown state: {output}"
    return "Unhealthy", f"{name} probe failed: {output}"
