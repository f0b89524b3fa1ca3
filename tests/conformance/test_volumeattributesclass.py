"""VolumeAttributesClasses."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.lifecycles import lives_and_is_replaced
from tests.conformance.world import Space


@behaviour("VolumeAttributesClass, lifecycle")
def test_a_volume_attributes_class_lives_and_is_replaced(space: Space) -> None:
    body = {"driverName": "e2e-fake-csi-driver", "parameters": {"param1": "value1"}}
    lives_and_is_replaced(space, "volumeattributesclasses.storage.k8s.io", f"class-{space.name}", body)
