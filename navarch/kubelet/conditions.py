"""The conditions of a pod that are the kubelet's to say. Pure. Rules: kubernetes.io/docs "Pod Lifecycle", "Pod conditions"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.kubelet import resources
from navarch.kubelet.runtime_pod import RuntimePod


def make(
    pod: Object,
    phase: str,
    init: Sequence[Object],
    main: Sequence[Object],
    runtime: RuntimePod,
    resize: Sequence[Object],
    now: datetime,
) -> list[Object]:
    """All of them; `resize` are those of a resize. The time of a transition changes with the status only."""
    present = (pod.get("status") or {}).get("conditions") or ()
    statuses = {status["name"]: status for status in (*init, *main)}
    containers_ready = _containers_ready(pod, phase, statuses)
    fresh = [
        _sandbox_condition(pod, runtime),
        _initialized(pod, phase, statuses),
        _ready(pod, containers_ready),
        containers_ready,
        {"type": "PodScheduled", "status": "True"},
        *resize,
    ]
    generation = pod["metadata"].get("generation")
    result: list[Object] = []
    for condition in fresh:
        old = meta.find(present, "type", condition["type"])
        changed = old is None or old.get("status") != condition["status"]
        moment = meta.format_time(now) if changed or old is None else old.get("lastTransitionTime")
        made: Object = {"lastProbeTime": None, "lastTransitionTime": moment, **condition}
        if generation:
            made["observedGeneration"] = generation
        result.append(made)
    return result


def _sandbox_condition(pod: Object, runtime: RuntimePod) -> Object:
    sandbox = runtime.sandbox
    there = sandbox is not None and sandbox.ready and (bool(pod["spec"].get("hostNetwork")) or bool(sandbox.ips))
    return {"type": "PodReadyToStartContainers", "status": "True" if there else "False"}


def _initialized(pod: Object, phase: str, statuses: Mapping[str, Object]) -> Object:
    if phase == "Succeeded":
        return {"type": "Initialized", "status": "True", "reason": "PodCompleted"}
    incomplete = []
    for container in pod["spec"].get("initContainers") or ():
        status = statuses[container["name"]]
        if not (status.get("started") if resources.is_sidecar(container) else status["ready"]):
            incomplete.append(container["name"])
    # Where others have run already, a sidecar only comes back.
    begun = any("waiting" not in statuses[container["name"]]["state"] for container in pod["spec"].get("containers") or ())
    if incomplete and not begun:
        message = f"containers with incomplete status: [{' '.join(incomplete)}]"
        return {"type": "Initialized", "status": "False", "reason": "ContainersNotInitialized", "message": message}
    return {"type": "Initialized", "status": "True"}


def _containers_ready(pod: Object, phase: str, statuses: Mapping[str, Object]) -> Object:
    if phase == "Succeeded":
        return {"type": "ContainersReady", "status": "False", "reason": "PodCompleted"}
    if phase == "Failed":
        return {"type": "ContainersReady", "status": "False", "reason": "PodFailed"}
    spec = pod["spec"]
    counted = [*(c for c in spec.get("initContainers") or () if resources.is_sidecar(c)), *(spec.get("containers") or ())]
    unready = [container["name"] for container in counted if not statuses[container["name"]]["ready"]]
    if unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        return {"type": "ContainersReady", "status": "False", "reason": "ContainersNotReady", "message": message}
    return {"type": "ContainersReady", "status": "True"}


def _ready(pod: Object, containers_ready: Object) -> Object:
    if containers_ready["status"] != "True":
        return {**containers_ready, "type": "Ready"}
    present = (pod.get("status") or {}).get("conditions") or ()
    complaints = []
    for gate in pod["spec"].get("readinessGates") or ():
        name = gate["conditionType"]
        condition = meta.find(present, "type", name)
        if condition is None:
            complaints.append(f'corresponding condition of pod readiness gate "{name}" does not exist.')
        elif condition.get("status") != "True":
            complaints.append(f'the status of pod readiness gate "{name}" is not "True", but {condition.get("status")}')
    if complaints:
        message = ", ".join(complaints)
        return {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": message}
    return {"type": "Ready", "status": "True"}
