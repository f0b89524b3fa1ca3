"""The machinery of controllers: retries, own writes, ownership."""

from __future__ import annotations

import asyncio
import logging

import pytest

from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.controllers.controller import Cluster, Controller
from tests.controllers.world import on_bench
from tests.fakeapi import Bench


def config_map(name: str = "a") -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}


def test_a_failed_key_comes_back_until_it_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    failures = [ConnectionError("away"), errors.conflict("", "configmaps", "a", "changed"), ValueError("a defect")]
    attempts = 0

    async def reconcile(obj: Object, cluster: Cluster) -> None:
        nonlocal attempts
        attempts += 1
        if failures:
            raise failures.pop(0)

    async def main() -> None:
        async with on_bench(Controller("test", "configmaps", reconcile)) as found:
            found.api.put(config_map())
            await found.until(lambda: attempts == 4)

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    # Only what nobody expects is worth a traceback.
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_it_looks_again_after_the_time_it_asked_for() -> None:
    attempts = 0

    async def reconcile(obj: Object, cluster: Cluster) -> float | None:
        nonlocal attempts
        attempts += 1
        return 0.01 if attempts < 3 else None

    async def main() -> None:
        async with on_bench(Controller("test", "configmaps", reconcile)) as found:
            found.api.put(config_map())
            await found.until(lambda: attempts == 3)

    asyncio.run(main())


def test_it_never_works_on_a_cache_without_its_own_writes() -> None:
    seen: list[int] = []

    async def reconcile(obj: Object, cluster: Cluster) -> float | None:
        count = int((obj.get("data") or {}).get("count", "0"))
        seen.append(count)
        if count == 5:
            return None
        await cluster.update("configmaps", {**obj, "data": {"count": str(count + 1)}})
        return 0.0  # At once, whether the change has come round or not.

    async def main() -> None:
        async with on_bench(Controller("test", "configmaps", reconcile)) as found:
            found.api.put(config_map())
            await found.until(lambda: seen and seen[-1] == 5)

    asyncio.run(main())
    assert sorted(set(seen)) == [0, 1, 2, 3, 4, 5]
    assert seen == sorted(seen)
    assert seen[:5] == [0, 1, 2, 3, 4]


def test_a_deletion_of_its_own_counts_as_seen_when_the_object_goes() -> None:
    deleted: list[str] = []

    async def reconcile(obj: Object, cluster: Cluster) -> float | None:
        for pod in cluster.informer("pods").list("default"):
            deleted.append(meta.name(pod))
            await cluster.delete("pods", pod, grace_period_seconds=0)
            return 0.0
        return None

    async def main() -> None:
        async with on_bench(Controller("test", "configmaps", reconcile, owns=("pods",))) as found:
            for name in ("x", "y", "z"):
                found.api.put({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {}})
            await found.until(lambda: len(found.informers.get("pods")) == 3)
            found.api.put(config_map())
            await found.until(lambda: not found.api.all("pods"))
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert sorted(deleted) == ["x", "y", "z"]


def test_gone_is_called_for_seeds_and_for_deleted_objects() -> None:
    gone: list[str] = []

    async def reconcile(obj: Object, cluster: Cluster) -> None:
        return None

    async def note(key: str, cluster: Cluster) -> None:
        gone.append(key)

    async def main(found: Bench) -> None:
        await found.until(lambda: gone == ["default/seed"])
        found.api.put(config_map())
        await found.until(lambda: len(found.informers.get("configmaps")))
        found.api.remove("configmaps", "default/a")
        await found.until(lambda: gone == ["default/seed", "default/a"])

    async def on() -> None:
        async with on_bench(Controller("test", "configmaps", reconcile, gone=note, seeds=("default/seed",))) as found:
            await main(found)

    asyncio.run(on())
