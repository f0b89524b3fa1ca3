"""Topology aware hints: which zones get which endpoints."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import endpointslice, topologyhints
from tests.controllers.test_endpoints import pod, service
from tests.controllers.world import events, node, on_bench


def placed(name: str, zone: str, cpu: str = "4", **more: str) -> Object:
    found = node(name)
    found["metadata"]["labels"] |= {"topology.kubernetes.io/zone": zone, **more}
    found["status"]["allocatable"]["cpu"] = cpu
    return found


def hinting(**spec: Any) -> Object:
    annotations = {"service.kubernetes.io/topology-mode": "Auto"}
    return meta.set_path(service(**spec), annotations, "metadata", "annotations")


def hinted(todo: endpointslice.Plan) -> Counter[str]:
    """How many endpoints each zone has in slices that are written."""
    endpoints = [endpoint for item in (*todo.create, *todo.update) for endpoint in item["endpoints"]]
    return Counter(hint["name"] for endpoint in endpoints for hint in (endpoint.get("hints") or {}).get("forZones", ()))


def test_a_zone_counts_by_the_cpus_of_its_nodes_that_are_ready() -> None:
    silent = {**placed("d", "b"), "status": node(ready="Unknown")["status"]}
    nodes = [placed("a", "a", "6"), placed("b", "b", "2"), silent]
    assert topologyhints.cpu_ratios(nodes) == {"a": 0.75, "b": 0.25}
    control_plane = placed("cp", "c", **{"node-role.kubernetes.io/control-plane": ""})
    assert topologyhints.cpu_ratios([*nodes, control_plane]) == {"a": 0.75, "b": 0.25}
    assert topologyhints.cpu_ratios(nodes[:1]) == {}
    assert topologyhints.cpu_ratios([*nodes, node("nowhere")]) == {}


@pytest.mark.parametrize(
    ("ratios", "endpoints", "problem"),
    [
        ({}, 5, "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"),
        ({"a": 0.5, "b": 0.5}, 1, "Insufficient number of endpoints (1 endpoints, 2 zones)"),
        (
            {"a": 0.4, "b": 0.6},
            2,
            "",
        ),
        (
            {"a": 0.34, "b": 0.33, "c": 0.33},
            4,
            "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold "
            "(4 endpoints, 3 zones)",
        ),
    ],
)
def test_there_are_no_hints_where_a_zone_would_have_too_few_endpoints(
    ratios: dict[str, float], endpoints: int, problem: str
) -> None:
    assert topologyhints.allocations(ratios, endpoints)[1] == problem


def test_each_zone_gets_its_part_its_own_first_and_keeps_it() -> None:
    pods = [pod(number, nodeName="a") for number in range(1, 8)] + [pod(number, nodeName="b") for number in range(8, 11)]
    zones, ratios = {"a": "a", "b": "b"}, {"a": 0.5, "b": 0.5}
    todo = endpointslice.plan(hinting(), pods, zones, [], ratios)
    assert hinted(todo) == {"a": 5, "b": 5}
    assert todo.hint_problems == {"IPv4": ""}
    present = [meta.set_path(todo.create[0], "slice-0", "metadata", "name")]
    again = endpointslice.plan(hinting(), pods, zones, present, ratios)
    assert (again.create, again.update, again.delete) == ([], [], [])
    # As little as a few more of one zone is borne, much is not.
    again = endpointslice.plan(hinting(), pods, zones, present, {"a": 0.2, "b": 0.8})
    assert hinted(again) == {"a": 2, "b": 8}


def test_hints_go_when_there_is_no_reason_for_them_any_more() -> None:
    pods = [pod(1, nodeName="a"), pod(2, nodeName="b")]
    zones, ratios = {"a": "a", "b": "b"}, {"a": 0.5, "b": 0.5}
    made = endpointslice.plan(hinting(), pods, zones, [], ratios).create[0]
    present = [meta.set_path(made, "slice-0", "metadata", "name")]
    for owner, known in ((hinting(), {}), (service(), ratios)):
        todo = endpointslice.plan(owner, pods, zones, present, known)
        assert (hinted(todo), len(todo.update)) == ({}, 1)
    # The annotation comes before what the Service asks for otherwise.
    owner = hinting(trafficDistribution="PreferSameZone")
    assert hinted(endpointslice.plan(owner, pods, zones, present, {})) == {}


def test_it_is_told_whether_there_are_hints() -> None:
    async def main() -> None:
        async with on_bench(endpointslice.CONTROLLER) as found:
            found.api.put(placed("a", "a"))
            found.api.put(hinting())
            for number in (1, 2):
                found.api.put({"apiVersion": "v1", "kind": "Pod", **pod(number, nodeName="a")})
            reason = "TopologyAwareHintsDisabled"
            await found.until(lambda: any(text.endswith(", addressType: IPv4") for text in events(found, reason)))
            found.api.put(placed("b", "b"))
            text = "Topology Aware Hints has been enabled, addressType: IPv4"
            await found.until(lambda: events(found, "TopologyAwareHintsEnabled") == [text])
            found.api.put(meta.set_path(service(), {}, "metadata", "annotations"))
            text = "Topology Aware Hints has been disabled, addressType: IPv4"
            await found.until(lambda: text in events(found, reason))

    asyncio.run(main())
