"""What a scheduler knows of devices, for all its profiles: which there are, what of them is taken, and what is about to be.

A decision counts from the moment in which it is made, whichever profile makes it: what one gives the others do not give again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.scheduler import extendedresources
from navarch.scheduler.assumecache import AssumeCache
from navarch.scheduler.claimwriting import CLAIMS, allocation_of
from navarch.scheduler.devicepools import Pools
from navarch.scheduler.deviceusage import DeviceUsage
from navarch.scheduler.extendedresources import CLASSES

if TYPE_CHECKING:
    from navarch.client.informer import Informers
    from navarch.scheduler.framework import BoolArray, Handle
    from navarch.scheduler.snapshot import Snapshot

SLICES = "resourceslices.resource.k8s.io"
BY_POD = "extended resources of"


class Devices:
    """Devices, classes, claims; and the allocations that have been decided."""

    def __init__(self, informers: Informers) -> None:
        self.claims = AssumeCache(informers.get(CLAIMS, **{BY_POD: extendedresources.owners}))
        self.classes = informers.get(CLASSES)
        self.usage = DeviceUsage()
        self._slices = informers.get(SLICES)
        self._pools: Pools | None = None
        self._in_flight: set[str] = set()
        """Uids of claims whose allocation has been decided and not yet written."""
        self._listeners: list[Callable[[], None]] = []
        self.claims.informer.add_handler(self._claim_changed)
        self._slices.add_handler(self._devices_changed)
        self.classes.add_handler(self._devices_changed)

    @property
    def pools(self) -> Pools:
        if self._pools is None:
            self._pools = Pools(self._slices.list())
        return self._pools

    def tell(self, listener: Callable[[], None]) -> None:
        """Call it when there are other devices, or classes, than before."""
        self._listeners.append(listener)

    def _devices_changed(self, old: Object | None, new: Object | None) -> None:
        self._pools = None
        for listener in self._listeners:
            listener()

    def _claim_changed(self, old: Object | None, new: Object | None) -> None:
        obj = new if new is not None else old
        assert obj is not None
        self.refresh(obj)

    def refresh(self, claim: Object) -> None:
        """Take into account how a claim is now, unless something else has been decided about it."""
        key, uid = meta.key(claim), meta.uid(claim)
        if uid not in self._in_flight:
            present = self.claims.get(key)
            is_it = present is not None and meta.uid(present) == uid
            self.usage.set(uid, allocation_of(present) if is_it and present is not None else None)

    # Decisions.

    def is_in_flight(self, claim: Object) -> bool:
        """Whether its allocation has been decided and not yet written."""
        return meta.uid(claim) in self._in_flight

    def decided(self, claim: Object, allocation: Object) -> None:
        """A claim is to have this."""
        self._in_flight.add(meta.uid(claim))
        self.usage.set(meta.uid(claim), allocation)

    def created(self, before: Object, claim: Object) -> None:
        """A claim that was only thought of is there now: what was decided about the one is decided about the other."""
        self._in_flight.discard(meta.uid(before))
        self._in_flight.add(meta.uid(claim))
        self.usage.rename(meta.uid(before), meta.uid(claim))

    def landed(self, claim: Object) -> None:
        """What was decided about it has been written, or given up."""
        self._in_flight.discard(meta.uid(claim))
        self.refresh(claim)


class PerNode:
    """Conclusions about nodes, by row, that hold until something is taken of a pool of theirs, or given back."""

    def __init__(self, snapshot: Snapshot, devices: Devices) -> None:
        self._snapshot, self._devices = snapshot, devices
        self._layout, self._version = snapshot.layout, devices.usage.version
        self.known: BoolArray = np.zeros(snapshot.size, np.bool_)
        """Of which nodes there are any."""

    def catch_up(self) -> bool:
        """Forget what no longer holds; False if nothing does."""
        snapshot, usage = self._snapshot, self._devices.usage
        if self._layout != snapshot.layout or len(self.known) != snapshot.size:
            return False
        for pool_id in usage.changed_since(self._version):
            pool = self._devices.pools.pools.get(pool_id)
            if pool is not None and pool.nodes is None:
                self.known[:] = False
            elif pool is not None:
                self.known[[snapshot.rows[name] for name in pool.nodes or () if name in snapshot.rows]] = False
        self._version = usage.version
        return True


def shared(handle: Handle) -> Devices:
    """Those of a scheduler, for all its plugins."""
    if handle.shared.devices is None:
        handle.shared.devices = Devices(handle.informers)
    return handle.shared.devices
