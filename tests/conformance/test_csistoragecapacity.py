"""CSIStorageCapacities."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.lifecycles import supports_api_operations
from tests.conformance.world import Space


@behaviour("CSIStorageCapacity API")
def test_a_storage_capacity_does_every_verb(space: Space) -> None:
    names = [f"capacity-{number}" for number in range(3)]
    body = {"storageClassName": f"e2e-storage-class-{space.name}", "capacity": "100Gi"}
    supports_api_operations(space, "csistoragecapacities.storage.k8s.io", names, body)
