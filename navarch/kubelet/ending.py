"""Ending the containers of one pod through the runtime: hooks first, then the signal, sidecars after those they serve."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.component.tasks import side_by_side
from navarch.cri.client import CRIError
from navarch.kubelet import actions, hooks, resources
from navarch.kubelet.actions import Kill
from navarch.kubelet.context import NodeContext
from navarch.kubelet.handlers import Target
from navarch.kubelet.runtime_pod import Container, RuntimePod, Sandbox, recorded_pre_stop

logger = logging.getLogger(__name__)

MINIMUM_GRACE_SECONDS = 2


class Ending:
    """What of a pod has been ended, and told so."""

    def __init__(self, context: NodeContext, uid: str) -> None:
        self._context = context
        self._uid = uid
        self._stopped: set[str] = set()
        self._told: set[str] = set()
        self._hooked: set[str] = set()

    async def kill(
        self,
        pod: Object,
        container: Container,
        kill: Kill | None,
        sandbox: Sandbox | None,
        turn: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """End one container: preStop hook, then the signal, and a kill when its time is up. Raises CRIError.

        Where it is given a `turn`, the signal waits for that, as long as there is time.
        """
        spec = kill.spec if kill is not None else _spec_of(pod, container.name)
        shown = spec or {"name": container.name}
        message = kill.message if kill is not None and kill.message else f"Stopping container {container.name}"
        if container.id not in self._told:
            self._told.add(container.id)
            self._context.event(pod, "Normal", "Killing", message, shown)
        seconds = actions.grace_seconds(pod if pod["spec"].get("containers") else None, container, kill)
        seconds = await self._before_stop(pod, container, spec, seconds, sandbox)
        if turn is not None and seconds > 0:
            begun = clock.monotonic()
            try:
                async with asyncio.timeout(seconds):
                    await turn()
            except TimeoutError:
                logger.debug("pod %s, container %s: its turn did not come in time", self._uid, container.name)
            seconds -= int(clock.monotonic() - begun)
        try:
            await self._context.runtime.stop_container(container.id, max(seconds, MINIMUM_GRACE_SECONDS))
        except CRIError as error:
            if not error.is_not_found:
                raise

    async def _before_stop(
        self, pod: Object, container: Container, spec: Object | None, seconds: int, sandbox: Sandbox | None
    ) -> int:
        """Run the preStop hook, if there is one and time for it; how much time is left."""
        hook = ((spec or {}).get("lifecycle") or {}).get("preStop") if spec else recorded_pre_stop(container)
        if not hook or seconds <= 0 or not container.running or container.id in self._hooked:
            return seconds
        # Once, even if the pod is then given less time and is ended anew.
        self._hooked.add(container.id)
        begun = clock.monotonic()
        shown = spec or {"name": container.name}

        def warn(reason: str, message: str) -> None:
            self._context.event(pod, "Warning", reason, message)

        try:
            async with asyncio.timeout(seconds):
                addresses = self._context.addresses(sandbox) if sandbox is not None else ()
                target = Target(container.id, shown, next(iter(addresses), ""))
                failure = await hooks.run(self._context.runtime, pod, target, hook, seconds, warn)
        except TimeoutError:
            failure = f"preStop hook did not finish within {seconds}s"
        if failure:
            logger.info("pod %s, container %s: %s", self._uid, container.name, failure)
            # What it says may be secret, and events are not.
            self._context.event(pod, "Warning", "FailedPreStopHook", "PreStopHook failed", shown)
        return seconds - int(clock.monotonic() - begun)

    async def kill_all(self, pod: Object, runtime: RuntimePod) -> None:
        """End everything: hooks and containers side by side, but sidecars after the containers, from the last to the first;
        then the sandboxes. Raises CRIError."""
        sidecars = [c["name"] for c in pod["spec"].get("initContainers") or () if resources.is_sidecar(c)]
        alive = [container for container in runtime.containers if container.state in ("running", "unknown")]
        ended = {container.id: asyncio.Event() for container in alive}
        order = {name: position for position, name in enumerate(reversed(sidecars), 1)}

        async def end(container: Container) -> None:
            position = order.get(container.name, 0)

            async def turn() -> None:
                for one in alive:
                    if order.get(one.name, 0) < position:
                        await ended[one.id].wait()

            await self.kill(pod, container, None, runtime.sandbox, turn if position else None)
            ended[container.id].set()

        await side_by_side(end(container) for container in alive)
        await side_by_side(self._end_sandbox(sandbox) for sandbox in runtime.sandboxes if sandbox.ready)

    async def _end_sandbox(self, sandbox: Sandbox) -> None:
        await self._context.runtime.stop_pod_sandbox(sandbox.id)
        self._stopped.add(sandbox.id)

    async def stop_sandbox(self, sandbox: Sandbox) -> None:
        """Stop it, unless that is done. Raises CRIError."""
        if sandbox.id not in self._stopped:
            await self._context.runtime.stop_pod_sandbox(sandbox.id)

    def forget(self, container: Container) -> None:
        """It is removed."""
        self._told.discard(container.id)
        self._hooked.discard(container.id)

    def forget_sandbox(self, sandbox: Sandbox) -> None:
        """It is removed."""
        self._stopped.discard(sandbox.id)


def _spec_of(pod: Object, name: str) -> Object | None:
    return next((container for container in resources.all_containers(pod) if container["name"] == name), None)
