"""What the runtime has of one pod: listed whenever it is asked for, and looked at closely only where something changed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from navarch.cri import runtime_pb2 as pb
from navarch.cri.client import CRIError
from navarch.kubelet.context import NodeContext
from navarch.kubelet.runtime_pod import (
    POD_UID,
    Container,
    RuntimePod,
    Sandbox,
    container_of,
    containers_newest_first,
    newest_first,
    sandbox_of,
    state_of,
)


class RuntimeReader:
    """Keeps what was seen last."""

    def __init__(self, context: NodeContext, uid: str, name: str, namespace: str) -> None:
        self._context = context
        self._uid = uid
        self.pod = RuntimePod(uid, name, namespace)
        """As of the last look; empty before the first."""

    async def refresh(self) -> None:
        """Look at the runtime. Raises CRIError."""
        runtime, labels = self._context.runtime, {POD_UID: self._uid}
        sandboxes, containers = await asyncio.gather(runtime.list_pod_sandboxes(labels), runtime.list_containers(labels))
        self._context.pleg.saw(self._uid, sandboxes, containers)
        seen_sandboxes = await asyncio.gather(*(self._sandbox(sandbox) for sandbox in sandboxes))
        seen = await asyncio.gather(*(self._container(container) for container in containers))
        self.pod = replace(
            self.pod,
            sandboxes=newest_first(sandbox for sandbox in seen_sandboxes if sandbox is not None),
            containers=containers_newest_first(container for container in seen if container is not None),
        )

    async def add_sandbox(self, sandbox_id: str) -> Sandbox:
        """Look at a sandbox that was just made. Raises CRIError."""
        sandbox = sandbox_of(await self._context.runtime.pod_sandbox_status(sandbox_id))
        self.pod = replace(self.pod, sandboxes=(sandbox, *self.pod.sandboxes))
        return sandbox

    async def _sandbox(self, listed: pb.PodSandbox) -> Sandbox | None:
        ready = listed.state == pb.SANDBOX_READY
        for known in self.pod.sandboxes:
            if known.id == listed.id and known.ready == ready:
                return known
        try:
            return sandbox_of(await self._context.runtime.pod_sandbox_status(listed.id))
        except CRIError as error:
            if error.is_not_found:
                return None
            raise

    async def _container(self, listed: pb.Container) -> Container | None:
        known = self.pod.by_id(listed.id)
        if known is not None and known.state == state_of(listed.state):
            return known
        try:
            return container_of(await self._context.runtime.container_status(listed.id), listed.pod_sandbox_id)
        except CRIError as error:
            if error.is_not_found:
                return None
            raise
