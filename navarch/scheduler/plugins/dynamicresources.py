"""DynamicResources: a pod goes where the devices that its claims ask for are free; on its way there it gets them (KEP-4381).

Whether a node has the devices depends on what claims ask and on what is taken of the node's pools, not on the claims' names. So
verdicts are kept by what is asked, and only nodes are looked at again of whose pools something was taken or given back.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

import numpy as np
import orjson

from navarch.api.resource import allocation as allocations
from navarch.apimachinery import meta
from navarch.apimachinery.cel.moments import parse_duration
from navarch.apimachinery.errors import Object, StatusError
from navarch.component import clock
from navarch.scheduler.assumecache import AssumeCache
from navarch.scheduler.deviceallocation import (
    STEPS_LIMIT,
    AllocationError,
    OutOfSteps,
    Search,
    alternatives,
    results,
    score,
)
from navarch.scheduler.devicepools import Pools
from navarch.scheduler.deviceusage import DeviceUsage
from navarch.scheduler.events import NODE, POD, UPDATES, Action, EventHint, Hint, on
from navarch.scheduler.framework import (
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

logger = logging.getLogger(__name__)

CLAIMS, SLICES = "resourceclaims.resource.k8s.io", "resourceslices.resource.k8s.io"
CLASSES = "deviceclasses.resource.k8s.io"
FINALIZER = "resource.kubernetes.io/delete-protection"
CONSUMERS_LIMIT = 256
KEPT_LIMIT = 64
"""Of how many kinds of claims verdicts are kept."""
CANNOT_ALLOCATE = "cannot allocate all claims"
TOOK_TOO_LONG = "timed out trying to allocate devices"
NOT_THERE = "resourceclaim not available on the node"


class ClaimError(Exception):
    """A pod's claims are not as they must be."""


@dataclass(slots=True)
class Noted:
    """About one pod."""

    claims: list[Object]
    waiting: list[int]
    """Which of them are yet to be allocated."""
    key: bytes
    """What those ask for."""
    unavailable: set[int] = field(default_factory=set)
    """Claims that were allocated, but not for some of the nodes."""
    allocated: dict[int, Object] = field(default_factory=dict)
    """What was chosen for them on the node."""

    @property
    def to_allocate(self) -> list[Object]:
        return [self.claims[index] for index in self.waiting]


class Verdicts:
    """What is known of nodes for claims that ask for the same."""

    def __init__(self, size: int, layout: int, version: int) -> None:
        self.layout = layout
        self.version = version
        self.known: BoolArray = np.zeros(size, np.bool_)
        self.can: BoolArray = np.zeros(size, np.bool_)
        self.gave_up: BoolArray = np.zeros(size, np.bool_)
        self.scores: IntArray = np.zeros(size, np.int64)


