"""StorageClasses."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.lifecycles import lives_and_is_replaced
from tests.conformance.world import Space


@behaviour("StorageClass, lifecycle")
def test_a_storage_class_lives_and_is_replaced(space: Space) -> None:
    lives_and_is_replaced(
        space, "storageclasses.storage.k8s.io", f"class-{space.name}", {"provisioner": "e2e-fake-provisioner"}
    )
