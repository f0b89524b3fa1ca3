"""A kubelet on a bench, with a runtime and an API that only pretend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from navarch.apimachinery.errors import Object
from navarch.cri.fake import FakeRuntime
from navarch.kubelet.config import KubeletConfig
from navarch.kubelet.kubelet import Kubelet
from tests.fakeapi import Bench, bench

NODE = "n1"
KEY = "default/p"


class Trial:
    """A kubelet on a bench."""

    def __init__(self, found: Bench, runtime: FakeRuntime, kubelet: Kubelet) -> None:
        self.bench, self.api, self.runtime, self.kubelet = found, found.api, runtime, kubelet

    def add(self, *containers: Object, name: str = "p", **spec: Any) -> Object:
        made = [
            {"image": "app:1", "imagePullPolicy": "IfNotPresent", **container} for container in containers or ({"name": "c"},)
        ]
        body = {"nodeName": NODE, "restartPolicy": "Always", "terminationGracePeriodSeconds": 1, **spec, "containers": made}
        metadata = {"name": name, "namespace": "default", "generation": 1}
        return self.api.put(
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body, "status": {"phase": "Pending"}}
        )

    def status(self, key: str = KEY) -> Object:
        return (self.api.one("pods", key) or {}).get("status") or {}

    def container(self, key: str = KEY) -> Object:
        return (self.status(key).get("containerStatuses") or [{"state": {}}])[0]

    def events(self, reason: str) -> list[str]:
        return [event["message"] for event in self.api.all("events") if event["reason"] == reason]

    async def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        return await self.bench.until(condition, what=what)

    async def running(self, *containers: Object, **fields: Any) -> Object:
        pod = self.add(*containers, **fields)
        await self.until(lambda: self.status().get("phase") == "Running")
        return pod


@asynccontextmanager
async def trial(directory: Path, **config: Any) -> AsyncIterator[Trial]:
    runtime = FakeRuntime(images=["app:1"])
    settings = {"relist_seconds": 0.05, "status_check_seconds": 0.05, **config}
    kept: list[Kubelet] = []

    def start(found: Bench) -> Kubelet:
        found.api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}, "spec": {}})
        kubelet = Kubelet(
            KubeletConfig(
                node_name=NODE,
                node_ip="10.0.0.1",
                root_directory=directory / "kubelet",
                log_directory=directory / "logs",
                manage_cgroups=False,
                memory_volumes=False,
                **settings,
            ),
            found.client,
            runtime,
            runtime,
            found.informers,
        )
        kept.append(kubelet)
        return kubelet

    async with bench(start) as found:
        await found.until(lambda: kept[0].node.registered.is_set() and not kept[0].node.problem())
        yield Trial(found, runtime, kept[0])


def on_a_trial(test: Callable[[Trial], Any], **config: Any) -> Callable[[Path], None]:
    def run(tmp_path: Path) -> None:
        async def within() -> None:
            async with trial(tmp_path, **config) as found:
                await test(found)

        asyncio.run(within())

    return run
