"""Which version the server is of."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.world import World


@behaviour("Confirm a server version")
def test_the_version_is_made_of_numbers(world: World) -> None:
    found = world.call("GET", "/version").json
    assert (int(found["major"]), int(found["minor"])) == (1, 36)
