"""The scheduler's shell: pods are taken from the queue, and decisions become bindings.

A decision is taken between two events of the loop, on a snapshot that nothing else changes meanwhile; the pod is then assumed
to be on its node, and the binding is written while the next pod is decided. A binding that fails is undone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from navarch.apimachinery.errors import Object
from navarch.client.client import Client
from navarch.client.eventseries import EventSeriesRecorder
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.component.tasks import Tasks
from navarch.scheduler import binding, events, preemption
from navarch.scheduler import explain as explaining
from navarch.scheduler.binding import Assumed
from navarch.scheduler.configuration import Configuration
from navarch.scheduler.cycle import Decision, any_fit, feasible_rows, may_fit, run_scores, schedule
from navarch.scheduler.events import Action, EventHint
from navarch.scheduler.extender import Extender, ExtenderError, filter_all, prioritize_all
from navarch.scheduler.framework import Code, Handle, IntArray, Plugin, Reuse, Status, WaitingPod
from navarch.scheduler.intake import Intake
from navarch.scheduler.isolation import PluginError
from navarch.scheduler.nearmisses import near_misses
from navarch.scheduler.plugins import IN_TREE
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.profiles import build
from navarch.scheduler.queue import Queued, Rules, SchedulingQueue
from navarch.scheduler.reporting import SCHEDULER_ERROR, SCHEDULING_GATED, UNSCHEDULABLE, patch_status, report
from navarch.scheduler.runtime import Fit, unavailable
from navarch.scheduler.snapshot import Snapshot
from navarch.scheduler.vectors import Templates

logger = logging.getLogger(__name__)

DECISIONS_BEFORE_YIELD = 128
SECONDS_BEFORE_YIELD = 0.010
"""How many pods are decided before other tasks get a turn, and for how long at most. Whoever makes pods is one of them: what
takes longer to decide than to make would wait in a queue that grows."""
BINDINGS_IN_FLIGHT = 200


class Engine:
    """Everything that runs while the scheduler runs."""

    def __init__(
        self, client: Client, informers: Informers, configuration: Configuration | None = None, host: str = ""
    ) -> None:
        """`host` is where it runs, for its Events. Raises ConfigurationError."""
        configuration = configuration or Configuration()
        self._client = client
        self._informers = informers
        self._tasks = Tasks("scheduler")
        self._bindings = asyncio.Semaphore(BINDINGS_IN_FLIGHT)
        self._wakeup = asyncio.Event()
        self.snapshot = Snapshot()
        self.templates = Templates(self.snapshot)
        self._recorders = {
            profile.scheduler_name: EventSeriesRecorder(client, profile.scheduler_name, host, action="Scheduling")
            for profile in configuration.profiles
        }
        self._looked_at: dict[str, tuple[int, int, int]] = {}
        """Of pods that wait for room on a node, by uid: the node's row, and what was its last change when it was looked at."""
        self.handle = Handle(
            client,
            informers,
            self.snapshot,
            next(iter(self._recorders.values())),
            clock.random,
            clock.monotonic,
            activate=self._activate,
            start=self._start,
            register=self._register,
        )
        self._extenders = [Extender(config) for config in configuration.extenders]
        known = {**IN_TREE, **configuration.more_plugins}
        self.profiles = {
            profile.scheduler_name: build(profile, self._handle_of(profile.scheduler_name), known, f"profiles[{number}]")
            for number, profile in enumerate(configuration.profiles)
        }
        self._hints = {
            (name, plugin.name): _hints(plugin) for name, found in self.profiles.items() for plugin in found.plugins.values()
        }
        (sorter,) = next(iter(self.profiles.values())).points["queueSort"]
        rules = Rules(sorter.sort_key, self._hints_of, self._pre_enqueue, self._is_shared, self._may_fit)
        self.queue = SchedulingQueue(
            rules,
            backoff_initial_seconds=configuration.backoff_initial_seconds,
            backoff_max_seconds=configuration.backoff_max_seconds,
        )
        self._intake = Intake(
            informers,
            self.snapshot,
            self.queue,
            self.profiles,
            self.handle.waiting_pods,
            wake=self._wakeup.set,
            forgotten=lambda uid: self._looked_at.pop(uid, None),
        )

    def _handle_of(self, profile: str) -> Handle:
        return replace(self.handle, recorder=self._recorders[profile])

    async def start(self) -> None:
        """Take in the cluster and begin."""
        await self._intake.start()
        for hints in self._hints.values():
            for hint in hints or ():
                self._intake.follow(hint.event.resource)
        self._tasks.run_forever(self._run, name="scheduling")

    async def stop(self) -> None:
        await self._tasks.stop()
        for recorder in self._recorders.values():
            await recorder.stop()
        for extender in self._extenders:
            await extender.stop()
        for framework in self.profiles.values():
            framework.stop()

    # What the queue asks.

    def _hints_of(self, pod: PodInfo, plugin: str) -> Sequence[EventHint] | None:
        return self._hints.get((pod.scheduler_name, plugin))

    def _is_shared(self, pod: PodInfo, plugins: Collection[str]) -> bool:
        found = self.profiles[pod.scheduler_name].plugins
        return all(name in found and found[name].reuse(pod) is not Reuse.NEVER for name in plugins)

    def _may_fit(self, pod: PodInfo) -> bool:
        """Whether a pod that something may have helped has a chance now: if so, it is tried, if not, nobody is told again."""
        framework, snapshot = self.profiles[pod.scheduler_name], self.snapshot
        row = snapshot.rows.get(snapshot.nomination_of(pod.uid))
        try:
            if row is None:
                return may_fit(framework, self.templates, pod) or preemption.may_help(pod, snapshot)
            if self._looked_at.get(pod.uid) == (row, snapshot.changed_at(row), snapshot.layout) and not any_fit(
                framework, self.templates, pod
            ):
                return False  # Room is kept for it where nothing has changed since, and there is none elsewhere.
            found = may_fit(framework, self.templates, pod)
            self._looked_at[pod.uid] = (row, snapshot.changed_at(row), snapshot.layout)
            return found
        except PluginError:
            return True

    def _pre_enqueue(self, pod: PodInfo) -> Status | None:
        try:
            status = self.profiles[pod.scheduler_name].pre_enqueue(pod)
        except PluginError as error:
            self._recorders[pod.scheduler_name].event(pod.pod, "Warning", "FailedScheduling", str(error))
            return Status(Code.ERROR, (str(error),), error.plugin)
        if status is not None and status.plugin == "SchedulingGates":
            message = "Scheduling is blocked due to non-empty scheduling gates"
            self._tasks.start(report(self._client, pod, SCHEDULING_GATED, message), name=f"report {pod.key}")
        return status

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.start(work, name=name)

    def _register(self, resource: str) -> None:
        self._intake.follow(resource)

    def _activate(self, uids: Iterable[str]) -> None:
        self.queue.activate(uids, clock.monotonic())
        self._wakeup.set()

    def explain(self, namespace: str, name: str) -> Object:
        """What every plugin says of a pod and every node. Raises LookupError."""
        pod = self._informers.get("pods").get(f"{namespace}/{name}")
        if pod is None:
            raise LookupError
        info = PodInfo(pod)
        framework = self.profiles.get(info.scheduler_name)
        if framework is None:
            raise LookupError(f"the pod is another scheduler's: {info.scheduler_name}")
        try:
            found = explaining.explain(framework, self.snapshot, info)
        except PluginError as error:
            raise LookupError(str(error)) from error
        told = explaining.as_object(found, self.snapshot, near_misses(found, self.snapshot))
        queued, placed = self.queue.get(info.uid), self.snapshot.placed(info.uid)
        if placed is not None:
            told["node"] = self.snapshot.names[placed.row]
        elif queued is not None:
            status = self._gate(info)
            gate = {} if status is None else {"gatedBy": status.plugin, "gate": status.message}
            told["queue"] = {"place": queued.place or "scheduling", "attempts": queued.attempts, **gate}
        return told

    def _gate(self, pod: PodInfo) -> Status | None:
        try:
            return self.profiles[pod.scheduler_name].pre_enqueue(pod)
        except PluginError as error:
            return Status(Code.ERROR, (str(error),), error.plugin)

    # Decisions.

    async def _run(self) -> None:
        decided, since = 0, clock.monotonic()
        while True:
            now = clock.monotonic()
            if decided == DECISIONS_BEFORE_YIELD or now - since > SECONDS_BEFORE_YIELD:
                await asyncio.sleep(0)
                decided, since = 0, clock.monotonic()
            queued = self.queue.pop(now)
            if queued is None:
                await self._wait()
                decided, since = 0, clock.monotonic()
                continue
            extenders = [extender for extender in self._extenders if extender.is_interested(queued.info)]
            if extenders:
                await self._decide_with(queued, extenders)
            else:
                self._decide(queued)
            decided += 1
            if self._bindings.locked():
                async with self._bindings:
                    pass  # Decisions must not run away from the bindings.

    async def _wait(self) -> None:
        """Until something changes or a pod's back-off has passed."""
        self._wakeup.clear()
        wake_at = self.queue.next_wake()
        try:
            async with asyncio.timeout(None if wake_at is None else max(wake_at - clock.monotonic(), 0.001)):
                await self._wakeup.wait()
        except TimeoutError:
            pass

    def _decide(self, queued: Queued) -> None:
        pod = queued.info
        framework = self.profiles[pod.scheduler_name]
        # Its own nomination takes no room from it.
        nominated = self.snapshot.forget_nomination(pod.uid)
        try:
            decision = schedule(framework, self.templates, pod, clock.random(), nominated)
            if decision.node:
                self._assume(queued, Assumed(framework, decision.filtered.state, pod, decision.node))
            else:
                self._unschedulable(queued, decision, nominated)
        except PluginError as error:
            self._failed(queued, str(error))
        except Exception as error:
            logger.exception("scheduling %s failed", pod.key)
            self._failed(queued, f"{type(error).__name__}: {error}")

    async def _decide_with(self, queued: Queued, extenders: Sequence[Extender]) -> None:
        """Decide with others' help. Meanwhile things may change: the node that is chosen is looked at once more."""
        pod = queued.info
        framework = self.profiles[pod.scheduler_name]
        nominated = self.snapshot.forget_nomination(pod.uid)
        try:
            rows, fit, filtered = feasible_rows(framework, self.templates, pod)
            left = await self._asked(extenders, pod, rows, fit) if len(rows) else []
            if self.queue.get(pod.uid) is not queued:
                return  # Gone, or bound by somebody else.
            if not left:
                self._unschedulable(queued, Decision("", fit, filtered), nominated)
                return
            nodes = self._nodes_of(left)
            extra = await prioritize_all(extenders, pod, nodes) if len(nodes) > 1 else {}
            if self.queue.get(pod.uid) is not queued:
                return
            rows, fit, filtered = feasible_rows(framework, self.templates, pod)
            rows = np.array([row for row in rows.tolist() if self.snapshot.names[row] in nodes], np.int64)
            if not len(rows):
                self.queue.put_back_failed(queued, clock.monotonic())  # Somebody was faster.
                return
            totals = run_scores(framework, filtered.state.clone(), pod, self.snapshot, rows)
            totals = totals + np.array([extra.get(self.snapshot.names[row], 0) for row in rows.tolist()], np.int64)
            best = rows[totals == totals.max()].tolist()
            node = self.snapshot.names[best[clock.random().randrange(len(best))]]
            self._assume(queued, Assumed(framework, filtered.state, pod, node, self._binder(extenders)))
        except (PluginError, ExtenderError) as error:
            self._failed(queued, str(error))
        except Exception as error:
            logger.exception("scheduling %s failed", pod.key)
            self._failed(queued, f"{type(error).__name__}: {error}")

    async def _asked(self, extenders: Sequence[Extender], pod: PodInfo, rows: IntArray, fit: Fit) -> list[str]:
        """The nodes that extenders leave; the reasons for the others go into `fit`."""
        names = [self.snapshot.names[row] for row in rows.tolist()]
        left = await filter_all(extenders, pod, self._nodes_of(names))
        for name, reason in left.reasons.items():
            fit.reasons[reason] += 1
            row = self.snapshot.rows.get(name)
            if row is not None and name not in left.unresolvable and row < len(fit.resolvable):
                fit.resolvable[row] = True
        fit.plugins.add("Extender")
        return left.names

    def _nodes_of(self, names: Iterable[str]) -> dict[str, Object]:
        found = ((name, self.snapshot.rows.get(name)) for name in names)
        known = ((name, self.snapshot.nodes[row]) for name, row in found if row is not None)
        return {name: node for name, node in known if node is not None}

    @staticmethod
    def _binder(extenders: Sequence[Extender]) -> Extender | None:
        return next((extender for extender in extenders if extender.config.bind_verb), None)

    def _assume(self, queued: Queued, assumed: Assumed) -> None:
        """The pod counts to its node from now on; Reserve and Permit may still object."""
        pod = assumed.pod
        node = self.snapshot.nodes[self.snapshot.rows[assumed.node]]
        self.snapshot.add_pod(pod if node is None else pod.bound_to(node), assumed.node)
        self._intake.assumed.add(pod.uid)
        try:
            answer = binding.begin(assumed, self.handle)
        except PluginError:
            self._give_up(assumed)
            raise
        if isinstance(answer, Status):
            self._give_up(assumed)
            self._rejected(queued, answer)
            return
        self.queue.placed(queued, clock.monotonic())
        self._tasks.start(self._bind(queued, assumed, answer), name=f"bind {pod.key}")

    def _unschedulable(self, queued: Queued, decision: Decision, nominated_before: str) -> None:
        pod, fit = queued.info, decision.fit
        message = fit.message
        outcome = self.profiles[pod.scheduler_name].post_filter(decision.filtered, pod, fit) if fit.nodes else None
        nominated = ""
        if outcome is not None:
            nominated = nominated_before if outcome.nominated_node is None else outcome.nominated_node
            if outcome.message:
                message = f"{message} {outcome.message}"
        if nominated:
            self._nominate(pod, nominated)
        self.queue.put_back(queued, fit.plugins, clock.monotonic(), got_somewhere=bool(nominated))
        if outcome is not None and outcome.prepare is not None:
            self._tasks.start(self._prepare(pod, outcome.prepare()), name=f"preempt for {pod.key}")
        self._tell(pod, UNSCHEDULABLE, message, nominated)

    def _tell(self, pod: PodInfo, reason: str, message: str, nominated: str = "") -> None:
        """Why the pod could not be scheduled. Where it was going, it is no longer, unless that is said again."""
        self._recorders[pod.scheduler_name].event(pod.pod, "Warning", "FailedScheduling", message)
        self._tasks.start(report(self._client, pod, reason, message, nominated), name=f"report {pod.key}")

    def _nominate(self, pod: PodInfo, node: str) -> None:
        """Keep the room on `node` for `pod`, and for none of lower priority that hoped for it."""
        row = self.snapshot.rows.get(node)
        for uid, info in list(self.snapshot.nominated.get(-1 if row is None else row, {}).items()):
            if info.priority < pod.priority:
                self.snapshot.forget_nomination(uid)
                self._tasks.start(self._denominate(info), name=f"nomination of {info.key}")
        self.snapshot.nominate(pod, node)

    async def _denominate(self, pod: PodInfo) -> None:
        await patch_status(self._client, pod, {"nominatedNodeName": None})

    async def _prepare(self, pod: PodInfo, work: object) -> None:
        """Make room; the pod is then tried again, as soon as the room is there."""
        assert asyncio.iscoroutine(work)
        try:
            await work
        finally:
            queued = self.queue.get(pod.uid)
            if queued is not None and (queued.place == "gated" or not self.snapshot.nomination_of(pod.uid)):
                self._activate((pod.uid,))
            elif queued is not None:
                self.queue.stir(pod.uid)
                self._wakeup.set()

    def _rejected(self, queued: Queued, status: Status) -> None:
        """Reserve or Permit said no."""
        self.queue.put_back(queued, {status.plugin}, clock.monotonic())
        self._wakeup.set()
        # Only the chosen node was asked about.
        self._tell(queued.info, UNSCHEDULABLE, unavailable(1, {status.message: 1}))

    def _failed(self, queued: Queued, message: str, reason: str = SCHEDULER_ERROR) -> None:
        """Something went wrong; the pod is tried again after a while."""
        self.queue.put_back_failed(queued, clock.monotonic())
        self._wakeup.set()
        self._tell(queued.info, reason, message)

    # Bindings.

    async def _bind(self, queued: Queued, assumed: Assumed, waiting: WaitingPod | None) -> None:
        pod, is_asked, is_permitted = assumed.pod, False, False
        as_decided = pod.pod  # When it is bound, it may have been seen bound already.
        try:
            busy = binding.pre_flight(assumed)
            if (busy or waiting is not None) and pod.nominated_node_name != assumed.node:
                # It takes a while: who looks at the pod, or schedules after us, is told where it is going.
                pod.pod = await patch_status(self._client, pod, {"nominatedNodeName": assumed.node}) or pod.pod
            status = await binding.wait_on_permit(waiting, self.handle) if waiting is not None else None
            is_permitted = status is None
            if status is None:
                # Who waits for volumes keeps nobody else from being bound.
                status = await binding.prepare(assumed, busy)
            if status is None:
                async with self._bindings:
                    is_asked = True
                    status = await binding.finish(assumed)
        except PluginError as error:
            status = Status(Code.ERROR, (str(error),), error.plugin)
        if status is None:
            self.queue.delete(pod.uid, clock.monotonic())
            note = f"Successfully assigned {pod.key} to {assumed.node}"
            self._recorders[pod.scheduler_name].event(as_decided, "Normal", "Scheduled", note, action="Binding")
            return
        if pod.uid not in self._intake.assumed:
            # Seen bound, or gone, in the meantime; if bound as we asked, then it is only the answer that is missing.
            placed = self.snapshot.placed(pod.uid)
            if not is_asked or placed is None or self.snapshot.names[placed.row] != assumed.node:
                self._unreserve(assumed)
            return
        self._give_up(assumed)
        if self.queue.get(pod.uid) is None:
            return
        if status.is_rejected and not is_permitted:
            self._rejected(queued, status)
        else:
            logger.info("cannot bind %s to %s: %s", pod.key, assumed.node, status.message)
            self._failed(queued, status.message, UNSCHEDULABLE if status.is_rejected else SCHEDULER_ERROR)

    def _give_up(self, assumed: Assumed) -> None:
        """The pod is not going to its node after all."""
        self._unreserve(assumed)
        self._intake.assumed.discard(assumed.pod.uid)
        self.snapshot.remove_pod(assumed.pod.uid)
        self._intake.happened(events.ASSIGNED_POD, Action.DELETE, assumed.pod.pod, None)

    @staticmethod
    def _unreserve(assumed: Assumed) -> None:
        for error in assumed.framework.unreserve(assumed.state, assumed.pod, assumed.node):
            logger.error("%s", error)


def _hints(plugin: Plugin) -> Sequence[EventHint] | None:
    if type(plugin).events_to_register is Plugin.events_to_register:
        return None
    return plugin.events_to_register()
