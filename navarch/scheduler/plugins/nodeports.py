"""NodePorts: no two pods take the same host port of a node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from navarch.apimachinery.errors import Object
from navarch.scheduler.events import ASSIGNED_POD, NODE, Action, EventHint, Hint, on
from navarch.scheduler.framework import SKIP, CycleState, Plugin, Rejection, Reuse, Status
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo, host_ports
from navarch.scheduler.snapshot import ANY_ADDRESS


class NodePorts(Plugin):
    name = "NodePorts"

    def events_to_register(self) -> Sequence[EventHint]:
        return on(ASSIGNED_POD, Action.DELETE, _frees_a_port), on(NODE, Action.ADD)

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.NODE_AND_PODS

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        return None if pod.host_ports else SKIP

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        taken = nodes.port_conflicts(pod.host_ports)
        yield Rejection(taken, "node(s) didn't have free ports for the requested pod ports")


def _frees_a_port(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    freed = host_ports(old["spec"]) if old is not None else ()
    for address, protocol, port in freed:
        for wanted, wanted_protocol, wanted_port in pod.host_ports:
            is_same = (protocol, port) == (wanted_protocol, wanted_port)
            if is_same and (address == wanted or ANY_ADDRESS in (address, wanted)):
                return Hint.QUEUE
    return Hint.SKIP
