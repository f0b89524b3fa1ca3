"""Devices as clients meet them: administrators' access, who may write what of a claim's status, taints, selection."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from navarch.apiserver.authorization import ALLOW, NO_OPINION, AuthorizerChain, Rules, Verdict
from navarch.apiserver.deviceaccess import DeviceAccess
from navarch.apiserver.request import User
from navarch.apiserver.requestinfo import RequestInfo
from tests.api.tables import cells, said
from tests.apiserver.bench import ALICE, APPLY, Bench, Reply
from tests.apiserver.samples import sample

CLASSES, CLAIMS, TEMPLATES, SLICES = (
    f"{plural}.resource.k8s.io" for plural in ("deviceclasses", "resourceclaims", "resourceclaimtemplates", "resourceslices")
)
LABEL = "resource.kubernetes.io/admin-access"
NO_ADMIN = f"Forbidden: admin access to devices requires the `{LABEL}: true` label on the containing namespace"
RESULT = {"request": "gpu", "driver": "dra.example.com", "pool": "pool", "device": "gpu-0"}
CONSUMER = {"resource": "pods", "name": "pod", "uid": "u1"}


def claim(name: str, namespace: str = "default", **exactly: Any) -> Object:
    found = sample(resource(CLAIMS), name, namespace)
    found["spec"]["devices"]["requests"].append({"name": "more", "exactly": {"deviceClassName": "a", **exactly}})
    return found


def allocation(**result: Any) -> Object:
    return {"allocation": {"devices": {"results": [{**RESULT, **result}]}}}


def write_status(api: Bench, name: str, status: Object, namespace: str = "default", **options: Any) -> Reply:
    found = api.get(CLAIMS, name, namespace, **options).json
    return api.put(CLAIMS, {**found, "status": status}, "status", **options)


# Administrators' access


def test_access_to_devices_of_others_is_for_namespaces_that_are_labeled_for_it(api: Bench) -> None:
    space = api.namespace("admins")
    wanted = claim("wanted", space, adminAccess=True)
    template = sample(resource(TEMPLATES), "wanted", space)
    template["spec"]["spec"] = copy.deepcopy(wanted["spec"])
    for name, obj in ((CLAIMS, wanted), (TEMPLATES, template)):
        assert said(api.post(name, obj)) == [f"spec.devices.requests[1].adminAccess: {NO_ADMIN}"], name
    api.made(CLAIMS, claim("harmless", space, adminAccess=False))
    for value, code in (("yes", 422), ("true", 201)):
        api.patch("namespaces", space, {"metadata": {"labels": {LABEL: value}}})
        for name, obj in ((CLAIMS, wanted), (TEMPLATES, template)):
            assert api.post(name, obj).status == code, name
    api.patch("namespaces", space, {"metadata": {"labels": {LABEL: None}}})
    labels = {"metadata": {"labels": {"still": "there"}}}
    assert api.patch(CLAIMS, "wanted", labels, space).status == 200, "who has it keeps it"


def test_the_label_is_asked_for_beside_all_else(api: Bench) -> None:
    wrong = claim("wrong", adminAccess=True, allocationMode="Some")
    assert said(api.post(CLAIMS, wrong)) == [
        f"spec.devices.requests[1].adminAccess: {NO_ADMIN}",
        'spec.devices.requests[1].exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"',
    ]


def test_such_access_is_not_allocated_either(api: Bench) -> None:
    space = api.namespace("allocating")
    api.made(CLAIMS, sample(resource(CLAIMS), "claim", space))
    refused = write_status(api, "claim", allocation(adminAccess=True), space)
    assert said(refused) == [f"status.allocation.devices.results[0].adminAccess: {NO_ADMIN}"]
    api.patch("namespaces", space, {"metadata": {"labels": {LABEL: "true"}}})
    assert write_status(api, "claim", allocation(adminAccess=True), space).status == 200
    api.patch("namespaces", space, {"metadata": {"labels": {LABEL: None}}})
    reserved = {**allocation(adminAccess=True), "reservedFor": [CONSUMER]}
    assert write_status(api, "claim", reserved, space).status == 200, "what was given is not asked about again"


# The status


class Allowing:
    """Allows a few things, and writes down what is asked about."""

    def __init__(self) -> None:
        self.allowed: set[tuple[str, str, str, str]] = set()
        self.asked: list[tuple[str, str, str, str]] = []
        self.node = ""

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        asked = (info.verb, f"{info.resource}/{info.subresource}", info.namespace, info.name)
        self.asked.append(asked)
        return ALLOW if asked in self.allowed else NO_OPINION

    def rules(self, user: User, namespace: str) -> Rules:
        return Rules()


@pytest.fixture
def allowing(api: Bench) -> Iterator[Allowing]:
    """Who decides about the parts of a claim's status, for one test."""
    guards = api.server.pipeline.resources.guards
    before, found = guards[resource(CLAIMS)], Allowing()
    guards[resource(CLAIMS)] = DeviceAccess(api.store, AuthorizerChain((found,)))
    yield found
    guards[resource(CLAIMS)] = before


