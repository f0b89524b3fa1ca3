"""Nodes as objects."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.world import Space

NODES = "nodes"


@behaviour("Node, resource lifecycle")
def test_a_node_is_made_read_patched_listed_updated_and_deleted(space: Space) -> None:
    name = f"e2e-fake-node-{space.name}"
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "message": "Set from e2e test"}]}
    space.create(NODES, {"metadata": {"name": name}, "status": status})
    assert space.get(NODES, name)["metadata"]["name"] == name
    patched = space.patch(
        NODES, name, {"metadata": {"labels": {name: "patched"}}}, content_type="application/strategic-merge-patch+json"
    )
    assert patched["metadata"]["labels"][name] == "patched"
    assert [each["metadata"]["name"] for each in space.list(NODES, f"{name}=patched")] == [name]
    updated = space.change(NODES, name, lambda found: found["metadata"]["labels"].update({name: "updated"}))
    assert updated["metadata"]["labels"][name] == "updated"
    space.delete(NODES, name)
    assert space.get(NODES, name, code=404)["reason"] == "NotFound"
