"""A pod's status: (pod, what the runtime has, probe results, why things wait) → PodStatus.

Pure. Rules and texts: kubernetes.io/docs "Pod Lifecycle" and the kubelet's status generation (phases, conditions, waiting
reasons, what is kept of an older status when the runtime no longer knows a container).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.kubelet import actions, resizing, resources
from navarch.kubelet.actions import NO_PROBES
from navarch.kubelet.probes import ContainerProbes
from navarch.kubelet.runtime_pod import Container, RuntimePod

# Conditions the kubelet owns; all others are somebody else's and left alone.
OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")

LOST_MESSAGE = "The container could not be located when the pod was terminated"
DELETED_MESSAGE = "The container could not be located when the pod was deleted.  The container used to be Running"
UNKNOWN_EXIT_CODE = 137
TERMINATION_MESSAGE_FALLBACK_REASON = "Error"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run: ``ErrImagePull`` and its message."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the kubelet knows beside pod and runtime."""

    now: datetime
    host_ip: str
    probes: Mapping[str, ContainerProbes] = field(default_factory=dict)
    """By container id."""
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    """By container name: why its last start failed or is put off."""
    messages: Mapping[str, str] = field(default_factory=dict)
    """By container id: the termination message."""
    runtime_name: str = "containerd"
    terminating: bool = False
    """Everything is being ended (deletion, eviction, deadline): nothing will be started."""
    terminated: bool = False
    """Everything has ended, for good."""
    resources: Mapping[str, tuple[Object, Object]] = field(default_factory=dict)
    """By container id: what it is allocated and what it has, where that is known."""
    resize_conditions: Sequence[Object] = ()
    reason: str = ""
    """Of the pod: ``Evicted``, ``DeadlineExceeded``; it makes the pod fail."""
    message: str = ""


def make(pod: Object, runtime: RuntimePod, view: View) -> Object:
    """The whole PodStatus. `pod` carries the last one known."""
    spec, old = pod["spec"], pod.get("status") or {}
    init_specs, main_specs = spec.get("initContainers") or [], spec.get("containers") or []
    ephemeral_specs = spec.get("ephemeralContainers") or []
    begun = any(runtime.latest(container["name"]) for container in main_specs)
    init = _Builder(pod, runtime, view, old.get("initContainerStatuses") or (), "init").statuses(init_specs)
    main = _Builder(pod, runtime, view, old.get("containerStatuses") or (), "main").statuses(main_specs)
    ephemeral = _Builder(pod, runtime, view, old.get("ephemeralContainerStatuses") or (), "ephemeral").statuses(ephemeral_specs)
    found = _phase(pod, init, main, view, begun)
    if old.get("phase") in ("Failed", "Succeeded"):
        # A phase that is final stays.
        found = old["phase"]
    status: Object = {"phase": found, "startTime": old.get("startTime") or meta.format_time(view.now)}
    generation = pod["metadata"].get("generation")
    if generation:
        status["observedGeneration"] = generation
    reason, message = view.reason or old.get("reason", ""), view.message or old.get("message", "")
    if reason:
        status["reason"] = reason
    if message:
        status["message"] = message
    if view.host_ip:
        status["hostIP"] = view.host_ip
        status["hostIPs"] = [{"ip": view.host_ip}]
    ips = pod_ips(pod, runtime, view.host_ip) or [entry["ip"] for entry in old.get("podIPs") or ()]
    if ips:
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]
    status["qosClass"] = old.get("qosClass") or resources.qos_class(pod)
    for name, statuses in (
        ("initContainerStatuses", init),
        ("containerStatuses", main),
        ("ephemeralContainerStatuses", ephemeral),
    ):
        if statuses:
            status[name] = statuses
    status["conditions"] = _conditions(pod, found, init, main, runtime, view, begun)
    return status


def pod_ips(pod: Object, runtime: RuntimePod, host_ip: str) -> list[str]:
    """The pod's addresses; empty before it has a sandbox."""
    sandbox = runtime.sandbox
    if sandbox is None or not sandbox.ready:
        return []
    return [host_ip] if pod["spec"].get("hostNetwork") else list(sandbox.ips)


