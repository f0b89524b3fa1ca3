"""Pod: containers that run together on one node."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from navarch.api import printing
from navarch.api.core import podspec
from navarch.api.kind import AGE, NAME, Column, Kind
from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import FieldError, Object, forbidden_field, invalid_value

DEFAULT_GRACE_SECONDS = 30
UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def default(pod: Object) -> Object:
    spec = pod.setdefault("spec", {})
    spec.setdefault("enableServiceLinks", True)
    podspec.default(spec)
    return pod


def validate(pod: Object) -> Iterator[FieldError]:
    yield from podspec.validate(pod["spec"], "spec")
    if pod["spec"].get("ephemeralContainers"):
        yield forbidden_field("spec.ephemeralContainers", "cannot be set on create")


def prepare_create(pod: Object) -> Object:
    status: Object = {"phase": "Pending", "qosClass": qos_class(pod["spec"])}
    if pod["spec"].get("schedulingGates"):
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]
    return {**pod, "status": status}


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    now, before = new["spec"], old["spec"]
    yield from _tolerations_added(now.get("tolerations") or [], before.get("tolerations") or [])
    yield from _gates_removed(now.get("schedulingGates") or [], before.get("schedulingGates") or [])
    grace_now, grace_before = now.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if grace_before is not None and (grace_now is None or grace_now > grace_before):
        yield invalid_value("spec.activeDeadlineSeconds", grace_now, "must be less than or equal to previous value")
    if _fixed(now, before) != _fixed(before, before):
        yield forbidden_field("spec", UPDATABLE)


def _fixed(spec: Object, before: Object) -> Object:
    """`spec` without what an update may change."""
    gated = bool(before.get("schedulingGates"))
    kept = {
        key: value
        for key, value in spec.items()
        if key not in ("activeDeadlineSeconds", "tolerations", "schedulingGates", "terminationGracePeriodSeconds")
        and not (gated and key in ("nodeSelector", "affinity"))
    }
    grace = spec.get("terminationGracePeriodSeconds")
    if not (grace == 1 and before.get("terminationGracePeriodSeconds", 0) < 0):
        kept["terminationGracePeriodSeconds"] = grace
    for field in ("containers", "initContainers"):
        if field in spec:
            kept[field] = [{key: value for key, value in c.items() if key != "image"} for c in spec[field]]
    return kept


def _tolerations_added(now: list[Object], before: list[Object]) -> Iterator[FieldError]:
    for toleration in before:
        same = [
            present
            for present in now
            if {k: v for k, v in present.items() if k != "tolerationSeconds"}
            == {k: v for k, v in toleration.items() if k != "tolerationSeconds"}
        ]
        if not same:
            yield forbidden_field("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")


def _gates_removed(now: list[Object], before: list[Object]) -> Iterator[FieldError]:
    for gate in now:
        if gate not in before:
            yield forbidden_field("spec.schedulingGates", "only deletion is allowed, but found new scheduling gate")


def validate_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    node = new["spec"].get("nodeName", "")
    if node != old["spec"].get("nodeName", ""):
        yield invalid_value("status.nodeName", node, "may not be changed directly")


def prepare_status_update(new: Object, old: Object) -> Object:
    # Status updates may not move the pod; its QoS class is fixed when it is made.
    qos = old.get("status", {}).get("qosClass")
    return {**new, "spec": old["spec"], "status": {**(new.get("status") or {}), **({"qosClass": qos} if qos else {})}}


def graceful_seconds(pod: Object) -> int | None:
    """Grace that a deletion gives when it asks for none; 0 where nothing runs."""
    if not pod["spec"].get("nodeName") or pod.get("status", {}).get("phase") in ("Failed", "Succeeded"):
        return 0
    return int(pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS))


def qos_class(spec: Object) -> str:
    """Guaranteed, Burstable or BestEffort."""
    guaranteed, any_amount = True, False
    for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
        resources = container.get("resources") or {}
        for name in ("cpu", "memory"):
            limit = (resources.get("limits") or {}).get(name)
            request = (resources.get("requests") or {}).get(name)
            positive = [amount for amount in (limit, request) if amount is not None and quantity.parse(amount) > 0]
            any_amount = any_amount or bool(positive)
            if limit is None or (request is not None and quantity.parse(request) != quantity.parse(limit)):
                guaranteed = False
    if not any_amount:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


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


KIND = Kind(
    group="",
    version="v1",
    kind="Pod",
    plural="pods",
    short_names=("po",),
    categories=("all",),
    subresources=(
        "status",
        "binding",
        "eviction",
        "log",
        "exec",
        "attach",
        "portforward",
        "proxy",
    ),
    default=default,
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    prepare_create=prepare_create,
    prepare_status_update=prepare_status_update,
    status_keeps_metadata=("deletionTimestamp", "ownerReferences"),
    has_generation=True,
    graceful_seconds=graceful_seconds,
    selectable_fields={
        "spec.nodeName": lambda obj: obj["spec"].get("nodeName", ""),
        "spec.restartPolicy": lambda obj: obj["spec"].get("restartPolicy", ""),
        "spec.schedulerName": lambda obj: obj["spec"].get("schedulerName", ""),
        "spec.serviceAccountName": lambda obj: obj["spec"].get("serviceAccountName", ""),
        "spec.hostNetwork": lambda obj: str(bool(obj["spec"].get("hostNetwork"))).lower(),
        "status.phase": lambda obj: obj.get("status", {}).get("phase", ""),
        "status.podIP": lambda obj: obj.get("status", {}).get("podIP", ""),
        "status.podIPs": lambda obj: obj.get("status", {}).get("podIP", ""),
        "status.nominatedNodeName": lambda obj: obj.get("status", {}).get("nominatedNodeName", ""),
    },
    returns_deleted=True,
    columns=(
        NAME,
        Column("Ready"),
        Column("Status"),
        Column("Restarts"),
        AGE,
        Column("IP", priority=1),
        Column("Node", priority=1),
        Column("Nominated Node", priority=1),
        Column("Readiness Gates", priority=1),
    ),
    row=row,
)
