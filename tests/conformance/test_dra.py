"""Devices and claims on them: what the API server does with each kind."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api import registry
from navarch.apimachinery.errors import Object
from tests.apiserver.bench import APPLY, JSON_PATCH, MERGE, STRATEGIC
from tests.conformance import behaviour
from tests.conformance.lifecycles import contains, is_discovered, supports_api_operations
from tests.conformance.world import Space

CLASSES, CLAIMS, TEMPLATES, SLICES = (
    f"{plural}.resource.k8s.io" for plural in ("deviceclasses", "resourceclaims", "resourceclaimtemplates", "resourceslices")
)
DEVICES: Object = {"devices": {"requests": [{"name": "req-0", "exactly": {"deviceClassName": "dra.example.com"}}]}}
LABEL: Object = {"metadata": {"labels": {"test.dra.example.com": "test"}}}


def chooses(expression: str) -> Object:
    return {"spec": {"selectors": [{"cel": {"expression": expression}}]}}


def lives_through_everything(space: Space, resource: str, body: Object, change: Object) -> None:
    """Every verb, and the change by an update and by a strategic merge patch."""
    names = [f"{space.name}-{number}" for number in range(3)]
    supports_api_operations(space, resource, names, body)
    name = f"{space.name}-changing"
    space.create(resource, {"metadata": {"name": name}, **body})
    assert contains(space.patch(resource, name, change, content_type=STRATEGIC), change)
    space.delete(resource, name)
    space.create(resource, {"metadata": {"name": name}, **body})

    def replace(found: Object) -> None:
        for part, fields in change.items():
            found[part] = {**found[part], **fields}

    assert contains(space.change(resource, name, replace), change)
    assert contains(space.get(resource, name), change)
    space.delete(resource, name)
    space.until_gone(resource, name)


@behaviour("CRUD operations for deviceclasses")
def test_a_device_class_lives_through_everything(space: Space) -> None:
    lives_through_everything(space, CLASSES, chooses("false"), chooses("1 == 0"))


@behaviour("CRUD operations for resourceclaimtemplates")
def test_a_claim_template_lives_through_everything(space: Space) -> None:
    lives_through_everything(space, TEMPLATES, {"spec": {"spec": DEVICES}}, LABEL)


@behaviour("CRUD operations for resoureslices")
def test_a_slice_lives_through_everything(space: Space) -> None:
    pool = {"name": "cluster", "generation": 1, "resourceSliceCount": 1}
    body = {"spec": {"driver": "dra.example.com", "pool": pool, "nodeName": "no-such-node"}}
    lives_through_everything(space, SLICES, body, {"spec": {"devices": [{"name": "device-0"}]}})


@behaviour("CRUD operations for resourceclaims")
def test_a_claim_lives_through_everything_and_its_status_too(space: Space) -> None:
    lives_through_everything(space, CLAIMS, {"spec": DEVICES}, LABEL)
    is_discovered(space, CLAIMS, "status")
    kind = registry.resource(CLAIMS)
    added = {"path": "/metadata/labels/test.dra.example.com", "value": "test"}
    allocated: Object = {"status": {"allocation": {}}}
    patches: list[tuple[str, Any, Any]] = [
        (STRATEGIC, LABEL, allocated),
        (MERGE, LABEL, allocated),
        (JSON_PATCH, [{"op": "add", **added}], [{"op": "add", "path": "/status/allocation", "value": {}}]),
        (APPLY, LABEL, allocated),
    ]
    for number, (content_type, of_spec, of_status) in enumerate(patches):
        name = f"{space.name}-patched-{number}"
        labels = {"already": "there"}
        space.create(CLAIMS, {"metadata": {"name": name, "labels": labels}, "spec": DEVICES})
        options: Object = {"content_type": content_type}
        if content_type == APPLY:
            said = {"apiVersion": kind.api_version, "kind": kind.kind}
            of_spec = {**said, "metadata": {"name": name, **of_spec["metadata"]}}
            of_status = {**said, "metadata": {"name": name}, **of_status}
            options |= {"fieldManager": "dra", "force": "true"}
        assert space.patch(CLAIMS, name, of_spec, **options)["metadata"]["labels"]["test.dra.example.com"] == "test"
        assert space.patch(CLAIMS, name, of_status, "status", **options)["status"] == {"allocation": {"devices": {}}}, name
    name = f"{space.name}-updated"
    space.create(CLAIMS, {"metadata": {"name": name}, "spec": DEVICES})
    assert contains(space.change(CLAIMS, name, lambda found: found.update(allocated), "status"), allocated)


@pytest.mark.parametrize("resource", [CLAIMS, TEMPLATES])
def test_what_a_claim_is_for_never_changes(space: Space, resource: str) -> None:
    spec: Object = {"spec": DEVICES} if resource == TEMPLATES else DEVICES
    space.create(resource, {"metadata": {"name": "claim"}, "spec": spec})
    refused = space.patch(resource, "claim", {"spec": {"spec": {"devices": None}, "devices": None}}, code=422)
    assert refused["details"]["causes"][0]["field"] == "spec"
