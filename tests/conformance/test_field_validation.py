"""Fields that an object does not have, or has twice."""

from __future__ import annotations

import json
from typing import Any

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.customresources import PRESERVING, Defined, defined, definition, version
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


APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
CRON: Object = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"},
                "ports": {
                    "type": "array",
                    "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
                    "x-kubernetes-list-type": "map",
                    "items": {
                        "type": "object",
                        "required": ["containerPort", "protocol"],
                        "properties": {
                            "containerPort": {"format": "int32", "type": "integer"},
                            "hostIP": {"type": "string"},
                            "hostPort": {"format": "int32", "type": "integer"},
                            "name": {"type": "string"},
                            "protocol": {"type": "string"},
                        },
                    },
                },
                "template": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "properties": {"spec": {"type": "object", "properties": {"x": {"type": "string"}}}},
                },
                "open": PRESERVING,
            },
        }
    },
}
SPEC = """
spec:
  cronSpec: "* * * * */5"
  ports:
  - name: x
    containerPort: 80
    protocol: TCP
"""


def apply(found: Defined, name: str, more: str = "", *, code: int = 201, metadata: str = "") -> Any:
    """What a strict application of such an object is answered."""
    head = f"apiVersion: {found.group}/{found.version}\nkind: {found.kind}\nmetadata:\n  name: {name}\n{metadata}"
    query = {"fieldManager": "field_validation_mgr", "fieldValidation": "Strict"}
    body = f"{head}{SPEC}{more}".encode()
    return found.space.ask("PATCH", found.path(name), body, code=code, content_type=APPLY, **query)


@behaviour("Server side field validation, unknown fields CR no validation schema")
def test_without_a_schema_a_custom_resource_may_have_any_field(space: Space) -> None:
    with defined(space, definition("Free", version(schema=PRESERVING), group="free.example.com")) as frees:
        made = apply(
            frees, "mytest", "  unknown:\n    nested: uk1\nother: uk2\n", metadata="  finalizers: [a.b/test-finalizer]\n"
        )
        assert (made["spec"]["unknown"], made["other"]) == ({"nested": "uk1"}, "uk2")
        assert made["metadata"]["finalizers"] == ["a.b/test-finalizer"]
        space.ask(
            "PATCH", frees.path("mytest"), {"metadata": {"finalizers": None}}, content_type="application/merge-patch+json"
        )


@behaviour("Server side field validation, valid CR with validation schema")
def test_a_custom_resource_that_keeps_to_its_schema_is_taken(space: Space) -> None:
    with defined(space, definition("Cron", version(schema=CRON), group="valid.example.com")) as crons:
        made = apply(crons, "mytest")
        assert made["spec"]["ports"] == [{"name": "x", "containerPort": 80, "protocol": "TCP"}]
        found = apply(crons, "other", "    hostPort: many\n", code=400)["message"]
        assert "hostPort: expected numeric (int or float), got string" in found


@behaviour("Server side field validation, unknown fields CR fails validation")
def test_unknown_fields_of_a_custom_resource_are_found(space: Space) -> None:
    with defined(space, definition("Cron", version(schema=CRON), group="unknown.example.com")) as crons:
        found = apply(crons, "mytest", "    unknownNested: y\n  unknownDupe: x\n", code=400)["message"]
        assert '.spec.ports[containerPort=80,protocol="TCP"].unknownNested: field not declared in schema' in found
        assert ".spec.unknownDupe: field not declared in schema" in found
        query = {"fieldValidation": "Strict"}
        spec = {"unknown": 1, "ports": [{"containerPort": 80, "protocol": "TCP", "unknownNested": "y"}]}
        found = crons.create("mytest", code=400, query=query, spec=spec)["message"]
        assert 'strict decoding error: unknown field "spec.ports[0].unknownNested", unknown field "spec.unknown"' in found


@behaviour("Server side field validation, CR duplicates")
def test_duplicate_fields_of_a_custom_resource_are_found(space: Space) -> None:
    with defined(space, definition("Free", version(schema=PRESERVING), group="twice.example.com")) as frees:
        found = apply(frees, "mytest", "  foo: foo1\n  foo: foo2\n", code=400)["message"]
        assert 'line 13: key "foo" already set in map' in found


@behaviour("Server side field validation, unknown metadata")
def test_unknown_fields_of_a_custom_resources_metadata_are_found(space: Space) -> None:
    with defined(space, definition("Cron", version(schema=CRON), group="metadata.example.com")) as crons:
        template = {"apiVersion": "foo/v1", "kind": "Sub", "metadata": {"name": "a", "unknownSubMeta": 1}, "spec": {"x": "y"}}
        body = crons.body("mytest", spec={"template": template})
        body["metadata"]["unknownMeta"] = "foo"
        found = space.ask("POST", crons.path(), body, code=400, fieldValidation="Strict")["message"]
        assert 'unknown field "metadata.unknownMeta"' in found
        assert 'unknown field "spec.template.metadata.unknownSubMeta"' in found
