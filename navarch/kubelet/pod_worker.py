"""One pod's worker: the only task that acts on the pod, woken by the API, the runtime, probes and timers.

Each turn: look at the runtime, decide (actions.py), do it, tell (status.py). A pod that is to end is ended whatever else was
going on: the turn under way is cancelled. Nothing is kept that a restarted kubelet could not find again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.component import clock
from navarch.component.tasks import side_by_side
from navarch.cri import runtime_pb2 as pb
from navarch.cri.client import CRIError
from navarch.kubelet import actions, admission, env, probes, resizing, resources, security, status
from navarch.kubelet.actions import Kill, Plan, Start
from navarch.kubelet.backoff import duration_text
from navarch.kubelet.container_config import log_directory_name
from navarch.kubelet.containers import PodContainers, ResizeError, StartError
from navarch.kubelet.context import NodeContext
from navarch.kubelet.prober import Prober
from navarch.kubelet.resizing import Resizing
from navarch.kubelet.runtime_pod import (
    POD_UID,
    Container,
    RuntimePod,
    Sandbox,
    container_of,
    containers_newest_first,
    newest_first,
    sandbox_of,
)
from navarch.kubelet.slots import Slot
from navarch.kubelet.status import View, Waiting
from navarch.kubelet.volumes.manager import PodVolumes
from navarch.kubelet.volumes.plugin import Mounted, VolumeContext

logger = logging.getLogger(__name__)

RETRY_INITIAL_SECONDS = 0.5
RETRY_MAX_SECONDS = 10.0
# A pod that runs within this time is reported once, as running, and not before as pending too.
REPORT_DELAY_SECONDS = 0.25
CLEANUP_RETRY_SECONDS = 0.05
CLEANUP_RETRY_MAX_SECONDS = 10.0
API_RETRY_SECONDS = 1.0
FINISHED_RESYNC_SECONDS = 3600.0
# How often room is looked for that was not there, and how soon what went wrong is tried again.
DEFERRED_RETRY_SECONDS = 5.0
RESIZE_RETRY_SECONDS = 5.0
PULL_FAILURE_SHOWN_SECONDS = 2.0


class PodWorker:
    """Works on one pod until it is gone."""

    def __init__(self, context: NodeContext, pod: Object, *, orphan: bool = False) -> None:
        """`orphan`: the API does not know this pod; what the runtime has of it is to be ended."""
        self._context = context
        self.pod = pod
        self.uid = str(pod["metadata"]["uid"])
        self.runtime = RuntimePod(self.uid, pod["metadata"]["name"], pod["metadata"].get("namespace", ""))
        self._removed = orphan
        self._directory = context.config.pods_directory / self.uid
        self._volumes = PodVolumes(self._directory, in_memory=context.config.memory_volumes)
        log_directory = context.config.log_directory / log_directory_name(pod)
        self.containers = PodContainers(context, self.uid, self._directory, log_directory, self._volumes)
        self._prober = Prober(context.runtime, self.wake, self._warn)
        self._resizing = Resizing(pod)
        self._waiting: dict[str, Waiting] = {}
        self._statuses: dict[str, Container] = {}
        self._volumes_since: float | None = clock.monotonic()
        self._wake = asyncio.Event()
        self._turn: asyncio.Task[float | None] | None = None
        self._ending = False
        self._reason, self._message = "", ""
        self._grace_override: int | None = None
        self._progress = False
        self._finished_containers = False
        self._told_end = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        """Its final status is in the API, and is not made again from what is left."""
        self.admitted = False
        """Whether the node has taken the pod."""
        self._retry = RETRY_INITIAL_SECONDS
        self._report_timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Condition()
        self._gone = False
        self._known_statuses: dict[str, Object] = {}

    # What happens to it.

    def update(self, pod: Object) -> None:
        """The API's pod has changed."""
        before = self.pod
        self.pod = pod
        self._context.status_writer.observe(pod)
        if meta.being_deleted(pod):
            shorter = pod["metadata"].get("deletionGracePeriodSeconds") != before["metadata"].get("deletionGracePeriodSeconds")
            self._end(again=shorter)
        if pod["spec"] != before["spec"] or pod["metadata"] != before["metadata"]:
            self.wake()

    @property
    def allocated_pod(self) -> Object:
        """The pod with the resources that the node has granted it."""
        return self._resizing.allocated_pod(self.pod)

    def removed(self) -> None:
        """The API has no such pod any more."""
        self._removed = True
        self._end(again=False)
        self.wake()

    def wake(self) -> None:
        self._wake.set()

    @property
    def active(self) -> bool:
        """Whether the pod holds, or is to hold, the node's resources."""
        return not self._finished_containers and not self._phase_is_final()

    async def wait_container_ended(self, container_id: str) -> None:
        """Until that container does not run any more, or the pod is gone."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._gone or not self._runs(container_id))

    def _runs(self, container_id: str) -> bool:
        container = self.runtime.by_id(container_id)
        return container is not None and container.state in ("created", "running")

    def evict(self, reason: str, message: str, grace_seconds: int | None = None) -> None:
        """End the pod for the node's sake; it fails with this reason."""
        self._reason, self._message, self._grace_override = reason, message, grace_seconds
        self._end(again=False)
        self.wake()

    def _end(self, *, again: bool) -> None:
        if self._turn is not None and (not self._ending or again):
            self._turn.cancel()
        self._ending = True
        self.wake()

    # Its life.

    async def run(self) -> None:
        """Until the pod is gone, here and in the API."""
        try:
            while True:
                self._wake.clear()
                self._turn = asyncio.get_running_loop().create_task(self._take_turn(), name=f"pod {self.uid}")
                try:
                    delay = await self._turn
                except asyncio.CancelledError:
                    task = asyncio.current_task()
                    if task is not None and task.cancelling():
                        self._turn.cancel()
                        raise
                    continue
                finally:
                    self._turn = None
                if delay is None:
                    return
                try:
                    async with asyncio.timeout(delay):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            self._cancel_report()
            self._gone = True
            self._context.ended(self.uid)
            await self._prober.stop()
            async with self._changed:
                self._changed.notify_all()

    async def _take_turn(self) -> float | None:
        """One turn; how long until the next without a cause, None if there is none."""
        try:
            try:
                return await self._sync()
            except CRIError as error:
                logger.warning("pod %s: %s: %s", self._name, error.method, error.rpc_text)
            except (StatusError, OSError, env.ConfigError) as error:
                logger.warning("pod %s: %s", self._name, error)
            self._publish()
        except Exception:
            # A defect, wherever it shows, must not leave the pod without anybody who looks after it.
            logger.exception("working on pod %s failed", self._name)
        return self._next_retry()

    @property
    def _name(self) -> str:
        return meta.key(self.pod)

    async def _sync(self) -> float | None:
        await self._refresh()
        if self._removed or self._ending or meta.being_deleted(self.pod):
            return await self._terminate()
        if self._phase_is_final():
            return await self._finish()
        deadline = self._deadline_seconds()
        if deadline is not None and deadline <= 0:
            message = "Pod was active on the node longer than the specified deadline"
            self._context.event(self.pod, "Normal", "DeadlineExceeded", message)
            self._reason, self._message, self._ending = "DeadlineExceeded", message, True
            return await self._terminate()
        if not self.admitted and not await self._admit():
            return await self._terminate()
        restarts, resize_delay = await self._resize()
        plan = actions.compute(self.allocated_pod, self.runtime, self._prober.results())
        plan = actions.with_restarts(plan, restarts, self.pod)
        self._report_soon()
        # Spread out, lest all pods that came together be gone over together.
        delays = [clock.jitter(self._context.config.resync_seconds, 0.5), *([] if deadline is None else [deadline])]
        if resize_delay is not None:
            delays.append(resize_delay)
        self._progress = False
        if plan.nothing:
            self._retry = RETRY_INITIAL_SECONDS
            await self._keep_volumes()
        else:
            delays.append(await self._carry_out(plan))
            await self._refresh()
            if await self.containers.prune(self.runtime):
                await self._refresh()
        self._publish()
        if self._phase_is_final() and not self.runtime.running_containers:
            # Come back at once: what the pod held is given back.
            return 0.0
        if self._progress:
            self._retry = RETRY_INITIAL_SECONDS
        if not plan.nothing and self._progress and not actions.compute(self.pod, self.runtime, self._prober.results()).nothing:
            # What was done may have made more possible.
            return 0.0
        return min(delays)

    # What the runtime has.

    async def _refresh(self) -> None:
        """Look at the runtime. Raises CRIError."""
        runtime, labels = self._context.runtime, {POD_UID: self.uid}
        sandboxes, containers = await asyncio.gather(runtime.list_pod_sandboxes(labels), runtime.list_containers(labels))
        self._context.pleg.saw(self.uid, sandboxes, containers)
        fresh_sandboxes = await asyncio.gather(*(self._sandbox(sandbox) for sandbox in sandboxes))
        fresh = await asyncio.gather(*(self._container(container) for container in containers))
        self._statuses = {container.id: container for container in fresh if container is not None}
        self.runtime = RuntimePod(
            self.uid,
            self.runtime.name,
            self.runtime.namespace,
            newest_first(sandbox for sandbox in fresh_sandboxes if sandbox is not None),
            containers_newest_first(self._statuses.values()),
        )
        self._probe()
        async with self._changed:
            self._changed.notify_all()

    async def _sandbox(self, listed: pb.PodSandbox) -> Sandbox | None:
        ready = listed.state == pb.SANDBOX_READY
        for known in self.runtime.sandboxes:
            if known.id == listed.id and known.ready == ready:
                return known
        try:
            return sandbox_of(await self._context.runtime.pod_sandbox_status(listed.id))
        except CRIError as error:
            if error.is_not_found:
                return None
            raise

    async def _container(self, listed: pb.Container) -> Container | None:
        """Its status; asked for only when its state is another than before."""
        known = self._statuses.get(listed.id)
        state = ("created", "running", "exited", "unknown")[listed.state]
        if known is not None and known.state == state:
            return known
        try:
            return container_of(await self._context.runtime.container_status(listed.id), listed.pod_sandbox_id)
        except CRIError as error:
            if error.is_not_found:
                return None
            raise

    def _probe(self) -> None:
        specs = {container["name"]: container for container in resources.all_containers(self.pod)}
        ephemeral = {container["name"] for container in self.pod["spec"].get("ephemeralContainers") or ()}
        ordinary = {c["name"] for c in self.pod["spec"].get("initContainers") or () if not resources.is_sidecar(c)}
        running = [
            (container, specs[container.name])
            for container in self.runtime.running_containers
            if container.name in specs and container.name not in ephemeral and container.name not in ordinary
        ]
        if not any(probes.PROBE_FIELDS[type_] in spec for _, spec in running for type_ in probes.PROBE_FIELDS):
            running = []
        ips = status.pod_ips(self.pod, self.runtime, self._host_ip)
        self._prober.sync(running, ips[0] if ips else "", self._statuses_at_start(), terminating=self._ending)

    def _statuses_at_start(self) -> Mapping[str, Object]:
        """What the API said of containers when this worker began."""
        if not self._known_statuses:
            found = self.pod.get("status") or {}
            for entry in [*(found.get("containerStatuses") or ()), *(found.get("initContainerStatuses") or ())]:
                identity = str(entry.get("containerID") or "").rpartition("//")[2]
                if identity:
                    self._known_statuses[identity] = entry
        return self._known_statuses

    # Resources that change.

    async def _resize(self) -> tuple[list[Kill], float | None]:
        """Grant the pod the resources it asks for now, if there is room, and bring them into force.

        Returns the containers that must start anew for that, and how long until it may be tried again.
        """
        running = self.runtime.running_containers
        self._resizing.note(running)
        before = self.allocated_pod
        if self._resizing.is_wanted(self.pod):
            self._grant()
        else:
            self._resizing.withdrawn()
        behind = self._resizing.behind(self.pod, running)
        if not behind:
            return [], DEFERRED_RETRY_SECONDS if self._resizing.is_deferred else None
        allocated = self.allocated_pod
        specs = {container["name"]: container for container in resources.all_containers(allocated)}
        restarts = [
            Kill(container, specs[container.name], f"Container {container.name} resize requires restart")
            for container, spec, changed in behind
            if resizing.needs_restart(spec, changed)
        ]
        restarting = {kill.container.id for kill in restarts}
        self._context.cgroups.widen(before, allocated, self.uid)
        try:
            for container, _, _ in behind:
                if container.id not in restarting:
                    had = self._resizing.told(container.id, container.name)
                    limit = resizing.memory_limit_bytes(had[1]) if had is not None else 0
                    await self.containers.resize(allocated, container, specs[container.name], limit)
                    self._resizing.came_into_force(container)
        except (CRIError, ResizeError) as error:
            message = error.message if isinstance(error, CRIError) else str(error)
            self._resizing.failed(message)
            self._context.event(self.pod, "Warning", "ResizeError", f"Pod resize error: {message}")
            return restarts, RESIZE_RETRY_SECONDS
        if not restarts:
            self._context.cgroups.create(allocated, self.uid)
            self._resizing.failed("")
            self._context.event(
                self.pod, "Normal", "ResizeCompleted", resizing.event_message("Pod resize completed", allocated)
            )
        return restarts, None

    def _grant(self) -> None:
        """Allocate what the pod asks for, if the node has room; otherwise say why not."""
        never = admission.fits(self.pod, (), self._context.allocatable)
        refusal = never or self._context.room(self.pod)
        if refusal is None:
            self._resizing.grant(self.pod)
            self._context.event(self.pod, "Normal", "ResizeStarted", resizing.event_message("Pod resize started", self.pod))
            return
        text = refusal.message
        if never is not None:
            text = text.replace("enough resource", "enough capacity").replace(", used: 0", "")
        self._resizing.put_off("Deferred" if never is None else "Infeasible", text)

    # Doing.

    async def _admit(self) -> bool:
        """Whether the node takes the pod; if not, it fails. Raises StatusError, OSError."""
        if self.runtime.containers or self.runtime.sandboxes:
            self.admitted = True
            return True
        refused_sysctls = security.forbidden_sysctls(self.pod, self._context.config.allowed_unsafe_sysctls)
        refusal = admission.forbidden(refused_sysctls) or await self._context.admit(self.pod)
        self.admitted = True
        if refusal is None:
            return True
        self._reason, self._message, self._ending = refusal.reason, admission.REJECTED + refusal.message, True
        self._context.event(self.pod, "Warning", refusal.reason, refusal.message)
        return False

    async def _carry_out(self, plan: Plan) -> float:
        """Do what the plan says; how long until what could not be done may be tried again."""
        if plan.kill_pod:
            await self.containers.ending.kill_all(self.pod, self.runtime, None)
            self._progress = True
            if not plan.create_sandbox:
                return self._context.config.resync_seconds
        if plan.kill:
            ending, sandbox = self.containers.ending, self.runtime.sandbox
            await side_by_side(ending.kill(self.pod, kill.container, kill, None, sandbox) for kill in plan.kill)
            self._progress = True
        problem = self._context.network_problem() if not self.pod["spec"].get("hostNetwork") else ""
        if problem and plan.create_sandbox:
            self._context.event(self.pod, "Warning", "NetworkNotReady", f"network is not ready: {problem}")
            return 1.0
        if plan.sandbox_changed:
            self._context.event(self.pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        if not plan.start and not plan.create_sandbox:
            return self._context.config.resync_seconds
        async with Slot(self._context.starts) as slot:
            return await self._start(plan, slot)

    async def _start(self, plan: Plan, slot: Slot) -> float:
        """Sandbox, volumes and containers; how long until what could not be started may be tried again."""
        parent = self._context.cgroups.create(self.allocated_pod, self.uid)
        attempt = plan.attempt if plan.create_sandbox or plan.sandbox is None else plan.sandbox.attempt
        config = self.containers.sandbox_config(self.pod, attempt, parent)
        sandbox, volumes = await asyncio.gather(self._sandbox_for(plan, config), self._set_up_volumes(), return_exceptions=True)
        for outcome in (sandbox, volumes):
            if isinstance(outcome, BaseException):
                raise outcome
        assert isinstance(sandbox, Sandbox) and isinstance(volumes, tuple)
        mounted, failed = volumes
        if failed:
            self._tell_of_volumes(failed)
            return self._next_retry()
        return await self._start_all(plan, sandbox, config, mounted, slot)

    async def _sandbox_for(self, plan: Plan, config: pb.PodSandboxConfig) -> Sandbox:
        if not plan.create_sandbox and plan.sandbox is not None:
            return plan.sandbox
        sandbox_id = await self.containers.run_sandbox(self.pod, config)
        self._progress = True
        sandbox = sandbox_of(await self._context.runtime.pod_sandbox_status(sandbox_id))
        self.runtime = RuntimePod(
            self.uid, self.runtime.name, self.runtime.namespace, (sandbox, *self.runtime.sandboxes), self.runtime.containers
        )
        return sandbox

    async def _start_all(
        self, plan: Plan, sandbox: Sandbox, config: pb.PodSandboxConfig, mounted: Mapping[str, Mounted], slot: Slot
    ) -> float:
        """Start what may be started now; how long until the rest may."""
        delays = [self._context.config.resync_seconds]
        ready: list[Start] = []
        for start in plan.start:
            remaining = self._backoff_seconds(start)
            if remaining > 0:
                delays.append(remaining)
            else:
                ready.append(start)

        async def one(start: Start) -> None:
            try:
                await self.containers.start(
                    self.allocated_pod, start, self._attempt(start), sandbox, config, mounted, self.runtime, slot
                )
            except StartError as error:
                self._waiting[start.name] = Waiting(error.reason, error.message)
                delays.append(self._delay_after(start, error))
            else:
                self._waiting.pop(start.name, None)
                self._progress = True

        ordered = any("postStart" in (start.spec.get("lifecycle") or {}) for start in ready)
        if ordered:
            # A container whose hook has not ended yet holds up those after it.
            for start in ready:
                await one(start)
        else:
            await side_by_side(one(start) for start in ready)
        return min(delays)

    def _delay_after(self, start: Start, error: StartError) -> float:
        if error.reason == "ErrImagePull":
            # Long enough to be read; then it shows that it is backed off.
            return PULL_FAILURE_SHOWN_SECONDS
        return self._context.images.remaining_seconds(self.pod, start.spec["image"]) or self._next_retry()

    def _next_retry(self) -> float:
        delay, self._retry = self._retry, min(self._retry * 2, RETRY_MAX_SECONDS)
        return delay

    def _backoff_seconds(self, start: Start) -> float:
        """How long a container that ended must wait; notes the try if it need not."""
        former = start.after
        if former is None or former.state != "exited":
            return 0.0
        key = f"{self.uid}_{start.name}"
        now, ended = clock.time_seconds(), former.finished_at / 1e9
        backoff = self._context.backoff
        remaining = backoff.remaining(key, ended, now)
        if remaining <= 0:
            backoff.next(key, ended, now)
            return 0.0
        name, metadata = start.name, self.pod["metadata"]
        where = f"{metadata['name']}_{metadata['namespace']}({self.uid})"
        delay = duration_text(backoff.delay(key))
        self._waiting[name] = Waiting("CrashLoopBackOff", f"back-off {delay} restarting failed container={name} pod={where}")
        message = f"Back-off restarting failed container {name} in pod {where}"
        self._context.event(self.pod, "Warning", "BackOff", message, start.spec)
        return remaining

    def _attempt(self, start: Start) -> int:
        """The number of the container's next run."""
        latest = self.runtime.latest(start.name)
        if latest is not None:
            return latest.attempt if start.remove_first == latest.id else latest.attempt + 1
        found = self._context.status_writer.latest(self.pod).get("status") or {}
        for group in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
            for entry in found.get(group) or ():
                if entry["name"] == start.name and entry.get("containerID"):
                    return int(entry.get("restartCount", 0)) + 1
        return 0

    # Volumes.

    def _volume_context(self) -> VolumeContext:
        pod, since = self.pod, self._volumes_since
        namespace = pod["metadata"]["namespace"]

        async def get(resource: str, name: str) -> Object | None:
            return await self._context.objects.get(resource, namespace, name, since=since)

        async def token(audience: str, seconds: int) -> str:
            return await self._context.tokens.get(pod, audience, seconds)

        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        return VolumeContext(
            pod=pod,
            get=get,
            token=token,
            pod_ips=tuple(status.pod_ips(pod, self.runtime, self._host_ip)),
            host_ips=self._context.host_ips,
            allocatable=self._context.allocatable,
            gid=None if group is None else int(group),
        )

    async def _set_up_volumes(self) -> tuple[dict[str, Mounted], dict[str, str]]:
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        mounted, failed = await self._volumes.set_up(self._volume_context())
        # What was missing is looked for again; what was there may be up to a minute old from now on.
        self._volumes_since = clock.monotonic() if failed else None
        return mounted, failed

    async def _keep_volumes(self) -> None:
        """Bring the files of ConfigMaps, Secrets and tokens up to date."""
        if not self.runtime.running_containers:
            return
        self._volumes_since = None
        _, failed = await self._volumes.set_up(self._volume_context())
        for name, message in failed.items():
            logger.debug("pod %s: volume %s is not brought up to date: %s", self._name, name, message)

    def _tell_of_volumes(self, failed: Mapping[str, str]) -> None:
        for name, message in failed.items():
            self._context.event(self.pod, "Warning", "FailedMount", f'MountVolume.SetUp failed for volume "{name}" : {message}')

    # Ending.

    async def _terminate(self) -> float | None:
        """End everything, tell, and give back what the pod held."""
        self._ending = True
        self._waiting.clear()
        self._cancel_report()
        if self.runtime.anything_runs:
            self._publish()
            await self.containers.ending.kill_all(self.pod, self.runtime, self._grace_override)
            await self._refresh()
            if self.runtime.anything_runs:
                return self._next_retry()
        self._finished_containers = True
        self._publish()
        return await self._finish()

    async def _finish(self) -> float | None:
        """Nothing of the pod runs: give back volumes and cgroup, and at last the pod itself."""
        if self.runtime.anything_runs:
            await self.containers.ending.kill_all(self.pod, self.runtime, self._grace_override)
            await self._refresh()
        self.containers.messages(self.runtime)
        self._finished_containers = True
        gone = self._removed or meta.being_deleted(self.pod)
        if gone:
            await self.containers.remove_all(self.runtime)
        await self._give_back()
        if not gone:
            await self._refresh()
            self._publish()
            self._told_end = True
            return FINISHED_RESYNC_SECONDS
        await self._refresh()
        self.containers.remove_logs()
        self._context.tokens.forget(self.uid)
        self._context.images.forget(self.uid)
        self._context.backoff.forget_prefix(f"{self.uid}_")
        return await self._delete()

    async def _give_back(self) -> None:
        """Volumes and cgroup; tried until they are gone."""
        delay = CLEANUP_RETRY_SECONDS
        while not await asyncio.to_thread(self._context.cgroups.remove, self.uid):
            await clock.sleep(delay)
            delay = min(delay * 2, CLEANUP_RETRY_MAX_SECONDS)
        while True:
            try:
                await self._volumes.tear_down()
                return
            except OSError as error:
                logger.warning("pod %s: cannot remove its directory yet: %s", self._name, error)
                await clock.sleep(delay)
                delay = min(delay * 2, CLEANUP_RETRY_MAX_SECONDS)

    async def _delete(self) -> float | None:
        """Take the pod out of the API, which waited for this."""
        if not self._removed:
            await self._context.status_writer.flush(self.uid)
            metadata = self.pod["metadata"]
            try:
                await self._context.client.delete(
                    "pods", metadata["name"], metadata["namespace"], uid=self.uid, grace_period_seconds=0
                )
            except StatusError as error:
                if error.code not in (404, 409):
                    raise
            except OSError as error:
                logger.debug("cannot delete pod %s yet: %s", self._name, error)
                return API_RETRY_SECONDS
            # Finalizers may keep it; it is for others then.
            self._removed = True
        return None

    # Telling.

    @property
    def _host_ip(self) -> str:
        return self._context.host_ips[0] if self._context.host_ips else ""

    def _deadline_seconds(self) -> float | None:
        """How long the pod may still be active."""
        limit = self.pod["spec"].get("activeDeadlineSeconds")
        started = (self._latest().get("status") or {}).get("startTime")
        if limit is None or not started:
            return None if limit is None else float(limit)
        return float(meta.parse_time(started).timestamp() + limit - clock.time_seconds())

    def _latest(self) -> Object:
        return self._context.status_writer.latest(self.pod)

    def _phase_is_final(self) -> bool:
        return (self._latest().get("status") or {}).get("phase") in ("Succeeded", "Failed")

    def _publish(self) -> None:
        """Make the status and have it written if it changed."""
        if self._removed or self._told_end:
            return
        view = View(
            now=clock.now(),
            host_ip=self._host_ip,
            probes=self._prober.results(),
            waiting=self._waiting,
            messages=self.containers.messages(self.runtime),
            runtime_name=self._context.runtime_name,
            recursive_read_only=self._context.recursive_read_only,
            terminating=self._ending,
            terminated=self._ending and self._finished_containers,
            resources=self._told_resources(),
            allocated_spec=self.allocated_pod["spec"],
            resize_conditions=self._resizing.conditions(self.pod, self.runtime.running_containers),
            reason=self._reason,
            message=self._message,
        )
        self._cancel_report()
        self._context.status_writer.set(self.pod, status.make(self._latest(), self.runtime, view))

    def _told_resources(self) -> dict[str, tuple[Object, Object]]:
        """By container id. What does not run any more has what it is allocated."""
        told = {one.id: self._resizing.told(one.id, one.name) for one in self.runtime.containers}
        return {identity: pair for identity, pair in told.items() if pair is not None}

    def _report_soon(self) -> None:
        """If this turn takes long, tell how far it is."""
        if self._report_timer is None:
            self._report_timer = asyncio.get_running_loop().call_later(REPORT_DELAY_SECONDS, self._publish)

    def _cancel_report(self) -> None:
        if self._report_timer is not None:
            self._report_timer.cancel()
            self._report_timer = None

    def _warn(self, container: Object, reason: str, message: str) -> None:
        self._context.event(self.pod, "Warning", reason, message, container)
