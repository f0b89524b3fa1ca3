"""A pod's status: (pod, what the runtime has, probe results, why things wait) → PodStatus.

Pure. Rules and texts: kubernetes.io/docs "Pod Lifecycle" and the kubelet's status generation (waiting reasons, what is kept of
an older status when the runtime no longer knows a container; phase.py, conditions.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from navarch.api.core import podresources
from navarch.apimachinery import meta, quantity, remember
from navarch.apimachinery.errors import Object
from navarch.kubelet import actions, conditions, phase, resizing, resources
from navarch.kubelet.actions import NO_PROBES
from navarch.kubelet.probes import ContainerProbes
from navarch.kubelet.runtime_pod import Container, RuntimePod

LOST_MESSAGE = "The container could not be located when the pod was terminated"
DELETED_MESSAGE = "The container could not be located when the pod was deleted.  The container used to be Running"
INITIALIZED_MESSAGE = (
    "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally"
)
UNKNOWN_REASON = "ContainerStatusUnknown"
UNKNOWN_EXIT_CODE = 137
# Of all termination messages of a pod together; each container has an equal share.
MESSAGES_LIMIT_BYTES = 12 * 1024


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
    recursive_read_only: bool = False
    """Whether the runtime can make what is mounted below a read-only mount read-only too."""
    terminating: bool = False
    """Everything is being ended (deletion, eviction, deadline): nothing will be started."""
    terminated: bool = False
    """Everything has ended, for good."""
    resources: Mapping[str, tuple[Object, Object]] = field(default_factory=dict)
    """By container id: what it is allocated and what it has, where that is known."""
    allocated_spec: Object | None = None
    """The pod's spec with what it is allocated, where that is another."""
    resize_conditions: Sequence[Object] = ()
    reason: str = ""
    """Of the pod: ``Evicted``, ``DeadlineExceeded``; it makes the pod fail."""
    message: str = ""


def make(pod: Object, runtime: RuntimePod, view: View) -> Object:
    """The whole PodStatus. `pod` carries the last one known."""
    spec, old = pod["spec"], pod.get("status") or {}
    init_specs, main_specs = spec.get("initContainers") or [], spec.get("containers") or []
    ephemeral_specs = spec.get("ephemeralContainers") or []
    init = _Builder(pod, runtime, view, old.get("initContainerStatuses") or (), "init").statuses(init_specs)
    main = _Builder(pod, runtime, view, old.get("containerStatuses") or (), "main").statuses(main_specs)
    ephemeral = _Builder(pod, runtime, view, old.get("ephemeralContainerStatuses") or (), "ephemeral").statuses(ephemeral_specs)
    found = phase.of(pod, init, main, begun=phase.has_begun(pod, runtime), terminated=view.terminated)
    conditions_of = found
    if old.get("phase") in phase.FINAL:
        # A phase that is final stays.
        found = conditions_of = old["phase"]
    elif view.reason or found in phase.FINAL:
        # It is over once nothing of it runs any more; that it is going to be, its conditions say before.
        conditions_of = "Failed" if view.reason else found
        if view.terminated or not _any_running([*init, *main]):
            found = conditions_of
        elif found in phase.FINAL:
            found = old.get("phase") or "Pending"
    told = conditions.make(pod, conditions_of, init, main, runtime, view.resize_conditions, view.now)
    if view.terminated:
        init, main = _ended(pod, init, main)
        found = found if found in phase.FINAL else "Failed"
    main, ephemeral = _sorted(main), _sorted(ephemeral)
    status: Object = {"phase": found, "startTime": old.get("startTime") or meta.format_time(view.now)}
    generation = pod["metadata"].get("generation")
    if generation:
        status["observedGeneration"] = generation
    if view.reason and found == "Failed" and old.get("phase") not in phase.FINAL:
        status["reason"], status["message"] = view.reason, view.message
    elif found == old.get("phase"):
        # They say why it is in this phase.
        status.update({key: old[key] for key in ("reason", "message") if old.get(key)})
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
    whole, running = view.allocated_spec or spec, found == "Running"
    status.update(remember.of(whole, (_of_the_whole, running), lambda: _of_the_whole(whole, running=running)))
    status["conditions"] = told
    return status


