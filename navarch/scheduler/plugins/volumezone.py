"""VolumeZone: a pod goes where the zone and region labels of its bound volumes allow it.

Only nodes that have such labels are held to them: a cluster without zones needs none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from navarch.api.core.storageaccess import class_of
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.scheduler import volumes as facts
from navarch.scheduler.events import NODE, UPDATES, Action, EventHint, Hint, on
from navarch.scheduler.framework import SKIP, Code, CycleState, Handle, Plugin, Rejection, Reuse, Status, unschedulable
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo

REASON = "node(s) had no available volume zone"
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
BETA_ZONE, BETA_REGION = "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region"
STABLE = {BETA_ZONE: ZONE, BETA_REGION: REGION}
"""What a node may have instead of the label of a volume."""
LABELS = (BETA_ZONE, BETA_REGION, ZONE, REGION)
SEPARATOR = "__"


@dataclass(frozen=True, slots=True)
class Topology:
    """A label of a volume, and which of its values a node may have."""

    key: str
    values: frozenset[str]


def topologies(volume: Object) -> Iterator[Topology]:
    """A label with an empty value among its set says nothing."""
    for key in LABELS:
        text = meta.labels(volume).get(key)
        if text is not None:
            values = [value.strip() for value in text.split(SEPARATOR)]
            if all(values):
                yield Topology(key, frozenset(values))


class Problem(Exception):
    """Why the pod cannot be placed."""


class VolumeZone(Plugin):
    name = "VolumeZone"

    def __init__(self, args: Object, handle: Handle) -> None:
        super().__init__(args, handle)
        self._claims = handle.informers.get(facts.CLAIMS)
        self._volumes = handle.informers.get(facts.VOLUMES)
        self._classes = handle.informers.get(facts.CLASSES)

    def events_to_register(self) -> Sequence[EventHint]:
        return (
            on(facts.CLASSES, Action.ADD, _waits),
            on(NODE, Action.ADD | Action.NODE_LABEL),
            on(facts.CLAIMS, Action.ADD | UPDATES, _is_named),
            on(facts.VOLUMES, Action.ADD | UPDATES, _is_elsewhere),
        )

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.NEVER if facts.uses_claims(pod) else Reuse.NODE

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        try:
            found = tuple(topology for volume in self._bound(pod) for topology in topologies(volume))
        except Problem as problem:
            return unschedulable(str(problem), is_resolvable=False)
        except ValueError as error:
            return Status(Code.ERROR, (str(error),))
        if not found:
            return SKIP
        state.write(self.name, found)
        return None

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        labelled, wrong = nodes.none(), nodes.none()
        for key in LABELS:
            labelled |= nodes.label_codes(key) > 0
        for topology in state.read(self.name, tuple):
            right = nodes.label_in(topology.key, topology.values)
            if topology.key in STABLE:
                right |= (nodes.label_codes(topology.key) == 0) & nodes.label_in(STABLE[topology.key], topology.values)
            wrong |= ~right
        yield Rejection(labelled & wrong, REASON, is_resolvable=False)

    def _bound(self, pod: PodInfo) -> Iterator[Object]:
        """The volumes of the pod's claims. Raises Problem."""
        for reference in facts.claim_references(pod):
            if reference.is_ephemeral:
                continue
            if not reference.name:
                raise Problem("PersistentVolumeClaim had no name")
            claim = self._claims.get(f"{pod.namespace}/{reference.name}")
            if claim is None:
                raise Problem(facts.missing_claim(reference.name))
            name = facts.volume_name(claim)
            if name:
                volume = self._volumes.get(name)
                if volume is None:
                    raise Problem(f'persistentvolume "{name}" not found')
                yield volume
            else:
                self._check_waiting(claim)

    def _check_waiting(self, claim: Object) -> None:
        """A claim without a volume is none of our business if it waits for the pod."""
        name = class_of(claim)
        if not name:
            raise Problem("PersistentVolumeClaim had no pv name and storageClass name")
        storage_class = self._classes.get(name)
        if storage_class is None:
            raise Problem(facts.missing_class(name))
        if not facts.is_delayed(claim, storage_class):
            raise Problem("PersistentVolume had no name")


def _waits(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    is_waiting = new is not None and new.get("volumeBindingMode") == facts.WAIT_FOR_FIRST_CONSUMER
    return Hint.QUEUE if is_waiting else Hint.SKIP


def _is_named(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    return Hint.QUEUE if new is not None and facts.names_claim(pod, new) else Hint.SKIP


def _is_elsewhere(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    if old is None or new is None:
        return Hint.QUEUE
    return Hint.QUEUE if tuple(topologies(old)) != tuple(topologies(new)) else Hint.SKIP
