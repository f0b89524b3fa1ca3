"""EndpointSlices."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.lifecycles import supports_api_operations
from tests.conformance.objects import is_ready, pod
from tests.conformance.world import Space

SLICES, ENDPOINTS = "endpointslices.discovery.k8s.io", "endpoints"


def slices_of(space: Space, service: str) -> list[Object]:
    return space.list(SLICES, f"kubernetes.io/service-name={service}")


def ready(space: Space, service: str) -> set[str]:
    endpoints = [endpoint for each in slices_of(space, service) for endpoint in each.get("endpoints") or ()]
    return {address for endpoint in endpoints if endpoint["conditions"]["ready"] for address in endpoint["addresses"]}


@behaviour("EndpointSlice, creation/deletion")
def test_slices_are_the_pods_that_match_a_service(space: Space) -> None:
    for name, labels in (("pod1", {"foo-bar": "a", "pod": "1"}), ("pod2", {"foo-bar": "a", "pod": "2"})):
        space.create("pods", pod(name, labels))
    port = {"name": "http", "port": 80, "targetPort": 3000, "protocol": "TCP"}
    space.create("services", {"metadata": {"name": "int-port"}, "spec": {"selector": {"pod": "1"}, "ports": [port]}})
    space.create("services", {"metadata": {"name": "both"}, "spec": {"selector": {"foo-bar": "a"}, "ports": [port]}})
    space.world.until(lambda: all(map(is_ready, space.list("pods"))))
    ips = {each["metadata"]["name"]: each["status"]["podIP"] for each in space.list("pods")}
    space.world.until(lambda: ready(space, "int-port") == {ips["pod1"]} and ready(space, "both") == set(ips.values()))
    (found,) = slices_of(space, "int-port")
    assert (found["addressType"], [(each["name"], each["port"]) for each in found["ports"]]) == ("IPv4", [("http", 3000)])
    (endpoint,) = found["endpoints"]
    assert (endpoint["targetRef"]["kind"], endpoint["targetRef"]["name"]) == ("Pod", "pod1") and endpoint["nodeName"]
    (subset,) = space.get(ENDPOINTS, "int-port")["subsets"]
    assert [each["ip"] for each in subset["addresses"]] == [ips["pod1"]]
    for name in ("int-port", "both"):
        space.delete("services", name)
        space.world.until(lambda: slices_of(space, name) == [])  # noqa: B023 - used at once
        space.until_gone(ENDPOINTS, name)


@behaviour('EndpointSlice, "empty" Service')
def test_a_service_without_pods_has_an_empty_slice(space: Space) -> None:
    spec = {"selector": {"does-not-match-anything": "endpoints-should-still-be-created"}, "ports": [{"port": 80}]}
    space.create("services", {"metadata": {"name": "example-empty-selector"}, "spec": spec})
    space.until_true(ENDPOINTS, "example-empty-selector", lambda found: not found.get("subsets"))
    space.world.until(lambda: len(slices_of(space, "example-empty-selector")) == 1)
    (found,) = slices_of(space, "example-empty-selector")
    assert not found.get("endpoints")
    space.delete("services", "example-empty-selector")
    space.until_gone(ENDPOINTS, "example-empty-selector")
    space.world.until(lambda: slices_of(space, "example-empty-selector") == [])


@behaviour("EndpointSlice API")
def test_a_slice_does_every_verb(space: Space) -> None:
    body = {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["1.2.3.4", "5.6.7.8"]}],
        "ports": [{"name": "http", "port": 80}],
    }
    supports_api_operations(space, SLICES, [f"slice-{number}" for number in range(3)], body)
