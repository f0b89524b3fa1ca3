"""Files of the scheduler that change while it runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from navarch.scheduler import reloading
from navarch.scheduler.profiles import ConfigurationError
from navarch.scheduler.reloading import ReloadingScheduler
from tests.fakeapi import Bench, bench
from tests.scheduler.test_scheduler import node, pod, where

PLUGIN = """
from navarch.scheduler.framework import PerNode, unschedulable

class Choosing(PerNode):
    name = "Choosing"

    def filter_node(self, state, pod, node):
        return None if node.name == "{node}" else unschedulable("node(s) were not chosen")
"""
BROKEN = """
from navarch.scheduler.framework import PerNode

class Choosing(PerNode):
    name = "Choosing"

    def __init__(self, args, handle):
        raise ValueError("not today")

    def filter_node(self, state, pod, node):
        return None
"""
CONFIGURATION = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- plugins: {multiPoint: {enabled: [{name: Choosing}]}}
"""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "LOOK_SECONDS", 0.005)


def write(file: Path, text: str) -> None:
    """At once, as editors do."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def files(directory: Path) -> tuple[Path, Path]:
    configuration, plugin = directory / "scheduler.yaml", directory / "choosing.py"
    configuration.write_text(CONFIGURATION)
    plugin.write_text(PLUGIN.format(node="node-1"))
    return configuration, plugin


def test_a_plugin_that_has_changed_decides_what_comes_then(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    configuration, plugin = files(tmp_path)

    async def main() -> None:
        def running(found: Bench) -> Any:
            return Component(ReloadingScheduler(found.client, configuration, (plugin,)))

        async with bench(running) as found:
            for number in (1, 2, 3):
                found.api.put(node(f"node-{number}"))
            found.api.put(pod("first"))
            assert await found.until(lambda: where(found, "first")) == "node-1"

            write(plugin, PLUGIN.format(node="node-2"))
            await found.until(lambda: "it begins anew" in caplog.text)
            found.api.put(pod("second"))
            assert await found.until(lambda: where(found, "second")) == "node-2"

            write(plugin, "def")
            await found.until(lambda: "goes on as before" in caplog.text)
            found.api.put(pod("third"))
            assert await found.until(lambda: where(found, "third")) == "node-2"

            write(plugin, BROKEN)
            await found.until(lambda: 'initializing plugin "Choosing": not today' in caplog.text)
            found.api.put(pod("fourth"))
            assert await found.until(lambda: where(found, "fourth")) == "node-2"

            write(configuration, CONFIGURATION.replace("Choosing", "Chosing"))
            await found.until(lambda: 'unknown plugin "Chosing"' in caplog.text)
            write(plugin, PLUGIN.format(node="node-3"))
            write(configuration, CONFIGURATION)
            found.api.put(pod("last"))
            await found.until(lambda: where(found, "last"))

    asyncio.run(main())


def test_files_that_were_never_of_use_are_refused(tmp_path: Path) -> None:
    configuration, plugin = files(tmp_path)
    plugin.write_text(BROKEN)

    async def main() -> None:
        found = Bench()
        try:
            async with asyncio.timeout(5):
                await ReloadingScheduler(found.client, configuration, (plugin,)).run()
        finally:
            await found.informers.stop()

    with pytest.raises(ConfigurationError, match='initializing plugin "Choosing": not today'):
        asyncio.run(main())


class Component:
    """Ends when it is told to."""

    def __init__(self, scheduler: ReloadingScheduler) -> None:
        self._scheduler = scheduler
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        self._task = asyncio.create_task(self._scheduler.run())
        await asyncio.wait((self._task,))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