BINDING = ("update", "resourceclaims/binding", "", "")
ARBITRARY = ("arbitrary-node:update", "resourceclaims/driver", "default", "dra.example.com")


def test_to_allocate_and_to_reserve_is_to_bind(api: Bench, allowing: Allowing) -> None:
    api.made(CLAIMS, sample(resource(CLAIMS), "bound"))
    refusal = (
        "status: Forbidden: changing status.allocation or status.reservedFor requires "
        'resource="resourceclaims/binding", verb="update" permission: resourceclaims.resource.k8s.io is forbidden: '
        'User "alice" cannot update resource "resourceclaims/binding" in API group "resource.k8s.io" at the cluster scope'
    )
    assert said(write_status(api, "bound", allocation(), user=ALICE)) == [refusal]
    allowing.allowed = {BINDING}
    assert write_status(api, "bound", allocation(), user=ALICE).status == 200
    allowing.allowed = set()
    assert said(write_status(api, "bound", {**allocation(), "reservedFor": [CONSUMER]}, user=ALICE)) == [refusal]
    allowing.asked = []
    assert write_status(api, "bound", allocation(), user=ALICE).status == 200, "nothing changes"
    assert not allowing.asked


def test_a_driver_reports_of_its_own_devices(api: Bench, allowing: Allowing) -> None:
    api.made(CLAIMS, sample(resource(CLAIMS), "reported"))
    allowing.allowed = {BINDING}
    both = allocation()
    both["allocation"]["devices"]["results"].append({**RESULT, "driver": "b.example.com"})
    assert write_status(api, "reported", both).status == 200
    devices = [{"driver": driver, "pool": "pool", "device": "gpu-0"} for driver in ("dra.example.com", "b.example.com")]
    allowing.allowed, allowing.asked = {ARBITRARY}, []
    assert said(write_status(api, "reported", {**both, "devices": devices}, user=ALICE)) == [
        'status.devices: Forbidden: changing status.devices requires resource="resourceclaims/driver", '
        'verb="[arbitrary-node:update]" permission: resourceclaims.resource.k8s.io "b.example.com" is forbidden: '
        'User "alice" cannot arbitrary-node:update resource "resourceclaims/driver" in API group "resource.k8s.io" in the '
        'namespace "default"'
    ]
    assert [name for *_, name in allowing.asked] == ["b.example.com", "dra.example.com"]
    assert write_status(api, "reported", {**both, "devices": devices[:1]}, user=ALICE).status == 200
    allowing.allowed = set()
    changed = {**devices[0], "data": {"a": 1}}
    for found in ([changed], []):
        assert write_status(api, "reported", {**both, "devices": found}, user=ALICE).status == 422
    patched = api.patch(CLAIMS, "reported", {"status": {"devices": None}}, subresource="status", user=ALICE)
    assert patched.status == 422 and "arbitrary-node:patch" in patched.message


@pytest.mark.parametrize(
    ("selector", "node", "asked"),
    [
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}, "n1", ["associated", "arbitrary"]),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}, "n2", ["arbitrary"]),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1", "n2"]}]}, "n1", ["arbitrary"]),
        ({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1"]}]}, "n1", ["arbitrary"]),
    ],
)
def test_a_driver_on_the_claims_node_needs_less(api: Bench, selector: Object, node: str, asked: list[str]) -> None:
    allowing = Allowing()
    guard = DeviceAccess(api.store, AuthorizerChain((allowing,)))
    extra = {"authentication.kubernetes.io/node-name": [node]}
    user = User("system:serviceaccount:kube-system:driver", (), "", extra)
    status = {"allocation": {"nodeSelector": {"nodeSelectorTerms": [selector]}}}
    after = {**status, "devices": [{"driver": "dra.example.com", "pool": "pool", "device": "gpu-0"}]}
    info = RequestInfo("", "update", True, "resource.k8s.io", "v1", "default", "resourceclaims", "claim", "status")
    attributes: Any = type("Asked", (), {})()
    attributes.request = type("Request", (), {"user": user, "info": info})()
    attributes.kind, attributes.subresource, attributes.namespace = resource(CLAIMS), "status", "default"
    assert len(list(guard.problems(attributes, {"status": after}, {"status": status}))) == 1
    assert [verb.partition("-")[0] for verb, *_ in allowing.asked] == asked


# Slices and classes


