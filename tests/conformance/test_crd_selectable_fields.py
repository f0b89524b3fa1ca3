"""Custom resources are selected by fields that their definition names."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.customresources import Converting, Defined, defined, definition, version
from tests.conformance.world import Space

STRING: Object = {"type": "string"}


def schema(*fields: str) -> Object:
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": dict.fromkeys(fields, STRING)}}}


def shirts(converting: Converting) -> Object:
    fields = {"v1": ("color", "size"), "v2": ("hue", "size")}
    made = [
        version(name, schema(*of), storage=name == "v1", selectableFields=[{"jsonPath": f".spec.{field}"} for field in of])
        for name, of in fields.items()
    ]
    found = definition("Shirt", *made, group="select.example.com")
    found["spec"]["conversion"] = converting.conversion
    return found


def converted(obj: dict[str, Any], target: str) -> None:
    before, after = ("color", "hue") if target.endswith("/v2") else ("hue", "color")
    if before in obj["spec"]:
        obj["spec"][after] = obj["spec"].pop(before)


def names(found: Defined, version: str, selector: str) -> list[str]:
    return [item["metadata"]["name"] for item in found.list(version, fieldSelector=selector)]


@behaviour("custom-resource-definition-field-selectors-list-watch-register-informers")
def test_lists_and_watches_have_what_is_selected(space: Space, converting: Converting) -> None:
    converting.change = converted
    with defined(space, shirts(converting)) as found:
        since = str(space.world.store.revision)
        blue = {"v1": "spec.color=blue", "v2": "spec.hue=blue"}
        watches = {
            name: space.world.watch(found.path(version=name), fieldSelector=blue[name], resourceVersion=since) for name in blue
        }
        found.create("blue-small", spec={"color": "blue", "size": "small"})
        found.create("green-small", spec={"color": "green", "size": "small"})
        found.create("blue-medium", "v2", spec={"hue": "blue", "size": "medium"})
        for name, watch in watches.items():
            assert names(found, name, blue[name]) == [
                "blue-medium",
                "blue-small",
            ]
            both = f"{blue[name]},spec.size=small"
            assert names(found, name, both) == ["blue-small"]
            assert names(found, name, "spec.size!=small") == ["blue-medium"]
            assert watch.take(2) == [("ADDED", "blue-small"), ("ADDED", "blue-medium")]
        # One that ceases to be blue, one that begins to be, and one that is deleted.
        merge = {"content_type": "application/merge-patch+json"}
        space.ask("PATCH", found.path("blue-small"), {"spec": {"color": "red"}}, **merge)
        space.ask("PATCH", found.path("green-small", "v2"), {"spec": {"hue": "blue"}}, **merge)
        space.ask("DELETE", found.path(), fieldSelector="spec.size=medium")
        for name, watch in watches.items():
            assert watch.take(3) == [("DELETED", "blue-small"), ("ADDED", "green-small"), ("DELETED", "blue-medium")]
            assert names(found, name, blue[name]) == ["green-small"]
            watch.close()
        # What is not named cannot be selected by.
        space.ask("GET", found.path(version="v2"), code=400, fieldSelector="spec.color=blue")