def _of_the_whole(spec: Object, *, running: bool) -> Object:
    """Resources of the pod as a whole: what it is allocated and, while it runs, what its cgroup is told (KEP-5419)."""
    pod = {"spec": spec}
    requests, limits = podresources.requests(pod, use_status=False), podresources.limits(pod, use_status=False)
    found: Object = {"allocatedResources": requests} if requests else {}
    if running:
        own = spec.get("resources") or meta.EMPTY
        enforced = resources.pod_limits(pod)
        told = {"cpu": enforced.cpu_quota_microseconds, "memory": enforced.memory_bytes}
        shown = quantity.milli(requests.get("cpu", "0")) > resources.MIN_SHARES
        requests = {**(own.get("requests") or {}), **{name: requests[name] for name in _shown(requests, cpu=shown)}}
        limits = {**(own.get("limits") or {}), **{name: limits[name] for name in told if told[name]}}
    found["resources"] = {name: side for name, side in (("limits", limits), ("requests", requests)) if side}
    return found


def _shown(requests: Mapping[str, str], *, cpu: bool) -> list[str]:
    return [name for name in ("cpu", "memory") if name in requests and (name != "cpu" or cpu)]


def _any_running(statuses: Iterable[Object]) -> bool:
    return any("running" in status["state"] for status in statuses)


def _sorted(statuses: Iterable[Object]) -> list[Object]:
    return sorted(statuses, key=lambda status: str(status["name"]))


def _ended(pod: Object, init: Sequence[Object], main: Sequence[Object]) -> tuple[list[Object], list[Object]]:
    """Of a pod that is over: a container that may have run and did not end as far as is known has failed."""
    begun = next((len(init) - index for index, status in enumerate(reversed(init)) if _has_run(status)), min(1, len(init)))
    initialized = not init or any(map(_has_run, main)) or _is_initialized(pod, init[-1])
    return (
        [_as_ended(status) if index < begun else status for index, status in enumerate(init)],
        [_as_ended(status) if initialized else status for status in main],
    )


def _has_run(status: Object) -> bool:
    return "waiting" not in status["state"] or "terminated" in (status.get("lastState") or meta.EMPTY)


def _is_initialized(pod: Object, last: Object) -> bool:
    """Whether the last init container is done."""
    if resources.is_sidecar(pod["spec"]["initContainers"][-1]):
        return "running" in last["state"] and bool(last.get("started"))
    states = (last["state"], last.get("lastState") or meta.EMPTY)
    return any("terminated" in state and state["terminated"]["exitCode"] == 0 for state in states)


def _as_ended(status: Object) -> Object:
    return status if "terminated" in status["state"] else {**status, "state": _unknown(LOST_MESSAGE)}


