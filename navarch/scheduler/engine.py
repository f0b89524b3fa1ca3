"""The scheduler's shell: informers fill the snapshot and the queue, decisions become bindings.

A decision is taken between two events of the loop, on a snapshot that nothing else changes meanwhile; the pod is then assumed
to be on its node, and the binding is written while the next pod is decided. A binding that fails is undone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from navarch.api import registry
from navarch.apimachinery import meta, selectors
from navarch.apimachinery.errors import Object, StatusError
from navarch.apimachinery.selectors import Selector
from navarch.client.client import Client
from navarch.client.events import EventRecorder
from navarch.client.informer import Informer, Informers
from navarch.component import clock
from navarch.component.tasks import Tasks
from navarch.scheduler import preemption
from navarch.scheduler.cycle import schedule
from navarch.scheduler.events import ClusterEvent, node_events
from navarch.scheduler.framework import Fit
from navarch.scheduler.plugins import default_plugins
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.queue import Queued, SchedulingQueue
from navarch.scheduler.snapshot import Snapshot

logger = logging.getLogger(__name__)

NAME = "default-scheduler"
DECISIONS_BEFORE_YIELD = 8
"""How many pods are decided before other tasks get a turn."""
BINDINGS_IN_FLIGHT = 200
SELECTOR_CACHE_LIMIT = 4096
TERMINAL_PHASES = ("Succeeded", "Failed")
OWNERS = {
    "ReplicaSet": "replicasets.apps",
    "StatefulSet": "statefulsets.apps",
    "ReplicationController": "replicationcontrollers",
}
BUDGETS = "poddisruptionbudgets.policy"


class Engine:
    """Everything that runs while the scheduler runs."""

    def __init__(self, client: Client, informers: Informers) -> None:
        self._client = client
        self._informers = informers
        self._plugins = default_plugins(self._default_selector)
        self._recorder = EventRecorder(client, NAME)
        self._tasks = Tasks("scheduler")
        self._bindings = asyncio.Semaphore(BINDINGS_IN_FLIGHT)
        self._wakeup = asyncio.Event()
        self.snapshot = Snapshot()
        self.queue = SchedulingQueue({plugin.name: plugin.events for plugin in self._plugins})
        self._assumed: set[str] = set()
        self._nominated: dict[str, tuple[PodInfo, str]] = {}
        self._default_selectors: dict[tuple[str, frozenset[tuple[str, str]], str], Selector | None] = {}
        self._owners: dict[str, Informer] = {}

    async def start(self) -> None:
        """Take in the cluster and begin."""
        known = {kind.resource for kind in registry.kinds()}
        nodes, pods = self._informers.get("nodes"), self._informers.get("pods")
        namespaces, services = self._informers.get("namespaces"), self._informers.get("services")
        self._owners = {kind: self._informers.get(name) for kind, name in OWNERS.items() if name in known}
        self._informers.get(BUDGETS)
        for informer in (nodes, namespaces, services, pods, *self._owners.values()):
            await informer.wait_synced()
        namespaces.add_handler(self._namespace_changed)
        nodes.add_handler(self._node_changed)
        for informer in (services, *self._owners.values()):
            informer.add_handler(self._selecting_changed)
        pods.add_handler(self._pod_changed)
        self._tasks.run_forever(self._run, name="scheduling")

    async def stop(self) -> None:
        await self._tasks.stop()
        await self._recorder.stop()

    # What happens in the cluster.

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None or _is_terminal(new):
            obj = new if new is not None else old
            assert obj is not None
            self._pod_gone(obj)
        elif new["spec"].get("nodeName"):
            self._pod_assigned(old, new)
        elif new["spec"].get("schedulerName", NAME) != NAME:
            pass
        elif meta.being_deleted(new):
            self.queue.delete(meta.uid(new))
            self._nominated.pop(meta.uid(new), None)
        elif meta.uid(new) not in self._assumed and (old is None or _schedules_differently(old, new)):
            info = PodInfo(new)
            if info.nominated_node_name:
                self._nominated[info.uid] = (info, info.nominated_node_name)
            self.queue.set(info, clock.monotonic())
            self._wakeup.set()
        else:
            queued = self.queue.get(meta.uid(new))
            if queued is not None:
                queued.info.pod = new  # Its status may be newer.

    def _pod_gone(self, pod: Object) -> None:
        uid = meta.uid(pod)
        was_counted = self.snapshot.placed(uid) is not None
        self.snapshot.remove_pod(uid)
        self.queue.delete(uid)
        self._assumed.discard(uid)
        self._nominated.pop(uid, None)
        if was_counted:
            self._happened({ClusterEvent.POD_DELETE})

    def _pod_assigned(self, old: Object | None, new: Object) -> None:
        uid = meta.uid(new)
        placed = self.snapshot.placed(uid)
        is_new = old is None or not old["spec"].get("nodeName")
        if old is not None and not is_new and not _schedules_differently(old, new) and placed is not None:
            return
        self.snapshot.add_pod(PodInfo(new), new["spec"]["nodeName"])
        self.queue.delete(uid)
        self._nominated.pop(uid, None)
        if uid in self._assumed:
            self._assumed.discard(uid)
        elif is_new or (old is not None and meta.labels(old) != meta.labels(new)):
            self._happened({ClusterEvent.POD_ADD})

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            assert old is not None
            self.snapshot.remove_node(meta.name(old))
            return
        events = {ClusterEvent.NODE_ADD} if old is None else node_events(old, new)
        if events or old is None or meta.get_path(old, "status", "images") != meta.get_path(new, "status", "images"):
            self.snapshot.set_node(new)
        if events:
            self._happened(events)

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            assert old is not None
            self.snapshot.namespace_labels.pop(meta.name(old), None)
        elif old is None or meta.labels(old) != meta.labels(new):
            self.snapshot.namespace_labels[meta.name(new)] = meta.labels(new)
            self._happened({ClusterEvent.NAMESPACE_LABEL})

    def _selecting_changed(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or old.get("spec") != new.get("spec"):
            self._default_selectors.clear()

    def _happened(self, events: set[ClusterEvent]) -> None:
        self.queue.happened(events, clock.monotonic())
        self._wakeup.set()

    # Decisions.

    async def _run(self) -> None:
        decided = 0
        while True:
            queued = self.queue.pop(clock.monotonic())
            if queued is None:
                decided = 0
                await self._wait()
                continue
            try:
                self._decide(queued)
            except Exception:
                logger.exception("scheduling %s failed", queued.info.key)
                self.queue.put_back_failed(queued, clock.monotonic())
            decided += 1
            if decided % DECISIONS_BEFORE_YIELD == 0:
                await asyncio.sleep(0)
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
        nominated = [
            (info, node) for uid, (info, node) in self._nominated.items() if uid != pod.uid and info.priority >= pod.priority
        ]
        decision = schedule(self._plugins, pod, self.snapshot, clock.random(), nominated)
        if not decision.node:
            self._unschedulable(queued, decision.fit)
            return
        self.snapshot.add_pod(pod, decision.node)
        self._assumed.add(pod.uid)
        self._nominated.pop(pod.uid, None)
        self._tasks.start(self._bind(queued, decision.node), name=f"bind {pod.key}")

    def _unschedulable(self, queued: Queued, fit: Fit) -> None:
        pod, message = queued.info, fit.message
        nominated = ""
        if fit.nodes:
            budgets = self._informers.get(BUDGETS).list()
            outcome = preemption.find(self._plugins, pod, self.snapshot, fit, budgets, clock.random())
            if outcome.candidate is not None:
                nominated = outcome.candidate.node
                self._nominate(pod, nominated)
                self._tasks.start(self._preempt(pod, nominated, outcome.candidate.victims), name=f"preempt for {pod.key}")
            else:
                message = f"{message} {outcome.message}"
        self.queue.put_back(queued, fit.plugins, clock.monotonic())
        self._recorder.event(pod.pod, "Warning", "FailedScheduling", message)
        self._tasks.start(self._report(pod, "Unschedulable", message, nominated), name=f"report {pod.key}")

    def _nominate(self, pod: PodInfo, node: str) -> None:
        """Keep the room on `node` for `pod`, and for none of lower priority that hoped for it."""
        for uid, (info, name) in list(self._nominated.items()):
            if name == node and info.priority < pod.priority:
                del self._nominated[uid]
        self._nominated[pod.uid] = (pod, node)

    # Writes.

    async def _bind(self, queued: Queued, node: str) -> None:
        pod = queued.info
        binding: Object = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"kind": "Node", "name": node},
        }
        try:
            async with self._bindings:
                await self._client.create("pods", binding, pod.namespace, name=pod.name, subresource="binding")
        except (StatusError, OSError) as error:
            self._undo(queued)
            if isinstance(error, StatusError) and error.is_not_found:
                return  # The pod has gone; the informer will say so.
            logger.info("cannot bind %s to %s: %s", pod.key, node, error)
            message = f"binding rejected: {error}"
            self._recorder.event(pod.pod, "Warning", "FailedScheduling", message)
            await self._report(pod, "SchedulerError", message, "")
        else:
            self.queue.delete(pod.uid)
            self._recorder.event(pod.pod, "Normal", "Scheduled", f"Successfully assigned {pod.key} to {node}")

    def _undo(self, queued: Queued) -> None:
        uid = queued.info.uid
        if uid not in self._assumed:
            return  # Seen bound, or gone, in the meantime.
        self._assumed.discard(uid)
        self.snapshot.remove_pod(uid)
        self.queue.put_back_failed(queued, clock.monotonic())
        self._happened({ClusterEvent.POD_DELETE})

    async def _report(self, pod: PodInfo, reason: str, message: str, nominated: str) -> None:
        """Say in the pod's status why it waits."""
        present = meta.condition(pod.pod, "PodScheduled") or {}
        status: Object = {}
        if (present.get("status"), present.get("reason"), present.get("message")) != ("False", reason, message):
            since = present.get("lastTransitionTime") if present.get("status") == "False" else None
            status["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": reason,
                    "message": message,
                    "lastProbeTime": None,
                    "lastTransitionTime": since or clock.timestamp(),
                }
            ]
        if nominated and nominated != pod.nominated_node_name:
            status["nominatedNodeName"] = nominated
        if status:
            await self._patch_status(pod, status)

    async def _patch_status(self, pod: PodInfo, status: Object) -> None:
        patch = {"metadata": {"uid": pod.uid}, "status": status}
        try:
            await self._client.patch("pods", pod.name, patch, pod.namespace, patch_type="strategic", subresource="status")
        except StatusError as error:
            if not error.is_not_found and not error.is_conflict:
                logger.info("cannot write the status of %s: %s", pod.key, error.message)
        except OSError as error:
            logger.debug("cannot write the status of %s: %s", pod.key, error)

    async def _preempt(self, pod: PodInfo, node: str, victims: Sequence[PodInfo]) -> None:
        for victim in victims:
            if victim.is_terminating:
                continue
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "PreemptionByScheduler",
                "message": f"{NAME}: preempting to accommodate a higher priority pod",
                "lastTransitionTime": clock.timestamp(),
            }
            await self._patch_status(victim, {"conditions": [condition]})
            try:
                await self._client.delete_if_exists("pods", victim.name, victim.namespace, uid=victim.uid)
            except (StatusError, OSError) as error:
                logger.info("cannot preempt %s: %s", victim.key, error)
                self._nominated.pop(pod.uid, None)
                return
            self._recorder.event(victim.pod, "Normal", "Preempted", f"Preempted by pod {pod.uid} on node {node}")

    # Which pods belong together, where they don't say so themselves.

    def _default_selector(self, pod: PodInfo) -> Selector | None:
        owner = meta.controller_of(pod.pod)
        key = (pod.namespace, frozenset(pod.labels.items()), owner["uid"] if owner else "")
        if key not in self._default_selectors:
            if len(self._default_selectors) >= SELECTOR_CACHE_LIMIT:
                self._default_selectors.clear()
            self._default_selectors[key] = self._find_default_selector(pod, owner)
        return self._default_selectors[key]

    def _find_default_selector(self, pod: PodInfo, owner: Object | None) -> Selector | None:
        labels: dict[str, str] = {}
        for selector in self._service_selectors(pod.namespace):
            if all(pod.labels.get(name) == value for name, value in selector.items()):
                labels |= selector
        requirements = selectors.from_set(labels).requirements
        informer = self._owners.get(owner["kind"]) if owner else None
        controller = informer.get(f"{pod.namespace}/{owner['name']}") if informer is not None and owner else None
        if controller is not None and meta.uid(controller) == (owner or {}).get("uid"):
            selector = controller["spec"].get("selector")
            if controller["kind"] == "ReplicationController":
                requirements += selectors.from_set(selector).requirements
            else:
                requirements += selectors.from_label_selector(selector).requirements
        return Selector(requirements) if requirements else None

    def _service_selectors(self, namespace: str) -> Iterable[dict[str, str]]:
        for service in self._informers.get("services").list(namespace):
            selector = service["spec"].get("selector")
            if selector:
                yield selector


def _is_terminal(pod: Object) -> bool:
    return (pod.get("status") or meta.EMPTY).get("phase") in TERMINAL_PHASES


def _schedules_differently(old: Object, new: Object) -> bool:
    """Whether a change of a pod matters to the scheduler."""
    return (
        meta.uid(old) != meta.uid(new)
        or old["spec"] != new["spec"]
        or meta.labels(old) != meta.labels(new)
        or meta.being_deleted(old) != meta.being_deleted(new)
        or meta.get_path(old, "status", "nominatedNodeName") != meta.get_path(new, "status", "nominatedNodeName")
    )
