"""What `kubectl get pods` shows of a pod."""

from __future__ import annotations

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


def _reason(pod: Object) -> str:
    """What the STATUS column says."""
    status, spec = pod.get("status", {}), pod.get("spec", {})
    reason = str(status.get("reason") or status.get("phase", ""))
    scheduled = meta.condition(pod, "PodScheduled")
    if scheduled is not None and scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    init, initializing = _init_reason(spec, status)
    if init:
        reason = init
    if not initializing:
        reason = _container_reason(pod, reason)
    if meta.being_deleted(pod):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Failed", "Succeeded"):
            return "Terminating"
    return reason


def _init_reason(spec: Object, status: Object) -> tuple[str, bool]:
    restartable = {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and terminated.get("exitCode") == 0:
            continue
        if container["name"] in restartable and container.get("started"):
            continue
        if terminated is not None:
            if terminated.get("reason"):
                return f"Init:{terminated['reason']}", True
            if terminated.get("signal"):
                return f"Init:Signal:{terminated['signal']}", True
            return f"Init:ExitCode:{terminated.get('exitCode')}", True
        if waiting is not None and waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}", True
        return f"Init:{index}/{len(spec.get('initContainers') or ())}", True
    return "", False


def _container_reason(pod: Object, reason: str) -> str:
    running = False
    for container in reversed((pod.get("status") or {}).get("containerStatuses") or ()):
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if waiting is not None and waiting.get("reason"):
            reason = waiting["reason"]
        elif terminated is not None:
            if terminated.get("reason"):
                reason = terminated["reason"]
            elif terminated.get("signal"):
                reason = f"Signal:{terminated['signal']}"
            else:
                reason = f"ExitCode:{terminated.get('exitCode')}"
        elif container.get("ready") and state.get("running") is not None:
            running = True
    if reason == "Completed" and running:
        return "Running" if meta.is_condition_true(pod, "Ready") else "NotReady"
    return reason


def row(pod: Object, now: datetime) -> list[Any]:
    status, spec = pod.get("status", {}), pod.get("spec", {})
    sidecars = {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    counted = [*(status.get("containerStatuses") or ())]
    counted += [c for c in status.get("initContainerStatuses") or () if c["name"] in sidecars]
    total = len(spec.get("containers") or ()) + len(sidecars)
    ready = sum(1 for c in counted if c.get("ready") and (c.get("state") or {}).get("running") is not None)
    gates = spec.get("readinessGates") or ()
    passed = sum(1 for gate in gates if meta.is_condition_true(pod, gate["conditionType"]))
    return [
        pod["metadata"]["name"],
        f"{ready}/{total}",
        _reason(pod),
        _restarts(pod, counted, now),
        printing.age(pod, now),
        status.get("podIP") or printing.NONE,
        spec.get("nodeName") or printing.NONE,
        status.get("nominatedNodeName") or printing.NONE,
        f"{passed}/{len(gates)}" if gates else printing.NONE,
    ]


def _restarts(pod: Object, counted: list[Object], now: datetime) -> str:
    _, initializing = _init_reason(pod.get("spec", {}), pod.get("status", {}))
    if initializing:
        counted = (pod.get("status") or {}).get("initContainerStatuses") or []
    count = sum(c.get("restartCount", 0) for c in counted)
    finished = [((c.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for c in counted]
    last = max((moment for moment in finished if moment), default=None)
    return f"{count} ({printing.since(last, now)} ago)" if count and last else str(count)
