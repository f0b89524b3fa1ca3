"""DefaultPreemption: make room for a pod by taking pods of lower priority off one node.

Whom to take is decided in the scheduling cycle (`navarch/scheduler/preemption.py`); they are deleted while other pods are
decided, and until that is done the pod is not tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar

from navarch.apimachinery.errors import Object, StatusError
from navarch.component import clock
from navarch.scheduler import preemption
from navarch.scheduler.events import ASSIGNED_POD, Action, EventHint, on
from navarch.scheduler.framework import CycleState, Handle, Plugin, PostFilterResult, Status, unschedulable
from navarch.scheduler.podinfo import PodInfo, PodTemplate
from navarch.scheduler.runtime import Failure

logger = logging.getLogger(__name__)

BUDGETS = "poddisruptionbudgets.policy"
PREPARING = "waiting for the preemption for this pod to be finished"
DELETIONS_IN_FLIGHT = 16
TEMPLATES_LIMIT = 64


class DefaultPreemption(Plugin):
    name = "DefaultPreemption"
    args_defaults: ClassVar[Object] = {"minCandidateNodesPercentage": 10, "minCandidateNodesAbsolute": 100}

    def __init__(self, args: Object, handle: Handle) -> None:
        super().__init__(args, handle)
        self._percentage = int(args["minCandidateNodesPercentage"])
        self._absolute = int(args["minCandidateNodesAbsolute"])
        self._budgets = handle.informers.get(BUDGETS)
        self._preparing: set[str] = set()
        self._budgets_seen = 0
        self._kept: OrderedDict[PodTemplate, preemption.Kept] = OrderedDict()
        self._budgets.add_handler(self._budget_changed)

    def _budget_changed(self, old: Object | None, new: Object | None) -> None:
        self._budgets_seen += 1

    def events_to_register(self) -> Sequence[EventHint]:
        return (on(ASSIGNED_POD, Action.DELETE),)

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        return unschedulable(PREPARING) if pod.uid in self._preparing else None

    def post_filter(self, state: CycleState, pod: PodInfo, failure: Failure) -> PostFilterResult | Status | None:
        fit = failure.fit
        if not fit.nodes:
            return None
        search = preemption.Search(failure.framework, failure.filtered, pod, self.handle.snapshot, self._budgets.list())
        outcome = preemption.find(
            search,
            fit,
            self.handle.random(),
            min_candidates=self._absolute,
            min_percentage=self._percentage,
            kept=self._known(pod),
        )
        candidate = outcome.candidate
        if candidate is None:
            return PostFilterResult("" if outcome.is_eligible else None, outcome.message)
        if all(victim.is_terminating for victim in candidate.victims):
            return PostFilterResult(candidate.node)
        self._preparing.add(pod.uid)
        scheduler = failure.framework.scheduler_name
        return PostFilterResult(
            candidate.node, prepare=lambda: self._prepare(pod, candidate.node, candidate.victims, scheduler)
        )

    def _known(self, pod: PodInfo) -> preemption.Kept:
        """What is known of nodes for pods of that template."""
        snapshot = self.handle.snapshot
        kept = self._kept.pop(pod.template, None)
        if kept is None or not kept.update(snapshot, self._budgets_seen):
            kept = preemption.Kept(snapshot.layout, snapshot.position, self._budgets_seen)
        self._kept[pod.template] = kept
        if len(self._kept) > TEMPLATES_LIMIT:
            self._kept.popitem(last=False)
        return kept

    async def _prepare(self, pod: PodInfo, node: str, victims: Sequence[PodInfo], scheduler: str) -> None:
        """Delete the victims. If one cannot be, the pod is free to look for others."""
        slots = asyncio.Semaphore(DELETIONS_IN_FLIGHT)

        async def remove(victim: PodInfo) -> None:
            async with slots:
                await self._remove(pod, node, victim, scheduler)

        try:
            await asyncio.gather(*(remove(victim) for victim in victims if not victim.is_terminating))
        except (StatusError, OSError) as error:
            logger.info("cannot preempt for %s: %s", pod.key, error)
            self.handle.snapshot.forget_nomination(pod.uid)
        finally:
            self._preparing.discard(pod.uid)

    async def _remove(self, pod: PodInfo, node: str, victim: PodInfo, scheduler: str) -> None:
        waiting = self.handle.waiting_pods.get(victim.uid)
        if waiting is not None:
            waiting.reject(self.name, "preempted")
        elif not await self._delete(victim, scheduler):
            return  # It has gone by itself.
        note = f"Preempted by pod {pod.uid} on node {node}"
        self.handle.recorder.event(victim.pod, "Normal", "Preempted", note, action="Preempting", related=pod.pod)

    async def _delete(self, victim: PodInfo, scheduler: str) -> bool:
        """Whether there was something to delete. Raises StatusError, OSError."""
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": f"{scheduler}: preempting to accommodate a higher priority pod",
            "lastTransitionTime": clock.timestamp(),
        }
        generation = victim.pod["metadata"].get("generation")
        if generation is not None:
            condition["observedGeneration"] = generation
        client = self.handle.client
        patch = {"metadata": {"uid": victim.uid}, "status": {"conditions": [condition]}}
        try:
            await client.patch("pods", victim.name, patch, victim.namespace, patch_type="strategic", subresource="status")
        except StatusError as error:
            if error.is_not_found:
                return False
            if not error.is_conflict:
                raise
        try:
            await client.delete("pods", victim.name, victim.namespace, uid=victim.uid)
        except StatusError as error:
            if error.is_not_found or error.is_conflict:
                return False  # Or there is another of that name.
            raise
        return True
