"""Endpoints that somebody keeps by hand."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.lifecycles import is_discovered
from tests.conformance.test_endpointslice import ENDPOINTS, SLICES, slices_of
from tests.conformance.world import Space

SERVICE = "example-custom-endpoints"


def subset(*addresses: str, number: int) -> Object:
    return {"addresses": [{"ip": ip} for ip in addresses], "ports": [{"name": "example", "port": number, "protocol": "TCP"}]}


def until_mirrored(space: Space, wanted: Object) -> None:
    def are(found: list[Object]) -> bool:
        if len(found) != 1:
            return False
        addresses = [address for endpoint in found[0]["endpoints"] for address in endpoint["addresses"]]
        return addresses == [each["ip"] for each in wanted["addresses"]] and found[0]["ports"] == wanted["ports"]

    space.world.until(lambda: are(slices_of(space, SERVICE)))


@behaviour("EndpointSlice Mirroring")
def test_endpoints_are_mirrored_until_they_go(space: Space) -> None:
    is_discovered(space, SLICES)
    space.create("services", {"metadata": {"name": SERVICE}, "spec": {"ports": [{"name": "example", "port": 80}]}})
    first, second = subset("10.1.2.3", number=80), subset("10.2.3.4", number=9090)
    space.create(ENDPOINTS, {"metadata": {"name": SERVICE}, "subsets": [first]})
    until_mirrored(space, first)
    (found,) = slices_of(space, SERVICE)
    assert found["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == "endpointslicemirroring-controller.k8s.io"
    space.change(ENDPOINTS, SERVICE, lambda obj: obj.update(subsets=[second]))
    until_mirrored(space, second)
    space.delete(ENDPOINTS, SERVICE)
    space.world.until(lambda: slices_of(space, SERVICE) == [])
