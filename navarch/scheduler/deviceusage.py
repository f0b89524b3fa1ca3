"""Which devices are taken, by all claims together: kept up to date claim by claim.

Counted are claims as they are and as decisions that are yet to be written will have them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from fractions import Fraction

from navarch.api.resource import allocation as allocations
from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from navarch.scheduler.devicepools import DeviceID, PoolID


class DeviceUsage:
    """Devices and parts of devices that claims have."""

    def __init__(self) -> None:
        self._claims: dict[str, Object] = {}
        """Uid of a claim -> what it was allocated."""
        self._taken: Counter[DeviceID] = Counter()
        self._shares: Counter[DeviceID] = Counter()
        self._consumed: dict[DeviceID, dict[str, Fraction]] = defaultdict(dict)
        self.version = 0
        self._changed_at: dict[PoolID, int] = {}

    def set(self, uid: str, allocation: Object | None) -> None:
        """A claim has these devices, or none."""
        before = self._claims.get(uid)
        if before == allocation:
            return
        self._count(before, -1)
        self._count(allocation, 1)
        if allocation is None:
            self._claims.pop(uid, None)
        else:
            self._claims[uid] = allocation

    def rename(self, uid: str, new_uid: str) -> None:
        """A claim has another uid than before."""
        if uid in self._claims:
            self._claims[new_uid] = self._claims.pop(uid)

    def _count(self, allocation: Object | None, sign: int) -> None:
        for result in allocations.results(allocation):
            if result.get("adminAccess"):
                continue  # Whoever looks after devices takes none away.
            device = (result["driver"], result["pool"], result["device"])
            self.version += 1
            self._changed_at[device[:2]] = self.version
            if result.get("shareID"):
                self._shares[device] += sign
                consumed = self._consumed[device]
                for name, amount in (result.get("consumedCapacity") or meta.EMPTY).items():
                    consumed[name] = consumed.get(name, Fraction(0)) + sign * quantity.parse(amount)
                if not self._shares[device]:
                    del self._consumed[device], self._shares[device]
            else:
                self._taken[device] += sign
                if not self._taken[device]:
                    del self._taken[device]

    def is_taken(self, device: DeviceID) -> bool:
        """As a whole."""
        return device in self._taken

    def is_shared(self, device: DeviceID) -> bool:
        """Whether somebody has a part of it."""
        return device in self._shares

    def consumed(self, device: DeviceID) -> Mapping[str, Fraction]:
        return self._consumed.get(device) or {}

    def changed_since(self, version: int) -> list[PoolID]:
        """Pools of which something was taken or given back since."""
        if version == self.version:
            return []
        return [pool for pool, changed in self._changed_at.items() if changed > version]
