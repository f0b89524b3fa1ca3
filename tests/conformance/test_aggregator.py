"""An API server beside the cluster's, whose group the cluster serves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from navarch.apimachinery import meta
from tests.apiserver.extension import GROUP, NAME, ROOT, VERSION, Extension
from tests.apiserver.test_proxy import own_address
from tests.conformance import behaviour
from tests.conformance.places import Place
from tests.conformance.realtime import RealTime

APISERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@pytest.fixture
def place(real: RealTime) -> Place:
    return Place(real)


@pytest.fixture
def extension(real: RealTime, place: Place) -> Iterator[Extension]:
    found = Extension(real.run, real.pki, own_address(), place.name)
    yield found
    found.close()


@behaviour("aggregator-supports-the-sample-apiserver")
def test_a_group_is_served_by_another_server(place: Place, extension: Extension) -> None:
    service, slice_ = extension.backend()
    place.create("services", service)
    place.create("endpointslices", slice_, group="discovery.k8s.io/v1")
    with place.made(APISERVICES, extension.service()):
        place.real.until(lambda: meta.is_condition_true(place.ask("GET", f"{APISERVICES}/{NAME}"), "Available"))
        flunders = f"{ROOT}/namespaces/{place.name}/flunders"
        name = f"rest-flunder-{place.name}"
        place.ask("POST", flunders, {"metadata": {"name": name}}, code=201)
        assert [item["metadata"]["name"] for item in place.ask("GET", flunders)["items"]] == [name]
        assert GROUP in [group["name"] for group in place.ask("GET", "/apis")["groups"]]
        assert [found["name"] for found in place.ask("GET", ROOT)["resources"]] == ["flunders"]

        def is_current() -> bool:
            items = place.ask("GET", "/apis", Accept=AGGREGATED)["items"]
            versions = [each for item in items if item["metadata"]["name"] == GROUP for each in item["versions"]]
            return [(each["version"], each["freshness"]) for each in versions] == [(VERSION, "Current")]

        place.real.until(is_current)
        place.ask("DELETE", f"{flunders}/{name}")
        assert place.ask("GET", flunders)["items"] == []
        # Its status is read, patched and replaced like any other; then it goes with its collection.
        path = f"{APISERVICES}/{NAME}"
        assert meta.is_condition_true(place.ask("GET", f"{path}/status"), "Available")
        added = {"type": "StatusUpdated", "status": "True", "reason": "E2E", "message": "Set from an e2e test"}
        read = place.ask("GET", f"{path}/status")
        conditions = [*read["status"]["conditions"], added]
        patched = place.merge(f"{path}/status", {"status": {"conditions": conditions}})
        assert meta.is_condition_true(patched, "StatusUpdated")
        replaced = {**patched, "status": {"conditions": [*patched["status"]["conditions"], {**added, "type": "Replaced"}]}}
        assert meta.is_condition_true(place.ask("PUT", f"{path}/status", replaced), "Replaced")
        label = {"metadata": {"labels": {"sample": place.name}}}
        place.merge(path, label)
        query = f"{APISERVICES}?labelSelector=sample%3D{place.name}"
        assert [item["metadata"]["name"] for item in place.ask("GET", query)["items"]] == [NAME]
        place.ask("DELETE", query)
        place.ask("GET", path, code=404)
        assert place.real.ask("GET", flunders)[0] == 404
