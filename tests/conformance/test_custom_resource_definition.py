"""CustomResourceDefinitions as objects, and defaults of what they define."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.customresources import DEFINITIONS, defined, definition, is_established, version
from tests.conformance.world import Space


@behaviour("Custom Resource Definition, create")
def test_a_definition_is_made_and_deleted(space: Space) -> None:
    made = space.create(DEFINITIONS, definition("Created", group="mygroup.example.com"))
    name = made["metadata"]["name"]
    space.until_true(DEFINITIONS, name, is_established)
    space.delete(DEFINITIONS, name)
    space.until_gone(DEFINITIONS, name)


@behaviour("Custom Resource Definition, list")
def test_definitions_are_listed_and_deleted_by_their_labels(space: Space) -> None:
    label = {"list-test": space.name}
    for number in range(10):
        wanted = definition(f"Listed{number}", group="list.example.com")
        space.create(DEFINITIONS, {**wanted, "metadata": {**wanted["metadata"], "labels": label}})
    other = space.create(DEFINITIONS, definition("Unlisted", group="list.example.com"))
    selector = f"list-test={space.name}"
    space.until_count(DEFINITIONS, 10, selector)
    space.delete_all(DEFINITIONS, selector)
    space.until_count(DEFINITIONS, 0, selector)
    assert space.get(DEFINITIONS, other["metadata"]["name"])
    space.delete(DEFINITIONS, other["metadata"]["name"])


@behaviour("Custom Resource Definition, status sub-resource")
def test_the_status_of_a_definition_is_read_updated_and_patched(space: Space) -> None:
    with defined(space, definition("Noticed")) as found:
        assert is_established(space.get(DEFINITIONS, found.name, "status"))

        def update(obj: Object) -> None:
            condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from an e2e test"}
            obj["status"]["conditions"].append(condition)

        updated = space.change(DEFINITIONS, found.name, update, "status")
        assert updated["status"]["conditions"][-1]["message"] == "Set from an e2e test"
        patched = space.patch(
            DEFINITIONS,
            found.name,
            {"status": {"conditions": [{"type": "StatusPatched", "status": "True", "reason": "E2E"}]}},
            "status",
        )
        assert [item["type"] for item in patched["status"]["conditions"]] == ["StatusPatched"]
        assert space.get(DEFINITIONS, found.name)["status"] == patched["status"]
        # What it takes to be deleted with all it defines is put back.
        space.patch(DEFINITIONS, found.name, {"status": {"conditions": updated["status"]["conditions"]}}, "status")


@behaviour("Custom Resource Definition, discovery")
def test_the_discovery_documents_have_definitions(space: Space) -> None:
    groups = space.ask("GET", "/apis")["groups"]
    group = next(item for item in groups if item["name"] == "apiextensions.k8s.io")
    wanted = {"groupVersion": "apiextensions.k8s.io/v1", "version": "v1"}
    assert wanted in group["versions"]
    assert wanted in space.ask("GET", "/apis/apiextensions.k8s.io")["versions"]
    resources = space.ask("GET", "/apis/apiextensions.k8s.io/v1")["resources"]
    assert "customresourcedefinitions" in [item["name"] for item in resources]


@behaviour("Custom Resource Definition, defaulting")
def test_defaults_are_applied_to_requests_and_to_what_is_stored(space: Space) -> None:
    def schema(*defaulted: str) -> Object:
        fields = {"a": {"type": "string"}, "b": {"type": "string"}}
        return {
            "type": "object",
            "properties": {key: {**fields[key], **({"default": "A"} if key in defaulted else {})} for key in fields},
        }

    def default(*fields: str) -> None:
        def change(obj: Object) -> None:
            obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema(*fields)

        found.redefine(change)

    with defined(space, definition("Defaulted", version(schema=schema()))) as found:
        assert "a" not in found.create("one")
        default("a")
        space.world.until(lambda: found.get("one").get("a") == "A")
        second = found.create("two")
        assert second["a"] == "A" and "b" not in second
        default("b")
        space.world.until(lambda: found.get("two").get("b") == "A")
        assert found.get("two")["a"] == "A", "it was stored with the default that there was"
