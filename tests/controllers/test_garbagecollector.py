"""The garbage collector's graph, and that it deletes nothing it should not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers.garbagecollector import GarbageCollector, Graph
from tests.controllers.world import events
from tests.fakeapi import Bench, bench


def config_map(name: str, *owners: Object, block: bool = True, **metadata: Any) -> Object:
    references = [{**meta.owner_reference(owner, controller=False, block_owner_deletion=block)} for owner in owners]
    found = {"name": name, "namespace": "default", **metadata}
    if references:
        found["ownerReferences"] = references
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": found}


def collector(found: Bench) -> GarbageCollector:
    return GarbageCollector(found.client, found.informers)


def names(found: Bench) -> list[str]:
    return sorted(meta.name(item) for item in found.api.all("configmaps"))


def test_the_graph_follows_owners() -> None:
    graph = Graph()
    graph.set("configmaps", {"uid": "a"})
    graph.set("configmaps", {"uid": "b", "ownerReferences": [{"uid": "a", "blockOwnerDeletion": True}]})
    assert [node.metadata["uid"] for node in graph.blocking("a")] == ["b"]
    graph.set("configmaps", {"uid": "b", "ownerReferences": [{"uid": "c"}]})
    assert not graph.dependants("a")
    assert [node.metadata["uid"] for node in graph.dependants("c")] == ["b"]
    graph.remove("b")
    assert not graph.dependants("c")


def test_what_lost_all_owners_goes_and_what_has_one_left_forgets_the_others() -> None:
    async def main() -> None:
        async with bench(collector) as found:
            one, two = found.api.put(config_map("one")), found.api.put(config_map("two"))
            found.api.put(config_map("of-one", one))
            found.api.put(config_map("of-both", one, two))
            found.api.remove("configmaps", "default/one")
            await found.until(lambda: names(found) == ["of-both", "two"])
            await found.until(
                lambda: len((found.api.one("configmaps", "default/of-both") or {})["metadata"]["ownerReferences"]) == 1
            )

    asyncio.run(main())


def test_an_owner_of_the_same_name_but_another_uid_is_no_owner() -> None:
    async def main() -> None:
        async with bench(collector) as found:
            first = found.api.put(config_map("owner"))
            found.api.remove("configmaps", "default/owner")
            found.api.put(config_map("owner"))
            found.api.put(config_map("dependant", first))
            await found.until(lambda: names(found) == ["owner"])

    asyncio.run(main())


@pytest.mark.parametrize("owned_again", [True, False])
def test_what_changes_before_it_is_deleted_stays_if_it_has_other_owners(owned_again: bool) -> None:
    async def main() -> None:
        async with bench(collector) as found:
            one, two = found.api.put(config_map("one")), found.api.put(config_map("two"))
            found.api.put(config_map("dependant", one))
            judged = 0

            def change(method: str, path: str, body: Any) -> None:
                nonlocal judged
                if method != "DELETE" or judged:
                    return
                judged += 1
                owners = [meta.owner_reference(two if owned_again else one, controller=False)]
                metadata = found.api.objects["configmaps"]["default/dependant"]["metadata"]
                found.api.change("configmaps", "default/dependant", metadata={**metadata, "ownerReferences": owners})

            found.api.refuse = change
            found.api.remove("configmaps", "default/one")
            await found.until(lambda: judged and names(found) == (["dependant", "two"] if owned_again else ["two"]))
            found.api.put(config_map("last", one))
            await found.until(lambda: "last" not in names(found))
            assert ("dependant" in names(found)) is owned_again

    asyncio.run(main())


def test_an_owner_in_another_namespace_is_no_owner() -> None:
    async def main() -> None:
        async with bench(collector) as found:
            owner = found.api.put(config_map("owner"))
            found.api.put(config_map("elsewhere", owner, namespace="other"))
            found.api.put(config_map("beside", owner))
            await found.until(lambda: names(found) == ["beside", "owner"])
            (text,) = await found.until(lambda: events(found, "OwnerRefInvalidNamespace"))
            place = f"v1/ConfigMap, namespace: other, name: owner, uid: {meta.uid(owner)}"
            assert text == f'ownerRef [{place}] does not exist in namespace "other"'

    asyncio.run(main())


def test_owners_of_kinds_that_are_not_served_keep_their_dependants() -> None:
    async def main() -> None:
        async with bench(collector) as found:
            foreign = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t", "uid": "t"}}
            owner = found.api.put(config_map("owner"))
            found.api.put(config_map("dependant", foreign))
            found.api.put(config_map("control", owner))
            found.api.remove("configmaps", "default/owner")
            await found.until(lambda: names(found) == ["dependant"])

    asyncio.run(main())


def test_foreground_deletion_waits_for_blocking_dependants_only() -> None:
    async def main() -> None:
        async with bench(collector) as found:
            owner = found.api.put(config_map("owner"))
            found.api.put(config_map("blocking", owner, finalizers=["example.com/hold"]))
            found.api.put(config_map("other", owner, block=False, finalizers=["example.com/hold"]))
            await found.client.delete("configmaps", "owner", "default", propagation_policy="Foreground")
            blocking = await found.until(
                lambda: (item := found.api.one("configmaps", "default/blocking")) and meta.being_deleted(item) and item
            )
            assert "owner" in names(found)
            await found.client.patch("configmaps", "blocking", {"metadata": {"finalizers": None}}, "default")
            del blocking
            await found.until(lambda: names(found) == ["other"])

    asyncio.run(main())


def test_an_owner_goes_once_a_dependant_it_waits_for_is_no_longer_its_own() -> None:
    async def main() -> None:
        async with bench(collector) as found:
            owner = found.api.put(config_map("owner"))
            found.api.put(config_map("blocking", owner, finalizers=["example.com/hold"]))
            await found.client.delete("configmaps", "owner", "default", propagation_policy="Foreground")
            await found.until(lambda: meta.being_deleted(found.api.one("configmaps", "default/blocking") or {"metadata": {}}))
            assert "owner" in names(found)
            await found.client.patch("configmaps", "blocking", {"metadata": {"ownerReferences": None}}, "default")
            await found.until(lambda: names(found) == ["blocking"])

    asyncio.run(main())


def test_a_circle_of_owners_is_deleted_in_the_foreground() -> None:
    async def main() -> None:
        async with bench(collector) as found:
            made = [found.api.put(config_map(name)) for name in ("a", "b", "c")]
            for owner, owned in zip(made, (*made[1:], made[0]), strict=True):
                reference = meta.owner_reference(owner, controller=False)
                patch = {"metadata": {"ownerReferences": [reference]}}
                await found.client.patch("configmaps", meta.name(owned), patch, "default")
            await found.client.delete("configmaps", "a", "default", propagation_policy="Foreground")
            await found.until(lambda: names(found) == [])

    asyncio.run(main())


def test_nothing_is_deleted_while_the_server_cannot_say_whether_the_owner_exists() -> None:
    async def main() -> None:
        async with bench(collector) as found:
            owner = found.api.put(config_map("owner"))
            dependant = config_map("dependant", owner)
            found.api.remove("configmaps", "default/owner")
            asked = 0

            def refuse(method: str, path: str, body: Any) -> Exception | None:
                nonlocal asked
                if method == "GET" and path.endswith("/owner"):
                    asked += 1
                    return ConnectionError("away") if asked < 4 else None
                return None

            found.api.refuse = refuse
            found.api.put(dependant)
            await found.until(lambda: asked == 3)
            assert names(found) == ["dependant"]
            await found.until(lambda: names(found) == [])

    asyncio.run(main())
