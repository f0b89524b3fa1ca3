"""The API server as a Service of the cluster."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.world import Space, World

SLICES = "endpointslices.discovery.k8s.io"


@behaviour("Kubernetes Service")
def test_the_api_is_a_service(world: World) -> None:
    found = Space(world, "default").get("services", "kubernetes")
    assert [(port["name"], port["port"]) for port in found["spec"]["ports"]] == [("https", 443)]


@behaviour("kubernetes.default Endpoints and EndpointSlices")
def test_the_api_has_endpoints_and_slices(world: World) -> None:
    default = Space(world, "default")
    (subset,) = default.get("endpoints", "kubernetes")["subsets"]
    slices = default.list(SLICES, "kubernetes.io/service-name=kubernetes")
    addresses = {address for each in slices for endpoint in each["endpoints"] for address in endpoint["addresses"]}
    assert addresses == {each["ip"] for each in subset["addresses"]} != set()
    ports = {(port["name"], port["port"]) for each in slices for port in each["ports"]}
    assert ports == {(port["name"], port["port"]) for port in subset["ports"]} == {("https", world.server.port)}
