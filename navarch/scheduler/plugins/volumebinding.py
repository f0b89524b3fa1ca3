"""VolumeBinding: a pod goes where its volumes can be used, or can be found or made; on its way there they are bound to it.

Claims that do not wait for a pod must have been bound before. Of those that do, the node decides which volume they get.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.scheduler import volumes as facts
from navarch.scheduler.events import NODE, UPDATES, Action, EventHint, Hint, on
from navarch.scheduler.framework import SKIP, Code, CycleState, Handle, Plugin, Rejection, Reuse, Status, unschedulable
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.volumebinder import NotReady, Plan, PodClaims, VolumeBinder, volume_limit

logger = logging.getLogger(__name__)

BIND_TIMEOUT_SECONDS = 600
UNBOUND_IMMEDIATE = "pod has unbound immediate PersistentVolumeClaims"
CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
NO_VOLUME = "node(s) didn't find available persistent volumes to bind"
NO_SPACE = "node(s) did not have enough free storage"
MISSING = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


@dataclass(slots=True)
class Noted:
    """About one pod."""

    claims: PodClaims
    plan: Plan | None = None
    """What has been assumed."""


class VolumeBinding(Plugin):
    name = "VolumeBinding"
    args_defaults: ClassVar[Object] = {"bindTimeoutSeconds": BIND_TIMEOUT_SECONDS}

    def __init__(self, args: Object, handle: Handle) -> None:
        super().__init__(args, handle)
        self._timeout_seconds = float(args["bindTimeoutSeconds"])
        self._binder = VolumeBinder(handle.client, handle.informers)

    def events_to_register(self) -> Sequence[EventHint]:
        changed = Action.ADD | UPDATES
        return (
            on(facts.CLASSES, changed, _allows_more),
            on(facts.CLAIMS, changed, lambda pod, old, new: _queue_if(new is not None and facts.names_claim(pod, new))),
            on(facts.VOLUMES, changed),
            on(NODE, Action.ADD | Action.NODE_LABEL),
            on(facts.CSI_DRIVERS, UPDATES, _capacity_is_ignored),
            on(facts.CAPACITIES, changed, _has_more_capacity),
        )

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.NEVER if facts.uses_claims(pod) else Reuse.NODE

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        if not facts.uses_claims(pod):
            return SKIP
        problem = self._binder.problem(pod)
        if problem:
            return unschedulable(problem, is_resolvable=False)
        try:
            claims = self._binder.claims_of(pod)
        except ValueError as error:
            return Status(Code.ERROR, (str(error),))
        if claims.immediate:
            return unschedulable(UNBOUND_IMMEDIATE, is_resolvable=False)
        if self._binder.suits_all_nodes(claims):
            return SKIP
        state.write(self.name, Noted(claims))
        return None

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        answer = self._binder.judge(state.read(self.name, Noted).claims, nodes)
        yield Rejection(answer.conflict, CONFLICT, is_resolvable=False)
        yield Rejection(answer.no_volume, NO_VOLUME, is_resolvable=False)
        yield Rejection(answer.no_space, NO_SPACE, is_resolvable=False)
        yield Rejection(answer.missing, MISSING, is_resolvable=False)

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        noted = state.get(self.name)
        if noted is None or not noted.claims.delayed:
            return None
        snapshot = self.handle.snapshot
        plan = self._binder.plan(noted.claims, node_name, Nodes(snapshot, np.array([snapshot.rows[node_name]])))
        if not self._binder.assume(plan):
            return Status(Code.ERROR, ("a volume or claim has changed while it was being bound",))
        noted.plan = plan
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        noted = state.get(self.name)
        if noted is not None and noted.plan is not None:
            self._binder.revert(noted.plan)
            noted.plan = None

    def pre_bind_pre_flight(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        noted = state.get(self.name)
        return SKIP if noted is None or noted.plan is None else None

    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        noted = state.read(self.name, Noted)
        assert noted.plan is not None
        try:
            await self._binder.bind(noted.plan, pod, node_name, self._timeout_seconds)
        except NotReady as error:
            return Status(Code.ERROR, (f"binding volumes: {error}",))
        except TimeoutError:
            return Status(Code.ERROR, ("binding volumes: context deadline exceeded",))
        except (StatusError, OSError) as error:
            return Status(Code.ERROR, (str(error),))
        return None


def _queue_if(helps: object) -> Hint:
    return Hint.QUEUE if helps else Hint.SKIP


def _allows_more(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    return _queue_if(old is None or new is None or old.get("allowedTopologies") != new.get("allowedTopologies"))


def _capacity_is_ignored(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    """A driver does not tell any more how much room there is. Claims do not name their driver, so this may help any pod."""
    was, now = (((obj or meta.EMPTY).get("spec") or meta.EMPTY).get("storageCapacity") for obj in (old, new))
    return _queue_if(was and not now)


def _has_more_capacity(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    after = None if new is None else volume_limit(new)
    before = None if old is None else volume_limit(old)
    return _queue_if(old is None or (after is not None and (before is None or after > before)))
