"""Lists in chunks."""

from __future__ import annotations

import random

import pytest

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.world import Space, World

TOTAL = 400
NAMES = [f"template-{number:04d}" for number in range(TOTAL)]


@pytest.fixture(scope="module")
def templates(world: World) -> Space:
    space = world.space()
    spec = {"containers": [{"name": "test", "image": "test2"}]}
    for name in NAMES:
        space.create("podtemplates", {"metadata": {"name": name}, "template": {"spec": spec}})
    return space


def chunk(space: Space, limit: int, token: str = "") -> Object:
    query: Object = {"limit": limit, **({"continue": token} if token else {})}
    found: Object = space.ask("GET", space.path("podtemplates"), **query)
    return found


def names(found: Object) -> list[str]:
    return [item["metadata"]["name"] for item in found["items"]]


@behaviour("API Chunking, server should return chunks of results for list calls")
def test_a_list_comes_in_chunks_of_one_revision(templates: Space) -> None:
    for seed in range(3):
        limits = random.Random(seed)
        seen: list[str] = []
        token, revisions = "", set()
        while token or not seen:
            limit = limits.randint(1, TOTAL // 10)
            found = chunk(templates, limit, token)
            assert len(found["items"]) <= limit
            seen += names(found)
            revisions.add(found["metadata"]["resourceVersion"])
            token = found["metadata"].get("continue", "")
            left = found["metadata"].get("remainingItemCount")
            assert left == (TOTAL - len(seen) if token else None)
        assert seen == NAMES
        assert len(revisions) == 1
    assert len(chunk(templates, TOTAL + 1)["items"]) == TOTAL


@behaviour(
    "API Chunking, server should support continue listing from the last key "
    "even if the original version has been compacted away"
)
def test_a_list_goes_on_inconsistently_once_its_revision_is_forgotten(world: World, templates: Space) -> None:
    limit = TOTAL // 10
    first = chunk(templates, limit)
    token = first["metadata"]["continue"]
    assert first["metadata"]["remainingItemCount"] == TOTAL - limit
    templates.create("configmaps", {"metadata": {"name": "newer"}})

    def expired() -> str:
        reply = world.call("GET", templates.path("podtemplates"), limit=limit, **{"continue": token})
        if reply.status == 200:
            return ""
        assert (reply.status, reply.reason) == (410, "Expired")
        return str(reply.json["metadata"]["continue"])

    second = chunk(templates, limit, world.until(expired))
    revision = second["metadata"]["resourceVersion"]
    assert revision != first["metadata"]["resourceVersion"]
    seen = names(first) + names(second)
    assert seen == NAMES[: 2 * limit]
    assert second["metadata"]["remainingItemCount"] == TOTAL - len(seen)
    token = second["metadata"]["continue"]
    while token:
        found = chunk(templates, limit, token)
        assert found["metadata"]["resourceVersion"] == revision
        seen += names(found)
        token = found["metadata"].get("continue", "")
        assert found["metadata"].get("remainingItemCount") == (TOTAL - len(seen) if token else None)
    assert seen == NAMES