def time_of(nanoseconds: int) -> str:
    return meta.format_time(datetime.fromtimestamp(nanoseconds // 10**9, UTC))


class _Builder:
    """Statuses of the containers of one kind."""

    def __init__(self, pod: Object, runtime: RuntimePod, view: View, old: Iterable[Object], kind: str) -> None:
        self.pod, self.runtime, self.view, self.kind = pod, runtime, view, kind
        self.old = {status["name"]: status for status in old}

    def statuses(self, specs: Sequence[Object]) -> list[Object]:
        return [self._one(spec) for spec in specs]

    def _one(self, spec: Object) -> Object:
        name = spec["name"]
        latest = self.runtime.latest(name)
        old = self.old.get(name)
        if latest is None:
            status = self._without_record(spec, old)
        else:
            status = self._from_record(spec, latest, old)
        status = self._waiting_instead(spec, latest, status)
        running = "running" in status["state"]
        probes = self.view.probes.get(latest.id, NO_PROBES) if latest is not None else NO_PROBES
        started = running and (self.kind == "ephemeral" or probes.started(spec))
        if self.kind == "init" and not resources.is_sidecar(spec):
            ended = status["state"].get("terminated")
            status["ready"] = ended is not None and ended["exitCode"] == 0
            started = running
        elif self.kind == "ephemeral":
            status["ready"] = False
        else:
            status["ready"] = started and probes.ready(spec)
        status["started"] = started
        if self.kind == "ephemeral":
            status.pop("started")
        if running:
            self._resources(spec, latest, status)
        mounts = [_volume_mount(mount) for mount in spec.get("volumeMounts") or ()]
        if mounts:
            status["volumeMounts"] = mounts
        return status

    def _without_record(self, spec: Object, old: Object | None) -> Object:
        """A container the runtime has nothing about: not made yet, or lost."""
        status: Object = {
            "name": spec["name"],
            "state": {"waiting": {"reason": self._default_reason()}},
            "lastState": {},
            "restartCount": 0,
            "image": spec.get("image", ""),
            "imageID": "",
        }
        if old is None:
            return status
        status["restartCount"] = old.get("restartCount", 0)
        status["lastState"] = old.get("lastState") or {}
        state = old.get("state") or {}
        if "terminated" in state:
            # It has ended and been cleaned away; if it is to run again, that shows as waiting.
            return {**status, "state": state} | {key: old[key] for key in ("image", "imageID", "containerID") if key in old}
        if "running" not in state:
            return status
        lost = {"reason": "ContainerStatusUnknown", "message": LOST_MESSAGE, "exitCode": UNKNOWN_EXIT_CODE}
        kept: Object = {key: old[key] for key in ("image", "imageID") if key in old}
        if self.view.terminating or not actions.should_restart(self.pod, spec, None):
            return {**status, **kept, "state": {"terminated": {**lost, "message": DELETED_MESSAGE}}}
        return {**status, **kept, "lastState": {"terminated": lost}, "restartCount": status["restartCount"] + 1}

    def _from_record(self, spec: Object, latest: Container, old: Object | None) -> Object:
        previous = self.runtime.previous(spec["name"])
        last: Object = {}
        if previous is not None and previous.state == "exited":
            last = {"terminated": self._terminated(previous)}
        elif old is not None and latest.attempt == old.get("restartCount"):
            last = old.get("lastState") or {}
        status: Object = {
            "name": spec["name"],
            "state": self._state(latest),
            "lastState": last,
            "restartCount": latest.attempt,
            "image": latest.image or spec.get("image", ""),
            "imageID": latest.image_id,
            "containerID": f"{self.view.runtime_name}://{latest.id}",
        }
        return status

    def _state(self, container: Container) -> Object:
        if container.state == "running":
            return {"running": {"startedAt": time_of(container.started_at)}}
        if container.state == "exited":
            return {"terminated": self._terminated(container)}
        if container.state == "unknown":
            message = "The container's state is not known to the runtime"
            return {"terminated": {"reason": "ContainerStatusUnknown", "exitCode": UNKNOWN_EXIT_CODE, "message": message}}
        return {"waiting": {"reason": "ContainerCreating" if self.kind != "init" else self._default_reason()}}

    def _terminated(self, container: Container) -> Object:
        ended: Object = {
            "exitCode": container.exit_code,
            "reason": container.reason or ("Completed" if container.exit_code == 0 else "Error"),
            "containerID": f"{self.view.runtime_name}://{container.id}",
        }
        for field_name, moment in (("startedAt", container.started_at), ("finishedAt", container.finished_at)):
            if moment > 0:
                ended[field_name] = time_of(moment)
        message = self.view.messages.get(container.id) or container.message
        if message:
            ended["message"] = message
        return ended

    def _waiting_instead(self, spec: Object, latest: Container | None, status: Object) -> Object:
        """A container that is to be started (again) but could not yet be waits, and says why."""
        if self.view.terminating:
            return status
        waiting = self.view.waiting.get(spec["name"])
        terminated = status["state"].get("terminated")
        if waiting is None:
            return status
        if "running" in status["state"]:
            return status
        if terminated is not None and not self._comes_back(spec, latest):
            return status
        reason: Object = {"reason": waiting.reason}
        if waiting.message:
            reason["message"] = waiting.message
        changed: Object = {**status, "state": {"waiting": reason}}
        if terminated is not None:
            changed["lastState"] = {"terminated": terminated}
        return changed

    def _comes_back(self, spec: Object, latest: Container | None) -> bool:
        if resources.is_sidecar(spec):
            return True
        if self.kind == "init" and latest is not None and latest.exit_code == 0:
            return False
        return self.kind != "ephemeral" and actions.should_restart(self.pod, spec, latest)

    def _default_reason(self) -> str:
        has_init = bool(self.pod["spec"].get("initContainers"))
        return "PodInitializing" if has_init and self.kind != "ephemeral" else "ContainerCreating"

    def _resources(self, spec: Object, latest: Container | None, status: Object) -> None:
        wanted = spec.get("resources") or {}
        if self.kind == "ephemeral":
            return
        allocated, actual = self.view.resources.get(latest.id if latest is not None else "", (wanted, wanted))
        if allocated.get("requests"):
            status["allocatedResources"] = allocated["requests"]
        status["resources"] = {key: actual[key] for key in ("limits", "requests") if key in actual}


def _volume_mount(mount: Object) -> Object:
    shown: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        shown["readOnly"] = True
        shown["recursiveReadOnly"] = mount.get("recursiveReadOnly") or "Disabled"
    return shown


def _phase(pod: Object, init: Sequence[Object], main: Sequence[Object], view: View, begun: bool) -> str:
    if view.reason:
        return "Failed" if view.terminated or not _any_running([*init, *main]) else _running_phase(pod, init, main, view, begun)
    return _running_phase(pod, init, main, view, begun)


def _any_running(statuses: Iterable[Object]) -> bool:
    return any("running" in status["state"] for status in statuses)


def _running_phase(pod: Object, init: Sequence[Object], main: Sequence[Object], view: View, begun: bool) -> str:
    policy = actions.restart_policy(pod)
    pending, failed_init = False, False
    specs = {container["name"]: container for container in pod["spec"].get("initContainers") or ()}
    for status in init:
        state, last = status["state"], status.get("lastState") or {}
        if resources.is_sidecar(specs[status["name"]]):
            pending = pending or (not status.get("started") and "terminated" not in state and not begun)
        elif "terminated" in state:
            failed_init = failed_init or state["terminated"]["exitCode"] != 0
        elif "running" in state:
            pending = True
        elif "terminated" in last:
            failed_init = failed_init or last["terminated"]["exitCode"] != 0
        else:
            pending = True
    if failed_init and policy == "Never":
        return "Failed"
    if (pending or failed_init) and not begun:
        return "Failed" if view.terminated else "Pending"
    running, waiting, stopped, succeeded = 0, 0, 0, 0
    for status in main:
        state = status["state"]
        if "running" in state:
            running += 1
        elif "terminated" in state:
            stopped += 1
            succeeded += state["terminated"]["exitCode"] == 0
        elif "terminated" in (status.get("lastState") or {}):
            stopped += 1
        else:
            waiting += 1
    if view.terminated and not running:
        # Nothing comes back: what has not ended well has failed.
        return "Succeeded" if main and succeeded == len(main) else "Failed"
    if waiting:
        return "Pending"
    if running:
        return "Running"
    if stopped:
        if policy == "Always":
            return "Running"
        if stopped == succeeded:
            return "Succeeded"
        return "Failed" if policy == "Never" and not _any_waiting(main) else "Running"
    return "Pending"


def _any_waiting(statuses: Iterable[Object]) -> bool:
    return any("waiting" in status["state"] for status in statuses)


def _conditions(
    pod: Object, phase: str, init: Sequence[Object], main: Sequence[Object], runtime: RuntimePod, view: View, begun: bool
) -> list[Object]:
    present = (pod.get("status") or {}).get("conditions") or ()
    containers_ready = _containers_ready(pod, phase, init, main)
    fresh = [
        _sandbox_condition(pod, runtime),
        _initialized(pod, phase, init, begun),
        _ready(pod, containers_ready),
        containers_ready,
        {"type": "PodScheduled", "status": "True"},
        *view.resize_conditions,
    ]
    generation = pod["metadata"].get("generation")
    result: list[Object] = []
    for condition in fresh:
        old = meta.find(present, "type", condition["type"])
        if condition["type"] == "PodScheduled" and old is not None and old.get("status") == "True":
            result.append(old)
            continue
        changed = old is None or old.get("status") != condition["status"]
        moment = meta.format_time(view.now) if changed or old is None else old.get("lastTransitionTime")
        made: Object = {"lastTransitionTime": moment, **condition}
        if generation:
            made["observedGeneration"] = generation
        result.append(made)
    return result


def _sandbox_condition(pod: Object, runtime: RuntimePod) -> Object:
    sandbox = runtime.sandbox
    there = sandbox is not None and sandbox.ready and (bool(pod["spec"].get("hostNetwork")) or bool(sandbox.ips))
    return {"type": "PodReadyToStartContainers", "status": "True" if there else "False"}


def _initialized(pod: Object, phase: str, init: Sequence[Object], begun: bool) -> Object:
    specs = {container["name"]: container for container in pod["spec"].get("initContainers") or ()}
    if phase == "Succeeded" and specs:
        return {"type": "Initialized", "status": "True", "reason": "PodCompleted"}
    incomplete = []
    for status in init:
        done = status.get("started") if resources.is_sidecar(specs[status["name"]]) else status["ready"]
        if not done and not begun:
            incomplete.append(status["name"])
    if incomplete:
        message = f"containers with incomplete status: [{' '.join(incomplete)}]"
        return {"type": "Initialized", "status": "False", "reason": "ContainersNotInitialized", "message": message}
    return {"type": "Initialized", "status": "True"}


def _containers_ready(pod: Object, phase: str, init: Sequence[Object], main: Sequence[Object]) -> Object:
    if phase == "Succeeded":
        return {"type": "ContainersReady", "status": "False", "reason": "PodCompleted"}
    if phase == "Failed":
        return {"type": "ContainersReady", "status": "False", "reason": "PodFailed"}
    sidecars = {c["name"] for c in pod["spec"].get("initContainers") or () if resources.is_sidecar(c)}
    unready = [status["name"] for status in init if status["name"] in sidecars and not status["ready"]]
    unready += [status["name"] for status in main if not status["ready"]]
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
        message = "[" + ", ".join(complaints) + "]" if len(complaints) > 1 else complaints[0]
        return {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": message}
    return {"type": "Ready", "status": "True"}


def patch(old: Object, new: Object, uid: str) -> Object | None:
    """The strategic merge patch of ``pods/status`` that makes `old` into `new`; None if they agree.

    Conditions of others are not in it, so what they write meanwhile is kept. The uid keeps it from a namesake.
    """
    changes: dict[str, Any] = {}
    for key, value in new.items():
        if key == "conditions":
            known = {condition["type"]: condition for condition in old.get("conditions") or ()}
            changed = [condition for condition in value if known.get(condition["type"]) != condition]
            over = known.keys() & set(resizing.CONDITIONS) - {condition["type"] for condition in value}
            if changed or over:
                changes["conditions"] = [
                    *(_condition_patch(known.get(condition["type"]), condition) for condition in changed),
                    *({"$patch": "delete", "type": type_} for type_ in sorted(over)),
                ]
        elif old.get(key) != value:
            changes[key] = _ips_patch(old.get(key) or (), value) if key in ("podIPs", "hostIPs") else value
    for key in ("reason", "message", "podIP", "podIPs"):
        if key in old and key not in new:
            changes[key] = None
    return {"metadata": {"uid": uid}, "status": changes} if changes else None


def _ips_patch(old: Sequence[Object], new: Sequence[Object]) -> list[Object]:
    """A strategic patch adds to these lists; what is gone has to be named."""
    return [*new, *({"$patch": "delete", "ip": entry["ip"]} for entry in old if entry not in new)]


def _condition_patch(old: Object | None, new: Object) -> Object:
    """Fields the old one has and the new one hasn't are taken away."""
    return {**{key: None for key in old or () if key not in new}, **new}
