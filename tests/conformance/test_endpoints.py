"""Endpoints."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import is_ready, pod
from tests.conformance.world import Space

ENDPOINTS = "endpoints"


def service(name: str, selector: Object) -> Object:
    ports = [{"name": "example", "port": 80, "targetPort": 3000, "protocol": "TCP"}]
    return {"metadata": {"name": name}, "spec": {"selector": selector, "ports": ports}}


def addresses(found: Object) -> set[str]:
    return {address["ip"] for subset in found.get("subsets") or () for address in subset.get("addresses") or ()}


@behaviour('Endpoints, "empty" Service')
def test_a_service_without_pods_has_empty_endpoints(space: Space) -> None:
    space.create(
        "services", service("example-empty-selector", {"does-not-match-anything": "endpoints-should-still-be-created"})
    )
    found = space.until_true(ENDPOINTS, "example-empty-selector", lambda _: True)
    assert not found.get("subsets")
    space.delete("services", "example-empty-selector")
    space.until_gone(ENDPOINTS, "example-empty-selector")


@behaviour("Endpoints, creation/deletion")
def test_endpoints_are_the_pods_that_match_a_service(space: Space) -> None:
    for number in range(2):
        space.create("pods", pod(f"pod-{number}", {"app": "web"}))
    space.create("services", service("example", {"app": "web"}))
    space.world.until(lambda: all(map(is_ready, space.list("pods"))))
    ips = {each["status"]["podIP"] for each in space.list("pods")}
    found = space.until_true(ENDPOINTS, "example", lambda found: addresses(found) == ips)
    targets = {address["targetRef"]["name"] for subset in found["subsets"] for address in subset["addresses"]}
    assert targets == {"pod-0", "pod-1"}
    assert [(port["name"], port["port"]) for port in found["subsets"][0]["ports"]] == [("example", 3000)]
    space.delete("services", "example")
    space.until_gone(ENDPOINTS, "example")


@behaviour("Endpoint resource lifecycle")
def test_endpoints_are_made_listed_updated_patched_and_deleted(space: Space) -> None:
    mark = f"test-endpoint-static={space.name}"
    subset = {"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
    made = {"metadata": {"name": "testservice", "labels": {"test-endpoint-static": space.name}}, "subsets": [subset]}
    with space.watching(ENDPOINTS, mark) as watch:
        space.create(ENDPOINTS, made)
        assert watch.next()[0] == "ADDED"
        (listed,) = space.world.everywhere.list(ENDPOINTS, mark)
        assert listed["subsets"] == [subset]
        space.change(ENDPOINTS, "testservice", lambda found: found["metadata"]["labels"].update({"test-service": "updated"}))
        assert watch.next()[0] == "MODIFIED"
        assert space.get(ENDPOINTS, "testservice")["metadata"]["labels"]["test-service"] == "updated"
        patched = {"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080, "protocol": "TCP"}]}
        patch = {"metadata": {"labels": {"test-service": "patched"}}, "subsets": [patched]}
        space.patch(ENDPOINTS, "testservice", patch, content_type="application/strategic-merge-patch+json")
        assert watch.next()[0] == "MODIFIED"
        found = space.get(ENDPOINTS, "testservice")
        assert found["metadata"]["labels"]["test-service"] == "patched" and found["subsets"] == [patched]
        space.delete_all(ENDPOINTS, mark)
        assert watch.next()[0] == "DELETED"
    assert space.find(ENDPOINTS, "testservice") is None
