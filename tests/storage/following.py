"""A leader and a replica that follows it as one store: what is written at the one is read at the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from navarch.storage.backend import Backend
from navarch.storage.changes import Change, Record, Write
from navarch.storage.replica.feed import Feed
from navarch.storage.replica.store import ReplicaStore
from navarch.storage.store import LocalStore


class FollowedStore(ReplicaStore):
    """Reads are the replica's; a write returns once the replica has it."""

    def __init__(self, backend: Backend, path: Path) -> None:
        super().__init__(path)
        self.leader = LocalStore(backend)
        self.feed = Feed(self.leader.index)

    async def load(self) -> None:
        await self.leader.load()
        await self.feed.listen(self._path)
        await super().load()

    async def write_first(self, writes: Sequence[Write]) -> None:
        await self.leader.write_first([self._on_leader(write) for write in writes])
        await self.fresh()

    def start(self) -> None:
        self.leader.start()
        super().start()

    async def compact(self) -> None:
        await self.leader.compact()
        await super().compact()

    async def stop(self) -> None:
        await super().stop()
        await self.feed.close()
        await self.leader.stop()

    def latest(self, prefix: str, key: str) -> Record | None:
        return self.leader.latest(prefix, key)

    def _on_leader(self, write: Write) -> Write:
        newest = self.leader.latest(write.prefix, write.key)
        is_same = newest is not None and write.base is not None and newest.revision == write.base.revision
        return replace(write, base=newest) if is_same else write

    async def put(self, prefix: str, key: str, data: Any, base: Any, obj: Any = None, *, lazy: bool = False) -> Change:
        write = self._on_leader(Write(prefix, key, data, base))
        change = await self.leader.put(prefix, key, data, write.base, obj, lazy=lazy)
        await self.fresh()
        return change

    async def delete(self, prefix: str, key: str, data: Any, base: Any, obj: Any = None) -> Change:
        (change,) = await self.write([Write(prefix, key, data, base, obj, deletes=True)])
        return change

    async def write(self, writes: Sequence[Write]) -> list[Change]:
        changes = await self.leader.write([self._on_leader(write) for write in writes])
        await self.fresh()
        return changes
