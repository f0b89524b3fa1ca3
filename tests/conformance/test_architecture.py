"""What every conformant cluster is made of."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.world import World


@behaviour("Conformance tests minimum number of nodes.")
def test_there_are_two_nodes_that_pods_can_be_scheduled_to(world: World) -> None:
    nodes = world.everywhere.list("nodes")
    assert len([node for node in nodes if not node["spec"].get("taints") and not node["spec"].get("unschedulable")]) >= 2
