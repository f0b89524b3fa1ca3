"""Watching what a definition defines."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.customresources import defined, definition, version
from tests.conformance.world import Space


@behaviour("Custom Resource Definition, watch")
def test_creations_changes_and_deletions_are_seen(space: Space) -> None:
    with defined(space, definition("Noxu", version("v1beta1"), group="mygroup.example.com", scope="Cluster")) as found:
        watch = space.world.watch(found.path(), resourceVersion=str(space.world.store.revision))
        for name in ("name1", "name2"):
            found.create(name, content={"key": "value"})
            assert watch.take(1) == [("ADDED", name)]
        for name in ("name1", "name2"):
            change = {"dummy": "test"}
            space.ask("PATCH", found.path(name), change, content_type="application/merge-patch+json")
            event = watch.next()
            assert (event["type"], event["object"]["dummy"]) == ("MODIFIED", "test")
        for name in ("name1", "name2"):
            space.ask("DELETE", found.path(name))
            assert watch.take(1) == [("DELETED", name)]
        watch.close()
