"""One pod's worker: the only task that acts on the pod, woken by the API, the runtime, probes and timers.

Each turn: look at the runtime (runtime_reader.py), decide (actions.py), do it (pod_sync.py), tell (status.py). A pod that is to
end is ended whatever else was going on: the turn under way is cancelled. Nothing is kept that a restarted kubelet could not
find again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.component import clock
from navarch.cri.client import CRIError
from navarch.kubelet import actions, admission, env, phase, probes, resources, security, status
from navarch.kubelet.backoff import Retry
from navarch.kubelet.container_config import log_directory_name
from navarch.kubelet.containers import PodContainers
from navarch.kubelet.context import NodeContext
from navarch.kubelet.pod_resize import PodResize
from navarch.kubelet.pod_sync import PodSync
from navarch.kubelet.prober import Prober
from navarch.kubelet.runtime_pod import RuntimePod
from navarch.kubelet.runtime_reader import RuntimeReader
from navarch.kubelet.status import View
from navarch.kubelet.volumes.manager import PodVolumes

logger = logging.getLogger(__name__)

RETRY_INITIAL_SECONDS = 0.5
RETRY_MAX_SECONDS = 10.0
# A pod that runs within this time is reported once, as running, and not before as pending too.
REPORT_DELAY_SECONDS = 0.25
CLEANUP_RETRY_SECONDS = 0.05
CLEANUP_RETRY_MAX_SECONDS = 10.0
API_RETRY_SECONDS = 1.0
FINISHED_RESYNC_SECONDS = 3600.0


class PodWorker:
    """Works on one pod until it is gone."""

    def __init__(self, context: NodeContext, pod: Object, *, orphan: bool = False) -> None:
        """`orphan`: the API does not know this pod; what the runtime has of it is to be ended."""
        self._context = context
        self.pod = pod
        self.uid = str(pod["metadata"]["uid"])
        self._removed = orphan
        directory = context.config.pods_directory / self.uid
        log_directory = context.config.log_directory / log_directory_name(pod)
        self._retry = Retry(RETRY_INITIAL_SECONDS, RETRY_MAX_SECONDS)
        self._reader = RuntimeReader(context, self.uid, pod["metadata"]["name"], pod["metadata"].get("namespace", ""))
        self._volumes = PodVolumes(directory, in_memory=context.config.memory_volumes)
        self._containers = PodContainers(context, self.uid, directory, log_directory, self._volumes)
        self._sync = PodSync(context, directory, self._reader, self._containers, self._volumes, self._retry)
        self._resize = PodResize(context, self.uid, pod, self._containers)
        self._prober = Prober(context.runtime, self.wake, self._warn)
        self._wake = asyncio.Event()
        self._turn: asyncio.Task[float | None] | None = None
        self._ending = orphan or meta.being_deleted(pod)
        self._reason, self._message = "", ""
        self._finished_containers = False
        self._told_end = (pod.get("status") or {}).get("phase") in phase.FINAL
        """Its final status is in the API, and is not made again from what is left."""
        self.admitted = False
        """Whether the node has taken the pod."""
        self._report_timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Condition()
        self._gone = False
        self._statuses_at_start = _statuses_by_container(pod)

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

    def removed(self) -> None:
        """The API has no such pod any more."""
        self._removed = True
        self._end(again=False)
        self.wake()

    def wake(self) -> None:
        self._wake.set()

    def _end(self, *, again: bool) -> None:
        if self._turn is not None and (not self._ending or again):
            self._turn.cancel()
        self._ending = True
        self.wake()

    # What is known of it.

    @property
    def runtime(self) -> RuntimePod:
        """What the runtime has of it, as far as is known."""
        return self._reader.pod

    @property
    def allocated_pod(self) -> Object:
        """The pod with the resources that the node has granted it."""
        return self._resize.state.allocated_pod(self.pod)

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
                return await self._act()
            except CRIError as error:
                logger.warning("pod %s: %s: %s", self._name, error.method, error.rpc_text)
            except (StatusError, OSError, env.ConfigError) as error:
                logger.warning("pod %s: %s", self._name, error)
            self._publish()
        except Exception:
            # A defect, wherever it shows, must not leave the pod without anybody who looks after it.
            logger.exception("working on pod %s failed", self._name)
        return self._retry.failed()

    @property
    def _name(self) -> str:
        return meta.key(self.pod)

    async def _act(self) -> float | None:
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
        restarts, resize_delay = await self._resize.sync(self.pod, self.runtime.running_containers)
        pod = self.allocated_pod
        plan = actions.with_restarts(actions.compute(pod, self.runtime, self._prober.results()), restarts, pod)
        self._report_soon()
        # Spread out, lest all pods that came together be gone over together.
        delays = [clock.jitter(self._context.config.resync_seconds, 0.5), *([] if deadline is None else [deadline])]
        if resize_delay is not None:
            delays.append(resize_delay)
        if plan.nothing:
            await self._sync.keep_volumes(pod)
        else:
            delays.append(await self._sync.carry_out(plan, pod))
            await self._refresh()
            if await self._containers.prune(self.runtime):
                await self._refresh()
        self._publish()
        if self._phase_is_final() and not self.runtime.running_containers:
            # Come back at once: what the pod held is given back.
            return 0.0
        has_progressed = not plan.nothing and self._sync.has_progressed
        if plan.nothing or has_progressed:
            self._retry.succeeded()
        if has_progressed and not actions.compute(self.allocated_pod, self.runtime, self._prober.results()).nothing:
            # What was done may have made more possible.
            return 0.0
        return min(delays)

    # What the runtime has.

    async def _refresh(self) -> None:
        """Look at the runtime. Raises CRIError."""
        await self._reader.refresh()
        self._probe()
        async with self._changed:
            self._changed.notify_all()

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
        ips = status.pod_ips(self.pod, self.runtime, self._context.host_ip)
        self._prober.sync(running, ips[0] if ips else "", self._statuses_at_start, terminating=self._ending)

    # Beginning.

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

    # Ending.

    async def _terminate(self) -> float | None:
        """End everything, tell, and give back what the pod held."""
        self._ending = True
        self._sync.waiting.clear()
        self._cancel_report()
        if self.runtime.anything_runs:
            self._publish()
            await self._containers.ending.kill_all(self.pod, self.runtime)
            await self._refresh()
            if self.runtime.anything_runs:
                return self._retry.failed()
        self._finished_containers = True
        self._publish()
        return await self._finish()

    async def _finish(self) -> float | None:
        """Nothing of the pod runs: give back volumes and cgroup, and at last the pod itself."""
        if self.runtime.anything_runs:
            await self._containers.ending.kill_all(self.pod, self.runtime)
            await self._refresh()
        self._containers.messages(self.runtime)
        self._finished_containers = True
        gone = self._removed or meta.being_deleted(self.pod)
        if gone:
            await self._containers.remove_all(self.runtime)
        await self._give_back()
        if not gone:
            await self._refresh()
            self._publish()
            self._told_end = True
            return FINISHED_RESYNC_SECONDS
        await self._refresh()
        self._containers.remove_logs()
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
        return (self._latest().get("status") or {}).get("phase") in phase.FINAL

    def _publish(self) -> None:
        """Make the status and have it written if it changed."""
        if self._removed or self._told_end:
            return
        view = View(
            now=clock.now(),
            host_ip=self._context.host_ip,
            probes=self._prober.results(),
            waiting=self._sync.waiting,
            messages=self._containers.messages(self.runtime),
            runtime_name=self._context.runtime_name,
            recursive_read_only=self._context.recursive_read_only,
            terminating=self._ending,
            terminated=self._ending and self._finished_containers,
            resources=self._told_resources(),
            allocated_spec=self.allocated_pod["spec"],
            resize_conditions=self._resize.state.conditions(self.pod, self.runtime.running_containers),
            reason=self._reason,
            message=self._message,
        )
        self._cancel_report()
        self._context.status_writer.set(self.pod, status.make(self._latest(), self.runtime, view))

    def _told_resources(self) -> dict[str, tuple[Object, Object]]:
        """By container id. What does not run any more has what it is allocated."""
        told = {one.id: self._resize.state.told(one.id, one.name) for one in self.runtime.containers}
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


def _statuses_by_container(pod: Object) -> Mapping[str, Object]:
    """What the API says of containers, by their id."""
    found = pod.get("status") or meta.EMPTY
    entries = [*(found.get("containerStatuses") or ()), *(found.get("initContainerStatuses") or ())]
    return {str(entry["containerID"]).rpartition("//")[2]: entry for entry in entries if entry.get("containerID")}
