"""DynamicResources: a pod goes where the devices that its claims ask for are free; on its way there it gets them (KEP-4381).

Extended resources that device classes give are claimed, too (KEP-5004): on nodes that do not offer them otherwise, as if the
pod had one claim more. It is written when the pod is bound, and taken away when that fails; one that is left from an earlier
attempt goes before the pod is tried again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

import numpy as np

from navarch.api.resource import allocation as allocations
from navarch.apimachinery import meta
from navarch.apimachinery.cel.moments import parse_duration
from navarch.apimachinery.errors import Object, StatusError
from navarch.component import clock
from navarch.scheduler import claimwriting, devices, extendedresources
from navarch.scheduler.claimwriting import (
    CLAIMS,
    ClaimError,
    allocation_of,
    consumers,
    is_reserved_for,
    only_consumer_is,
)
from navarch.scheduler.deviceallocation import STEPS_LIMIT, AllocationError, alternatives, results
from navarch.scheduler.devices import BY_POD, SLICES
from navarch.scheduler.deviceverdicts import Asked, DeviceVerdicts, asked
from navarch.scheduler.events import NODE, POD, UPDATES, Action, EventHint, Hint, on
from navarch.scheduler.extendedresources import CLASSES, is_written
from navarch.scheduler.framework import (
    PLACED,
    SKIP,
    BoolArray,
    Code,
    CycleState,
    Handle,
    IntArray,
    Plugin,
    PostFilterResult,
    Rejection,
    Reuse,
    Status,
    normalized,
    unschedulable,
)
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.plugins.nodeaffinity import any_term_nodes
from navarch.scheduler.podinfo import PodInfo, node_term
from navarch.scheduler.runtime import Failure

CONSUMERS_LIMIT = 256
SEEN_LIMIT_SECONDS = 120.0
"""How long a claim that has been made may take to be known here."""
DELETION_LIMIT_SECONDS = 10.0
"""Likewise one that has been deleted, to be gone."""
CANNOT_ALLOCATE = "cannot allocate all claims"
TOOK_TOO_LONG = "timed out trying to allocate devices"
NOT_THERE = "resourceclaim not available on the node"
LEFT_OVER = "cannot schedule extended resource claim"
CANNOT_FIT = "cannot fit resource"


@dataclass(slots=True)
class Extended:
    """The extended resources of one pod that device classes give."""

    resources: tuple[str, ...]
    others: tuple[str, ...]
    """Extended resources of the pod that none gives."""
    left_over: Object | None
    """A claim that an earlier attempt made for them."""
    uid: str
    """Of the claim that is to be made, until it is."""
    wanted: dict[int, tuple[Asked, list[Object]]] = field(default_factory=dict)
    """Which of `resources` (as bits) a node lacks -> what is to be allocated there, and the mappings of the pod's own claim."""


@dataclass(slots=True)
class Noted:
    """About one pod."""

    claims: list[Object]
    """Those that its spec names; once a node is chosen, at the end also the one for its extended resources, if it needs it."""
    waiting: list[int]
    """Which of them are yet to be allocated."""
    asked: Asked
    """What those ask for."""
    extended: Extended | None
    unavailable: set[int] = field(default_factory=set)
    """Claims that were allocated, but not for some of the nodes."""
    allocated: dict[int, Object] = field(default_factory=dict)
    """What was chosen for them on the node."""
    own: int | None = None
    """Which is the one for extended resources."""
    mappings: list[Object] = field(default_factory=list)
    """Which of its requests serve which containers."""


