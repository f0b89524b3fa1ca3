"""Informers: a current copy, told once of each difference."""

from __future__ import annotations

import asyncio
from typing import Any

from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from tests.fakeapi import Bench


def config_map(name: str, **metadata: Any) -> Object:
    metadata = {"name": name, "namespace": "default", **metadata}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": "value"}}


def on_bench(test: Any) -> None:
    async def main() -> None:
        found = Bench()
        try:
            await test(found)
        finally:
            await found.informers.stop()

    asyncio.run(main())


def test_it_can_be_waited_for_until_a_write_has_come_round() -> None:
    async def test(found: Bench) -> None:
        informer = found.informers.get("configmaps")
        await informer.wait_synced()
        made = await found.client.create("configmaps", config_map("a"))
        version = meta.resource_version(made)
        assert await informer.wait_until(lambda: informer.has_seen(version), 5)
        assert informer.get("default/a") is not None
        assert not await informer.wait_until(lambda: informer.has_seen(version + 100), 0.01)

    on_bench(test)


def test_metadata_informers_keep_no_content() -> None:
    async def test(found: Bench) -> None:
        found.api.put(config_map("a", labels={"x": "y"}, finalizers=["example.com/hold"]))
        informer = found.informers.metadata("configmaps")
        await informer.wait_synced()
        kept = informer.get("default/a")
        assert kept is not None
        assert "data" not in kept
        assert "labels" not in kept["metadata"]
        assert kept["metadata"]["finalizers"] == ["example.com/hold"]
        found.api.put(config_map("b"))
        await found.until(lambda: informer.get("default/b"))
        assert "data" not in (informer.get("default/b") or {})

    on_bench(test)


def test_shared_informers_do_not_keep_who_manages_the_fields() -> None:
    async def test(found: Bench) -> None:
        managed = found.api.put(config_map("a", labels={"x": "y"}, managedFields=[{"manager": "test"}]))
        informer = found.informers.get("configmaps")
        await informer.wait_synced()
        kept = informer.get("default/a")
        expected = {field: value for field, value in managed["metadata"].items() if field != "managedFields"}
        assert kept == {**managed, "metadata": expected}
        # The object that came is everybody's.
        assert managed["metadata"]["managedFields"]
        # Written as it is here, it does not ask for other managers.
        assert "managedFields" not in kept["metadata"]

    on_bench(test)


def test_whoever_has_whole_objects_shares_them_with_those_that_need_metadata() -> None:
    async def test(found: Bench) -> None:
        assert found.informers.get("configmaps") is found.informers.metadata("configmaps")

    on_bench(test)


def test_indices_follow_changes() -> None:
    async def test(found: Bench) -> None:
        informer = found.informers.get("configmaps", color=lambda obj: [meta.labels(obj).get("color", "")])
        found.api.put(config_map("a", labels={"color": "red"}))
        await found.until(lambda: informer.by_index("color", "red"))
        await found.client.patch("configmaps", "a", {"metadata": {"labels": {"color": "blue"}}}, "default")
        await found.until(lambda: informer.by_index("color", "blue"))
        assert not informer.by_index("color", "red")
        found.api.remove("configmaps", "default/a")
        await found.until(lambda: not informer.by_index("color", "blue"))

    on_bench(test)


def test_after_a_broken_watch_handlers_hear_of_each_difference_once() -> None:
    async def test(found: Bench) -> None:
        heard: list[tuple[str, str]] = []

        def handler(old: Object | None, new: Object | None) -> None:
            obj = new if new is not None else old
            assert obj is not None
            heard.append(("gone" if new is None else "new" if old is None else "changed", meta.name(obj)))

        for name in ("stays", "goes", "changes"):
            found.api.put(config_map(name))
        informer = found.informers.get("configmaps")
        informer.add_handler(handler)
        await found.until(lambda: len(heard) == 3)
        heard.clear()
        # The watch breaks as if its revision were compacted, and while it is away the world moves on.
        original, breaks = found.api._watch, [True]

        async def expired(path: str, query: Any) -> Any:
            if breaks:
                raise errors.expired("too old resource version")
            async for event in original(path, query):
                yield event

        found.api._watch = expired  # type: ignore[method-assign]
        await found.informers.stop()
        found.api.remove("configmaps", "default/goes")
        found.api.change("configmaps", "default/changes", data={})
        found.api.put(config_map("comes"))
        breaks.clear()
        task = asyncio.create_task(informer.run())
        await found.until(lambda: len(heard) == 3)
        task.cancel()
        assert sorted(heard) == [("changed", "changes"), ("gone", "goes"), ("new", "comes")]

    on_bench(test)


def test_a_watch_that_ends_at_once_is_not_begun_again_and_again() -> None:
    async def test(found: Bench) -> None:
        original, begun = found.api._watch, 0

        async def ends(path: str, query: Any) -> Any:
            nonlocal begun
            begun += 1
            if begun > 1:
                async for event in original(path, query):
                    yield event

        found.api._watch = ends  # type: ignore[method-assign]
        informer = found.informers.get("configmaps")
        await informer.wait_synced()
        found.api.put(config_map("a"))
        await found.until(lambda: informer.get("default/a"))
        await found.until(lambda: begun == 2)
        # It has started from a list, which needs less of the server than what it would not tell.
        assert found.api.requests.count(("GET", "/api/v1/configmaps")) == 2

    on_bench(test)


def test_one_with_a_selector_has_no_others_and_is_shared_by_those_who_select_the_same() -> None:
    def secret(name: str, type_: str) -> Object:
        metadata = {"name": name, "namespace": "default"}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": type_}

    async def test(found: Bench) -> None:
        found.api.put(secret("a", "x"))
        found.api.put(secret("b", "y"))
        informer = found.informers.selected("secrets", "type=x")
        await informer.wait_synced()
        found.api.put(secret("c", "y"))
        found.api.put(secret("d", "x"))
        await found.until(lambda: len(informer) == 2)
        assert [meta.name(obj) for obj in informer.list()] == ["a", "d"]
        assert informer.is_selective and not found.informers.get("secrets").is_selective
        assert found.informers.selected("secrets", "type=x", type=lambda obj: [obj["type"]]) is informer
        assert len(informer.by_index("type", "x")) == 2
        assert found.informers.selected("secrets", "type=y") is not informer
        await found.informers.wait_synced()
        assert len(found.informers.all()) == 3 and len(found.informers.get("secrets")) == 4

    on_bench(test)