def _unknown(message: str) -> Object:
    ended = {"reason": UNKNOWN_REASON, "message": message, "exitCode": UNKNOWN_EXIT_CODE}
    return {"terminated": {**ended, "startedAt": None, "finishedAt": None}}


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
        spec = pod["spec"]
        containers = len(spec.get("containers") or ()) + len(spec.get("initContainers") or ())
        self.message_limit_bytes = MESSAGES_LIMIT_BYTES // max(1, containers)

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
        if latest is not None:
            self._resources(spec, latest, status)
            if latest.user is not None:
                status["user"] = latest.user
        mounts = [self._volume_mount(mount) for mount in spec.get("volumeMounts") or ()]
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
        old = old or {}
        status["restartCount"] = old.get("restartCount", 0)
        status["lastState"] = old.get("lastState") or {}
        state = old.get("state") or {}
        if "terminated" in state:
            # It has ended and been cleaned away; if it is to run again, that shows as waiting.
            return {**status, "state": state} | {key: old[key] for key in ("image", "imageID", "containerID") if key in old}
        if "running" in state and "terminated" not in status["lastState"]:
            # It has run, though nothing is left of it: without this the pod would be pending again.
            status["lastState"] = _unknown(DELETED_MESSAGE)
            status["restartCount"] += not meta.being_deleted(self.pod)
        if self.kind == "init" and not resources.is_sidecar(spec) and self._initialized():
            ended = {"reason": "Completed", "message": INITIALIZED_MESSAGE, "exitCode": 0}
            status["state"] = {"terminated": {**ended, "startedAt": None, "finishedAt": None}}
        return status

    def _initialized(self) -> bool:
        return any(self.runtime.latest(container["name"]) for container in self.pod["spec"].get("containers") or ())

    def _from_record(self, spec: Object, latest: Container, old: Object | None) -> Object:
        previous = self.runtime.previous(spec["name"])
        last: Object = {}
        if previous is not None and previous.state == "exited":
            last = {"terminated": self._terminated(previous)}
        elif old is not None and latest.attempt == old.get("restartCount"):
            last = old.get("lastState") or {}
        status: Object = {
            "name": spec["name"],
            "state": self._state(latest, old),
            "lastState": last,
            "restartCount": latest.attempt,
            "image": latest.image or spec.get("image", ""),
            "imageID": latest.image_id,
            "containerID": f"{self.view.runtime_name}://{latest.id}",
        }
        if latest.state == "unknown" and old is not None and "terminated" in status["state"]:
            status["restartCount"] = old.get("restartCount", 0) + 1
        return status

    def _state(self, container: Container, old: Object | None) -> Object:
        if container.state == "running":
            return {"running": {"startedAt": time_of(container.started_at)}}
        if container.state == "exited":
            return {"terminated": self._terminated(container)}
        if container.state == "unknown" and "running" in ((old or {}).get("state") or meta.EMPTY):
            return _unknown(LOST_MESSAGE)
        return {"waiting": {}}

    def _terminated(self, container: Container) -> Object:
        ended: Object = {
            "exitCode": container.exit_code,
            "reason": container.reason or ("Completed" if container.exit_code == 0 else "Error"),
            "containerID": f"{self.view.runtime_name}://{container.id}",
        }
        for field_name, moment in (("startedAt", container.started_at), ("finishedAt", container.finished_at)):
            ended[field_name] = time_of(moment) if moment > 0 else None
        message = ": ".join(filter(None, (container.message, self.view.messages.get(container.id))))
        if message:
            ended["message"] = message.encode()[: self.message_limit_bytes].decode(errors="ignore")
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
        return "PodInitializing" if self.pod["spec"].get("initContainers") else "ContainerCreating"

    def _resources(self, spec: Object, latest: Container, status: Object) -> None:
        wanted = spec.get("resources") or {}
        allocated, actual = self.view.resources.get(latest.id, (wanted, wanted))
        if allocated.get("requests"):
            status["allocatedResources"] = allocated["requests"]
        status["resources"] = {key: actual[key] for key in ("limits", "requests", "claims") if key in actual}

    def _volume_mount(self, mount: Object) -> Object:
        shown: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            recursive = self.view.recursive_read_only and mount.get("recursiveReadOnly") in ("Enabled", "IfPossible")
            shown["readOnly"] = True
            shown["recursiveReadOnly"] = "Enabled" if recursive else "Disabled"
        return shown


def patch(old: Object, new: Object, uid: str) -> Object | None:
    """The strategic merge patch of ``pods/status`` that makes `old` into `new`; None if they agree.

    Conditions of others are not in it, so what they write meanwhile is kept. The uid keeps it from a namesake.
    """
    changes: dict[str, Any] = {}
    for key, value in new.items():
        if key == "conditions":
            known = {condition["type"]: condition for condition in old.get("conditions") or ()}
            changed = [condition for condition in value if _told(known.get(condition["type"]) or {}) != _told(condition)]
            over = known.keys() & set(resizing.CONDITIONS) - {condition["type"] for condition in value}
            if changed or over:
                changes["conditions"] = [
                    *(_condition_patch(known.get(condition["type"]), condition) for condition in changed),
                    *({"$patch": "delete", "type": type_} for type_ in sorted(over)),
                ]
        elif old.get(key) != value:
            changes[key] = _field_patch(key, old.get(key), value)
    for key in ("reason", "message", "podIP", "podIPs", "allocatedResources"):
        if key in old and key not in new:
            changes[key] = None
    return {"metadata": {"uid": uid}, "status": changes} if changes else None


def _field_patch(key: str, old: Any, new: Any) -> Any:
    if key in ("podIPs", "hostIPs"):
        return _ips_patch(old or (), new)
    return _map_patch(old or {}, new) if isinstance(new, dict) else new


def _map_patch(old: Object, new: Object) -> Object:
    """A patch adds to maps too."""
    changes: Object = {key: None for key in old if key not in new}
    for key, value in new.items():
        if old.get(key) != value:
            changes[key] = _map_patch(old.get(key) or {}, value) if isinstance(value, dict) else value
    return changes


def _ips_patch(old: Sequence[Object], new: Sequence[Object]) -> list[Object]:
    """A strategic patch adds to these lists; what is gone has to be named."""
    return [*new, *({"$patch": "delete", "ip": entry["ip"]} for entry in old if entry not in new)]


def _told(condition: Object) -> Object:
    """Without what nobody has told: it goes with a patch, whether or not the server writes null for it then."""
    return {key: value for key, value in condition.items() if value is not None}


def _condition_patch(old: Object | None, new: Object) -> Object:
    """Fields the old one has and the new one hasn't are taken away."""
    return {**{key: None for key in old or () if key not in new}, **new}
