"""A scheduler that begins anew when one of its files has changed: its configuration, or a plugin.

A file that cannot be used makes no difference: that is logged, and the scheduler goes on with what it had. Beginning anew is
what a restart is: nothing is lost but what was found out about nodes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from navarch.apimachinery.errors import Object
from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.component import clock
from navarch.scheduler.scheduler import Scheduler, load

if TYPE_CHECKING:
    from navarch.scheduler.configuration import Configuration

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often files are looked at."""


class ReloadingScheduler:
    """`Scheduler`, with files. Every beginning has a view of its own of the cluster."""

    def __init__(self, client: Client, configuration: Path | None, plugins: Sequence[Path], *, host: str = "") -> None:
        """`configuration` is a `KubeSchedulerConfiguration` file, `plugins` are Python files, `host` is where it runs."""
        self._client = client
        self._path = configuration
        self._plugins = tuple(plugins)
        self._host = host
        self._scheduler: Scheduler | None = None
        self._marks: tuple[tuple[int, ...], ...] = ()

    async def run(self) -> None:
        """Schedule until it is cancelled. Raises ConfigurationError where there has never been anything to go on with."""
        self._marks = self._look()
        chosen, before = await asyncio.to_thread(load, self._path, self._plugins), None
        while True:
            following = await self._schedule(chosen, may_fail=before is not None)
            if following is None:
                assert before is not None
                chosen, before = before, None
            else:
                chosen, before = following, chosen

    def explain(self, namespace: str, name: str) -> Object:
        """What is to be said of a pod and every node. Raises LookupError: without a text if there is no such pod."""
        if self._scheduler is None:
            raise LookupError("the scheduler is not running yet")
        return self._scheduler.explain(namespace, name)

    async def stop(self) -> None:
        """Nothing is left of it when `run` has ended."""

    async def _schedule(self, configuration: Configuration, *, may_fail: bool) -> Configuration | None:
        """Schedule until there is another configuration; None: it cannot, with this one, which was not the first."""
        from navarch.scheduler.profiles import ConfigurationError

        informers = Informers(self._client)
        scheduler = self._scheduler = Scheduler(self._client, informers, configuration, host=self._host)
        running = asyncio.create_task(scheduler.run(), name="scheduler")
        changed = asyncio.create_task(self._changed(), name="scheduler-files")
        try:
            await asyncio.wait((running, changed), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                return changed.result()
            await running
            raise AssertionError("a scheduler ends when it is told to")
        except ConfigurationError as error:
            if not may_fail:
                raise
            logger.error("the scheduler goes on as before: %s", error)
            return None
        finally:
            changed.cancel()
            await scheduler.stop()
            await asyncio.gather(running, changed, return_exceptions=True)
            await informers.stop()

    async def _changed(self) -> Configuration:
        """What the files say when they have changed, once they can be used."""
        from navarch.scheduler.profiles import ConfigurationError

        while True:
            await clock.sleep(LOOK_SECONDS)
            marks = self._look()
            if marks == self._marks:
                continue
            self._marks = marks
            try:
                found = await asyncio.to_thread(load, self._path, self._plugins)
            except ConfigurationError as error:
                logger.error("the scheduler goes on as before: %s", error)
                continue
            logger.warning("the scheduler's files have changed: it begins anew")
            return found

    def _look(self) -> tuple[tuple[int, ...], ...]:
        """What tells versions of the files from each other."""
        marks: list[tuple[int, ...]] = []
        for path in (*((self._path,) if self._path is not None else ()), *self._plugins):
            try:
                found = path.stat()
            except OSError:
                marks.append((0,))
                continue
            marks.append((found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(marks)
