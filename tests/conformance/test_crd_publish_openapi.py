"""What a definition defines is published, for clients to check what they send and to explain it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.customresources import DEFINITIONS, PRESERVING, Defined, defined, definition, version
from tests.conformance.world import Space

APPLY = "application/apply-patch+yaml"
UNKNOWN: Object = {"spec": {"a": 1, "b": ["c"]}, "status": {"d": "e"}}


def named(group: str, version: str, kind: str) -> str:
    return ".".join([*reversed(group.split(".")), version, kind])


def published(space: Space, found: Defined, version: str = "") -> Object | None:
    """The schema of the kind, if both documents have it: they say the same, but for what the older one cannot."""
    name = named(found.group, version or found.version, found.kind)
    older = space.ask("GET", "/openapi/v2")["definitions"].get(name)
    paths = space.ask("GET", "/openapi/v3")["paths"]
    path = f"apis/{found.group}/{version or found.version}"
    if older is None or path not in paths:
        return None
    newer = space.ask("GET", f"/openapi/v3/{path}")["components"]["schemas"].get(name)
    assert newer is None or older.get("description") in (newer.get("description"), None)
    return newer if isinstance(newer, dict) else None


def until_published(space: Space, found: Defined, version: str = "") -> Any:
    schema = space.world.until(lambda: published(space, found, version))
    marks = {"group": found.group, "version": version or found.version, "kind": found.kind}
    assert schema["x-kubernetes-group-version-kind"] == [marks]
    return schema


def until_unpublished(space: Space, found: Defined, version: str) -> None:
    def is_gone() -> bool:
        name, path = named(found.group, version, found.kind), f"apis/{found.group}/{version}"
        older, newer = space.ask("GET", "/openapi/v2"), space.ask("GET", "/openapi/v3")
        return name not in older["definitions"] and path not in newer["paths"]

    space.world.until(is_gone)


def create_and_apply(found: Defined, name: str, *, codes: tuple[int, int] = (201, 200), **fields: Any) -> list[Any]:
    """Both as kubectl asks for them: nothing may be left out quietly."""
    strict = {"fieldValidation": "Strict"}
    made = found.create(name, code=codes[0], query=strict, **fields)
    body = json.dumps(found.body(name, **fields)).encode()
    query = {**strict, "fieldManager": "kubectl", "force": "true"}
    applied = found.space.ask("PATCH", found.path(name), body, code=codes[1], content_type=APPLY, **query)
    return [made, applied]


BARS: Object = {
    "description": "List of Bars and their specs.",
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"description": "Name of Bar.", "type": "string"},
            "age": {"description": "Age of Bar.", "type": "string"},
            "feeling": {"description": "Whether Bar is feeling great.", "type": "string", "enum": ["Great", "Down"]},
            "bazs": {"description": "List of Bazs.", "items": {"type": "string"}, "type": "array"},
        },
    },
}
FOO: Object = {
    "description": "Foo CRD for Testing",
    "type": "object",
    "properties": {
        "spec": {"type": "object", "description": "Specification of Foo", "properties": {"bars": BARS}},
        "status": {
            "description": "Status of Foo",
            "type": "object",
            "properties": {"bars": {"description": "List of Bars.", "type": "array", "items": {"type": "object"}}},
        },
    },
}


@behaviour("Custom Resource OpenAPI Publish, with validation schema")
def test_a_schema_is_published_as_it_is_kept_to(space: Space) -> None:
    with defined(space, definition("Foo", version(schema=FOO), group="schema.example.com")) as foos:
        schema = until_published(space, foos)
        create_and_apply(foos, "good", spec={"bars": [{"name": "test", "age": "10", "feeling": "Great"}]})
        for failed in create_and_apply(foos, "unknown", codes=(400, 400), spec={"foo": True}):
            assert "spec.foo" in failed["message"]
        for failed in create_and_apply(foos, "missing", codes=(422, 422), spec={"bars": [{"age": "10"}]}):
            assert "spec.bars[0].name: Required value" in failed["message"]
        for failed in create_and_apply(foos, "other", codes=(422, 422), spec={"bars": [{"name": "a", "feeling": "Bad"}]}):
            assert 'spec.bars[0].feeling: Unsupported value: "Bad"' in failed["message"]
        assert schema["description"] == "Foo CRD for Testing"
        assert schema["properties"]["spec"] == FOO["properties"]["spec"]
        assert "metadata" in schema["properties"] and "apiVersion" in schema["properties"]


@behaviour("Custom Resource OpenAPI Publish, with x-kubernetes-preserve-unknown-fields in object")
def test_an_open_schema_takes_everything(space: Space) -> None:
    with defined(space, definition("Empty", version(schema=PRESERVING), group="empty.example.com")) as empties:
        schema = until_published(space, empties)
        for kept in create_and_apply(empties, "any", **UNKNOWN):
            assert kept["spec"] == UNKNOWN["spec"]
        assert schema["x-kubernetes-preserve-unknown-fields"] is True


@behaviour("Custom Resource OpenAPI Publish, with x-kubernetes-preserve-unknown-fields at root")
def test_an_open_root_takes_what_it_does_not_name(space: Space) -> None:
    root: Object = {
        **FOO,
        "description": "preserve-unknown-properties at root for Testing",
        "x-kubernetes-preserve-unknown-fields": True,
    }
    with defined(space, definition("Open", version(schema=root), group="root.example.com")) as opens:
        schema = until_published(space, opens)
        for kept in create_and_apply(opens, "any", unknown={"a": [1]}, spec={"bars": [{"name": "b"}]}):
            assert kept["unknown"] == {"a": [1]}
        # What it does name is kept to all the same.
        create_and_apply(opens, "bad", codes=(400, 400), spec={"foo": True})
        assert schema["x-kubernetes-preserve-unknown-fields"] is True
        assert schema["x-kubernetes-group-version-kind"][0]["kind"] == "Open"


@behaviour("Custom Resource OpenAPI Publish, with x-kubernetes-preserve-unknown-fields in embedded object")
def test_an_open_embedded_object_takes_everything(space: Space) -> None:
    embedded: Object = {**PRESERVING, "x-kubernetes-embedded-resource": True, "description": "Specification of Waldo"}
    nested: Object = {
        "description": "preserve-unknown-properties in nested field for Testing",
        "type": "object",
        "properties": {"spec": embedded, "status": {"description": "Status of Waldo", **PRESERVING}},
    }
    with defined(space, definition("Waldo", version(schema=nested), group="nested.example.com")) as waldos:
        schema = until_published(space, waldos)
        inner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "unknown": {"b": 1}}
        for kept in create_and_apply(waldos, "any", spec=inner, status={"c": 1}):
            assert kept["spec"] == inner
        shown = schema["properties"]["spec"]
        assert shown["x-kubernetes-preserve-unknown-fields"] is shown["x-kubernetes-embedded-resource"] is True
        assert schema["properties"]["status"]["description"] == "Status of Waldo"


def all_published(space: Space, *wanted: Object) -> None:
    with ExitStack() as stack:
        for found in [stack.enter_context(defined(space, item)) for item in wanted]:
            for item in found.versions:
                until_published(space, found, item)


@behaviour("Custom Resource OpenAPI Publish, varying groups")
def test_kinds_of_several_groups_are_published(space: Space) -> None:
    versions = version("v1", schema=FOO), version("v2", schema=FOO)
    all_published(space, *(definition("Foo", item, group=f"{item['name']}.groups.example.com") for item in versions))


@behaviour("Custom Resource OpenAPI Publish, varying versions")
def test_several_versions_are_published(space: Space) -> None:
    versions = version("v2", schema=FOO), version("v3", schema=FOO, storage=False)
    all_published(space, definition("Foo", *versions, group="versions.example.com"))
    # And those of two definitions with one group, too.
    apart = {"Four": version("v4", schema=FOO), "Five": version("v5", schema=FOO)}
    all_published(space, *(definition(kind, item, group="apart.example.com") for kind, item in apart.items()))


@behaviour("Custom Resource OpenAPI Publish, varying kinds")
def test_several_kinds_of_one_group_and_version_are_published(space: Space) -> None:
    all_published(space, *(definition(kind, version("v6", schema=FOO), group="kinds.example.com") for kind in ("One", "Two")))


def two_versions(group: str) -> Object:
    return definition("Foo", version("v2", schema=FOO), version("v3", schema=FOO, storage=False), group=group)


@behaviour("Custom Resource OpenAPI Publish, version rename")
def test_a_version_that_is_renamed_is_published_by_its_new_name(space: Space) -> None:
    with defined(space, two_versions("rename.example.com")) as foos:
        kept = until_published(space, foos, "v2")
        until_published(space, foos, "v3")
        renamed = [{"op": "test", "path": "/spec/versions/1/name", "value": "v3"}]
        renamed += [{"op": "replace", "path": "/spec/versions/1/name", "value": "v4"}]
        space.patch(DEFINITIONS, foos.name, renamed, content_type="application/json-patch+json")
        until_published(space, foos, "v4")
        until_unpublished(space, foos, "v3")
        assert until_published(space, foos, "v2") == kept


@behaviour("Custom Resource OpenAPI Publish, stop serving version")
def test_a_version_that_is_no_longer_served_is_not_published(space: Space) -> None:
    with defined(space, two_versions("stop.example.com")) as foos:
        until_published(space, foos, "v3")
        kept = until_published(space, foos, "v2")

        def stop(obj: Object) -> None:
            obj["spec"]["versions"][1]["served"] = False

        foos.redefine(stop)
        until_unpublished(space, foos, "v3")
        assert until_published(space, foos, "v2") == kept
