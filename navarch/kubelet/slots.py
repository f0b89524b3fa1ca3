"""How many pods a node starts at the same time.

A start keeps a core busy (network, runtime, kernel); more starts at once than cores can serve only make every one of them
slower. Whoever merely waits, for an image or a hook, gives its place to others meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slot:
    """One pod's place; use as an async context manager."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._held = False
        self._pauses = 0
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Slot:
        await self._hold()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._release()

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Without the place for a while; containers of one pod may pause side by side."""
        self._pauses += 1
        self._release()
        try:
            yield
        finally:
            self._pauses -= 1
        if not self._pauses:
            await self._hold()

    async def _hold(self) -> None:
        async with self._lock:
            if not self._held:
                await self._places.acquire()
                self._held = True

    def _release(self) -> None:
        if self._held:
            self._held = False
            self._places.release()
