"""What has to be bound and provisioned for a pod's claims on each node; and doing it.

Deciding is synchronous, over all nodes or a few; it sees volumes and claims as earlier decisions will have them. Carrying it
out writes what the volume controller and provisioners wait for (a volume's claimRef, a claim's selected node) and then waits
for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from navarch.api.core.storageaccess import class_of
from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.scheduler import volumes as facts
from navarch.scheduler.assumecache import AssumeCache
from navarch.scheduler.framework import BoolArray, IntArray
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.volumematching import (
    NONE,
    Places,
    Volume,
    allowed_by_topologies,
    candidates,
    selected_by_labels,
    static_choices,
)

POLL_SECONDS = 1.0
"""How long a change of something else than the claims may go unnoticed."""


class NotReady(Exception):
    """Binding cannot go on; the pod has to be scheduled anew."""


@dataclass(slots=True)
class PodClaims:
    """A pod's claims by what has to be done for them."""

    bound: list[Object] = field(default_factory=list)
    delayed: list[Object] = field(default_factory=list)
    """To be bound where the pod goes."""
    immediate: list[Object] = field(default_factory=list)
    """The controller should have bound these without the pod."""


@dataclass(slots=True)
class Answer:
    """Nodes that cannot serve a pod's claims, by reason."""

    conflict: BoolArray
    """A bound volume cannot be used there."""
    no_volume: BoolArray
    """A claim finds no volume there, nor can one be made."""
    no_space: BoolArray
    missing: BoolArray
    """A claim is bound to a volume that is not there."""


@dataclass(slots=True)
class Plan:
    """What is to be done for a pod on one node."""

    bindings: list[tuple[Object, Object]] = field(default_factory=list)
    """(claim, volume with that claim as its claimRef)."""
    provisions: list[Object] = field(default_factory=list)
    """Claims, with the node as their selected one."""

    @property
    def is_empty(self) -> bool:
        return not self.bindings and not self.provisions


