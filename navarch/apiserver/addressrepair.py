"""Services and IPAddresses must say the same: what was changed by hand is mended and told of in events.

The server writes both in one commit, so there is nothing to mend but what somebody else has done: an IPAddress deleted or made
for no Service, a log that was tampered with. Everything is looked at once when the server starts, later only what a change
of an IPAddress makes doubtful.
"""

from __future__ import annotations

import ipaddress as ip
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from navarch.api.core import service as services
from navarch.api.networking import ipaddress as addresses
from navarch.api.networking import servicecidr
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.allocation import MANAGER, ServiceAllocator, address_of, cluster_ips
from navarch.apiserver.bootstrap import complete
from navarch.apiserver.resources import versioned
from navarch.client.events import EventRecorder
from navarch.client.workqueue import WorkQueue
from navarch.component import clock
from navarch.storage.backend import StorageError
from navarch.storage.changes import Change, Write
from navarch.storage.mvcc import ConflictError
from navarch.storage.store import Store

logger = logging.getLogger(__name__)

COMPONENT = "ipallocator-repair-controller"
# Upstream a Service comes a little later than its address.
LEAK_GRACE_SECONDS = 60.0


@dataclass(slots=True)
class Verdict:
    """What is to be done about one address."""

    wanted: Object | None
    """The IPAddress as it should be; None: there should be none."""
    events: list[tuple[Object, str, str]] = field(default_factory=list)
    """(about what, reason, message)"""
    again_seconds: float | None = None
    """When to look again."""


def judge(
    address: str, present: Object | None, owners: Sequence[Object], parent: Object | None, *, in_range: bool, now: datetime
) -> Verdict:
    """What an IPAddress should be.

    `owners` are the Services that have the address, `parent` is the Service that `present` refers to.
    """
    if not owners:
        return _unowned(address, present, parent, now)
    family = "IPv6" if ":" in address else "IPv4"
    if not in_range:
        text = f"Cluster IP [{family}]: {address} is not within any configured Service CIDR; please recreate service"
        return Verdict(present, [(owner, "ClusterIPOutOfRange", text) for owner in owners])
    owner, verdict = owners[0], Verdict(present)
    reference = _reference(present)
    if present is None:
        text = f"Cluster IP [{family}]: {address} is not allocated; repairing"
        verdict.events.append((owner, "ClusterIPNotAllocated", text))
    else:
        named = [other for other in owners if address_of(other, address)["spec"]["parentRef"] == reference]
        if named:
            owner = named[0]
        else:
            text = f"the ClusterIP [{family}]: {address} for Service {meta.key(owner)} has a wrong reference; repairing"
            verdict.events.append((owner, "ClusterIPNotAllocated", text))
    for other in owners:
        if other is not owner:
            text = f"Cluster IP [{family}]:{address} was assigned to multiple services; please recreate service"
            verdict.events.append((other, "ClusterIPAlreadyAllocated", text))
    right = address_of(owner, address)
    labels = right["metadata"]["labels"]
    if present is None:
        verdict.wanted = right
    elif reference != right["spec"]["parentRef"] or not labels.items() <= meta.labels(present).items():
        metadata = {**present["metadata"], "labels": {**meta.labels(present), **labels}}
        verdict.wanted = {**present, "metadata": metadata, "spec": right["spec"]}
    return verdict


def _unowned(address: str, present: Object | None, parent: Object | None, now: datetime) -> Verdict:
    if present is None or meta.labels(present).get(addresses.MANAGED_BY_LABEL) != MANAGER:
        return Verdict(present)
    reference, owner = _reference(present), _parent_key(present)
    if not _is_to_service(reference):
        fields = ((name, reference.get(name.lower(), "")) for name in ("Group", "Resource", "Namespace", "Name"))
        shown = "&ParentReference{" + "".join(f"{name}:{value}," for name, value in fields) + "}"
        text = f"IPAddress {address} appears to have been modified, not referencing a Service {shown}: cleaning up"
        return Verdict(None, [(present, "IPAddressNotAllocated", text)])
    if parent is not None:
        text = f"IPAddress: {address} for Service {owner} has a wrong reference; cleaning up"
        return Verdict(None, [(present, "IPAddressWrongReference", text)])
    age_seconds = (now - meta.parse_time(present["metadata"]["creationTimestamp"])).total_seconds()
    if age_seconds < LEAK_GRACE_SECONDS:
        return Verdict(present, again_seconds=LEAK_GRACE_SECONDS - age_seconds)
    text = f"IPAddress: {address} for Service {owner} appears to have leaked: cleaning up"
    return Verdict(None, [(present, "IPAddressNotAllocated", text)])


