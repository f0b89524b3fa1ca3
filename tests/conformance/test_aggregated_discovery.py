"""Discovery of everything at once."""

from __future__ import annotations

from typing import Any

from tests.conformance import behaviour
from tests.conformance.objects import BUILT_IN
from tests.conformance.world import Space

FORM = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
# What client libraries accept: the aggregated form where the server speaks it, else the older one.
CLIENT = f"{FORM},application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"


def documents(space: Space, accept: str) -> dict[str, Any]:
    """Of /api and /apis, the version of each group -> resources."""
    found = {}
    for root in ("/api", "/apis"):
        document = space.ask("GET", root, headers={"accept": accept})
        assert (document["kind"], document["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
        for group in document["items"]:
            for version in group["versions"]:
                name = group["metadata"].get("name", "")
                found[f"{root}/{name}/{version['version']}"] = {each["resource"] for each in version["resources"]}
    return found


@behaviour("Aggregated Discovery Endpoint Accept Headers")
def test_the_aggregated_form_is_had_by_asking_for_it(space: Space) -> None:
    found = documents(space, FORM)
    for group, version, resource in BUILT_IN:
        assert resource in found[f"{'/apis' if group else '/api'}/{group}/{version}"]


@behaviour("Aggregated Discovery Interface")
def test_clients_find_groups_and_resources_together(space: Space) -> None:
    found = documents(space, CLIENT)
    for group, version, resource in BUILT_IN:
        assert resource in found[f"{'/apis' if group else '/api'}/{group}/{version}"]