class VolumeBinder:
    """Knows the cluster's storage."""

    def __init__(self, client: Client, informers: Informers) -> None:
        self._client = client
        self._pods = informers.get("pods")
        self._nodes = informers.get("nodes")
        self.claims = AssumeCache(informers.get(facts.CLAIMS))
        self.volumes = AssumeCache(informers.get(facts.VOLUMES))
        self._classes = informers.get(facts.CLASSES)
        self._drivers = informers.get(facts.CSI_DRIVERS)
        self._capacities = informers.get(facts.CAPACITIES)
        self._by_class: dict[str, dict[str, Volume]] = {}
        self.volumes.informer.add_handler(self._volume_changed)

    def _volume_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None:
            self._by_class.get(class_of(old), {}).pop(meta.name(old), None)
        if new is not None:
            self._by_class.setdefault(class_of(new), {})[meta.name(new)] = Volume(new)

    def _read(self, volume: Object) -> Volume:
        known = self._by_class.get(class_of(volume), {}).get(meta.name(volume))
        return known if known is not None and known.volume is volume else Volume(volume)

    def _of_class(self, name: str) -> Iterable[Volume]:
        """The volumes of a class as they are going to be."""
        found = self._by_class.get(name, {})
        assumed = {meta.name(volume): Volume(volume) for volume in self.volumes.assumed() if class_of(volume) == name}
        return {**found, **assumed}.values() if assumed else found.values()

    # What a pod needs.

    def problem(self, pod: PodInfo) -> str:
        """Why the pod's claims cannot be used at all now; "" if they can."""
        for reference in facts.claim_references(pod):
            claim = self.claims.informer.get(f"{pod.namespace}/{reference.name}")
            if claim is None and reference.is_ephemeral:
                return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{reference.name}"'
            if claim is None:
                return facts.missing_claim(reference.name)
            if (claim.get("status") or meta.EMPTY).get("phase") == "Lost":
                volume = facts.volume_name(claim)
                return f'persistentvolumeclaim "{reference.name}" bound to non-existent persistentvolume "{volume}"'
            if meta.being_deleted(claim):
                return f'persistentvolumeclaim "{reference.name}" is being deleted'
            if reference.is_ephemeral and facts.not_made_for(claim, pod):
                return facts.not_made_for(claim, pod)
        return ""

    def claims_of(self, pod: PodInfo) -> PodClaims:
        """Raises ValueError for a class that does not say when its claims are bound."""
        found = PodClaims()
        for reference in facts.claim_references(pod):
            claim = self.claims.get(f"{pod.namespace}/{reference.name}")
            if claim is None:
                raise ValueError(f'error getting PVC "{pod.namespace}/{reference.name}"')
            if facts.is_fully_bound(claim):
                found.bound.append(claim)
            elif facts.volume_name(claim) or not facts.is_delayed(claim, self._classes.get(class_of(claim))):
                found.immediate.append(claim)
            else:
                found.delayed.append(claim)
        return found

    # Which nodes can serve it.

    def suits_all_nodes(self, claims: PodClaims) -> bool:
        """Whether there is nothing to decide: all is bound, to volumes that can be used everywhere."""
        return not claims.delayed and all(self._is_everywhere(claim) for claim in claims.bound)

    def _is_everywhere(self, claim: Object) -> bool:
        volume = self.volumes.get(facts.volume_name(claim))
        return volume is not None and meta.get_path(volume, "spec", "nodeAffinity", "required") is None

    def judge(self, claims: PodClaims, nodes: Nodes) -> Answer:
        answer = Answer(nodes.none(), nodes.none(), nodes.none(), nodes.none())
        self._judge_bound(claims.bound, nodes, answer)
        if claims.delayed:
            self._judge_delayed(claims.delayed, nodes, answer)
        return answer

    def _judge_bound(self, claims: Sequence[Object], nodes: Nodes, answer: Answer) -> None:
        """The first claim that is in the way of a node says why."""
        for claim in claims:
            left = ~(answer.conflict | answer.missing)
            volume = self.volumes.get(facts.volume_name(claim))
            if volume is None:
                answer.missing |= left
            else:
                answer.conflict |= left & ~self._read(volume).nodes(nodes)

    def _judge_delayed(self, claims: Sequence[Object], nodes: Nodes, answer: Answer) -> None:
        selected, free = _by_selection(claims)
        for claim in selected:
            answer.no_volume |= ~_named(meta.annotations(claim)[facts.SELECTED_NODE], nodes)
        choices = self._choices(free, nodes)
        wanting = [(claim, ~nodes.none()) for claim in selected]
        wanting += [(claim, numbers == NONE) for claim, _, numbers in choices]
        for claim, where in wanting:
            left = where & ~answer.no_volume & ~answer.no_space
            if left.any():
                self._judge_provisioning(claim, nodes, left, answer)

    def _choices(self, claims: Sequence[Object], nodes: Nodes) -> list[tuple[Object, Places, IntArray]]:
        """Claims, the smallest first, with the candidates of each and the number of that which it gets on each node."""
        ordered = sorted(claims, key=lambda claim: facts.requested_bytes(claim) or 0)
        places = [Places(candidates(claim, self._of_class(class_of(claim)))) for claim in ordered]
        return list(zip(ordered, places, static_choices(ordered, places, nodes), strict=True))

    def _judge_provisioning(self, claim: Object, nodes: Nodes, left: BoolArray, answer: Answer) -> None:
        """Whether a volume can be made for a claim, on the nodes that are `left`."""
        found = self._classes.get(class_of(claim))
        if found is None:
            raise ValueError(f'failed to find storage class "{class_of(claim)}"')
        provisioner = found.get("provisioner") or ""
        if provisioner in ("", facts.NO_PROVISIONER):
            answer.no_volume |= left
            return
        allowed = allowed_by_topologies(found.get("allowedTopologies") or (), nodes)
        answer.no_volume |= left & ~allowed
        wanted = facts.requested_bytes(claim)
        driver = self._drivers.get(provisioner)
        if wanted is not None and driver is not None and (driver.get("spec") or meta.EMPTY).get("storageCapacity"):
            answer.no_space |= left & allowed & ~self._with_capacity(meta.name(found), wanted, nodes)

    def _with_capacity(self, of_class: str, wanted: int, nodes: Nodes) -> BoolArray:
        """Nodes from which a pool can be reached that has so much left (CSIStorageCapacity)."""
        found = nodes.none()
        for capacity in self._capacities.list():
            limit = volume_limit(capacity)
            if capacity.get("storageClassName") == of_class and limit is not None and limit >= wanted:
                found |= selected_by_labels(capacity.get("nodeTopology"), nodes)
        return found

    # The node has been chosen.

    def plan(self, claims: PodClaims, node_name: str, row: Nodes) -> Plan:
        """What to do on the one node that `row` is."""
        selected, free = _by_selection(claims.delayed)
        found, unmatched = Plan(), list(selected)
        for claim, places, numbers in self._choices(free, row):
            if int(numbers[0]) == NONE:
                unmatched.append(claim)
            else:
                found.bindings.append((claim, facts.reserved(places.found[int(numbers[0])].volume, claim)))
        found.provisions = [
            meta.set_path(claim, node_name, "metadata", "annotations", facts.SELECTED_NODE) for claim in unmatched
        ]
        return found

    def assume(self, plan: Plan) -> bool:
        """Count on the plan from now on; False if something has changed meanwhile."""
        done = all(self.volumes.assume(volume) for _, volume in plan.bindings)
        if done and all(self.claims.assume(claim) for claim in plan.provisions):
            return True
        self.revert(plan)
        return False

    def revert(self, plan: Plan) -> None:
        for _, volume in plan.bindings:
            self.volumes.restore(meta.name(volume))
        for claim in plan.provisions:
            self.claims.restore(meta.key(claim))

    # Doing it.

    async def bind(self, plan: Plan, pod: PodInfo, node_name: str, timeout_seconds: float) -> None:
        """Write the plan and wait until everything is bound. Raises NotReady, StatusError, TimeoutError."""
        for number, (claim, volume) in enumerate(plan.bindings):
            written = await self._client.update(facts.VOLUMES, volume)
            self.volumes.written(written)
            plan.bindings[number] = (claim, written)
        for number, claim in enumerate(plan.provisions):
            written = await self._client.update(facts.CLAIMS, claim)
            self.claims.written(written)
            plan.provisions[number] = written
        left = timeout_seconds
        while not self.is_done(plan, pod, node_name):
            if left <= 0:
                raise TimeoutError
            step = min(POLL_SECONDS, left)
            await self.claims.informer.wait_until(lambda: self._may_be_done(plan, pod, node_name), step)
            left -= step

    def _may_be_done(self, plan: Plan, pod: PodInfo, node_name: str) -> bool:
        try:
            return self.is_done(plan, pod, node_name)
        except NotReady:
            return True

    def is_done(self, plan: Plan, pod: PodInfo, node_name: str) -> bool:
        """Whether everything is bound. Looks at what is, not at what is assumed. Raises NotReady if it never will be."""
        node = self._nodes.get(node_name)
        if node is None:
            raise NotReady(f'failed to get node "{node_name}": node "{node_name}" not found')
        present = self._pods.get(pod.key)
        if present is None or meta.uid(present) != pod.uid:
            raise NotReady(f'pod does not exist any more: pod "{pod.name}" not found')
        return all(self._is_bound(claim, volume, node) for claim, volume in plan.bindings) and all(
            self._is_provisioned(claim, node) for claim in plan.provisions
        )

    def _is_bound(self, claim: Object, volume: Object, node: Object) -> bool:
        present = self.volumes.informer.get(meta.name(volume))
        if present is None:
            raise NotReady(f'failed to check binding: could not find v1.PersistentVolume "{meta.name(volume)}"')
        if meta.resource_version(present) < meta.resource_version(volume):
            return False
        _check_place(present, node)
        if not (present["spec"].get("claimRef") or meta.EMPTY).get("uid"):
            raise NotReady(f'ClaimRef got reset for pv "{meta.name(volume)}"')
        return facts.is_fully_bound(self._present_claim(claim, "failed to check binding"))

    def _is_provisioned(self, claim: Object, node: Object) -> bool:
        present = self._present_claim(claim, "failed to check provisioning pvc")
        if meta.resource_version(present) < meta.resource_version(claim):
            return False
        if "annotations" not in present["metadata"]:
            raise NotReady(f'selectedNode annotation reset for PVC "{meta.name(claim)}"')
        if meta.annotations(present).get(facts.SELECTED_NODE) != meta.name(node):
            # So provisioners say that they cannot make a volume there.
            raise NotReady(f'provisioning failed for PVC "{meta.name(claim)}"')
        name = facts.volume_name(present)
        if name:
            volume = self.volumes.informer.get(name)
            if volume is None:
                return False
            _check_place(volume, node)
        return facts.is_fully_bound(present)

    def _present_claim(self, claim: Object, what: str) -> Object:
        present = self.claims.informer.get(meta.key(claim))
        if present is None:
            raise NotReady(f'{what}: could not find v1.PersistentVolumeClaim "{meta.key(claim)}"')
        return present


