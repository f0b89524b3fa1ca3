"""What ConfigMaps that volumes are made of promise as objects."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.lifecycles import becomes_immutable
from tests.conformance.world import Space


@behaviour("ConfigMap Volume, immutability")
def test_a_config_map_becomes_immutable(space: Space) -> None:
    becomes_immutable(space, "configmaps", "data", "value-1")
