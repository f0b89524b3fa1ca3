"""Aggregated discovery: everything in two documents."""

from __future__ import annotations

from typing import Any

from tests.conformance import behaviour
from tests.conformance.customresources import defined, definition, version
from tests.conformance.objects import BUILT_IN
from tests.conformance.world import Space

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def document(space: Space, root: str) -> Any:
    reply = space.world.call("GET", root, headers={"accept": ACCEPT}, user=space.user)
    assert reply.status == 200 and reply.headers["content-type"] == ACCEPT
    assert (reply.json["kind"], reply.json["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    return reply.json


def resources(space: Space) -> set[tuple[str, str, str]]:
    """(group, version, resource) of everything that is discovered."""
    return {
        (item["metadata"].get("name", ""), version["version"], resource["resource"])
        for root in ("/api", "/apis")
        for item in document(space, root)["items"]
        for version in item["versions"]
        for resource in version["resources"]
    }


@behaviour("Aggregated Discovery Endpoint Accept Headers")
def test_the_documents_have_what_is_built_in(space: Space) -> None:
    assert resources(space) >= set(BUILT_IN)


@behaviour("Aggregated Discovery Endpoint Accept Headers CRDs")
def test_the_documents_have_what_is_defined(space: Space) -> None:
    with defined(space, definition("Raw", version("v1"), group="raw.example.com")):
        space.world.until(lambda: ("raw.example.com", "v1", "raws") in resources(space))


@behaviour("Aggregated Discovery Interface")
def test_groups_and_resources_come_from_the_documents(space: Space) -> None:
    found = {item["metadata"].get("name", ""): item for root in ("/api", "/apis") for item in document(space, root)["items"]}
    for group, name, resource in BUILT_IN:
        (served,) = [each for each in found[group]["versions"] if each["version"] == name]
        (entry,) = [each for each in served["resources"] if each["resource"] == resource]
        assert entry["responseKind"]["kind"] and entry["verbs"] and entry["scope"] in ("Namespaced", "Cluster")
        assert served["freshness"] == "Current"


@behaviour("Aggregated Discovery Interface CRDs")
def test_what_is_defined_is_found_as_what_is_built_in(space: Space) -> None:
    with defined(space, definition("Client", version("v2"), version("v1", storage=False), group="client.example.com")):
        space.world.until(lambda: ("client.example.com", "v1", "clients") in resources(space))
        (group,) = [item for item in document(space, "/apis")["items"] if item["metadata"].get("name") == "client.example.com"]
        assert [each["version"] for each in group["versions"]] == ["v2", "v1"]
        entry = group["versions"][0]["resources"][0]
        assert (entry["responseKind"]["kind"], entry["singularResource"], entry["scope"]) == ("Client", "client", "Namespaced")
