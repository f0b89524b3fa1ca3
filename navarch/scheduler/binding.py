"""The binding cycle: what happens to a pod between the choice of its node and the written binding.

It begins with what the scheduling cycle ends with, Reserve and Permit, and it ends well, or everything is undone: the room on
the node is free again and the pod goes back to the queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from navarch.scheduler.extender import Extender, ExtenderError
from navarch.scheduler.framework import Code, CycleState, Handle, Plugin, Status, WaitingPod
from navarch.scheduler.isolation import PluginError, described
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.runtime import Framework

logger = logging.getLogger(__name__)

T = TypeVar("T")

PRE_BIND_LIMIT_SECONDS = 600.0
BIND_LIMIT_SECONDS = 60.0


@dataclass(slots=True)
class Assumed:
    """A pod whose node has been chosen."""

    framework: Framework
    state: CycleState
    pod: PodInfo
    node: str
    extender: Extender | None = None
    """Who binds instead of the plugins."""


def begin(assumed: Assumed, handle: Handle) -> Status | WaitingPod | None:
    """Reserve and Permit. A rejection; or the pod as one that waits; or None: bind it. Raises PluginError."""
    framework, pod = assumed.framework, assumed.pod
    status = framework.reserve(assumed.state, pod, assumed.node)
    if status is not None:
        return status
    answer = framework.permit(assumed.state, pod, assumed.node)
    if not isinstance(answer, dict):
        return answer
    now = handle.monotonic()
    waiting = WaitingPod(pod, assumed.node, {name: now + seconds for name, seconds in answer.items()})
    handle.waiting_pods[pod.uid] = waiting
    return waiting


async def wait_on_permit(waiting: WaitingPod, handle: Handle) -> Status | None:
    """Until all plugins have allowed it (None), one has rejected it, or one's patience has ended."""
    try:
        while waiting.pending and waiting.rejected is None:
            plugin, ends = min(waiting.pending.items(), key=lambda item: item[1])
            waiting.changed.clear()
            try:
                async with asyncio.timeout(max(ends - handle.monotonic(), 0)):
                    await waiting.changed.wait()
            except TimeoutError:
                return Status(Code.UNSCHEDULABLE, (f'rejected due to timeout after waiting at plugin "{plugin}"',), plugin)
        return waiting.rejected
    finally:
        handle.waiting_pods.pop(waiting.pod.uid, None)


def pre_flight(assumed: Assumed) -> list[Plugin]:
    """The plugins that have something to do at PreBind. Raises PluginError."""
    framework, found = assumed.framework, []
    for plugin in framework.points["preBind"]:
        asked = plugin.pre_bind_pre_flight
        status = framework.call(plugin, "PreBindPreFlight", asked, assumed.state, assumed.pod, assumed.node)
        if status is None or status.code is Code.SUCCESS:
            found.append(plugin)
        elif status.code is not Code.SKIP:
            raise PluginError(plugin.name, "PreBindPreFlight", status.message)
    return found


async def prepare(assumed: Assumed, plugins: Sequence[Plugin]) -> Status | None:
    """PreBind, which may take long: volumes may have to be made. What stands in the way, or None. Raises PluginError."""
    framework, state, pod, node = assumed.framework, assumed.state, assumed.pod, assumed.node
    for plugin in plugins:
        asked = plugin.pre_bind(state, pod, node)
        status = await _limited(framework, plugin, "PreBind", asked, PRE_BIND_LIMIT_SECONDS)
        if status is not None and status.code is Code.ERROR:
            raise PluginError(plugin.name, "PreBind", status.message)
        if status is not None and status.code is not Code.SUCCESS:
            return Status(status.code, status.reasons, plugin.name)
    return None


async def finish(assumed: Assumed) -> Status | None:
    """Bind, PostBind; what kept it from being bound, or None. Raises PluginError."""
    framework, state, pod, node = assumed.framework, assumed.state, assumed.pod, assumed.node
    status = await _bind(assumed)
    if status is not None:
        return status
    for plugin in framework.points["postBind"]:
        await _limited(framework, plugin, "PostBind", plugin.post_bind(state, pod, node), BIND_LIMIT_SECONDS)
    return None


async def _bind(assumed: Assumed) -> Status | None:
    if assumed.extender is not None:
        try:
            await assumed.extender.bind(assumed.pod, assumed.node)
            return None
        except ExtenderError as error:
            if not assumed.extender.config.is_ignorable:
                return Status(Code.ERROR, (str(error),))
            logger.warning("an extender that may be ignored does not bind: %s", error)
    for plugin in assumed.framework.points["bind"]:
        asked = plugin.bind(assumed.state, assumed.pod, assumed.node)
        status = await _limited(assumed.framework, plugin, "Bind", asked, BIND_LIMIT_SECONDS)
        if status is None or status.code is Code.SUCCESS:
            return None
        if status.is_rejected:
            return Status(status.code, status.reasons, plugin.name)
        if status.code is not Code.SKIP:
            raise PluginError(plugin.name, "Bind", status.message)
    return Status(Code.ERROR, ("no bind plugin took the pod",))


async def _limited(framework: Framework, plugin: Plugin, point: str, work: Awaitable[T], limit_seconds: float) -> T:
    """Await what a plugin does; what it raises becomes a PluginError."""
    try:
        if plugin.name not in framework.guards:
            return await work  # What our own wait for has limits itself.
        async with asyncio.timeout(limit_seconds):
            return await work
    except TimeoutError:
        raise PluginError(plugin.name, point, f"gave no answer within {limit_seconds:g}s") from None
    except asyncio.CancelledError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(plugin.name, point, described(error)) from error
