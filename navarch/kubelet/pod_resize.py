"""Granting one pod the resources that it asks for now, and bringing them into force; what it has is kept in `resizing`."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from navarch.cri.client import CRIError
from navarch.kubelet import admission, resizing, resources
from navarch.kubelet.actions import Kill
from navarch.kubelet.containers import PodContainers, ResizeError
from navarch.kubelet.context import NodeContext
from navarch.kubelet.resizing import Resizing
from navarch.kubelet.runtime_pod import Container

# How often room is looked for that was not there, and how soon what went wrong is tried again.
DEFERRED_RETRY_SECONDS = 5.0
RESIZE_RETRY_SECONDS = 5.0


class PodResize:
    """Of one pod."""

    def __init__(self, context: NodeContext, uid: str, pod: Object, containers: PodContainers) -> None:
        """`pod` as the API has it when the kubelet first sees it."""
        self._context = context
        self._uid = uid
        self._containers = containers
        self.state = Resizing(pod)

    async def sync(self, pod: Object, running: tuple[Container, ...]) -> tuple[list[Kill], float | None]:
        """Grant what is asked for, if there is room, and bring it into force in the containers that run.

        Returns those that must start anew for that, and how long until it may be tried again.
        """
        self.state.note(running)
        before = self.state.allocated_pod(pod)
        if self.state.is_wanted(pod):
            self._grant(pod)
        else:
            self.state.withdrawn()
        behind = self.state.behind(pod, running)
        if not behind:
            return [], DEFERRED_RETRY_SECONDS if self.state.is_deferred else None
        allocated = self.state.allocated_pod(pod)
        specs = {container["name"]: container for container in resources.all_containers(allocated)}
        restarts = [
            Kill(container, specs[container.name], f"Container {container.name} resize requires restart")
            for container, spec, changed in behind
            if resizing.needs_restart(spec, changed)
        ]
        restarting = {kill.container.id for kill in restarts}
        self._context.cgroups.widen(before, allocated, self._uid)
        try:
            for container, _, _ in behind:
                if container.id not in restarting:
                    await self._tell_runtime(allocated, container, specs[container.name])
        except (CRIError, ResizeError) as error:
            message = error.message if isinstance(error, CRIError) else str(error)
            self.state.failed(message)
            self._context.event(pod, "Warning", "ResizeError", f"Pod resize error: {message}")
            return restarts, RESIZE_RETRY_SECONDS
        if not restarts:
            self._context.cgroups.create(allocated, self._uid)
            self.state.failed("")
            self._context.event(pod, "Normal", "ResizeCompleted", resizing.event_message("Pod resize completed", allocated))
        return restarts, None

    async def _tell_runtime(self, allocated: Object, container: Container, spec: Object) -> None:
        """Raises CRIError, ResizeError."""
        had = self.state.told(container.id, container.name)
        limit = resizing.memory_limit_bytes(had[1]) if had is not None else 0
        await self._containers.resize(allocated, container, spec, limit)
        self.state.came_into_force(container)

    def _grant(self, pod: Object) -> None:
        """Allocate what the pod asks for, if the node has room; otherwise say why not."""
        never = admission.fits(pod, (), self._context.allocatable)
        refusal = never or self._context.room(pod)
        if refusal is None:
            self.state.grant(pod)
            self._context.event(pod, "Normal", "ResizeStarted", resizing.event_message("Pod resize started", pod))
            return
        text = refusal.message
        if never is not None:
            text = text.replace("enough resource", "enough capacity").replace(", used: 0", "")
        self.state.put_off("Deferred" if never is None else "Infeasible", text)
