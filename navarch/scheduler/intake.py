"""What happens in the cluster goes into the scheduler's snapshot and its queue: informers are followed here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from navarch.api import registry
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.scheduler import events
from navarch.scheduler.events import Action
from navarch.scheduler.framework import WaitingPod
from navarch.scheduler.podinfo import DEFAULT_SCHEDULER_NAME, PodInfo
from navarch.scheduler.queue import SchedulingQueue
from navarch.scheduler.snapshot import Snapshot

TERMINAL_PHASES = ("Succeeded", "Failed")


class Intake:
    """Follows nodes, namespaces and pods, and whatever plugins ask for."""

    def __init__(
        self,
        informers: Informers,
        snapshot: Snapshot,
        queue: SchedulingQueue,
        profiles: Collection[str],
        waiting_pods: Mapping[str, WaitingPod],
        *,
        wake: Callable[[], None],
        forgotten: Callable[[str], object],
    ) -> None:
        """`profiles`: the names of schedulers whose pods are ours. `wake` is called when a pod may be ready to be tried;
        `forgotten` with the uid of one that will not be tried any more."""
        self._informers = informers
        self._snapshot = snapshot
        self._queue = queue
        self._profiles = profiles
        self._waiting_pods = waiting_pods
        self._wake = wake
        self._forgotten = forgotten
        self._followed: set[str] = set()
        self.assumed: set[str] = set()
        """Pods, by uid, that count to a node though they have not been seen bound."""

    async def start(self) -> None:
        """Take in the cluster."""
        for resource in ("nodes", "namespaces", "pods"):
            self._informers.get(resource)
        await self._informers.wait_synced()
        self._informers.get("namespaces").add_handler(self._namespace_changed)
        self._informers.get("nodes").add_handler(self._node_changed)
        self._informers.get("pods").add_handler(self._pod_changed)

    def follow(self, resource: str) -> None:
        """Make changes of other objects, which a plugin asked for, events too."""
        own = (events.POD, events.ASSIGNED_POD, events.NODE, events.NAMESPACE)
        if resource in own or resource in self._followed or resource not in {kind.resource for kind in registry.kinds()}:
            return
        self._followed.add(resource)

        def changed(old: Object | None, new: Object | None) -> None:
            action = Action.ADD if old is None else Action.DELETE if new is None else Action.UPDATE
            self.happened(resource, action, old, new)

        self._informers.get(resource).add_handler(changed)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None or _is_terminal(new):
            obj = new if new is not None else old
            assert obj is not None
            self._pod_gone(obj)
        elif new["spec"].get("nodeName"):
            self._pod_assigned(old, new)
        elif (new["spec"].get("schedulerName") or DEFAULT_SCHEDULER_NAME) not in self._profiles:
            pass
        elif meta.being_deleted(new):
            self._forget(meta.uid(new))
        elif meta.uid(new) not in self.assumed:
            self._pod_waits(old, new)
        elif (queued := self._queue.get(meta.uid(new))) is not None:
            queued.info.pod = new  # Its status may be newer.

    def _pod_waits(self, old: Object | None, new: Object) -> None:
        queued = self._queue.get(meta.uid(new))
        if old is not None and queued is not None and not _schedules_differently(old, new):
            queued.info.pod = new  # Its status may be newer.
            return
        info, now = PodInfo(new), clock.monotonic()
        nominated = info.nominated_node_name
        before = meta.get_path(old, "status", "nominatedNodeName") if old is not None else None
        if nominated and nominated != before:
            self._snapshot.nominate(info, nominated)
        elif before and not nominated and self._snapshot.nomination_of(info.uid) == before:
            self._snapshot.forget_nomination(info.uid)
        self._queue.set(info, now)
        if old is not None:
            actions = events.pod_actions(old, new)
            if actions:
                self.happened(events.POD, actions, old, new)
        self._wake()

    def _forget(self, uid: str) -> None:
        self._queue.delete(uid, clock.monotonic())
        self._snapshot.forget_nomination(uid)
        self._forgotten(uid)
        waiting = self._waiting_pods.get(uid)
        if waiting is not None:
            waiting.reject("", "there is nothing to wait for any more")

    def _pod_gone(self, pod: Object) -> None:
        uid = meta.uid(pod)
        was_counted = self._snapshot.placed(uid) is not None
        self._snapshot.remove_pod(uid)
        self.assumed.discard(uid)
        self._forget(uid)
        if was_counted:
            self.happened(events.ASSIGNED_POD, Action.DELETE, pod, None)

    def _pod_assigned(self, old: Object | None, new: Object) -> None:
        uid = meta.uid(new)
        placed = self._snapshot.placed(uid)
        is_new = old is None or not old["spec"].get("nodeName")
        if old is not None and not is_new and placed is not None and not _schedules_differently(old, new):
            placed.info.pod = new
            return
        was_assumed, node = uid in self.assumed, new["spec"]["nodeName"]
        if (
            was_assumed
            and placed is not None
            and old is not None
            and _is_but_bound(old, new)
            and placed.info.labels == meta.labels(new)
            and self._snapshot.names[placed.row] == node
        ):
            # As it was assumed. The pod as it was before is not kept, not even by the snapshot's log.
            placed.info.pod, placed.info.node_name = new, node
        else:
            self._snapshot.add_pod(PodInfo(new), node)
        self.assumed.discard(uid)
        self._forget(uid)
        if old is None or is_new:
            if not was_assumed:
                self.happened(events.ASSIGNED_POD, Action.ADD, None, new)
        else:
            actions = events.pod_actions(old, new)
            if actions:
                self.happened(events.ASSIGNED_POD, actions, old, new)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            assert old is not None
            self._snapshot.remove_node(meta.name(old))
            self.happened(events.NODE, Action.DELETE, old, None)
            return
        actions = Action.ADD if old is None else events.node_actions(old, new)
        if actions or old is None or meta.get_path(old, "status", "images") != meta.get_path(new, "status", "images"):
            self._snapshot.set_node(new)
        else:
            self._snapshot.refresh_node(new)
        if actions:
            self.happened(events.NODE, actions, old, new)

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            assert old is not None
            self._snapshot.set_namespace(meta.name(old), None)
        elif old is None or meta.labels(old) != meta.labels(new):
            self._snapshot.set_namespace(meta.name(new), meta.labels(new))
            self.happened(events.NAMESPACE, Action.ADD if old is None else Action.LABEL, old, new)

    def happened(self, resource: str, actions: Action, old: Object | None, new: Object | None) -> None:
        if self._queue.happened(resource, actions, old, new):
            self._wake()


def _is_but_bound(old: Object, new: Object) -> bool:
    """Whether of what the scheduler has read of a pod nothing has changed but the node, and labels that come with it."""
    before, after = old["metadata"], new["metadata"]
    return bool(
        before.get("generation") == after.get("generation")
        and ("deletionTimestamp" in before) == ("deletionTimestamp" in after)
        and before.get("ownerReferences") == after.get("ownerReferences")
    )


def _is_terminal(pod: Object) -> bool:
    return (pod.get("status") or meta.EMPTY).get("phase") in TERMINAL_PHASES


def _schedules_differently(old: Object, new: Object) -> bool:
    """Whether a change of a pod matters to the scheduler."""
    before, after = old.get("status") or meta.EMPTY, new.get("status") or meta.EMPTY
    return (
        meta.uid(old) != meta.uid(new)
        or not events.has_same_spec(old, new)
        or meta.labels(old) != meta.labels(new)
        or meta.being_deleted(old) != meta.being_deleted(new)
        or before.get("nominatedNodeName") != after.get("nominatedNodeName")
        or before.get("resourceClaimStatuses") != after.get("resourceClaimStatuses")
        or bool(events.pod_actions(old, new) & Action.POD_SCALE_DOWN)
    )
