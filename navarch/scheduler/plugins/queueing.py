"""PrioritySort and SchedulingGates: whose turn it is, and who does not take part yet."""

from __future__ import annotations

from collections.abc import Sequence

from navarch.scheduler.events import POD, Action, EventHint, on
from navarch.scheduler.framework import Plugin, Status, unschedulable
from navarch.scheduler.podinfo import PodInfo


class PrioritySort(Plugin):
    """Higher priority first, then who waits longer."""

    name = "PrioritySort"

    def events_to_register(self) -> Sequence[EventHint]:
        return ()

    def sort_key(self, pod: PodInfo, since: float) -> tuple[int, float]:
        return -pod.priority, since


class SchedulingGates(Plugin):
    """A pod with scheduling gates waits until they have been removed (KEP-3521)."""

    name = "SchedulingGates"

    def events_to_register(self) -> Sequence[EventHint]:
        return (on(POD, Action.POD_GATES),)

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        gates = pod.spec.get("schedulingGates")
        if not gates:
            return None
        names = " ".join(gate["name"] for gate in gates)
        return unschedulable(f"waiting for scheduling gates: [{names}]", is_resolvable=False)