class DynamicResources(Plugin):
    name = "DynamicResources"
    args_defaults: ClassVar[Object] = {"filterTimeout": "10s", "bindingTimeout": "600s"}

    def __init__(self, args: Object, handle: Handle) -> None:
        super().__init__(args, handle)
        self._timeout_seconds = _seconds(args, "bindingTimeout")
        steps_limit = STEPS_LIMIT if _seconds(args, "filterTimeout") else None
        self._devices = devices.shared(handle)
        self._claims, self._classes = self._devices.claims, self._devices.classes
        self._extended = extendedresources.shared(handle)
        self._verdicts = DeviceVerdicts(handle.snapshot, self._devices, steps_limit)

    def events_to_register(self) -> Sequence[EventHint]:
        return (
            on(NODE, Action.ADD | Action.NODE_LABEL),
            on(NODE, Action.NODE_ALLOCATABLE, self._offers_others),
            on(CLAIMS, Action.ADD | UPDATES, self._may_be_ready),
            on(CLAIMS, Action.DELETE, _frees_devices),
            on(POD, Action.POD_CLAIMS, _is_told),
            on(CLASSES, Action.ADD | UPDATES),
            on(SLICES, Action.ADD | UPDATES),
        )

    def _offers_others(self, pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
        """Whether a node has come to offer an extended resource by itself, or has ceased to."""
        was, now = ((node or meta.EMPTY).get("status") or meta.EMPTY for node in (old, new))
        before, after = was.get("allocatable") or meta.EMPTY, now.get("allocatable") or meta.EMPTY
        is_other = any(before.get(resource) != after.get(resource) for resource in self._extended.asked(pod))
        return Hint.QUEUE if is_other else Hint.SKIP

    def _may_be_ready(self, pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
        if new is None:
            return Hint.SKIP
        try:
            is_its = any(meta.uid(claim) == meta.uid(new) for claim in self._claims_of(pod))
        except ClaimError:
            return Hint.SKIP
        if old is not None and allocation_of(old) is not None and allocation_of(new) is None:
            return Hint.QUEUE  # Its devices are free for anybody.
        return Hint.QUEUE if is_its and (old is None or old.get("status") != new.get("status")) else Hint.SKIP

    # The pod's claims.

    def _claims_of(self, pod: PodInfo) -> Iterator[Object]:
        """Those that its spec names. Raises ClaimError."""
        for entry in pod.spec.get("resourceClaims") or ():
            name, is_made = _claim_name(pod, entry)
            if name is None:
                continue
            claim = self._claims.get(f"{pod.namespace}/{name}")
            if claim is None:
                raise ClaimError(f'could not find resource claim "{pod.namespace}/{name}"')
            if meta.being_deleted(claim):
                raise ClaimError(f'resourceclaim "{name}" is being deleted')
            owner = meta.controller_of(claim)
            if is_made and (owner is None or owner["uid"] != pod.uid):
                raise ClaimError(f"ResourceClaim {meta.key(claim)} was not created for pod {pod.key} (pod is not owner)")
            yield claim

    def reuse(self, pod: PodInfo) -> Reuse:
        return Reuse.NEVER if pod.spec.get("resourceClaims") or self._extended.asked(pod) else Reuse.NODE

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        if not pod.spec.get("resourceClaims"):
            return None
        try:
            for _ in self._claims_of(pod):
                pass
        except ClaimError as error:
            return unschedulable(str(error), is_resolvable=False)
        return None

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        resources = self._extended.asked(pod)
        if not resources and not pod.spec.get("resourceClaims"):
            return SKIP
        try:
            claims = list(self._claims_of(pod))
            extended = self._extended_of(state, pod, resources, claims) if resources else None
            waiting = [index for index, claim in enumerate(claims) if self._must_be_allocated(claim, pod)]
        except (ClaimError, AllocationError) as error:
            return unschedulable(str(error), is_resolvable=False)
        if not claims and extended is None:
            return SKIP
        state.write(self.name, Noted(claims, waiting, self._asked([claims[index] for index in waiting]), extended))
        return None

    def _extended_of(
        self, state: CycleState, pod: PodInfo, resources: tuple[str, ...], claims: list[Object]
    ) -> Extended | None:
        present = self._claims.informer.by_index(BY_POD, pod.uid)
        left_over = self._claims.get(meta.key(present[0])) if present else None
        if state.get(PLACED) and left_over is not None:
            claims.append(left_over)  # What it has is as good as a claim that its spec names.
            return None
        return Extended(resources, self._extended.others(pod), left_over, clock.uid())

    def _must_be_allocated(self, claim: Object, pod: PodInfo) -> bool:
        """Raises ClaimError, AllocationError if that is not possible now."""
        if allocation_of(claim) is not None:
            if len(consumers(claim)) >= CONSUMERS_LIMIT and not is_reserved_for(claim, pod):
                raise ClaimError("resourceclaim in use")
            return False
        if self._devices.is_in_flight(claim):
            raise ClaimError(f"resource claim {meta.key(claim)} is in the process of being allocated")
        for request in (claim["spec"].get("devices") or meta.EMPTY).get("requests") or ():
            alternatives(request, self._classes.get)
        return True

    def _wanted(self, noted: Noted, pod: PodInfo, nodes: Nodes) -> Iterator[tuple[Asked, list[Object], BoolArray]]:
        """(what is to be allocated, mappings of the pod's own claim, where): what a node offers by itself is not claimed."""
        extended = noted.extended
        if extended is None:
            yield noted.asked, [], nodes.valid
            return
        lacking: IntArray = np.zeros(nodes.size, np.int64)
        for bit, resource in enumerate(extended.resources):
            column = nodes.resource_column(resource)
            lacking |= 1 << bit if column is None else (nodes.allocatable_of(column) <= 0).astype(np.int64) << bit
        for code in np.unique(lacking[nodes.valid]).tolist():
            if code not in extended.wanted:
                extended.wanted[code] = self._with_own(noted, pod, extended, code)
            yield *extended.wanted[code], nodes.valid & (lacking == code)

    def _with_own(self, noted: Noted, pod: PodInfo, extended: Extended, code: int) -> tuple[Asked, list[Object]]:
        """Likewise, for nodes that lack those of the resources."""
        lacking = [resource for bit, resource in enumerate(extended.resources) if code >> bit & 1]
        if not lacking:
            return noted.asked, []
        requests, mappings = extendedresources.requests_and_mappings(pod.spec, lacking, self._extended.__getitem__)
        return self._asked([*noted.asked.claims, extendedresources.claim_for(pod, requests, extended.uid)]), mappings

    def _asked(self, claims: Sequence[Object]) -> Asked:
        return asked(claims, self._classes.get)

    # Nodes.

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        noted = state.read(self.name, Noted)
        if noted.extended is not None and noted.extended.left_over is not None:
            yield Rejection(nodes.valid, LEFT_OVER, is_resolvable=False)
            return
        cannot = nodes.none()
        if noted.extended is not None and noted.extended.others:
            # NodeResourcesFit has seen to it that a node has them, unless it was told to ignore them.
            cannot = _without(noted.extended.others, nodes)
            yield Rejection(cannot.copy(), CANNOT_FIT, is_resolvable=False)
        for wanted, _, among in self._wanted(noted, pod, nodes):
            if not wanted.claims:
                continue
            verdicts = self._verdicts.of(wanted, nodes, among)
            gave_up, short = nodes.take(verdicts.gave_up), among & ~cannot & ~nodes.take(verdicts.can)
            cannot |= short
            yield Rejection(short & ~gave_up, CANNOT_ALLOCATE, is_resolvable=False)
            yield Rejection(short & gave_up, TOOK_TOO_LONG, is_resolvable=False)
        elsewhere = nodes.none()
        for index, claim in enumerate(noted.claims):
            wrong = nodes.valid & ~cannot & ~self._available(claim, nodes)
            if wrong.any():
                noted.unavailable.add(index)
                elsewhere |= wrong
        yield Rejection(elsewhere, NOT_THERE, is_resolvable=False)

    def _available(self, claim: Object, nodes: Nodes) -> BoolArray:
        """Where a claim that is allocated can be used; one that is not is in nobody's way."""
        allocation = allocation_of(claim)
        if allocation is None:
            return nodes.valid
        if failed_condition(claim) or (not is_ready(claim) and self._is_overdue(allocation)):
            return nodes.none()
        selector = allocation.get("nodeSelector")
        if selector is None:
            return nodes.valid
        return any_term_nodes(tuple(map(node_term, selector.get("nodeSelectorTerms") or ())), nodes)

    def _is_overdue(self, allocation: Object) -> bool:
        since = allocation.get("allocationTimestamp")
        return since is not None and meta.parse_time(since) + timedelta(seconds=self._timeout_seconds) < clock.now()

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Status | None:
        noted = state.get(self.name)
        has_choice = noted is not None and any(
            request.get("firstAvailable") for claim in noted.asked.claims for request in claim["spec"]["devices"]["requests"]
        )
        return None if has_choice else SKIP

    def score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> IntArray:
        scores: IntArray = np.zeros(nodes.size, np.int64)
        for wanted, _, among in self._wanted(state.read(self.name, Noted), pod, nodes):
            scores[among] = nodes.take(self._verdicts.of(wanted, nodes, among).scores)[among]
        return scores

    def normalize_score(self, state: CycleState, pod: PodInfo, scores: IntArray, nodes: Nodes) -> IntArray:
        return normalized(scores)

    # No node can take the pod.

    def post_filter(self, state: CycleState, pod: PodInfo, failure: Failure) -> PostFilterResult | Status | None:
        rejected = failure.filtered.rejected
        order = [plugin.name for plugin in failure.framework.points["preFilter"]]
        is_early = rejected is not None and self.name in order and rejected.plugin in order[: order.index(self.name)]
        if failure.filtered.is_hopeless and is_early:
            # So it reads in Kubernetes, whose plugin misses what it would have noted of the pod.
            return Status(Code.ERROR, ("not found",))
        noted = state.get(self.name)
        if noted is None:
            return unschedulable("no new claims to deallocate")
        free = [
            noted.claims[index]
            for index in sorted(noted.unavailable)
            if not consumers(noted.claims[index]) or only_consumer_is(noted.claims[index], pod)
        ]
        if free:
            claim = free[self.handle.random().randrange(len(free))]
            return PostFilterResult(message="deallocation of ResourceClaim completed", prepare=lambda: self._deallocate(claim))
        left_over = None if noted.extended is None else noted.extended.left_over
        if left_over is not None:
            return PostFilterResult(message="deletion of ResourceClaim completed", prepare=lambda: self._delete(left_over))
        return unschedulable("still not schedulable")

    async def _deallocate(self, claim: Object) -> None:
        written = await claimwriting.deallocate(self.handle.client, claim)
        if written is not None:
            self._claims.written(written)
            self._devices.refresh(claim)

    async def _delete(self, claim: Object) -> None:
        """Take away what an earlier attempt has left, and wait until that is known here, too."""
        await claimwriting.delete(self.handle.client, claim)
        known = self._claims.informer

        def is_gone() -> bool:
            present = known.get(meta.key(claim))
            return present is None or meta.uid(present) != meta.uid(claim)

        await known.wait_until(is_gone, DELETION_LIMIT_SECONDS)

    # The node has been chosen.

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        noted = state.get(self.name)
        if noted is None:
            return None
        row = self.handle.snapshot.rows[node_name]
        ((wanted, mappings, _),) = self._wanted(noted, pod, Nodes(self.handle.snapshot, np.array([row], np.int64)))
        if not wanted.claims:
            return None
        chosen = self._verdicts.find(wanted, row)
        if chosen is None:
            return Status(Code.ERROR, ("claim allocation not found for node",))
        places = list(noted.waiting)
        if mappings:
            noted.own, noted.mappings = len(noted.claims), mappings
            noted.claims.append(wanted.claims[-1])
            places.append(noted.own)
        for index, given in zip(places, chosen, strict=True):
            claim = noted.claims[index]
            noted.allocated[index] = results(claim, given, node_name, clock.uid)
            self._devices.decided(claim, noted.allocated[index])
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        noted = state.get(self.name)
        if noted is None:
            return
        for index in list(noted.allocated):
            self._devices.landed(noted.claims[index])
        noted.allocated.clear()
        client = self.handle.client
        if noted.own is not None:
            own = noted.claims.pop(noted.own)
            noted.own = None
            if is_written(own):
                self.handle.start(claimwriting.delete(client, own), f"delete {meta.key(own)}")
        for claim in noted.claims:
            if allocation_of(claim) is not None and is_reserved_for(claim, pod):
                self.handle.start(claimwriting.give_back(client, claim, pod), f"unreserve {meta.key(claim)}")

    def pre_bind_pre_flight(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        noted = state.get(self.name)
        return SKIP if noted is None or not noted.claims else None

    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        noted = state.read(self.name, Noted)
        try:
            if noted.own is not None:
                await self._create(noted, noted.own)
            for index, claim in enumerate(noted.claims):
                if not is_reserved_for(claim, pod):
                    noted.claims[index] = await self._bind(claim, noted.allocated.pop(index, None), pod)
            if noted.own is not None:
                await claimwriting.tell_pod(self.handle.client, pod, noted.claims[noted.own], noted.mappings)
            return await self._wait_for_conditions(noted, pod, node_name)
        except (ClaimError, StatusError, OSError) as error:
            return Status(Code.ERROR, (str(error),))

    async def _create(self, noted: Noted, index: int) -> None:
        """Write the claim that the pod has for its extended resources. Raises StatusError, OSError."""
        before = noted.claims[index]
        noted.claims[index] = await claimwriting.create(self.handle.client, before)
        self._devices.created(before, noted.claims[index])

    async def _bind(self, claim: Object, allocation: Object | None, pod: PodInfo) -> Object:
        """Write what was chosen and who it is for. Raises ClaimError, StatusError."""
        try:
            written = await claimwriting.bind(self.handle.client, claim, allocation, pod)
            if self._claims.informer.get(meta.key(claim)) is None:
                # It has only just been made: until it is known here, it is the decision that counts.
                version = meta.resource_version(written)
                await self._claims.informer.wait_until(lambda: self._claims.informer.has_seen(version), SEEN_LIMIT_SECONDS)
            self._claims.written(written)
            return written
        finally:
            self._devices.landed(claim)

    async def _wait_for_conditions(self, noted: Noted, pod: PodInfo, node_name: str) -> Status | None:
        """Until drivers have made the devices ready (KEP-5007)."""
        if not any(
            result.get("bindingConditions") for claim in noted.claims for result in allocations.results(allocation_of(claim))
        ):
            return None
        text = f"waiting for binding conditions for device on node {node_name}"
        self.handle.recorder.event(pod.pod, "Normal", "BindingConditionsPending", text)

        def is_over() -> bool:
            present = [self._seen(claim) for claim in noted.claims]
            return any(claim is None or failed_condition(claim) for claim in present) or all(
                map(is_ready, filter(None, present))
            )

        if not await self._claims.informer.wait_until(is_over, self._timeout_seconds):
            return Status(Code.ERROR, ("device binding timeout",))
        for claim in noted.claims:
            present = self._seen(claim)
            if present is None:
                return Status(Code.ERROR, (f'could not find resource claim "{meta.key(claim)}"',))
            if failed_condition(present):
                return Status(Code.ERROR, (failed_condition(present),))
        return None

    def _seen(self, claim: Object) -> Object | None:
        """How it is now, as far as that is known to be no older than what was written."""
        present = self._claims.informer.get(meta.key(claim))
        return claim if present is not None and meta.resource_version(present) < meta.resource_version(claim) else present


def _without(resources: Sequence[str], nodes: Nodes) -> BoolArray:
    """Nodes that do not even name one of the resources as theirs."""
    found = nodes.none()
    for position, info in nodes.infos():
        allocatable = (info.node.get("status") or meta.EMPTY).get("allocatable") or meta.EMPTY
        found[position] = any(resource not in allocatable for resource in resources)
    return found


def _is_told(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    return Hint.QUEUE if new is not None and meta.uid(new) == pod.uid else Hint.SKIP


def _frees_devices(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    """Claims of extended resources go with what they have; others are made free first."""
    if old is None:
        return Hint.SKIP
    return Hint.QUEUE if allocation_of(old) is not None or pod.uid in extendedresources.owners(old) else Hint.SKIP


def _claim_name(pod: PodInfo, entry: Object) -> tuple[str | None, bool]:
    """(name, whether it is made for the pod); no name: none is needed. Raises ClaimError if it has not been made yet."""
    if entry.get("resourceClaimName") is not None:
        return entry["resourceClaimName"], False
    if entry.get("resourceClaimTemplateName") is None:
        raise ClaimError(f'pod "{pod.key}", spec.resourceClaim "{entry["name"]}": none of the supported fields are set')
    status = meta.find((pod.pod.get("status") or meta.EMPTY).get("resourceClaimStatuses") or (), "name", entry["name"])
    if status is None:
        raise ClaimError(f'pod "{pod.key}": ResourceClaim not created yet')
    return status.get("resourceClaimName"), True


def _seconds(args: Object, field_name: str) -> float:
    """A duration among the arguments. Raises ValueError."""
    try:
        seconds = parse_duration(str(args[field_name])).nanoseconds / 1e9
    except ValueError as error:
        raise ValueError(f'{field_name}: invalid duration "{args[field_name]}"') from error
    if seconds < 0:
        raise ValueError(f"{field_name}: must be greater than or equal to zero")
    return seconds


def _conditions(claim: Object, result: Object) -> list[Object]:
    """What the driver says of one of the claim's devices."""
    for device in (claim.get("status") or meta.EMPTY).get("devices") or ():
        if all(device.get(part) == result.get(part) for part in ("driver", "pool", "device")):
            return device.get("conditions") or []
    return []


def failed_condition(claim: Object) -> str:
    """How making its devices ready has failed; "" if it has not."""
    for result in allocations.results(allocation_of(claim)):
        conditions = _conditions(claim, result)
        for name in result.get("bindingFailureConditions") or ():
            found = meta.find(conditions, "type", name)
            if found is not None and found.get("status") == "True":
                reason, message = found.get("reason", ""), found.get("message", "")
                return f'claim {meta.name(claim)} binding failed: reason={reason}, message="{message}"'
    return ""


def is_ready(claim: Object) -> bool:
    """Whether all conditions hold that a pod must wait for."""
    for result in allocations.results(allocation_of(claim)):
        conditions = _conditions(claim, result)
        for name in result.get("bindingConditions") or ():
            if (meta.find(conditions, "type", name) or {}).get("status") != "True":
                return False
    return True
