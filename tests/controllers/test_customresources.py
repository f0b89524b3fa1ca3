"""Custom resources are collected, counted and deleted with their namespace as anything else is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from navarch.api.apiextensions import customresource
from navarch.api.kind import Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from tests.controllers.cluster import Cluster, cluster

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
WIDGETS = "widgets.example.com"
SCHEMA = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
TIMEOUT_SECONDS = 20.0


def versions(*served: str, storage: str = "v1") -> list[Object]:
    names = sorted({*served, storage})
    return [{"name": name, "served": name in served, "storage": name == storage, "schema": SCHEMA} for name in names]


async def define(found: Cluster) -> Kind:
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": versions("v1", "v2"),
    }
    made = await found.client.create(DEFINITIONS, {"metadata": {"name": WIDGETS}, "spec": spec})
    return customresource.kinds(made)[0]


def widget(name: str, owner: Object | None = None, namespace: str = "default") -> Object:
    owners = {"ownerReferences": [meta.owner_reference(owner)]} if owner is not None else {}
    return {"metadata": {"name": name, "namespace": namespace, **owners}}


async def create(found: Cluster, kind: Kind, obj: Object) -> Object:
    return await found.client.create(kind, {"apiVersion": kind.api_version, "kind": kind.kind, **obj})


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not await condition():
            await asyncio.sleep(0.002)


async def names(found: Cluster, kind: Kind, namespace: str = "default") -> list[str]:
    return [meta.name(item) for item in (await found.client.list(kind, namespace))["items"]]


async def is_gone(found: Cluster, resource: str, name: str, namespace: str = "") -> bool:
    try:
        await found.client.get(resource, name, namespace)
    except StatusError as error:
        return error.is_not_found
    return False


def run(tmp_path: Path, test: Callable[[Cluster, Kind], Awaitable[None]]) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await test(found, await define(found))

    asyncio.run(main())


def test_they_own_and_are_owned(tmp_path: Path) -> None:
    async def test(found: Cluster, kind: Kind) -> None:
        owner = await create(found, kind, widget("owner"))
        await create(found, kind, widget("owned", owner))
        pod = {**widget("pod", owner), "data": {}}
        config = await found.client.create("configmaps", pod)
        await create(found, kind, widget("of-config", config))
        # Whatever version they are known by.
        second = customresource.kinds(await found.client.get(DEFINITIONS, WIDGETS))[1]
        await found.client.delete(second, "owner", "default")

        async def all_gone() -> bool:
            return not await names(found, kind) and await is_gone(found, "configmaps", "pod", "default")

        await eventually(all_gone)

    run(tmp_path, test)


def test_foreground_deletion_waits_for_them(tmp_path: Path) -> None:
    async def test(found: Cluster, kind: Kind) -> None:
        owner = await create(found, kind, widget("owner"))
        held = widget("held", owner)
        held["metadata"]["finalizers"] = ["example.com/held"]
        await create(found, kind, held)
        await found.client.delete(kind, "owner", "default", propagation_policy="Foreground")

        async def is_marked() -> bool:
            return meta.being_deleted(await found.client.get(kind, "held", "default"))

        await eventually(is_marked)
        assert await names(found, kind) == ["held", "owner"]
        await found.client.patch(kind, "held", {"metadata": {"finalizers": None}}, "default")

        async def none_left() -> bool:
            return not await names(found, kind)

        await eventually(none_left)

    run(tmp_path, test)


def test_another_version_being_served_changes_nothing_about_whom_they_own(tmp_path: Path) -> None:
    async def test(found: Cluster, kind: Kind) -> None:
        owner = await create(found, kind, widget("owner"))
        changed = await found.client.patch(DEFINITIONS, WIDGETS, {"spec": {"versions": versions("v2")}})
        (second,) = customresource.kinds(changed)
        await create(found, second, widget("owned", {**owner, "apiVersion": second.api_version}))
        await found.client.delete(second, "owner", "default")

        async def none_left() -> bool:
            return not await names(found, second)

        await eventually(none_left)

    run(tmp_path, test)


def test_they_go_with_their_namespace(tmp_path: Path) -> None:
    async def test(found: Cluster, kind: Kind) -> None:
        await found.client.create("namespaces", {"metadata": {"name": "brief"}})
        await create(found, kind, widget("one", namespace="brief"))
        await create(found, kind, widget("two"))
        await found.client.delete("namespaces", "brief")

        async def is_over() -> bool:
            return await is_gone(found, "namespaces", "brief")

        await eventually(is_over)
        assert await names(found, kind, "brief") == [] and await names(found, kind) == ["two"]

    run(tmp_path, test)


def test_quotas_count_them(tmp_path: Path) -> None:
    async def test(found: Cluster, kind: Kind) -> None:
        limited = f"count/{WIDGETS}"
        await create(found, kind, widget("one"))
        quota = {"metadata": {"name": "few", "namespace": "default"}, "spec": {"hard": {limited: "2"}}}
        await found.client.create("resourcequotas", quota)

        async def one_is_counted() -> bool:
            status = (await found.client.get("resourcequotas", "few", "default")).get("status") or {}
            return bool((status.get("used") or {}).get(limited) == "1")

        await eventually(one_is_counted)
        await create(found, kind, widget("two"))
        try:
            await create(found, kind, widget("three"))
            raise AssertionError("beyond the quota")
        except StatusError as refused:
            assert "exceeded quota: few" in refused.message
        await found.client.delete(kind, "two", "default")
        await eventually(one_is_counted)

    run(tmp_path, test)


def test_what_has_gone_with_its_definition_is_made_anew(tmp_path: Path) -> None:
    async def test(found: Cluster, kind: Kind) -> None:
        await create(found, kind, widget("one"))
        await found.client.delete(DEFINITIONS, WIDGETS)

        async def is_over() -> bool:
            return await is_gone(found, DEFINITIONS, WIDGETS)

        await eventually(is_over)
        again = await define(found)
        owner = await create(found, again, widget("owner"))
        await create(found, again, widget("owned", owner))
        await found.client.delete(again, "owner", "default")

        async def none_left() -> bool:
            return not await names(found, again)

        await eventually(none_left)

    run(tmp_path, test)
