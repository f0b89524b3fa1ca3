"""Fields that an object does not have, or has twice."""

from __future__ import annotations

import json

from tests.conformance import behaviour
from tests.conformance.objects import workload
from tests.conformance.world import Space


def refusal(space: Space, body: str) -> str:
    """What a strict creation of that Deployment is answered."""
    path, query = space.path("deployments.apps"), {"fieldManager": "field_validation_mgr", "fieldValidation": "Strict"}
    return str(space.ask("POST", path, body.encode(), code=400, **query)["message"])


def deployment() -> str:
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", **workload("my-dep")})


@behaviour("Server side field validation, typed object")
def test_unknown_and_duplicate_fields_of_a_typed_object_are_found(space: Space) -> None:
    body = deployment().replace('"spec": {"replicas": 1', '"spec": {"unknownField": "foo", "replicas": 2, "replicas": 3', 1)
    found = refusal(space, body)
    assert 'strict decoding error: unknown field "spec.unknownField", duplicate field "spec.replicas"' in found


@behaviour("Server side field validation, typed unknown metadata")
def test_unknown_fields_of_a_typed_objects_metadata_are_found(space: Space) -> None:
    body = deployment().replace('"metadata": {"name": "my-dep"', '"metadata": {"name": "my-dep", "unknownMeta": "foo"', 1)
    assert 'strict decoding error: unknown field "metadata.unknownMeta"' in refusal(space, body)