def volume_limit(capacity: Object) -> int | None:
    """The largest volume that a pool can make, in bytes; None: unknown."""
    text = capacity.get("maximumVolumeSize") or capacity.get("capacity")
    return None if text is None else quantity.value(text)


def _by_selection(claims: Iterable[Object]) -> tuple[list[Object], list[Object]]:
    """Claims for which a node has been selected already, and the others."""
    selected: list[Object] = []
    free: list[Object] = []
    for claim in claims:
        (selected if facts.SELECTED_NODE in meta.annotations(claim) else free).append(claim)
    return selected, free


def _named(name: str, nodes: Nodes) -> BoolArray:
    found = nodes.none()
    position = nodes.position(name)
    if position is not None:
        found[position] = True
    return found


def _check_place(volume: Object, node: Object) -> None:
    """Raises NotReady if the volume cannot be used on the node."""
    terms = Volume(volume).terms
    labels = meta.labels(node)
    if terms is not None and not any(
        term.labels and all(r.matches(labels) for r in term.labels) and not any(r.operator == "in" for r in term.names)
        for term in terms
    ):
        reason = "no matching NodeSelectorTerms"
        raise NotReady(f'pv "{meta.name(volume)}" node affinity doesn\'t match node "{meta.name(node)}": {reason}')
