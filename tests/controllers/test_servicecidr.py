"""ServiceCIDRs: protected, ready, and gone only when no Service is left without a network."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.api.networking.servicecidr import FINALIZER
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.controllers import servicecidr
from tests.controllers.world import on_bench
from tests.fakeapi import run

RESOURCE = servicecidr.RESOURCE


def cidr(name: str, *cidrs: str, **metadata: Any) -> Object:
    metadata = {"name": name, **metadata}
    spec = {"cidrs": list(cidrs)}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": metadata, "spec": spec}


def going(name: str, *cidrs: str, since: str = "2026-01-01T00:00:00Z") -> Object:
    return cidr(name, *cidrs, finalizers=[FINALIZER], deletionTimestamp=since)


def service(name: str, *addresses: str) -> Object:
    spec = {"clusterIP": addresses[0], "clusterIPs": list(addresses)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


@pytest.mark.parametrize(
    ("cidrs", "others", "addresses", "expected"),
    [
        (["10.0.0.0/24"], [], [], True),
        (["10.0.0.0/24"], [], ["10.0.1.1"], True),
        (["10.0.0.0/24"], [], ["10.0.0.1"], False),
        (["10.0.0.0/24"], ["10.0.0.0/24"], ["10.0.0.1"], True),
        (["10.0.0.0/24"], ["10.0.0.0/16"], ["10.0.0.1"], True),
        (["10.0.0.0/24"], ["10.0.0.0/25"], ["10.0.0.1"], True),
        (["10.0.0.0/24"], ["10.0.0.0/25"], ["10.0.0.200"], False),
        (["10.0.0.0/24", "fd00::/112"], ["10.0.0.0/16"], ["10.0.0.1"], True),
        (["10.0.0.0/24", "fd00::/112"], ["10.0.0.0/16"], ["fd00::1"], False),
    ],
)
def test_a_network_may_go_when_others_hold_what_is_in_use(
    cidrs: list[str], others: list[str], addresses: list[str], expected: bool
) -> None:
    staying = [cidr(f"other-{index}", other) for index, other in enumerate(others)]
    assert servicecidr.may_go(cidr("a", *cidrs), staying, addresses) is expected


NETWORKS = st.builds(
    lambda number, length: str(ipaddress.ip_network((number << 8, length), strict=False)),
    st.integers(0, 3),
    st.integers(22, 28),
)


@given(NETWORKS, st.lists(NETWORKS, max_size=3), st.lists(st.integers(0, 1023).map(ipaddress.IPv4Address), max_size=5))
def test_whoever_goes_leaves_no_address_alone(mine: str, others: list[str], addresses: list[ipaddress.IPv4Address]) -> None:
    alone = [
        address
        for address in addresses
        if address in ipaddress.ip_network(mine) and not any(address in ipaddress.ip_network(other) for other in others)
    ]
    staying = [cidr(f"other-{index}", other) for index, other in enumerate(others)]
    assert servicecidr.may_go(cidr("a", mine), staying, map(str, addresses)) is not bool(alone)


def test_a_new_network_is_protected_and_becomes_ready() -> None:
    async def test() -> None:
        async with on_bench(servicecidr.CONTROLLER) as found:
            found.api.put(cidr("new", "10.0.0.0/24", finalizers=["example.com/other"]))
            ready = await found.until(lambda: meta.condition(found.api.one(RESOURCE, "new") or {}, "Ready"))
            assert (ready["status"], ready["message"]) == ("True", "Kubernetes Service CIDR is ready")
            (obj,) = found.api.all(RESOURCE)
            assert obj["metadata"]["finalizers"] == ["example.com/other", FINALIZER]
            revision = found.api.revision
            await found.client.create("services", service("a", "10.0.0.1"))
            assert found.api.revision == revision + 1

    run(test)


def test_a_network_in_use_says_so_and_goes_when_the_last_service_went() -> None:
    async def test() -> None:
        async with on_bench(servicecidr.CONTROLLER) as found:
            found.api.put(service("a", "10.0.0.1"))
            found.api.put(going("busy", "10.0.0.0/24"))
            found.api.put(going("idle", "10.1.0.0/24"))
            ready = await found.until(lambda: meta.condition(found.api.one(RESOURCE, "busy") or {}, "Ready"))
            assert (ready["status"], ready["reason"]) == ("False", "Terminating")
            await found.until(lambda: found.api.one(RESOURCE, "idle") is None)
            assert found.api.one(RESOURCE, "busy") is not None
            found.api.remove("services", "default/a")
            await found.until(lambda: not found.api.all(RESOURCE))

    run(test)


def test_a_network_goes_once_a_larger_one_holds_its_addresses() -> None:
    async def test() -> None:
        async with on_bench(servicecidr.CONTROLLER) as found:
            found.api.put(service("a", "10.0.0.1"))
            found.api.put(going("small", "10.0.0.0/24"))
            await found.until(lambda: meta.condition(found.api.one(RESOURCE, "small") or {}, "Ready"))
            found.api.put(cidr("large", "10.0.0.0/16"))
            await found.until(lambda: found.api.one(RESOURCE, "small") is None)

    run(test)


def test_a_network_stays_a_while_for_those_who_have_not_seen_that_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servicecidr, "DELETION_GRACE_SECONDS", 3600.0)

    async def test() -> None:
        async with on_bench(servicecidr.CONTROLLER) as found:
            found.api.put(going("just-now", "10.0.0.0/24", since=clock.timestamp()))
            found.api.put(going("long-ago", "10.1.0.0/24", since="2020-01-01T00:00:00Z"))
            await found.until(lambda: found.api.one(RESOURCE, "long-ago") is None)
            assert found.api.one(RESOURCE, "just-now") is not None

    run(test)
