"""CSINodes."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.lifecycles import lives_and_is_replaced
from tests.conformance.world import Space


@behaviour("CSINode, lifecycle")
def test_a_csi_node_lives_and_is_replaced(space: Space) -> None:
    lives_and_is_replaced(space, "csinodes.storage.k8s.io", f"fake-node-{space.name}", {"spec": {"drivers": []}})
