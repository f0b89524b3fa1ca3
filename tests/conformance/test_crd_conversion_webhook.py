"""Custom resources in two versions, between which a webhook converts."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.customresources import DEFINITIONS, PRESERVING, Converting, defined, definition, version
from tests.conformance.world import Space


def converted(obj: dict[str, object], target: str) -> None:
    """v1 has hostPort, v2 has host and port."""
    if target.endswith("/v2"):
        obj["host"], _, obj["port"] = str(obj.pop("hostPort")).partition(":")
    else:
        obj["hostPort"] = f"{obj.pop('host')}:{obj.pop('port')}"


def versions(group: str, converting: Converting) -> dict[str, object]:
    made = definition("Convert", version("v1", PRESERVING), version("v2", PRESERVING, storage=False), group=group)
    made["spec"]["conversion"] = converting.conversion
    return made


@behaviour("Custom Resource Definition Conversion Webhook, conversion custom resource")
def test_an_object_is_read_in_another_version(space: Space, converting: Converting) -> None:
    converting.change = converted
    with defined(space, versions("single.example.com", converting)) as found:
        found.create("cr-instance-1", hostPort="localhost:8080")
        assert found.get("cr-instance-1", "v1")["hostPort"] == "localhost:8080"
        two = found.get("cr-instance-1", "v2")
        assert (two["host"], two["port"], "hostPort" in two) == ("localhost", "8080", False)


@behaviour("Custom Resource Definition Conversion Webhook, convert mixed version list")
def test_objects_stored_in_several_versions_are_listed_in_one(space: Space, converting: Converting) -> None:
    converting.change = converted
    with defined(space, versions("mixed.example.com", converting)) as found:
        found.create("cr-instance-1", hostPort="localhost:8080")
        stored = [{"op": "replace", "path": f"/spec/versions/{index}/storage", "value": bool(index)} for index in (0, 1)]
        space.patch(DEFINITIONS, found.name, stored, content_type="application/json-patch+json")
        found.create("cr-instance-2", "v2", host="localhost", port="8080")
        for item in found.list("v2"):
            assert (item["apiVersion"], item["host"], item["port"]) == ("mixed.example.com/v2", "localhost", "8080")
        assert [item["hostPort"] for item in found.list("v1")] == ["localhost:8080"] * 2
