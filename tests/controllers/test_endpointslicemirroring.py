"""Endpoints kept by hand, and the EndpointSlices that mirror them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import endpointslicemirroring as mirroring
from navarch.controllers.endpointslice import Plan
from tests.controllers.cluster import Cluster, cluster

SLICES = "endpointslices.discovery.k8s.io"
HTTP = {"name": "http", "port": 80, "protocol": "TCP"}


def endpoints(*subsets: Object, **metadata: Any) -> Object:
    named = {"name": "web", "namespace": "default", "uid": "u", **metadata}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": named, "subsets": list(subsets)}


def subset(*ips: str, ports: Any = (HTTP,), not_ready: tuple[str, ...] = ()) -> Object:
    found: Object = {"addresses": [{"ip": ip} for ip in ips], "ports": list(ports)}
    return found | {"notReadyAddresses": [{"ip": ip} for ip in not_ready]}


def planned(obj: Object, *slices: Object) -> Plan:
    return mirroring.plan(obj, mirroring.desired(obj), slices)


def stored(made: Object, name: str = "web-1") -> Object:
    """As it comes back from the server."""
    metadata = {key: value for key, value in made["metadata"].items() if key != "generateName"}
    return {**made, "metadata": {**metadata, "name": name, "uid": name, "resourceVersion": "7"}}


def only(obj: Object) -> Object:
    todo = planned(obj)
    assert (todo.update, todo.delete, len(todo.create)) == ([], [], 1)
    return todo.create[0]


def test_a_subset_becomes_a_slice() -> None:
    address = {"ip": "10.0.0.1", "hostname": "h", "nodeName": "n", "targetRef": {"kind": "Pod", "name": "p"}}
    port = {"port": 80, "protocol": "TCP", "appProtocol": "http"}
    annotations = {
        "kept": "yes",
        "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    obj = endpoints(
        {"addresses": [address], "notReadyAddresses": [{"ip": "10.0.0.2"}], "ports": [port]},
        labels={"team": "a", "endpointslice.kubernetes.io/managed-by": "me"},
        annotations=annotations,
    )
    made = only(obj)
    assert made["metadata"] == {
        "generateName": "web-",
        "namespace": "default",
        "labels": {
            "team": "a",
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
        },
        "annotations": {"kept": "yes"},
        "ownerReferences": [meta.owner_reference(obj)],
    }
    assert made["addressType"] == "IPv4"
    assert made["ports"] == [{"name": "", "port": 80, "protocol": "TCP", "appProtocol": "http"}]
    assert made["endpoints"] == [
        {
            "addresses": ["10.0.0.1"],
            "conditions": {"ready": True},
            "hostname": "h",
            "nodeName": "n",
            "targetRef": {"kind": "Pod", "name": "p"},
        },
        {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
    ]


def test_each_address_family_and_each_set_of_ports_has_a_slice() -> None:
    todo = planned(endpoints(subset("10.0.0.1", "fd00::1"), subset("10.0.0.1", ports=[{"name": "dns", "port": 53}])))
    found = [(made["addressType"], made["ports"][0]["name"], made["endpoints"][0]["addresses"]) for made in todo.create]
    assert found == [("IPv4", "http", ["10.0.0.1"]), ("IPv6", "http", ["fd00::1"]), ("IPv4", "dns", ["10.0.0.1"])]


def test_subsets_of_the_same_ports_share_a_slice_and_an_address_is_in_it_once() -> None:
    ports = [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
    made = only(endpoints(subset("10.0.0.1", ports=ports), subset("10.0.0.2", "10.0.0.1", ports=ports[::-1])))
    assert [endpoint["addresses"] for endpoint in made["endpoints"]] == [["10.0.0.1"], ["10.0.0.2"]]


def test_addresses_are_written_as_they_should_be_and_others_are_counted() -> None:
    found = mirroring.desired(endpoints(subset("010.000.000.001", "::ffff:1.2.3.4", "FD00::1", "nonsense")))
    written = [endpoint["addresses"] for group in found.endpoints.values() for endpoint in group.values()]
    assert written == [["10.0.0.1"], ["1.2.3.4"], ["fd00::1"]]
    assert (found.invalid, found.skipped) == (1, 1)


def test_a_subset_has_a_limit() -> None:
    ips = [f"10.0.{number // 250}.{number % 250 + 1}" for number in range(1000)]
    found = mirroring.desired(endpoints(subset(*ips, not_ready=("10.9.9.9", "10.9.9.8"))))
    assert sum(map(len, found.endpoints.values())) == 1000 and (found.invalid, found.skipped) == (0, 2)


def test_what_is_right_stays_as_it_is() -> None:
    obj = endpoints(subset("10.0.0.1", "10.0.0.2"), labels={"a": "b"})
    made = stored(only(obj))
    shuffled = {**made, "endpoints": made["endpoints"][::-1]}
    assert planned(obj, shuffled) == Plan()


@pytest.mark.parametrize(
    "changed",
    [
        endpoints(subset("10.0.0.1")),
        endpoints(subset("10.0.0.1", not_ready=("10.0.0.2",))),
        endpoints(subset("10.0.0.1", "10.0.0.2"), labels={"a": "b"}),
        endpoints(subset("10.0.0.1", "10.0.0.2"), annotations={"a": "b"}),
        endpoints(subset("10.0.0.1", "10.0.0.2", ports=[{"name": "other", "port": 81}])),
    ],
)
def test_what_changes_changes_the_same_slice(changed: Object) -> None:
    made = stored(only(endpoints(subset("10.0.0.1", "10.0.0.2"))))
    todo = planned(changed, made)
    assert (todo.create, todo.delete, len(todo.update)) == ([], [], 1)
    (updated,), wanted = todo.update, only(changed)
    assert (updated["metadata"]["name"], updated["metadata"]["resourceVersion"]) == ("web-1", "7")
    assert {**updated, "metadata": {}} == {**wanted, "metadata": {}}


def test_slices_of_nothing_and_second_ones_go() -> None:
    made = stored(only(endpoints(subset("10.0.0.1"))))
    assert planned(endpoints(), made).delete == [made]
    assert planned(endpoints(subset()), made).delete == [made]
    second = {**made, "metadata": {**made["metadata"], "name": "web-2"}}
    assert planned(endpoints(subset("10.0.0.1")), made, second) == Plan(delete=[second])


def test_who_is_mirrored() -> None:
    plain, selecting = {"spec": {}}, {"spec": {"selector": {"a": "b"}}}
    assert mirroring.is_mirrored(endpoints(), plain)
    assert not mirroring.is_mirrored(endpoints(), None)
    assert not mirroring.is_mirrored(endpoints(), selecting)
    assert not mirroring.is_mirrored(endpoints(labels={"endpointslice.kubernetes.io/skip-mirror": "true"}), plain)
    assert mirroring.is_mirrored(endpoints(labels={"endpointslice.kubernetes.io/skip-mirror": "false"}), plain)
    assert not mirroring.is_mirrored(endpoints(annotations={"control-plane.alpha.kubernetes.io/leader": "{}"}), plain)


def mirrors(found: Cluster) -> list[Object]:
    ours = {"endpointslice.kubernetes.io/managed-by": mirroring.CONTROLLER_NAME}
    return [item for item in found.all(SLICES) if ours.items() <= meta.labels(item).items()]


def test_mirrors_come_and_go_with_endpoints_and_service(tmp_path: Path) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}}
    bare = {key: value for key, value in endpoints(subset("10.0.0.1"))["metadata"].items() if key != "uid"}
    obj = {**endpoints(subset("10.0.0.1")), "metadata": bare}

    async def main() -> None:
        async with cluster(tmp_path) as found:
            await found.client.create("endpoints", obj)
            await found.client.create("services", {**service, "spec": {"ports": [{"port": 80}]}})
            await found.until(lambda: len(mirrors(found)) == 1)
            (made,) = mirrors(found)
            await found.client.delete(SLICES, meta.name(made), "default")
            await found.until(lambda: [meta.uid(item) for item in mirrors(found)] not in ([], [meta.uid(made)]))
            await found.client.patch("services", "web", {"spec": {"selector": {"app": "x"}}}, "default")
            await found.until(lambda: mirrors(found) == [])
            await found.client.patch("services", "web", {"spec": {"selector": None}}, "default")
            await found.client.patch("endpoints", "web", {"subsets": [subset("10.0.0.3")]}, "default")
            await found.until(lambda: [item["endpoints"][0]["addresses"] for item in mirrors(found)] == [["10.0.0.3"]])
            await found.client.delete("endpoints", "web", "default")
            await found.until(lambda: mirrors(found) == [])

    asyncio.run(main())