class DynamicResources(Plugin):
    name = "DynamicResources"
    args_defaults: ClassVar[Object] = {"filterTimeout": "10s", "bindingTimeout": "600s"}

    def __init__(self, args: Object, handle: Handle) -> None:
        super().__init__(args, handle)
        self._timeout_seconds = _seconds(args, "bindingTimeout")
        self._steps_limit = STEPS_LIMIT if _seconds(args, "filterTimeout") else None
        self._claims = AssumeCache(handle.informers.get(CLAIMS))
        self._slices = handle.informers.get(SLICES)
        self._classes = handle.informers.get(CLASSES)
        self._pools: Pools | None = None
        self._usage = DeviceUsage()
        self._in_flight: set[str] = set()
        """Uids of claims whose allocation has been decided and not yet written."""
        self._kept: OrderedDict[bytes, Verdicts] = OrderedDict()
        self._claims.informer.add_handler(self._claim_changed)
        self._slices.add_handler(self._devices_changed)
        self._classes.add_handler(self._devices_changed)

    # What happens in the cluster.

    def _devices_changed(self, old: Object | None, new: Object | None) -> None:
        self._pools = None
        self._kept.clear()

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new if new is not None else old
        assert obj is not None
        self._refresh(meta.key(obj), meta.uid(obj))

    def _refresh(self, key: str, uid: str) -> None:
        if uid not in self._in_flight:
            present = self._claims.get(key)
            is_it = present is not None and meta.uid(present) == uid
            self._usage.set(uid, _allocation(present) if is_it and present is not None else None)

    def events_to_register(self) -> Sequence[EventHint]:
        return (
            on(NODE, Action.ADD | Action.NODE_LABEL),
            on(CLAIMS, Action.ADD | UPDATES, self._may_be_ready),
            on(POD, Action.POD_CLAIMS, _is_told),
            on(CLASSES, Action.ADD | UPDATES),
            on(SLICES, Action.ADD | UPDATES),
        )

    def _may_be_ready(self, pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
        if new is None:
            return Hint.SKIP
        try:
            is_its = any(meta.uid(claim) == meta.uid(new) for claim in self._claims_of(pod))
        except ClaimError:
            return Hint.SKIP
        if old is not None and _allocation(old) is not None and _allocation(new) is None:
            return Hint.QUEUE  # Its devices are free for anybody.
        return Hint.QUEUE if is_its and (old is None or old.get("status") != new.get("status")) else Hint.SKIP

    # The pod's claims.

    def _claims_of(self, pod: PodInfo) -> Iterator[Object]:
        """Raises ClaimError."""
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
        return Reuse.NEVER if pod.spec.get("resourceClaims") else Reuse.NODE

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
        if not pod.spec.get("resourceClaims"):
            return SKIP
        try:
            claims = list(self._claims_of(pod))
            waiting = [index for index, claim in enumerate(claims) if self._must_be_allocated(claim, pod)]
        except (ClaimError, AllocationError) as error:
            return unschedulable(str(error), is_resolvable=False)
        if not claims:
            return SKIP
        asked = orjson.dumps([claims[index]["spec"] for index in waiting], option=orjson.OPT_SORT_KEYS)
        state.write(self.name, Noted(claims, waiting, asked))
        return None

    def _must_be_allocated(self, claim: Object, pod: PodInfo) -> bool:
        """Raises ClaimError, AllocationError if that is not possible now."""
        if _allocation(claim) is not None:
            if len(_consumers(claim)) >= CONSUMERS_LIMIT and not _is_reserved_for(claim, pod):
                raise ClaimError("resourceclaim in use")
            return False
        if meta.uid(claim) in self._in_flight:
            raise ClaimError(f"resource claim {meta.key(claim)} is in the process of being allocated")
        for request in (claim["spec"].get("devices") or meta.EMPTY).get("requests") or ():
            alternatives(request, self._classes.get)
        return True

    # Nodes.

    def filter(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> Iterable[Rejection]:
        noted = state.read(self.name, Noted)
        cannot = nodes.none()
        if noted.waiting:
            verdicts = self._verdicts(noted, nodes)
            cannot = nodes.valid & ~nodes.take(verdicts.can)
            gave_up = nodes.take(verdicts.gave_up)
            yield Rejection(cannot & ~gave_up, CANNOT_ALLOCATE, is_resolvable=False)
            yield Rejection(cannot & gave_up, TOOK_TOO_LONG, is_resolvable=False)
        elsewhere = nodes.none()
        for index, claim in enumerate(noted.claims):
            wrong = nodes.valid & ~cannot & ~self._available(claim, nodes)
            if wrong.any():
                noted.unavailable.add(index)
                elsewhere |= wrong
        yield Rejection(elsewhere, NOT_THERE, is_resolvable=False)

    def _verdicts(self, noted: Noted, nodes: Nodes) -> Verdicts:
        """Kept ones, of these nodes up to date."""
        snapshot = nodes.snapshot
        pools = self._pools = self._pools or Pools(self._slices.list())
        found = self._kept.get(noted.key)
        if found is None or found.layout != snapshot.layout or len(found.known) != snapshot.size:
            found = self._kept[noted.key] = Verdicts(snapshot.size, snapshot.layout, self._usage.version)
            while len(self._kept) > KEPT_LIMIT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(noted.key)
        for pool_id in self._usage.changed_since(found.version):
            pool = pools.pools.get(pool_id)
            if pool is not None and pool.nodes is None:
                found.known[:] = False
            elif pool is not None:
                found.known[[snapshot.rows[name] for name in pool.nodes or () if name in snapshot.rows]] = False
        found.version = self._usage.version
        for row in nodes.rows[~nodes.take(found.known) & nodes.valid].tolist():
            self._judge(noted, pools, found, snapshot.names[row], row)
        return found

    def _judge(self, noted: Noted, pools: Pools, verdicts: Verdicts, name: str, row: int) -> None:
        verdicts.known[row] = True
        verdicts.gave_up[row] = verdicts.can[row] = False
        try:
            chosen = self._search(noted, pools, name, row).find()
        except OutOfSteps:
            verdicts.gave_up[row] = True
            return
        if chosen is not None:
            verdicts.can[row] = True
            verdicts.scores[row] = score(chosen)

    def _search(self, noted: Noted, pools: Pools, name: str, row: int) -> Search:
        node = self.handle.snapshot.nodes[row]
        assert node is not None
        reachable = list(pools.of_node(name, meta.labels(node)))
        return Search(noted.to_allocate, reachable, self._usage, self._classes.get, self._steps_limit)

    def _available(self, claim: Object, nodes: Nodes) -> BoolArray:
        """Where a claim that is allocated can be used; one that is not is in nobody's way."""
        allocation = _allocation(claim)
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
            request.get("firstAvailable") for claim in noted.to_allocate for request in claim["spec"]["devices"]["requests"]
        )
        return None if has_choice else SKIP

    def score(self, state: CycleState, pod: PodInfo, nodes: Nodes) -> IntArray:
        scores: IntArray = nodes.take(self._verdicts(state.read(self.name, Noted), nodes).scores)
        return scores

    def normalize_score(self, state: CycleState, pod: PodInfo, scores: IntArray, nodes: Nodes) -> IntArray:
        return normalized(scores)

    # No node can take the pod.

    def post_filter(self, state: CycleState, pod: PodInfo, failure: Failure) -> PostFilterResult | Status | None:
        rejected = failure.filtered.rejected
        order = [plugin.name for plugin in failure.framework.points["preFilter"]]
        if rejected is not None and self.name in order and rejected.plugin in order[: order.index(self.name)]:
            # So it reads in Kubernetes, whose plugin misses what it would have noted of the pod.
            return Status(Code.ERROR, ("not found",))
        noted = state.get(self.name)
        if noted is None:
            return unschedulable("no new claims to deallocate")
        free = [
            noted.claims[index]
            for index in sorted(noted.unavailable)
            if not _consumers(noted.claims[index]) or _only_consumer_is(noted.claims[index], pod)
        ]
        if not free:
            return unschedulable("still not schedulable")
        claim = free[self.handle.random().randrange(len(free))]
        return PostFilterResult(message="deallocation of ResourceClaim completed", prepare=lambda: self._deallocate(claim))

    async def _deallocate(self, claim: Object) -> None:
        """What the claim has is on other nodes, and nobody uses it: somewhere else there may be the like of it."""
        status = {key: value for key, value in claim["status"].items() if key not in ("reservedFor", "allocation", "devices")}
        try:
            written = await self.handle.client.update(CLAIMS, {**claim, "status": status}, subresource="status")
        except (StatusError, OSError) as error:
            logger.info("cannot deallocate %s: %s", meta.key(claim), error)
            return
        self._claims.written(written)
        self._refresh(meta.key(claim), meta.uid(claim))

    # The node has been chosen.

    def reserve(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        noted = state.get(self.name)
        if noted is None or not noted.waiting:
            return None
        pools = self._pools = self._pools or Pools(self._slices.list())
        chosen = self._search(noted, pools, node_name, self.handle.snapshot.rows[node_name]).find()
        if chosen is None:
            return Status(Code.ERROR, ("claim allocation not found for node",))
        for index, devices in zip(noted.waiting, chosen, strict=True):
            claim = noted.claims[index]
            noted.allocated[index] = results(claim, devices, node_name, clock.uid)
            self._in_flight.add(meta.uid(claim))
            self._usage.set(meta.uid(claim), noted.allocated[index])
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node_name: str) -> None:
        noted = state.get(self.name)
        if noted is None:
            return
        for index in list(noted.allocated):
            self._landed(noted.claims[index])
        noted.allocated.clear()
        for claim in noted.claims:
            if _allocation(claim) is not None and _is_reserved_for(claim, pod):
                self.handle.start(self._give_back(claim, pod), f"unreserve {meta.key(claim)}")

    def _landed(self, claim: Object) -> None:
        """A decision about it has been written, or given up."""
        self._in_flight.discard(meta.uid(claim))
        self._refresh(meta.key(claim), meta.uid(claim))

    async def _give_back(self, claim: Object, pod: PodInfo) -> None:
        patch = {"metadata": {"uid": meta.uid(claim)}, "status": {"reservedFor": [{"$patch": "delete", "uid": pod.uid}]}}
        client = self.handle.client
        try:
            await client.patch(
                CLAIMS, meta.name(claim), patch, meta.namespace(claim), patch_type="strategic", subresource="status"
            )
        except (StatusError, OSError) as error:
            logger.info("cannot give back %s: %s", meta.key(claim), error)

    def pre_bind_pre_flight(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        return SKIP if state.get(self.name) is None else None

    async def pre_bind(self, state: CycleState, pod: PodInfo, node_name: str) -> Status | None:
        noted = state.read(self.name, Noted)
        try:
            for index, claim in enumerate(noted.claims):
                if not _is_reserved_for(claim, pod):
                    noted.claims[index] = await self._bind(claim, noted.allocated.pop(index, None), pod)
            return await self._wait_for_conditions(noted, pod, node_name)
        except (ClaimError, StatusError, OSError) as error:
            return Status(Code.ERROR, (str(error),))

    async def _bind(self, claim: Object, allocation: Object | None, pod: PodInfo) -> Object:
        """Write what was chosen and who it is for. Raises ClaimError, StatusError."""

        def changeable(present: Object) -> None:
            if meta.being_deleted(present):
                raise ClaimError(f"claim {meta.key(claim)} got deleted in the meantime")
            if allocation is not None and _allocation(present) is not None:
                raise ClaimError(f"claim {meta.key(claim)} got allocated elsewhere in the meantime")

        def protected(present: Object) -> Object | None:
            changeable(present)
            finalizers = present["metadata"].get("finalizers") or []
            return (
                None if FINALIZER in finalizers else meta.set_path(present, [*finalizers, FINALIZER], "metadata", "finalizers")
            )

        def reserved(present: Object) -> Object | None:
            changeable(present)
            if _is_reserved_for(present, pod):
                return None
            status = dict(present.get("status") or {})
            status["allocation"] = {"allocationTimestamp": clock.timestamp(), **(allocation or status.get("allocation") or {})}
            consumer = {"resource": "pods", "name": pod.name, "uid": pod.uid}
            return {**present, "status": {**status, "reservedFor": [*_consumers(present), consumer]}}

        try:
            if allocation is not None:
                claim = await self._write(claim, protected)
            written = await self._write(claim, reserved, "status")
            self._claims.written(written)
            return written
        finally:
            self._landed(claim)

    async def _write(self, claim: Object, change: Callable[[Object], Object | None], subresource: str = "") -> Object:
        """Change it as it is known; if that is no longer how it is, look at it again."""
        changed = change(claim)
        if changed is None:
            return claim
        try:
            return await self.handle.client.update(CLAIMS, changed, subresource=subresource)
        except StatusError as error:
            if not error.is_conflict:
                raise
        return await self.handle.client.modify(CLAIMS, meta.name(claim), meta.namespace(claim), change, subresource=subresource)

    async def _wait_for_conditions(self, noted: Noted, pod: PodInfo, node_name: str) -> Status | None:
        """Until drivers have made the devices ready (KEP-5007)."""
        if not any(
            result.get("bindingConditions") for claim in noted.claims for result in allocations.results(_allocation(claim))
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


def _is_told(pod: PodInfo, old: Object | None, new: Object | None) -> Hint:
    return Hint.QUEUE if new is not None and meta.uid(new) == pod.uid else Hint.SKIP


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


def _allocation(claim: Object) -> Object | None:
    found: Object | None = (claim.get("status") or meta.EMPTY).get("allocation")
    return found


def _consumers(claim: Object) -> list[Object]:
    return (claim.get("status") or meta.EMPTY).get("reservedFor") or []


def _is_reserved_for(claim: Object, pod: PodInfo) -> bool:
    return any(consumer.get("uid") == pod.uid for consumer in _consumers(claim))


def _only_consumer_is(claim: Object, pod: PodInfo) -> bool:
    return len(_consumers(claim)) == 1 and _is_reserved_for(claim, pod)


def _conditions(claim: Object, result: Object) -> list[Object]:
    """What the driver says of one of the claim's devices."""
    for device in (claim.get("status") or meta.EMPTY).get("devices") or ():
        if all(device.get(part) == result.get(part) for part in ("driver", "pool", "device")):
            return device.get("conditions") or []
    return []


def failed_condition(claim: Object) -> str:
    """How making its devices ready has failed; "" if it has not."""
    for result in allocations.results(_allocation(claim)):
        conditions = _conditions(claim, result)
        for name in result.get("bindingFailureConditions") or ():
            found = meta.find(conditions, "type", name)
            if found is not None and found.get("status") == "True":
                reason, message = found.get("reason", ""), found.get("message", "")
                return f'claim {meta.name(claim)} binding failed: reason={reason}, message="{message}"'
    return ""


def is_ready(claim: Object) -> bool:
    """Whether all conditions hold that a pod must wait for."""
    for result in allocations.results(_allocation(claim)):
        conditions = _conditions(claim, result)
        for name in result.get("bindingConditions") or ():
            if (meta.find(conditions, "type", name) or {}).get("status") != "True":
                return False
    return True
