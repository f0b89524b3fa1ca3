"""VolumeRestrictions: what of volumes cannot be shared.

A claim with ReadWriteOncePod serves one pod in the whole cluster (KEP-2485); taking that pod away makes room, so it may be
preempted. Some disks that pods name without a claim serve one pod on a node, or several that only read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from navarch.apimachinery.errors import Object
from navarch.scheduler import volumes as facts
from navarch.scheduler.claimusers import ClaimUsers
from navarch.scheduler.events import ASSIGNED_POD, NODE, Action, EventHint, Hint, on
from navarch.scheduler.framework import SKIP, CycleState, Handle, Plugin, Rejection, Reuse, Status, Wider, unschedulable
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo

REASON_DISK = "node(s) had no available disk"
REASON_ONE_POD = (
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
)
DISKS = ("gcePersistentDisk", "awsElasticBlockStore", "rbd", "iscsi")


@dataclass(slots=True)
class OnePod:
    """The pod's claims that serve one pod only, and how often pods on nodes use them."""

    claims: frozenset[str]
    conflicts: int

    def clone(self) -> OnePod:
        return replace(self)

    def count(self, pod: PodInfo) -> int:
        return sum(not ref.is_ephemeral and f"{pod.namespace}/{ref.name}" in self.claims for ref in facts.claim_references(pod))


class VolumeRestrictions(Plugin):
    name = "VolumeRestrictions"

    def __init__(self, args: Object, handle: Handle) -> None:
        super().__init__(args, handle)
        self._claims = handle.informers.get(facts.CLAIMS)
        self._users = ClaimUsers(handle.snapshot)

    def events_to_register(self) -> Sequence[EventHint]:
        return (
            on(ASSIGNED_POD, Action.DELETE, _frees_a_volume),
            on(NODE, Action.ADD),
            on(facts.CLAIMS, Action.ADD, _is_named),
        )

    def reuse(self, pod: PodInfo) -> Reuse:
        if facts.uses_claims(pod):
            return Reuse.NEVER
        return Reuse.NODE_AND_PODS if disks(pod) else Reuse.NODE

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        one_pod = set()
        for reference in facts.claim_references(pod):
            if reference.is_ephemeral:
                continue
            key = f"{pod.namespace}/{reference.name}"
            claim = self._claims.get(key)
            if claim is None:
                return unschedulable(facts.missing_claim(reference.name), is_resolvable=False)
            if facts.READ_WRITE_ONCE_POD in facts.access_modes(claim):
                one_pod.add(key)
        conflicts = 0
        if one_pod:
            self._users.catch_up()
            conflicts = sum(map(self._users.is_used, one_pod))
        if not conflicts and not disks(pod):
            return SKIP
        state.write(self.name, OnePod(frozenset(one_pod), conflicts))
        return None

    def add_pod(self, state: CycleState, pod: PodInfo, added: PodInfo, node_name: str) -> Wider:
        return self._follow(state, added, 1)

    def remove_pod(self, state: CycleState, pod: PodInfo, removed: PodInfo, node_name: str) -> Wider:
        return self._follow(state, removed, -1)

    def _follow(self, state: CycleState, other: PodInfo, sign: int) -> Wider:
        noted = state.get(self.name)
        if noted is None:
            return Wider.NOTHING
        change = noted.count(other)
        noted.conflicts += sign * change
        return Wider.VERDICTS if change else Wider.NOTHING

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        own, taken = disks(pod), nodes.none()
        if own:
            for position, node in nodes.infos():
                taken[position] = any(conflict(own, disks(other)) for other in node.pods)
        yield Rejection(taken, REASON_DISK)
        if state.read(self.name, OnePod).conflicts > 0:
            yield Rejection(~taken, REASON_ONE_POD)


def disks(pod: PodInfo) -> list[tuple[str, Mapping[str, Any]]]:
    """(kind, source) of volumes without a claim that cannot be shared freely."""
    found = []
    for volume in pod.template.own_volumes:
        for kind in DISKS:
            source = volume.get(kind)
            if source is not None:
                found.append((kind, source))
    return found


def conflict(own: Sequence[tuple[str, Mapping[str, Any]]], others: Sequence[tuple[str, Mapping[str, Any]]]) -> bool:
    return any(kind == other_kind and _clash(kind, one, other) for kind, one in own for other_kind, other in others)


def _clash(kind: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if kind == "awsElasticBlockStore":
        return bool(one.get("volumeID") == other.get("volumeID"))
    if one.get("readOnly") and other.get("readOnly"):
        return False
    match kind:
        case "gcePersistentDisk":
            return bool(one.get("pdName") == other.get("pdName"))
        case "iscsi":
            return bool(one.get("iqn") == other.get("iqn"))
    same_image = (one.get("pool") or "rbd", one.get("image")) == (other.get("pool") or "rbd", other.get("image"))
    return same_image and bool(set(one.get("monitors") or ()) & set(other.get("monitors") or ()))


def _frees_a_volume(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    """Disks are looked at in the pod's namespace only, as claims are."""
    if old is None or old["metadata"].get("namespace") != pod.namespace:
        return Hint.SKIP
    gone = PodInfo(old)
    names = {reference.name for reference in facts.claim_references(gone) if not reference.is_ephemeral}
    shared = any(reference.name in names for reference in facts.claim_references(pod) if not reference.is_ephemeral)
    return Hint.QUEUE if shared or conflict(disks(pod), disks(gone)) else Hint.SKIP


def _is_named(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    return Hint.QUEUE if new is not None and facts.names_claim(pod, new) else Hint.SKIP
