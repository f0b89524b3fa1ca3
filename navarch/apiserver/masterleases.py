"""Which API servers there are, where several share a store: each renews a lease of its own, and those that do are alive.

Leases are below ``/registry/masterleases/``, as kube-apiserver's; they are no objects of the API. That another server is alive
is seen by its lease changing, with the own clock; the times in it are for people.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from navarch.apimachinery.errors import Object
from navarch.apiserver.resources import versioned
from navarch.component import clock
from navarch.storage.changes import Change, Record, Write
from navarch.storage.mvcc import ConflictError
from navarch.storage.store import Store

PREFIX = "/registry/masterleases/"
LEASE_SECONDS = 15.0


class MasterLeases:
    """One server's lease, and its view of the others'."""

    def __init__(self, store: Store, address: str, port: int) -> None:
        self._store = store
        self._key = PREFIX + address
        self._port = port
        now = clock.monotonic()
        self._changed = dict.fromkeys(store.collection(PREFIX).records, now)
        """When each lease was seen to be renewed."""
        self._watcher = store.watch(PREFIX, PREFIX, store.revision, self._follow)

    def _follow(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if change.deleted:
                self._changed.pop(change.record.key, None)
            else:
                self._changed[change.record.key] = clock.monotonic()

    async def renew(self) -> None:
        """Say that this server is alive, and forget those that are not. Raises StorageError."""
        lease: Object = {"metadata": {"name": self._key.removeprefix(PREFIX)}, "port": self._port, "renewed": clock.timestamp()}
        await self._write(Write(PREFIX, self._key, versioned(lease), self._store.latest(PREFIX, self._key), lease))
        for key, record in list(self._store.collection(PREFIX).records.items()):
            if not self._is_alive(key):
                await self._write(self._removal(record))

    def addresses(self) -> list[str]:
        """Where the servers that are alive listen, all on one port: that of the first of them."""
        leases = [record.object() for record in self._store.collection(PREFIX).range(PREFIX) if self._is_alive(record.key)]
        return [lease["metadata"]["name"] for lease in leases if lease["port"] == leases[0]["port"]]

    async def release(self) -> None:
        """This server goes. Raises StorageError."""
        self._store.unwatch(PREFIX, self._watcher)
        record = self._store.latest(PREFIX, self._key)
        if record is not None:
            await self._write(self._removal(record))

    def _is_alive(self, key: str) -> bool:
        return clock.monotonic() < self._changed.get(key, 0.0) + LEASE_SECONDS

    def _removal(self, record: Record) -> Write:
        return Write(PREFIX, record.key, versioned(record.object()), record, deletes=True)

    async def _write(self, write: Write) -> None:
        # Another server looks after it too, or has this address too: it is looked at again the next time.
        with suppress(ConflictError):
            await self._store.write([write])
