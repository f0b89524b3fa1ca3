"""Discovery, one document by one."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.objects import BUILT_IN
from tests.conformance.world import Space


@behaviour("Discovery, confirm the PreferredVersion for each api group")
def test_each_group_prefers_a_version_that_it_has(space: Space) -> None:
    groups = space.ask("GET", "/apis/")["groups"]
    assert groups
    for listed in groups:
        group = space.ask("GET", f"/apis/{listed['name']}/")
        assert group["versions"] and group["preferredVersion"] in group["versions"]


@behaviour("Discovery, confirm the groupVerion and a resourcefrom each apiGroup")
def test_each_group_lists_its_resources(space: Space) -> None:
    for group, version, resource in BUILT_IN:
        found = space.ask("GET", f"/apis/{group}/{version}" if group else f"/api/{version}")
        assert found["groupVersion"] == (f"{group}/{version}" if group else version)
        assert resource in [each["name"] for each in found["resources"]]
