"""Volumes, claims and classes of attributes stay as long as they are in use, and go afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from navarch.api import registry
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import storageprotection
from tests.apiserver.samples import pod, sample
from tests.controllers.cluster import Cluster, cluster

CLAIMS, VOLUMES, CLASSES = "persistentvolumeclaims", "persistentvolumes", "volumeattributesclasses.storage.k8s.io"


def run(tmp_path: Path, test: Callable[[Cluster], Awaitable[None]]) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await test(found)

    asyncio.run(main())


def using(claim: str, name: str = "user", **spec: Any) -> Object:
    return pod(name, volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": claim}}], **spec)


async def settled(found: Cluster, name: str) -> None:
    """Until the controller has let go of something that was deleted after everything that it should have looked at."""
    kind = registry.resource(name)
    namespace = "default" if kind.namespaced else ""
    key = f"{namespace}/marker" if namespace else "marker"
    await found.client.create(name, sample(kind, "marker"))
    await found.until(lambda: found.one(name, key))
    await found.client.delete(name, "marker", namespace)
    await found.until(lambda: found.one(name, key) is None)


@pytest.mark.parametrize("name", [CLAIMS, VOLUMES, CLASSES])
def test_what_nobody_uses_goes_at_once(tmp_path: Path, name: str) -> None:
    async def test(found: Cluster) -> None:
        kind = registry.resource(name)
        await found.client.create(name, sample(kind, "unused"))
        await found.client.delete(name, "unused", "default" if kind.namespaced else "")
        await found.until(lambda: not found.informers.get(name).list())

    run(tmp_path, test)


def test_a_claim_stays_until_the_last_pod_on_a_node_is_gone(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(CLAIMS, sample(registry.resource(CLAIMS), "data"))
        for name in ("one", "two"):
            await found.client.create("pods", using("data", name, nodeName="silent"))
        await found.until(lambda: len(found.all("pods")) == 2)
        deleted = await found.client.delete(CLAIMS, "data", "default")
        assert meta.being_deleted(deleted)
        await found.client.delete("pods", "one", "default", grace_period_seconds=0)
        await settled(found, CLAIMS)
        assert found.one(CLAIMS, "default/data") is not None
        await found.client.delete("pods", "two", "default", grace_period_seconds=0)
        await found.until(lambda: found.one(CLAIMS, "default/data") is None)

    run(tmp_path, test)


def test_a_pod_without_a_node_holds_no_claim(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(CLAIMS, sample(registry.resource(CLAIMS), "data"))
        await found.client.create("pods", using("data"))
        await found.client.delete(CLAIMS, "data", "default")
        await found.until(lambda: found.one(CLAIMS, "default/data") is None)

    run(tmp_path, test)


def test_a_bound_volume_stays_until_its_claim_lets_go(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(VOLUMES, sample(registry.resource(VOLUMES), "disk"))
        bound = {"status": {"phase": "Bound"}}
        await found.client.patch(VOLUMES, "disk", bound, subresource="status")
        await found.until(lambda: (found.one(VOLUMES, "disk") or {}).get("status", {}).get("phase") == "Bound")
        await found.client.delete(VOLUMES, "disk")
        await settled(found, VOLUMES)
        assert found.one(VOLUMES, "disk") is not None
        await found.client.patch(VOLUMES, "disk", {"status": {"phase": "Released"}}, subresource="status")
        await found.until(lambda: found.one(VOLUMES, "disk") is None)

    run(tmp_path, test)


@pytest.mark.parametrize("by", [CLAIMS, VOLUMES])
def test_a_class_of_attributes_stays_while_a_volume_or_claim_has_it(tmp_path: Path, by: str) -> None:
    async def test(found: Cluster) -> None:
        kind = registry.resource(by)
        namespace = "default" if kind.namespaced else ""
        await found.client.create(CLASSES, sample(registry.resource(CLASSES), "fast"))
        body = sample(kind, "user")
        body["spec"]["volumeAttributesClassName"] = "fast"
        await found.client.create(by, body)
        await found.until(lambda: found.informers.get(by).list())
        await found.client.delete(CLASSES, "fast")
        await settled(found, CLASSES)
        assert found.one(CLASSES, "fast") is not None
        await found.client.delete(by, "user", namespace)
        await found.until(lambda: found.one(CLASSES, "fast") is None)

    run(tmp_path, test)


def test_what_was_made_without_its_finalizer_gets_it(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(CLAIMS, sample(registry.resource(CLAIMS), "data"))
        await found.client.patch(CLAIMS, "data", {"metadata": {"finalizers": None}}, "default")

        def held() -> bool:
            return (found.one(CLAIMS, "default/data") or {"metadata": {}})["metadata"].get("finalizers") == [
                "kubernetes.io/pvc-protection"
            ]

        await found.until(held)

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("deletion", "expected"),
    [
        ({}, ["named", "one-made"]),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}, ["named", "one-made"]),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0}, ["named"]),
    ],
)
def test_a_pod_holds_claims_by_name_and_those_made_for_it_until_it_is_shut_down(deletion: Object, expected: list[str]) -> None:
    volumes = [
        {"name": "named", "persistentVolumeClaim": {"claimName": "named"}},
        {"name": "made", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        {"name": "scratch", "emptyDir": {}},
    ]
    body = pod("one", volumes=volumes)
    body["metadata"] |= deletion
    assert list(storageprotection.claims_of(body)) == expected
