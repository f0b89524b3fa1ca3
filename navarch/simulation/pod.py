"""One pod on a pretended node. What is to be done for it, and what is said of it, the kubelet's own rules decide
(kubelet/actions.py, status.py); only the containers are none, and do what their `Behaviour` says.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.component import clock
from navarch.kubelet import actions, status
from navarch.kubelet.actions import Plan, Start
from navarch.kubelet.backoff import Backoff, duration_text
from navarch.kubelet.probes import ContainerProbes, ProbeType
from navarch.kubelet.runtime_pod import Container, RuntimePod, Sandbox
from navarch.kubelet.status import View, Waiting
from navarch.simulation import behaviour
from navarch.simulation.behaviour import Behaviour, BehaviourError

if TYPE_CHECKING:
    from navarch.simulation.node import SimulatedNode

RUNTIME = "simulated"
API_RETRY_SECONDS = 1.0
KILLED, LOST = 137, 255
FINAL = ("Succeeded", "Failed")
DELETED = "deletionTimestamp"


@dataclass(frozen=True, slots=True)
class SimulatedProbes(ContainerProbes):
    """Of a container that is ready, or alive, when its behaviour says so, whatever probes it has."""

    is_ready: bool = False
    is_alive: bool = True

    def started(self, container: Object) -> bool:
        return True

    def ready(self, container: Object) -> bool:
        return self.is_ready

    def failed(self, type_: ProbeType) -> bool:
        return type_ == "liveness" and not self.is_alive


@dataclass(slots=True)
class _Run:
    """One run of a container."""

    behaviour: Behaviour
    began: float
    """On the clock that never goes back."""
    container: Container


class SimulatedPod:
    """Lives until the pod is gone from the API, or its node has failed."""

    def __init__(self, node: SimulatedNode, pod: Object) -> None:
        self._node = node
        self.pod = pod
        self.uid = meta.uid(pod)
        self._wake = asyncio.Event()
        self._sandboxes: list[Sandbox] = []
        self._runs: list[_Run] = []
        """Newest first."""
        self._starting: dict[str, float] = {}
        """By container name: when one that is being started will run."""
        self._waiting: dict[str, Waiting] = {}
        self._backoff = Backoff()
        self._stopping: dict[str, float] = {}
        """By container id: when one that is being ended will have ended."""
        self._published: Object | None = None
        self._logs: dict[str, list[tuple[int, float, str]]] = {}
        """By container name, of all its runs: (run, when, line)."""

    def update(self, pod: Object) -> None:
        """The API's pod has changed."""
        if meta.resource_version(pod) < meta.resource_version(self.pod):
            # What the node has written itself since is newer.
            return
        self._take(pod)
        if self._published is not None and _is_contradicted(self._published, pod):
            # Somebody has said something else, as the node controller does of nodes that are silent: it is told again.
            self._published = None
            self._wake.set()

    def _take(self, pod: Object) -> None:
        before, self.pod = self.pod, pod
        if pod["spec"] != before["spec"] or pod["metadata"].get(DELETED) != before["metadata"].get(DELETED):
            self._wake.set()

    def lose_everything(self) -> None:
        """The node has failed: nothing runs any more."""
        self._sandboxes = [replace(sandbox, ready=False) for sandbox in self._sandboxes]
        for run in self._runs:
            if run.container.running:
                self._end(run, LOST, "Unknown")
        self._starting.clear()
        self._stopping.clear()
        self._published = None

    def log(self, container: str, *, previous: bool = False) -> list[tuple[float, str]]:
        """(when, line) that a container has written in its last run, or the one before it. Raises LookupError: no such run."""
        attempts = [run.container.attempt for run in self._runs if run.container.name == container]
        if len(attempts) <= previous:
            raise LookupError(f"no container {container!r} of pod {meta.name(self.pod)!r} has {'ended' if previous else 'run'}")
        return [(when, line) for attempt, when, line in self._logs.get(container, ()) if attempt == attempts[previous]]

    @property
    def is_running(self) -> bool:
        """Whether any of its containers runs."""
        return any(run.container.running for run in self._runs)

    async def run(self) -> None:
        """Until the pod is gone."""
        while True:
            await self._node.awake()
            self._wake.clear()
            delay = await self._turn()
            if delay is None:
                return
            try:
                async with asyncio.timeout(None if math.isinf(delay) else max(delay, 0.0)):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _turn(self) -> float | None:
        """Do what is to be done now; how long until more is (None: never)."""
        try:
            if meta.being_deleted(self.pod):
                return await self._terminate()
            if (self.pod.get("status") or {}).get("phase") in FINAL:
                return math.inf
            return await self._go_on()
        except StatusError as error:
            if error.is_not_found:
                return None
        except (OSError, BehaviourError) as error:
            if isinstance(error, BehaviourError):
                self._node.event(self.pod, "Warning", "InvalidBehaviour", str(error))
                return math.inf
        return API_RETRY_SECONDS

    # What it does

    async def _go_on(self) -> float:
        now = clock.monotonic()
        delays = [*self._time_passes(now)]
        plan = actions.compute(self.pod, self._runtime(), self._probes(now))
        self._carry_out(plan, now, delays)
        delays += self._time_passes(now)
        await self._publish(now, terminating=False, terminated=False)
        if not actions.compute(self.pod, self._runtime(), self._probes(now)).nothing and not delays:
            return 0.0
        return min(delays, default=math.inf)

    def _time_passes(self, now: float) -> list[float]:
        """End what has run its time; when something changes next by itself, as delays."""
        delays = []
        for run in self._runs:
            if not run.container.running:
                continue
            at = run.began + run.behaviour.run_seconds
            if at <= now:
                self._end(run, run.behaviour.exit_code)
                delays.append(0.0)
                continue
            moments = (at, run.began + run.behaviour.ready_seconds, run.began + run.behaviour.live_seconds)
            delays += [moment - now for moment in moments if now < moment < math.inf]
        return delays

    def _carry_out(self, plan: Plan, now: float, delays: list[float]) -> None:
        if plan.kill_pod:
            self._kill_all()
        if plan.create_sandbox:
            host_network = bool(self.pod["spec"].get("hostNetwork"))
            ip = self._node.address if host_network else self._node.pod_ip(self.uid)
            created = _nanoseconds()
            self._sandboxes.insert(
                0, Sandbox(f"sandbox-{self.uid}-{plan.attempt}", plan.attempt, True, created, (ip,), host_network)
            )
        for kill in plan.kill:
            run = next((run for run in self._runs if run.container.id == kill.container.id), None)
            if run is not None and run.container.running:
                name = run.container.name
                self._node.event(self.pod, "Normal", "Killing", kill.message or f"Stopping container {name}", container=name)
                self._end(run, KILLED)
        for start in plan.start:
            delay = self._start(start, now)
            if delay is not None:
                delays.append(delay)

    def _start(self, start: Start, now: float) -> float | None:
        """Begin to start a container, or have it run; how long until it may (None: it runs)."""
        behaviour.check(self.pod)
        does = behaviour.of(self.pod, start.spec, is_init=start.kind == "init" and start.spec.get("restartPolicy") != "Always")
        name, key = start.name, f"{self.uid}/{start.name}"
        if start.after is not None and name not in self._starting:
            failed_at = self._ended_at(start.after)
            remaining = self._backoff.remaining(key, failed_at, now)
            if remaining > 0:
                delay = duration_text(self._backoff.delay(key))
                pod = f"{meta.name(self.pod)}_{meta.namespace(self.pod)}({self.uid})"
                shown = f"back-off {delay} restarting failed container={name} pod={pod}"
                if self._waiting.get(name) != Waiting("CrashLoopBackOff", shown):
                    self._warn("BackOff", f"Back-off restarting failed container {name} in pod {pod}", name)
                self._waiting[name] = Waiting("CrashLoopBackOff", shown)
                return remaining
            self._backoff.next(key, failed_at, now)
        if does.pull_error:
            image = start.spec.get("image", "")
            if name not in self._starting:
                self._starting[name] = math.inf
                self._waiting[name] = Waiting("ErrImagePull", does.pull_error)
                self._warn("Failed", f'Failed to pull image "{image}": {does.pull_error}', name)
                self._warn("Failed", "Error: ErrImagePull", name)
                return self._backoff.initial_seconds
            if name not in self._waiting or self._waiting[name].reason != "ImagePullBackOff":
                self._waiting[name] = Waiting("ImagePullBackOff", f'Back-off pulling image "{image}": {does.pull_error}')
                self._node.event(self.pod, "Normal", "BackOff", f'Back-off pulling image "{image}"', container=name)
                self._warn("Failed", "Error: ImagePullBackOff", name)
            return math.inf
        due = self._starting.setdefault(name, now + does.pull_seconds + does.start_seconds)
        if now < due:
            return due - now
        del self._starting[name]
        self._waiting.pop(name, None)
        attempt = 1 + max((run.container.attempt for run in self._runs if run.container.name == name), default=-1)
        stamp = _nanoseconds()
        container = Container(
            f"{self.uid}-{name}-{attempt}",
            name,
            attempt,
            "running",
            self._sandboxes[0].id,
            created_at=stamp,
            started_at=stamp,
            image=start.spec.get("image", ""),
            image_id=f"{RUNTIME}://{start.spec.get('image', '')}",
        )
        run = _Run(does, now, container)
        # The runs before the last one are of no interest to anybody.
        earlier = [run for run in self._runs if run.container.name == name][:1]
        self._runs = [run, *earlier, *(run for run in self._runs if run.container.name != name)]
        if does.log:
            lines = [(attempt, clock.time_seconds(), line) for line in does.log.splitlines()]
            self._logs.setdefault(name, []).extend(lines)
        self._node.event(self.pod, "Normal", "Started", "Container started", container=name)
        moments = (does.run_seconds, does.ready_seconds, does.live_seconds)
        return min((moment for moment in moments if 0 < moment < math.inf), default=None)

    def _warn(self, reason: str, message: str, container: str) -> None:
        self._node.event(self.pod, "Warning", reason, message, container=container)

    def _ended_at(self, container: Container) -> float:
        return clock.monotonic() - max(0.0, clock.time_seconds() - container.finished_at / 1e9)

    def _end(self, run: _Run, code: int, reason: str = "") -> None:
        run.container = replace(run.container, state="exited", finished_at=_nanoseconds(), exit_code=code, reason=reason)
        self._stopping.pop(run.container.id, None)

    def _kill_all(self) -> None:
        for run in self._runs:
            if run.container.running:
                self._end(run, KILLED)
        self._sandboxes = [replace(sandbox, ready=False) for sandbox in self._sandboxes]

    async def _terminate(self) -> float | None:
        """End everything as it likes to be ended, at most for the grace period; then let go of the API's pod."""
        now = clock.monotonic()
        grace = float(self.pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        running = [run for run in self._runs if run.container.running]
        for run in running:
            likes = run.behaviour.stop_seconds
            due = self._stopping.setdefault(run.container.id, now + min(likes, grace))
            if due <= now:
                self._end(run, 0 if likes <= grace else KILLED)
        left = [self._stopping[run.container.id] - now for run in running if run.container.running]
        if left:
            await self._publish(now, terminating=True, terminated=False)
            return min(left)
        self._kill_all()
        await self._publish(now, terminating=True, terminated=True)
        await self._node.client.delete_if_exists(
            "pods", meta.name(self.pod), meta.namespace(self.pod), uid=self.uid, grace_period_seconds=0
        )
        # Finalizers may hold what is left of it.
        return math.inf

    # What is known of it

    def _runtime(self) -> RuntimePod:
        containers = tuple(run.container for run in self._runs)
        return RuntimePod(self.uid, meta.name(self.pod), meta.namespace(self.pod), tuple(self._sandboxes), containers)

    def _probes(self, now: float) -> Mapping[str, SimulatedProbes]:
        return {
            run.container.id: SimulatedProbes(
                is_ready=now >= run.began + run.behaviour.ready_seconds, is_alive=now < run.began + run.behaviour.live_seconds
            )
            for run in self._runs
            if run.container.running
        }

    async def _publish(self, now: float, *, terminating: bool, terminated: bool) -> None:
        """Tell the API, if there is anything new."""
        view = View(
            now=clock.now(),
            host_ip=self._node.address,
            probes=self._probes(now),
            waiting=self._waiting,
            runtime_name=RUNTIME,
            terminating=terminating,
            terminated=terminated,
        )
        new = status.make(self.pod, self._runtime(), view)
        if new == self._published:
            return
        patch = status.patch(self.pod.get("status") or {}, new, self.uid)
        if patch is not None:
            known = meta.resource_version(self.pod)
            written = await self._node.client.patch(
                "pods", meta.name(self.pod), patch, meta.namespace(self.pod), patch_type="strategic", subresource="status"
            )
            # The answer may be the first that tells of a deletion, or of what somebody else has said meanwhile.
            if meta.resource_version(written) > meta.resource_version(self.pod):
                # Otherwise the informer was quicker, whose copy is everybody's.
                self._take(written)
            if meta.resource_version(written) > known and _is_contradicted(new, written):
                self._wake.set()
                return
        self._published = new


def _is_contradicted(told: Object, pod: Object) -> bool:
    """Whether the API's pod has other conditions than the node has told last, or another phase."""
    now = pod.get("status") or {}
    if told.get("phase") != now.get("phase"):
        return True
    there = {condition["type"]: condition["status"] for condition in now.get("conditions") or ()}
    return any(there.get(condition["type"]) != condition["status"] for condition in told.get("conditions") or ())


def _nanoseconds() -> int:
    return int(clock.time_seconds() * 1e9)
