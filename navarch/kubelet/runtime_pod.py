"""What the runtime knows of a pod, as plain values: the input of every decision the kubelet takes.

Pure. State of the kubelet itself survives only in what it wrote on sandboxes and containers when it made them: labels name
pod and container, annotations carry what is needed to judge and to end a container without its pod (a deleted pod's
containers are ended properly after a restart).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from navarch.apimachinery.errors import Object

if TYPE_CHECKING:
    from navarch.cri import runtime_pb2 as pb

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"

HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
TERMINATION_MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"
PRE_STOP_HANDLER = "io.kubernetes.container.preStopHandler"
PORTS = "io.kubernetes.container.ports"
POD_DELETION_GRACE = "io.kubernetes.pod.deletionGracePeriod"
POD_TERMINATION_GRACE = "io.kubernetes.pod.terminationGracePeriod"

State = Literal["created", "running", "exited", "unknown"]
_STATES: tuple[State, ...] = ("created", "running", "exited", "unknown")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One sandbox; times in nanoseconds since the epoch."""

    id: str
    attempt: int
    ready: bool
    created_at: int
    ips: tuple[str, ...] = ()
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """One container, running or not; times in nanoseconds since the epoch, 0 where there is none."""

    id: str
    name: str
    attempt: int
    """Which of the container's runs this is, from 0: its restart count."""
    state: State
    sandbox_id: str
    created_at: int
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_id: str = ""
    hash: str = ""
    log_path: str = ""
    user: Object | None = field(default=None, compare=False)
    """Whom its first process began as, where the runtime tells: ``{"linux": {"uid": …}}``."""
    annotations: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def running(self) -> bool:
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class RuntimePod:
    """Everything the runtime holds for one pod, newest first."""

    uid: str
    name: str
    namespace: str
    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()

    @property
    def sandbox(self) -> Sandbox | None:
        """The newest one."""
        return self.sandboxes[0] if self.sandboxes else None

    def latest(self, name: str) -> Container | None:
        """The newest container of that name."""
        return next((container for container in self.containers if container.name == name), None)

    def previous(self, name: str) -> Container | None:
        """The one before the newest of that name."""
        found = [container for container in self.containers if container.name == name]
        return found[1] if len(found) > 1 else None

    def by_id(self, container_id: str) -> Container | None:
        return next((container for container in self.containers if container.id == container_id), None)

    @property
    def running_containers(self) -> tuple[Container, ...]:
        return tuple(container for container in self.containers if container.running)

    @property
    def anything_runs(self) -> bool:
        return any(container.state in ("running", "unknown") for container in self.containers) or any(
            sandbox.ready for sandbox in self.sandboxes
        )


def state_of(state: int) -> State:
    """A ContainerState of the CRI."""
    return _STATES[state]


def sandbox_of(status: pb.PodSandboxStatus) -> Sandbox:
    # Not above: simulated nodes, which ask no runtime, need not load its messages.
    from navarch.cri import runtime_pb2 as pb

    host_network = status.linux.namespaces.options.network == pb.NODE
    ips = [status.network.ip, *(more.ip for more in status.network.additional_ips)]
    return Sandbox(
        id=status.id,
        attempt=status.metadata.attempt,
        ready=status.state == pb.SANDBOX_READY,
        created_at=status.created_at,
        ips=tuple(ip for ip in ips if ip),
        host_network=host_network,
    )


def container_of(status: pb.ContainerStatus, sandbox_id: str) -> Container:
    annotations = dict(status.annotations)
    return Container(
        id=status.id,
        name=status.labels.get(CONTAINER_NAME, status.metadata.name),
        attempt=_number(annotations.get(RESTART_COUNT), status.metadata.attempt),
        state=state_of(status.state),
        sandbox_id=sandbox_id,
        created_at=status.created_at,
        started_at=status.started_at,
        finished_at=status.finished_at,
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        image=status.image.user_specified_image or status.image.image,
        image_id=status.image_ref or status.image_id,
        hash=annotations.get(HASH, ""),
        log_path=status.log_path,
        user=_user(status) if status.HasField("user") else None,
        annotations=annotations,
    )


def _user(status: pb.ContainerStatus) -> Object:
    if not status.user.HasField("linux"):
        return {}
    linux = status.user.linux
    found: Object = {"uid": linux.uid, "gid": linux.gid}
    if linux.supplemental_groups:
        found["supplementalGroups"] = list(linux.supplemental_groups)
    return {"linux": found}


def newest_first(sandboxes: Iterable[Sandbox]) -> tuple[Sandbox, ...]:
    return tuple(sorted(sandboxes, key=lambda one: (one.created_at, one.attempt), reverse=True))


def containers_newest_first(containers: Iterable[Container]) -> tuple[Container, ...]:
    return tuple(sorted(containers, key=lambda one: (one.created_at, one.attempt), reverse=True))


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() else default


def recorded_grace_seconds(container: Container) -> int | None:
    """The grace period its pod had when the container was made: deletion's if it was being deleted, else the pod's own."""
    for key in (POD_DELETION_GRACE, POD_TERMINATION_GRACE):
        text = container.annotations.get(key)
        if text and text.isdigit():
            return int(text)
    return None


def recorded_pre_stop(container: Container) -> Object | None:
    """The preStop handler its pod had when the container was made."""
    text = container.annotations.get(PRE_STOP_HANDLER)
    if not text:
        return None
    try:
        handler: Any = json.loads(text)
    except ValueError:
        return None
    return handler if isinstance(handler, dict) else None


def field_path(pod: Object, name: str) -> str:
    """Where a container stands in its pod, e.g. ``spec.containers{web}``."""
    for group in ("containers", "initContainers", "ephemeralContainers"):
        for candidate in pod["spec"].get(group) or ():
            if candidate["name"] == name:
                return f"spec.{group}{{{name}}}"
    return f"spec.containers{{{name}}}"
