"""The scheduler as a component. Its machinery is loaded when it runs: the API need not wait 0.1 s for NumPy."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from navarch.apimachinery.errors import Object
from navarch.client.client import Client
from navarch.client.informer import Informers

if TYPE_CHECKING:
    from navarch.scheduler.configuration import Configuration
    from navarch.scheduler.engine import Engine


class Scheduler:
    """Binds pods to nodes: those whose `schedulerName` is one of its profiles'; without a configuration, default-scheduler."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        configuration: Configuration | None = None,
        *,
        host: str = "",
    ) -> None:
        """`host` is where it runs."""
        self._host = host
        self._configuration = configuration
        self._client = client
        self._informers = informers
        self._engine: Engine | None = None
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Schedule until `stop`. Raises ConfigurationError for plugins that cannot be made."""
        module = await asyncio.to_thread(importlib.import_module, "navarch.scheduler.engine")
        engine: Engine = module.Engine(self._client, self._informers, self._configuration, self._host)
        self._engine = engine
        if self._stopped.is_set():
            return
        await engine.start()
        await self._stopped.wait()

    def explain(self, namespace: str, name: str) -> Object:
        """What is to be said of a pod and every node. Raises LookupError: without a text if there is no such pod."""
        if self._engine is None:
            raise LookupError("the scheduler is not running yet")
        return self._engine.explain(namespace, name)

    async def stop(self) -> None:
        self._stopped.set()
        if self._engine is not None:
            await self._engine.stop()


def load(path: Path | None, plugins: Sequence[Path] = ()) -> Configuration:
    """Read a configuration, and the users' plugins there are. Raises ConfigurationError."""
    from navarch.scheduler import configuration, loading

    found = loading.load(plugins)
    return configuration.Configuration(more_plugins=found) if path is None else configuration.load(path, found)
