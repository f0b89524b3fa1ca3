"""ServiceCIDRs and IPAddresses."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.lifecycles import supports_api_operations
from tests.conformance.world import Space


@behaviour("IPAddress API")
def test_an_ip_address_does_every_verb(space: Space) -> None:
    body = {"spec": {"parentRef": {"group": "example.com", "resource": "widgets", "namespace": "foo", "name": "bar"}}}
    names = [f"192.168.7.{number}" for number in range(3)]
    supports_api_operations(space, "ipaddresses.networking.k8s.io", names, body)


@behaviour("ServiceCIDR API")
def test_a_service_cidr_does_every_verb(space: Space) -> None:
    def status(type_: str) -> dict[str, object]:
        added = {"type": type_, "status": "True", "reason": "E2E", "message": "Set from an e2e test"}
        return {"status": {"conditions": [{**added, "lastTransitionTime": "2030-01-01T00:00:00Z"}]}}

    names = [f"{space.name}-cidr-{number}" for number in range(3)]
    statuses = {"status": [status("StatusPatched"), status("StatusUpdated")]}
    body = {"spec": {"cidrs": ["10.196.196.0/24"]}}
    supports_api_operations(
        space, "servicecidrs.networking.k8s.io", names, body, statuses=statuses, annotates=False, deletes_at_once=False
    )
