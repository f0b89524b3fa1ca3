"""NodeVolumeLimits: a node gets no more volumes of a CSI driver than its CSINode says the driver can attach there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from navarch.apimachinery.errors import Object
from navarch.scheduler import volumes as facts
from navarch.scheduler.attachedvolumes import AttachedVolumes, node_limits
from navarch.scheduler.events import ASSIGNED_POD, UPDATES, Action, EventHint, Hint, on
from navarch.scheduler.framework import SKIP, CycleState, Handle, Plugin, Rejection, Reuse, Status
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo

REASON = "node(s) exceed max volume count"


def _has_volumes(pod: PodInfo) -> bool:
    return facts.uses_claims(pod) or any(True for _ in facts.inline_disks(pod))


class NodeVolumeLimits(Plugin):
    name = "NodeVolumeLimits"

    def __init__(self, args: Object, handle: Handle) -> None:
        super().__init__(args, handle)
        self._attached = AttachedVolumes(handle.snapshot, handle.informers)

    def events_to_register(self) -> Sequence[EventHint]:
        return (
            on(facts.CSI_NODES, Action.ADD | UPDATES, _allows_more),
            on(ASSIGNED_POD, Action.DELETE, _had_volumes),
            on(facts.CLAIMS, Action.ADD, _is_named),
            on(facts.ATTACHMENTS, Action.DELETE),
        )

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.NEVER if _has_volumes(pod) else Reuse.NODE

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        return None if _has_volumes(pod) else SKIP

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        try:
            wanted = set(self._attached.disks_of(pod, is_new=True))
        except LookupError as error:
            yield Rejection(~nodes.none(), str(error.args[0]), is_resolvable=False)
            return
        crowded = self._attached.crowded(wanted, nodes) if wanted else None
        if crowded is not None:
            yield Rejection(crowded, REASON)


def _allows_more(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    if old is None or new is None:
        return Hint.QUEUE
    before, after = node_limits(old).counts, node_limits(new).counts
    grows = any(driver not in after or after[driver] > count for driver, count in before.items())
    return Hint.QUEUE if grows else Hint.SKIP


def _had_volumes(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    return Hint.QUEUE if old is not None and _has_volumes(PodInfo(old)) else Hint.SKIP


def _is_named(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    return Hint.QUEUE if new is not None and facts.names_claim(pod, new) else Hint.SKIP