def test_taints_are_there_since_they_were_written(api: Bench) -> None:
    found = sample(resource(SLICES), "tainted")
    stated = {"key": "b", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"}
    found["spec"]["devices"][0]["taints"] = [{"key": "a", "effect": "NoSchedule"}, stated]
    made = api.made(SLICES, found)
    first, second = made["spec"]["devices"][0]["taints"]
    assert first["timeAdded"] == made["metadata"]["creationTimestamp"] and second == stated
    again = api.put(SLICES, made).json
    assert again == made, "what says so already stays"


def test_generations_count_changes_of_the_spec(api: Bench) -> None:
    for name, change in ((SLICES, {"spec": {"devices": []}}), (CLASSES, {"spec": {"selectors": []}})):
        assert api.made(name, sample(resource(name), "counted"))["metadata"]["generation"] == 1
        assert api.patch(name, "counted", {"metadata": {"labels": {"a": "b"}}}).json["metadata"]["generation"] == 1
        assert api.patch(name, "counted", change).json["metadata"]["generation"] == 2
    for name in (CLAIMS, TEMPLATES):
        assert "generation" not in api.made(name, sample(resource(name), "uncounted"))["metadata"]


def test_slices_are_selected_by_node_and_driver(api: Bench) -> None:
    for name, changes in (
        ("here", {"nodeName": "here", "driver": "one.example.com"}),
        ("there", {"nodeName": "there", "driver": "one.example.com"}),
        ("everywhere", {"nodeName": None, "allNodes": True, "driver": "two.example.com"}),
    ):
        found = sample(resource(SLICES), f"selected-{name}")
        api.made(SLICES, {**found, "spec": {**found["spec"], **changes}})

    def selected(selector: str) -> list[str]:
        items = api.list(SLICES, fieldSelector=selector).json["items"]
        return [item["metadata"]["name"] for item in items if item["metadata"]["name"].startswith("selected-")]

    assert selected("spec.nodeName=here") == ["selected-here"]
    assert selected("spec.driver=one.example.com") == ["selected-here", "selected-there"]
    assert selected("spec.nodeName=") == ["selected-everywhere"]
    assert api.list(SLICES, fieldSelector="spec.pool=x").status == 400


def test_a_driver_in_capitals_is_taken_with_a_warning(api: Bench) -> None:
    found = sample(resource(SLICES), "capitals")
    made = api.post(SLICES, {**found, "spec": {**found["spec"], "driver": "DRA.example.com"}})
    assert made.headers["warning"] == (
        '299 - "spec.driver: driver names should be lowercase; \\"DRA.example.com\\" contains uppercase characters"'
    )


# Claims


def test_a_claim_is_made_without_a_status_whose_update_leaves_the_rest_alone(api: Bench) -> None:
    made = api.made(CLAIMS, {**sample(resource(CLAIMS), "statused"), "status": allocation()})
    assert made["status"] == {}
    sent = {**made, "status": allocation(), "spec": {"devices": {}}}
    sent["metadata"] = {**made["metadata"], "labels": {"a": "b"}}
    written = api.put(CLAIMS, sent, "status").json
    assert (written["spec"], written["status"]) == (made["spec"], allocation())
    assert "labels" not in written["metadata"]
    assert cells(api, CLAIMS, "statused")["State"] == "allocated"


def test_tolerations_of_an_allocation_say_how_they_compare(api: Bench) -> None:
    api.made(CLAIMS, sample(resource(CLAIMS), "tolerant"))
    written = write_status(api, "tolerant", allocation(tolerations=[{"key": "a"}])).json
    (result,) = written["status"]["allocation"]["devices"]["results"]
    assert result["tolerations"] == [{"key": "a", "operator": "Equal"}]


def test_several_drivers_apply_what_they_know_of_their_devices(api: Bench) -> None:
    api.made(CLAIMS, sample(resource(CLAIMS), "applied"))
    both = allocation()
    both["allocation"]["devices"]["results"].append({**RESULT, "device": "gpu-1"})
    assert write_status(api, "applied", both).status == 200
    for number in range(2):
        device = {"driver": "dra.example.com", "pool": "pool", "device": f"gpu-{number}", "data": {"number": number}}
        config = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": "applied"},
            "status": {"devices": [device]},
        }
        options: Object = {"subresource": "status", "content_type": APPLY, "fieldManager": f"driver-{number}"}
        reply = api.patch(CLAIMS, "applied", config, **options)
        assert reply.status == 200, reply.body
    assert [device["data"] for device in reply.json["status"]["devices"]] == [{"number": 0}, {"number": 1}]


def test_parameters_that_are_left_out_are_not_made_up(api: Bench) -> None:
    found = sample(resource(CLASSES), "unconfigured")
    found["spec"]["config"] = [{"opaque": {"driver": "dra.example.com"}}]
    assert said(api.post(CLASSES, found)) == ["spec.config[0].opaque.parameters: Required value"]
