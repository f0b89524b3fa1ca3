"""What Secrets that volumes are made of promise as objects."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.lifecycles import becomes_immutable
from tests.conformance.world import Space


@behaviour("Secrets Volume, immutability")
def test_a_secret_becomes_immutable(space: Space) -> None:
    becomes_immutable(space, "secrets", "data", "dmFsdWUtMQ==")
