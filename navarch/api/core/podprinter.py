"""What `kubectl get pods` shows of a pod."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.kind import AGE, NAME, Column
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object

COLUMNS = (
    NAME,
    Column("Ready"),
    Column("Status"),
    Column("Restarts"),
    AGE,
    Column("IP", priority=1),
    Column("Node", priority=1),
    Column("Nominated Node", priority=1),
    Column("Readiness Gates", priority=1),
)


@dataclass(slots=True)
class _Initialization:
    """How far a pod's init containers are: they are looked at in their order, up to the first that is not done."""

    reason: str = ""
    """What the pod waits for or failed with; "" if nothing is left to wait for."""
    seen: list[Object] = field(default_factory=list)
    """Statuses of the init containers that were looked at."""
    ready: int = 0
    """How many of them are sidecars that are ready."""


def _initialization(pod: Object, sidecars: set[str]) -> _Initialization:
    result = _Initialization()
    for index, container in enumerate((pod.get("status") or meta.EMPTY).get("initContainerStatuses") or ()):
        result.seen.append(container)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and terminated.get("exitCode", 0) == 0:
            continue
        if container["name"] in sidecars and container.get("started"):
            result.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            result.reason = f"Init:{_ended(terminated)}"
        elif waiting is not None and waiting.get("reason", "") not in ("", "PodInitializing"):
            result.reason = f"Init:{waiting['reason']}"
        else:
            result.reason = f"Init:{index}/{len(pod.get('spec', {}).get('initContainers') or ())}"
        break
    return result


def _ended(terminated: Object) -> str:
    """Why a container ended."""
    if terminated.get("reason"):
        return str(terminated["reason"])
    signal = terminated.get("signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode', 0)}"


def _containers(pod: Object, reason: str) -> tuple[str, int]:
    """(what the STATUS column says, how many containers run and are ready); `reason`: where they have nothing to say."""
    running = 0
    for container in reversed((pod.get("status") or meta.EMPTY).get("containerStatuses") or ()):
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if waiting is not None and waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated is not None:
            reason = _ended(terminated)
        elif container.get("ready") and state.get("running") is not None:
            running += 1
    if reason == "Completed" and running:
        reason = "Running" if meta.is_condition_true(pod, "Ready") else "NotReady"
    return reason, running


def _restarts(counted: list[Object], now: datetime) -> str:
    count = sum(container.get("restartCount", 0) for container in counted)
    finished = [((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for container in counted]
    last = max((moment for moment in finished if moment), default=None)
    return f"{count} ({printing.since(last, now)} ago)" if count and last else str(count)


def row(pod: Object, now: datetime) -> list[Any]:
    status, spec = pod.get("status", {}), pod.get("spec", {})
    reason = str(status.get("reason") or status.get("phase", ""))
    scheduled = meta.condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    sidecars = {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    initialization = _initialization(pod, sidecars)
    ready, counted = initialization.ready, initialization.seen
    reason = initialization.reason or reason
    # Init containers that run again, in a sandbox that had to be made anew, do not hide what the others do.
    if not initialization.reason or meta.is_condition_true(pod, "Initialized"):
        reason, running = _containers(pod, reason)
        ready += running
        counted = [c for c in counted if c["name"] in sidecars] + (status.get("containerStatuses") or [])
    if meta.being_deleted(pod):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Failed", "Succeeded"):
            reason = "Terminating"
    gates = spec.get("readinessGates") or ()
    passed = sum(1 for gate in gates if meta.is_condition_true(pod, gate["conditionType"]))
    return [
        pod["metadata"]["name"],
        f"{ready}/{len(spec.get('containers') or ()) + len(sidecars)}",
        reason,
        _restarts(counted, now),
        printing.age(pod, now),
        status.get("podIP") or printing.NONE,
        spec.get("nodeName") or printing.NONE,
        status.get("nominatedNodeName") or printing.NONE,
        f"{passed}/{len(gates)}" if gates else printing.NONE,
    ]


_COMPLETED = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


def row_conditions(pod: Object) -> list[Object]:
    """What a client is told of the row: whether the pod has come to its end."""
    phase = pod.get("status", {}).get("phase")
    message = _COMPLETED.get(phase)
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}] if message else []
