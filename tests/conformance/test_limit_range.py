"""LimitRanges."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import container
from tests.conformance.world import Space

RANGES = "limitranges"


def amounts(cpu: str = "", memory: str = "", storage: str = "") -> Object:
    found = {"cpu": cpu, "memory": memory, "ephemeral-storage": storage}
    return {key: value for key, value in found.items() if value}


def limits(**fields: Any) -> Object:
    minimum, maximum = amounts("50m", "100Mi", "100Gi"), amounts("500m", "500Mi", "500Gi")
    item = {"type": "Container", "min": minimum, "max": maximum, "default": maximum, **fields}
    return {"limits": [{"defaultRequest": amounts("100m", "200Mi", "200Gi"), **item}]}


def pod(name: str, requests: Object | None = None, limited: Object | None = None) -> Object:
    resources = {"requests": requests or {}, "limits": limited or {}}
    return {"metadata": {"name": name}, "spec": {"containers": [container(resources=resources)]}}


def resources_of(found: Object) -> Object:
    resources: Object = found["spec"]["containers"][0]["resources"]
    return resources


@behaviour("LimitRange, resources")
def test_pods_get_defaults_and_keep_within_limits(space: Space) -> None:
    with space.watching(RANGES) as watch:
        space.create(RANGES, {"metadata": {"name": "limit-range"}, "spec": limits()})
        type_, seen = watch.next()
        assert (type_, seen["spec"]) == ("ADDED", limits())
    assert space.get(RANGES, "limit-range")["spec"] == limits()
    defaults = {"requests": amounts("100m", "200Mi", "200Gi"), "limits": amounts("500m", "500Mi", "500Gi")}
    assert resources_of(space.create("pods", pod("pod-no-resources"))) == defaults
    partial = pod("pod-partial-resources", amounts("", "150Mi", "150Gi"), amounts("300m"))
    expected = {"requests": amounts("300m", "150Mi", "150Gi"), "limits": amounts("300m", "500Mi", "500Gi")}
    assert resources_of(space.create("pods", partial)) == expected
    small, large = amounts("10m", "50Mi", "50Gi"), amounts("600m", "600Mi", "600Gi")
    assert space.create("pods", pod("pod-too-small", small), code=403)["reason"] == "Forbidden"
    assert space.create("pods", pod("pod-too-large", limited=large), code=403)["reason"] == "Forbidden"

    def lower(found: Object) -> None:
        found["spec"]["limits"][0]["min"] = amounts("9m", "49Mi", "49Gi")

    space.change(RANGES, "limit-range", lower)
    space.until_true(RANGES, "limit-range", lambda found: found["spec"]["limits"][0]["min"]["cpu"] == "9m")
    space.create("pods", pod("pod-small", small))
    assert space.create("pods", pod("pod-too-large", limited=large), code=403)["reason"] == "Forbidden"
    space.delete(RANGES, "limit-range")
    space.until_gone(RANGES, "limit-range")
    space.create("pods", pod("pod-large", limited=large))


@behaviour("LimitRange, list, patch and delete a LimitRange by collection")
def test_limit_ranges_of_two_namespaces_are_listed_patched_and_deleted_by_collection(space: Space) -> None:
    other, mark = space.world.space(), f"e2e-limitrange={space.name}"
    made = {"metadata": {"name": "e2e-limitrange", "labels": {"e2e-limitrange": space.name}}, "spec": limits()}
    for each in (space, other):
        each.create(RANGES, made)
    everywhere = space.world.everywhere
    assert len(everywhere.list(RANGES, mark)) == 2
    patch = {
        "metadata": {"labels": {"e2e-limitrange": space.name, "patched": "true"}},
        "spec": limits(min=amounts("10m", "100Mi", "100Gi")),
    }
    patched = space.patch(RANGES, "e2e-limitrange", patch, content_type="application/strategic-merge-patch+json")
    assert patched["metadata"]["labels"]["patched"] == "true" and patched["spec"]["limits"][0]["min"]["cpu"] == "10m"
    space.delete_all(RANGES, "patched=true")
    assert [each["metadata"]["namespace"] for each in everywhere.list(RANGES, mark)] == [other.name]
