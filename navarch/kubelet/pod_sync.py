"""Carrying out what `actions` has planned for one pod: what ends first, then sandbox and volumes, then containers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.component.tasks import side_by_side
from navarch.cri import runtime_pb2 as pb
from navarch.kubelet import status
from navarch.kubelet.actions import Plan, Start
from navarch.kubelet.backoff import Retry, duration_text
from navarch.kubelet.containers import PodContainers, StartError
from navarch.kubelet.context import NodeContext
from navarch.kubelet.runtime_pod import Sandbox
from navarch.kubelet.runtime_reader import RuntimeReader
from navarch.kubelet.slots import Slot
from navarch.kubelet.status import Waiting
from navarch.kubelet.volumes.manager import PodVolumes
from navarch.kubelet.volumes.plugin import Mounted, VolumeContext

logger = logging.getLogger(__name__)

NETWORK_RETRY_SECONDS = 1.0
PULL_FAILURE_SHOWN_SECONDS = 2.0


class PodSync:
    """Of one pod."""

    def __init__(
        self,
        context: NodeContext,
        directory: Path,
        reader: RuntimeReader,
        containers: PodContainers,
        volumes: PodVolumes,
        retry: Retry,
    ) -> None:
        self._context = context
        self._directory = directory
        self._reader = reader
        self._containers = containers
        self._volumes = volumes
        self._volumes_since: float | None = clock.monotonic()
        self._retry = retry
        self.waiting: dict[str, Waiting] = {}
        """Why containers do not run that should."""
        self.has_progressed = False
        """Whether anything was done the last time."""

    async def carry_out(self, plan: Plan, pod: Object) -> float:
        """Do what the plan says; how long until what could not be done may be tried again.

        `pod` asks for what it is allocated. Raises CRIError, StatusError, OSError.
        """
        self.has_progressed = False
        ending = self._containers.ending
        if plan.kill_pod:
            await ending.kill_all(pod, self._reader.pod)
            self.has_progressed = True
            if not plan.create_sandbox:
                return self._context.config.resync_seconds
        if plan.kill:
            sandbox = self._reader.pod.sandbox
            await side_by_side(ending.kill(pod, kill.container, kill, sandbox) for kill in plan.kill)
            self.has_progressed = True
        problem = self._context.network_problem() if not pod["spec"].get("hostNetwork") else ""
        if problem and plan.create_sandbox:
            self._context.event(pod, "Warning", "NetworkNotReady", f"network is not ready: {problem}")
            return NETWORK_RETRY_SECONDS
        if plan.sandbox_changed:
            self._context.event(pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        if not plan.start and not plan.create_sandbox:
            return self._context.config.resync_seconds
        async with Slot(self._context.starts) as slot:
            return await self._start(plan, pod, slot)

    async def _start(self, plan: Plan, pod: Object, slot: Slot) -> float:
        """Sandbox, volumes and containers; how long until what could not be started may be tried again."""
        parent = self._context.cgroups.create(pod, meta.uid(pod))
        attempt = plan.attempt if plan.create_sandbox or plan.sandbox is None else plan.sandbox.attempt
        config = self._containers.sandbox_config(pod, attempt, parent)
        sandbox, volumes = await asyncio.gather(
            self._sandbox_for(plan, pod, config), self._set_up_volumes(pod), return_exceptions=True
        )
        for outcome in (sandbox, volumes):
            if isinstance(outcome, BaseException):
                raise outcome
        assert isinstance(sandbox, Sandbox) and isinstance(volumes, tuple)
        mounted, failed = volumes
        if failed:
            self._tell_of_volumes(pod, failed)
            return self._retry.failed()
        return await self._start_containers(plan, pod, sandbox, config, mounted, slot)

    async def _sandbox_for(self, plan: Plan, pod: Object, config: pb.PodSandboxConfig) -> Sandbox:
        if not plan.create_sandbox and plan.sandbox is not None:
            return plan.sandbox
        sandbox_id = await self._containers.run_sandbox(pod, config)
        self.has_progressed = True
        return await self._reader.add_sandbox(sandbox_id)

    # Containers.

    async def _start_containers(
        self, plan: Plan, pod: Object, sandbox: Sandbox, config: pb.PodSandboxConfig, mounted: Mapping[str, Mounted], slot: Slot
    ) -> float:
        """Start what may be started now; how long until the rest may."""
        delays = [self._context.config.resync_seconds]
        ready: list[Start] = []
        for start in plan.start:
            remaining = self._backoff_seconds(pod, start)
            if remaining > 0:
                delays.append(remaining)
            else:
                ready.append(start)

        async def one(start: Start) -> None:
            attempt = self._attempt(pod, start)
            try:
                await self._containers.start(pod, start, attempt, sandbox, config, mounted, self._reader.pod, slot)
            except StartError as error:
                self.waiting[start.name] = Waiting(error.reason, error.message)
                delays.append(self._delay_after(pod, start, error))
            else:
                self.waiting.pop(start.name, None)
                self.has_progressed = True

        ordered = any("postStart" in (start.spec.get("lifecycle") or {}) for start in ready)
        if ordered:
            # A container whose hook has not ended yet holds up those after it.
            for start in ready:
                await one(start)
        else:
            await side_by_side(one(start) for start in ready)
        return min(delays)

    def _delay_after(self, pod: Object, start: Start, error: StartError) -> float:
        if error.reason == "ErrImagePull":
            # Long enough to be read; then it shows that it is backed off.
            return PULL_FAILURE_SHOWN_SECONDS
        return self._context.images.remaining_seconds(pod, start.spec["image"]) or self._retry.failed()

    def _backoff_seconds(self, pod: Object, start: Start) -> float:
        """How long a container that ended must wait; notes the try if it need not."""
        former = start.after
        if former is None or former.state != "exited":
            return 0.0
        name, metadata = start.name, pod["metadata"]
        key = f"{metadata['uid']}_{name}"
        now, ended = clock.time_seconds(), former.finished_at / 1e9
        backoff = self._context.backoff
        remaining = backoff.remaining(key, ended, now)
        if remaining <= 0:
            backoff.next(key, ended, now)
            return 0.0
        where = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        delay = duration_text(backoff.delay(key))
        self.waiting[name] = Waiting("CrashLoopBackOff", f"back-off {delay} restarting failed container={name} pod={where}")
        message = f"Back-off restarting failed container {name} in pod {where}"
        self._context.event(pod, "Warning", "BackOff", message, start.spec)
        return remaining

    def _attempt(self, pod: Object, start: Start) -> int:
        """The number of the container's next run."""
        latest = self._reader.pod.latest(start.name)
        if latest is not None:
            return latest.attempt if start.remove_first == latest.id else latest.attempt + 1
        found = self._context.status_writer.latest(pod).get("status") or {}
        for group in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
            for entry in found.get(group) or ():
                if entry["name"] == start.name and entry.get("containerID"):
                    return int(entry.get("restartCount", 0)) + 1
        return 0

    # Volumes.

    async def keep_volumes(self, pod: Object) -> None:
        """Bring the files of ConfigMaps, Secrets and tokens up to date, if anybody sees them."""
        if not self._reader.pod.running_containers:
            return
        self._volumes_since = None
        _, failed = await self._volumes.set_up(self._volume_context(pod))
        for name, message in failed.items():
            logger.debug("pod %s: volume %s is not brought up to date: %s", meta.key(pod), name, message)

    async def _set_up_volumes(self, pod: Object) -> tuple[dict[str, Mounted], dict[str, str]]:
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        mounted, failed = await self._volumes.set_up(self._volume_context(pod))
        # What was missing is looked for again; what was there may be up to a minute old from now on.
        self._volumes_since = clock.monotonic() if failed else None
        return mounted, failed

    def _tell_of_volumes(self, pod: Object, failed: Mapping[str, str]) -> None:
        for name, message in failed.items():
            self._context.event(pod, "Warning", "FailedMount", f'MountVolume.SetUp failed for volume "{name}" : {message}')

    def _volume_context(self, pod: Object) -> VolumeContext:
        namespace, since = pod["metadata"]["namespace"], self._volumes_since

        async def get(resource: str, name: str) -> Object | None:
            return await self._context.objects.get(resource, namespace, name, since=since)

        async def token(audience: str, seconds: int) -> str:
            return await self._context.tokens.get(pod, audience, seconds)

        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        return VolumeContext(
            pod=pod,
            get=get,
            token=token,
            pod_ips=tuple(status.pod_ips(pod, self._reader.pod, self._context.host_ip)),
            host_ips=self._context.host_ips,
            allocatable=self._context.allocatable,
            gid=None if group is None else int(group),
        )
