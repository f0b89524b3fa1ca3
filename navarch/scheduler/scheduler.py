"""The scheduler as a component. Its machinery is loaded when it runs: the API need not wait 0.1 s for NumPy."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

from navarch.client.client import Client
from navarch.client.informer import Informers

if TYPE_CHECKING:
    from navarch.scheduler.engine import Engine


class Scheduler:
    """Binds pods of ``schedulerName: default-scheduler`` to nodes."""

    def __init__(self, client: Client, informers: Informers) -> None:
        self._client = client
        self._informers = informers
        self._engine: Engine | None = None
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Schedule until `stop`."""
        module = await asyncio.to_thread(importlib.import_module, "navarch.scheduler.engine")
        engine: Engine = module.Engine(self._client, self._informers)
        self._engine = engine
        if self._stopped.is_set():
            return
        await engine.start()
        await self._stopped.wait()

    async def stop(self) -> None:
        self._stopped.set()
        if self._engine is not None:
            await self._engine.stop()
