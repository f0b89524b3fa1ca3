"""What Kubernetes' conformance suite calls "API operations": a group is discovered, its resources do every verb."""

from __future__ import annotations

import pytest

from navarch.api.kind import Kind
from navarch.api.registry import resource
from tests.apiserver.bench import MERGE, Bench
from tests.apiserver.samples import STATUSES, name_of, sample

NETWORKING = "networking.k8s.io"
VERBS = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
STATUS = {"status": {"get", "patch", "update"}}
ADMISSION = "admissionregistration.k8s.io"
RESOURCES: list[tuple[str, dict[str, set[str]]]] = [
    (f"validatingadmissionpolicies.{ADMISSION}", STATUS),
    (f"validatingadmissionpolicybindings.{ADMISSION}", {}),
    (f"mutatingadmissionpolicies.{ADMISSION}", {}),
    (f"mutatingadmissionpolicybindings.{ADMISSION}", {}),
    (f"validatingwebhookconfigurations.{ADMISSION}", {}),
    (f"mutatingwebhookconfigurations.{ADMISSION}", {}),
    ("apiservices.apiregistration.k8s.io", STATUS),
    ("flowschemas.flowcontrol.apiserver.k8s.io", STATUS),
    ("prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", STATUS),
    ("certificatesigningrequests.certificates.k8s.io", {**STATUS, "approval": {"get", "patch", "update"}}),
    ("runtimeclasses.node.k8s.io", {}),
    (f"ingresses.{NETWORKING}", STATUS),
    (f"ingressclasses.{NETWORKING}", {}),
    (f"ipaddresses.{NETWORKING}", {}),
    (f"servicecidrs.{NETWORKING}", STATUS),
]
EACH = pytest.mark.parametrize(("name", "below"), RESOURCES, ids=[name for name, _ in RESOURCES])


@EACH
def test_its_group_version_and_resource_are_discovered(api: Bench, name: str, below: dict[str, set[str]]) -> None:
    kind = resource(name)
    groups = {group["name"]: group for group in api.call("GET", "/apis").json["groups"]}
    version = {"groupVersion": kind.api_version, "version": kind.version}
    assert version in groups[kind.group]["versions"]
    assert version in api.call("GET", f"/apis/{kind.group}").json["versions"]
    found = {item["name"]: item for item in api.call("GET", kind.api_path).json["resources"]}
    assert set(found[kind.plural]["verbs"]) == VERBS
    for subresource, verbs in below.items():
        assert set(found[f"{kind.plural}/{subresource}"]["verbs"]) == verbs


def names(kind: Kind) -> list[str]:
    return [name_of(kind, f"operations-{index}") for index in range(3)]


@EACH
def test_it_does_every_verb(api: Bench, name: str, below: dict[str, set[str]]) -> None:
    kind, label = resource(name), {"special-label": "operations"}
    namespace = api.namespace(f"operations-{kind.plural}") if kind.namespaced else ""
    selector = {"labelSelector": "special-label=operations"}
    path = f"{kind.api_path}/namespaces/{namespace}/{kind.plural}" if namespace else f"{kind.api_path}/{kind.plural}"
    watching = api.watch(path, resourceVersion=str(api.store.revision), **selector)
    for each in names(kind):
        made = api.made(name, sample(kind, each, namespace, labels=label))
        assert api.get(name, each, namespace).json == made
    assert watching.take(3) == [("ADDED", each) for each in names(kind)]
    assert len(api.call("GET", path, **selector).json["items"]) == 3
    assert len(api.list(name, **selector).json["items"]) == 3

    first, second, _ = names(kind)
    patched = api.patch(name, first, {"metadata": {"annotations": {"patched": "true"}}}, namespace)
    assert patched.json["metadata"]["annotations"] == {"patched": "true"}
    updated = {**patched.json, "metadata": {**patched.json["metadata"], "annotations": {"patched": "true", "updated": "true"}}}
    assert api.put(name, updated).json["metadata"]["annotations"]["updated"] == "true"
    seen = [watching.next() for _ in range(2)]
    assert [event["type"] for event in seen] == ["MODIFIED"] * 2
    assert seen[1]["object"]["metadata"]["annotations"]["updated"] == "true"

    if "status" in below:
        wanted = STATUSES[name]
        through_patch = api.patch(name, first, {"status": wanted}, namespace, "status", content_type=MERGE)
        assert wanted.items() <= through_patch.json["status"].items()
        cleared = {**through_patch.json, "status": {}}
        assert api.put(name, cleared, "status").json.get("status", {}) == {}
        assert api.get(name, first, namespace, "status").json["metadata"]["name"] == first
        assert [watching.next()["type"] for _ in range(2)] == ["MODIFIED"] * 2

    assert api.delete(name, second, namespace=namespace).status == 200
    assert watching.take(1) == [("DELETED", second)]
    assert api.get(name, second, namespace).status == 404
    assert len(api.list(name, **selector).json["items"]) == 2
    assert api.call("DELETE", path, **selector).status == 200
    assert {event for event, _ in watching.take(2)} == {"DELETED"}
    assert api.list(name, **selector).json["items"] == []
    watching.close()
