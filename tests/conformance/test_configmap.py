"""ConfigMaps as objects."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.world import Space

MAPS = "configmaps"


@behaviour("ConfigMap, with empty-key")
def test_an_empty_key_is_refused(space: Space) -> None:
    refused = space.create(MAPS, {"metadata": {"name": "test-emptykey"}, "data": {"": "value-1"}}, code=422)
    assert refused["reason"] == "Invalid"


@behaviour("ConfigMap Update")
def test_a_config_map_is_made_and_updated(space: Space) -> None:
    space.create(MAPS, {"metadata": {"name": "test"}, "data": {"data-1": "value-1"}})
    space.change(MAPS, "test", lambda found: found.update(data={"data": "value"}))
    assert space.get(MAPS, "test")["data"] == {"data": "value"}


@behaviour("ConfigMap lifecycle")
def test_a_config_map_is_made_patched_listed_and_deleted_with_its_collection(space: Space) -> None:
    mark = f"test-configmap-static={space.name}"
    made = {"metadata": {"name": "test", "labels": {"test-configmap-static": space.name}}, "data": {"valueName": "value"}}
    with space.watching(MAPS, mark) as watch:
        space.create(MAPS, made)
        assert watch.next()[0] == "ADDED"
        patch = {"metadata": {"labels": {"test-configmap": "patched"}}, "data": {"valueName": "value1"}}
        space.patch(MAPS, "test", patch, content_type="application/strategic-merge-patch+json")
        assert watch.next()[0] == "MODIFIED"
        found = space.get(MAPS, "test")
        assert (found["data"]["valueName"], found["metadata"]["labels"]["test-configmap"]) == ("value1", "patched")
        (listed,) = space.world.everywhere.list(MAPS, mark)
        assert listed["data"] == {"valueName": "value1"} and listed["metadata"]["namespace"] == space.name
        space.delete_all(MAPS, mark)
        assert watch.next()[0] == "DELETED"
    assert space.list(MAPS, mark) == []
