"""IngressClasses."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.lifecycles import supports_api_operations
from tests.conformance.world import Space


@behaviour("IngressClass API")
def test_an_ingress_class_does_every_verb(space: Space) -> None:
    names = [f"{space.name}-class-{number}" for number in range(3)]
    supports_api_operations(
        space, "ingressclasses.networking.k8s.io", names, {"spec": {"controller": "example.com/controller"}}
    )