def _reference(present: Object | None) -> Object:
    return meta.get_path(present, "spec", "parentRef") or {}


def _parent_key(present: Object) -> str:
    reference = _reference(present)
    return f"{reference.get('namespace', '')}/{reference.get('name', '')}"


def _is_to_service(reference: Object) -> bool:
    return not reference.get("group") and reference.get("resource") == "services"


class AddressRepair:
    """Looks at addresses and mends them. `begin` before the store starts, then `run`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._allocator: ServiceAllocator | None = None
        self._queue = WorkQueue()
        self._told: list[tuple[Object, str, str]] = []
        """Events that wait for a recorder."""

    def begin(self) -> list[Write]:
        """Look at everything. Returns the writes that mend it."""
        owners: dict[str, list[Object]] = {}
        for record in self._store.collection(services.KIND.key_prefix).records.values():
            service = record.object()
            for address in cluster_ips(service):
                owners.setdefault(address, []).append(service)
        kind = addresses.KIND
        present = (key.removeprefix(kind.key_prefix) for key in self._store.collection(kind.key_prefix).records)
        networks, writes = self._networks(), []
        for address in dict.fromkeys([*owners, *present]):
            writes += self._mending(address, owners.get(address, []), networks)
        return writes

    def follow(self, allocator: ServiceAllocator) -> None:
        """Look at changes from now on."""
        self._allocator = allocator
        prefix = addresses.KIND.key_prefix
        self._store.watch(prefix, prefix, self._store.revision, self._changed)

    async def run(self, recorder: EventRecorder) -> None:
        """Mend what comes, until cancelled."""
        while True:
            while self._told:
                obj, reason, message = self._told.pop(0)
                logger.warning("%s", message)
                recorder.event(obj, "Warning", reason, message)
            address = await self._queue.get()
            try:
                await self._mend(address)
            finally:
                self._queue.done(address)

    def _changed(self, changes: Iterable[Change]) -> None:
        assert self._allocator is not None
        for change in changes:
            obj = change.object
            owner, labels = self._allocator.owner(meta.name(obj)), meta.labels(obj)
            if change.deleted:
                doubtful = bool(owner)
            elif owner:
                right = _parent_key(obj) == owner and _is_to_service(_reference(obj)) and addresses.FAMILY_LABEL in labels
                doubtful = not right or labels.get(addresses.MANAGED_BY_LABEL) != MANAGER
            else:
                doubtful = labels.get(addresses.MANAGED_BY_LABEL) == MANAGER
            if doubtful:
                self._queue.add(meta.name(obj))

    async def _mend(self, address: str) -> None:
        assert self._allocator is not None
        owner = self._service(self._allocator.owner(address))
        try:
            writes = self._mending(address, [owner] if owner is not None else [], self._networks())
            if writes:
                await self._store.write(writes)
        except (ConflictError, StorageError) as error:
            logger.debug("%s is looked at again: %r", address, error)
            self._queue.add_rate_limited(address)
        else:
            self._queue.forget(address)

    def _mending(self, address: str, owners: list[Object], networks: list[servicecidr.Network]) -> list[Write]:
        kind = addresses.KIND
        key = kind.key("", address)
        record = self._store.latest(kind.key_prefix, key)
        present = record.object() if record is not None else None
        parent = self._service(_parent_key(present)) if present is not None and not owners else None
        in_range = any(ip.ip_address(address) in network for network in networks)
        verdict = judge(address, present, owners, parent, in_range=in_range, now=clock.now())
        self._told += verdict.events
        if verdict.again_seconds is not None:
            self._queue.add_after(address, verdict.again_seconds)
        if verdict.wanted == present:
            return []
        if verdict.wanted is None:
            assert record is not None and present is not None
            return [Write(kind.key_prefix, key, versioned(present), record, present, deletes=True)]
        wanted = verdict.wanted if record is not None else complete(kind, verdict.wanted)
        return [Write(kind.key_prefix, key, versioned(wanted), record, wanted)]

    def _service(self, key: str) -> Object | None:
        kind = services.KIND
        record = self._store.latest(kind.key_prefix, f"{kind.key_prefix}{key}")
        return record.object() if record is not None else None

    def _networks(self) -> list[servicecidr.Network]:
        records = self._store.collection(servicecidr.KIND.key_prefix).records.values()
        return [network for record in records for network in servicecidr.networks(record.object())]
