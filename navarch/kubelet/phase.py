"""A pod's phase, from the statuses of its containers. Pure. Rules: kubernetes.io/docs "Pod Lifecycle".

How a container last ended is what counts while it waits; whether it comes back its own restart policy says, else the pod's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.kubelet import actions, resources
from navarch.kubelet.runtime_pod import RuntimePod

FINAL = ("Succeeded", "Failed")


def has_begun(pod: Object, runtime: RuntimePod) -> bool:
    """Whether any container, beyond those that initialise, has run in the present sandbox."""
    sandbox = runtime.sandbox
    if sandbox is None or not sandbox.ready:
        return False
    names = {container["name"] for container in pod["spec"].get("containers") or ()}
    return any(
        container.name in names and container.sandbox_id == sandbox.id and container.state in ("running", "exited")
        for container in runtime.containers
    )


def of(pod: Object, init: Sequence[Object], main: Sequence[Object], *, begun: bool, terminated: bool) -> str:
    """The phase. `terminated`: nothing of the pod comes back."""
    specs = {container["name"]: container for container in resources.all_containers(pod)}
    pending, failed = _initialization(pod, specs, init)
    if failed:
        return "Failed"
    count = _Count()
    for status in init:
        if resources.is_sidecar(specs[status["name"]]):
            pending |= count.sidecar(status) and not begun
    for status in main:
        count.container(pod, specs[status["name"]], status)
    if pending or count.waiting:
        return "Pending"
    if count.running:
        return "Running"
    if not count.stopped:
        return "Pending"
    if count.restartable and not terminated:
        return "Running"
    return "Succeeded" if count.stopped == count.succeeded else "Failed"


def _initialization(pod: Object, specs: Mapping[str, Object], init: Sequence[Object]) -> tuple[bool, bool]:
    """(whether an init container has yet to end, whether one has failed for good)."""
    pending = False
    for status in init:
        container = specs[status["name"]]
        if resources.is_sidecar(container):
            continue
        ended = _ended(status)
        if ended is None:
            pending = True
        elif ended["exitCode"] != 0 and not actions.restarts_after(pod, container, ended["exitCode"]):
            return pending, True
    return pending, False


def _ended(status: Object) -> Object | None:
    """How the container ended, or last ended if it waits; None while it runs or before it has run."""
    state = status["state"]
    if "waiting" in state:
        state = status.get("lastState") or meta.EMPTY
    found: Object | None = state.get("terminated")
    return found


@dataclass(slots=True)
class _Count:
    running: int = 0
    waiting: int = 0
    stopped: int = 0
    succeeded: int = 0
    restartable: int = 0

    def sidecar(self, status: Object) -> bool:
        """True if it has not started yet. One that has ended does not count."""
        if "running" in status["state"]:
            self.running += 1
            return not status.get("started")
        if _ended(status) is not None:
            return False
        self.waiting += 1
        return True

    def container(self, pod: Object, spec: Object, status: Object) -> None:
        if "running" in status["state"]:
            self.running += 1
            return
        ended = _ended(status)
        if ended is None:
            self.waiting += 1
            return
        self.stopped += 1
        self.succeeded += "terminated" in status["state"] and ended["exitCode"] == 0
        self.restartable += actions.restarts_after(pod, spec, ended["exitCode"])
