"""Every ClusterIP has an IPAddress, comes from a ServiceCIDR, and is nobody else's, whatever happens."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.api.networking import ipaddress as addresses
from navarch.api.networking import servicecidr
from navarch.api.registry import resource
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.addressrepair import judge
from navarch.apiserver.allocation import MANAGER, address_of
from navarch.apiserver.bootstrap import complete
from navarch.apiserver.resources import versioned
from navarch.apiserver.server import APIServer
from navarch.storage.changes import Change, Write
from navarch.storage.memory import MemoryBackend
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore
from tests.apiserver.bench import Bench, bench
from tests.apiserver.samples import sample

ADDRESSES = "ipaddresses.networking.k8s.io"
CIDRS = "servicecidrs.networking.k8s.io"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MANAGED = f"{addresses.MANAGED_BY_LABEL}={MANAGER}"


def service(name: str, **spec: Any) -> Object:
    made = sample(resource("services"), name)
    return {**made, "spec": {**made["spec"], **spec}}


def held(api: Bench) -> dict[str, str]:
    """Address -> the Service that its IPAddress names."""
    items = api.list(ADDRESSES, labelSelector=MANAGED).json["items"]
    return {item["metadata"]["name"]: item["spec"]["parentRef"]["name"] for item in items}


def given_out(api: Bench) -> dict[str, str]:
    """Address -> the Service that has it."""
    items = api.list("services").json["items"]
    pairs = [(item["spec"].get("clusterIP") or "None", item["metadata"]["name"]) for item in items]
    found = {address: name for address, name in pairs if address != "None"}
    assert len(found) == sum(address != "None" for address, _ in pairs), "an address was given out twice"
    return found


@pytest.fixture
def fresh(api: Bench) -> Iterator[Bench]:
    """The server; Services and ServiceCIDRs of a test go afterwards."""
    yield api
    api.call("DELETE", "/api/v1/namespaces/default/services")
    for item in api.list(CIDRS).json["items"]:
        if item["metadata"]["name"] != "kubernetes":
            api.patch(CIDRS, item["metadata"]["name"], {"metadata": {"finalizers": None}})
            api.delete(CIDRS, item["metadata"]["name"])


def test_the_default_network_is_there_from_the_start(api: Bench) -> None:
    found = api.get(CIDRS, "kubernetes").json
    assert found["spec"] == {"cidrs": ["10.96.0.0/16"]}
    assert found["metadata"]["finalizers"] == ["networking.k8s.io/service-cidr-finalizer"]
    (condition,) = found["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Ready", "True")
    assert api.put(CIDRS, found).json == found


def test_an_address_is_an_object_that_comes_and_goes_with_its_service(fresh: Bench) -> None:
    watching = fresh.watch("/apis/networking.k8s.io/v1/ipaddresses", resourceVersion=str(fresh.store.revision))
    made = fresh.made("services", service("a"))
    address = made["spec"]["clusterIP"]
    found = fresh.get(ADDRESSES, address).json
    assert found["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    assert found["spec"] == {"parentRef": {"resource": "services", "namespace": "default", "name": "a"}}
    assert int(found["metadata"]["resourceVersion"]) == int(made["metadata"]["resourceVersion"]) + 1
    fresh.patch("services", "a", {"metadata": {"labels": {"a": "b"}}})
    fresh.patch("services", "a", {"status": {"loadBalancer": {}}}, subresource="status")
    fresh.delete("services", "a")
    assert watching.take(2) == [("ADDED", address), ("DELETED", address)]
    assert fresh.get(ADDRESSES, address).status == 404
    watching.close()


def test_a_service_that_no_longer_has_an_address_gives_it_back(fresh: Bench) -> None:
    address = fresh.made("services", service("a", clusterIP="10.96.1.1"))["spec"]["clusterIP"]
    assert held(fresh) == {address: "a"}
    external = {"type": "ExternalName", "externalName": "example.com", "clusterIP": "", "clusterIPs": None}
    assert fresh.patch("services", "a", {"spec": external}).status == 200
    assert held(fresh) == {}
    back = fresh.patch("services", "a", {"spec": {"type": "ClusterIP", "externalName": None}})
    assert held(fresh) == {back.json["spec"]["clusterIP"]: "a"}
    fresh.made("services", service("headless", clusterIP="None"))
    assert fresh.post("services", service("dry"), dryRun="All").status == 201
    assert fresh.post("services", service("refused", ports=[])).status == 422
    assert fresh.call("DELETE", "/api/v1/namespaces/default/services").status == 200
    assert held(fresh) == {}


def test_an_address_that_somebody_keeps_for_himself_is_taken(fresh: Bench) -> None:
    fresh.made(ADDRESSES, sample(resource(ADDRESSES), "10.96.9.9"))
    taken = fresh.post("services", service("a", clusterIP="10.96.9.9"))
    assert (taken.status, taken.reason) == (422, "Invalid")
    assert taken.message == (
        'Service "a" is invalid: spec.clusterIPs: Invalid value: ["10.96.9.9"]: failed to allocate IP 10.96.9.9: '
        "provided IP is already allocated"
    )
    assert fresh.delete(ADDRESSES, "10.96.9.9").status == 200
    assert fresh.post("services", service("a", clusterIP="10.96.9.9")).status == 201


def test_an_address_that_somebody_holds_with_a_finalizer_stays_taken(fresh: Bench) -> None:
    fresh.made("services", service("a", clusterIP="10.96.9.9"))
    fresh.patch(ADDRESSES, "10.96.9.9", {"metadata": {"finalizers": ["example.com/held"]}})
    fresh.delete("services", "a")
    assert fresh.get(ADDRESSES, "10.96.9.9").json["metadata"]["deletionTimestamp"]
    assert fresh.post("services", service("b", clusterIP="10.96.9.9")).status == 422
    fresh.patch(ADDRESSES, "10.96.9.9", {"metadata": {"finalizers": None}})
    assert fresh.post("services", service("b", clusterIP="10.96.9.9")).status == 201


@pytest.mark.parametrize("address", ["192.0.2.1", "10.96.0.0", "10.96.255.255", "10.97.0.1"])
def test_an_address_of_no_network_is_refused(fresh: Bench, address: str) -> None:
    refused = fresh.post("services", service("a", clusterIP=address))
    assert (refused.status, refused.reason) == (422, "Invalid")
    assert refused.message == (
        f'Service "a" is invalid: spec.clusterIPs: Invalid value: ["{address}"]: failed to allocate IP {address}: '
        "the provided network does not match the current range"
    )


def set_ready(api: Bench, name: str, status: str) -> None:
    condition = {"type": "Ready", "status": status, "reason": "", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    assert api.patch(CIDRS, name, {"status": {"conditions": [condition]}}, subresource="status").status == 200


def test_networks_give_addresses_while_they_are_ready_and_stay(fresh: Bench) -> None:
    assert fresh.post("services", service("early", clusterIP="192.168.0.5")).status == 422
    extra = sample(resource(CIDRS), "extra", finalizers=[servicecidr.FINALIZER])
    fresh.made(CIDRS, {**extra, "spec": {"cidrs": ["192.168.0.0/28"]}})
    assert fresh.post("services", service("chosen", clusterIP="192.168.0.5")).status == 201
    set_ready(fresh, "extra", "False")
    assert fresh.post("services", service("later", clusterIP="192.168.0.6")).status == 422
    set_ready(fresh, "extra", "True")
    assert fresh.post("services", service("later", clusterIP="192.168.0.6")).status == 201
    set_ready(fresh, "kubernetes", "False")
    try:
        for index in range(12):
            address = fresh.made("services", service(f"s{index}"))["spec"]["clusterIP"]
            assert ipaddress.ip_address(address) in ipaddress.ip_network("192.168.0.0/28")
        full = fresh.post("services", service("one-too-many"))
        assert (full.status, full.reason) == (500, "InternalError")
        assert full.message == "Internal error occurred: failed to allocate a serviceIP: range is full"
        fresh.made(CIDRS, {**sample(resource(CIDRS), "more"), "spec": {"cidrs": ["192.168.1.0/30"]}})
        assert fresh.post("services", service("one-more")).status == 201
        fresh.delete("services", "s3")
        fresh.delete(CIDRS, "extra")
        assert fresh.post("services", service("from-extra", clusterIP="192.168.0.6")).status == 422
        assert fresh.post("services", service("the-last-of-more")).status == 201
        assert fresh.post("services", service("none-left")).status == 500
    finally:
        set_ready(fresh, "kubernetes", "True")
    assert given_out(fresh) == held(fresh)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_no_address_is_given_out_twice_whatever_is_done_at_once(api: Bench, seed: int) -> None:
    random, names = Random(seed), [f"n{index}" for index in range(6)]

    async def attempt() -> None:
        name = random.choice(names)
        address = random.choice(["", "", "None", f"10.96.77.{random.randrange(1, 4)}"])
        try:
            match random.choice(("create", "delete", "external", "internal")):
                case "create":
                    await api.client.create("services", service(name, **({"clusterIP": address} if address else {})))
                case "delete":
                    await api.client.delete("services", name, "default")
                case "external":
                    spec = {"type": "ExternalName", "externalName": "example.com", "clusterIP": "", "clusterIPs": None}
                    await api.client.patch("services", name, {"spec": spec}, "default")
                case "internal":
                    spec = {"type": "ClusterIP", "clusterIP": address or None}
                    await api.client.patch("services", name, {"spec": spec}, "default")
        except StatusError as error:
            assert error.code in (404, 409, 422), error

    async def storm() -> None:
        for _ in range(8):
            await asyncio.gather(*(attempt() for _ in range(6)))

    api.run(storm())
    assert given_out(api) == held(api)
    api.call("DELETE", "/api/v1/namespaces/default/services")
    assert held(api) == {}


def test_an_address_that_another_server_took_meanwhile_is_not_given_out(tmp_path: Path) -> None:
    class Shared(LocalStore):
        """A store in which somebody else is quicker, once."""

        taken = ""

        async def write(self, writes: Sequence[Write]) -> list[Change]:
            kind = addresses.KIND
            wanted = [write for write in writes if write.prefix == kind.key_prefix and write.base is None]
            if wanted and not self.taken:
                self.taken = wanted[0].key.removeprefix(kind.key_prefix)
                other = complete(kind, address_of(of("elsewhere"), self.taken))
                await super().write([Write(kind.key_prefix, wanted[0].key, versioned(other), None)])
            return await super().write(writes)

    store = Shared(MemoryBackend())
    with bench(tmp_path, store=store) as api:
        made = api.made("services", service("a"))
        assert store.taken and made["spec"]["clusterIP"] != store.taken
        assert held(api) == {store.taken: "elsewhere", made["spec"]["clusterIP"]: "a"}
        store.taken = ""
        refused = api.post("services", service("b", clusterIP="10.96.5.5"))
        assert refused.status == 422 and "provided IP is already allocated" in refused.message


# Mending.


def of(name: str) -> Object:
    return {"metadata": {"namespace": "default", "name": name}}


def stored(name: str, address: str = "10.96.0.7", seconds_old: float = 3600, **parent: str) -> Object:
    made = complete(addresses.KIND, address_of(of(name), address))
    made["metadata"]["creationTimestamp"] = meta.format_time(NOW - timedelta(seconds=seconds_old))
    return {**made, "spec": {"parentRef": {**made["spec"]["parentRef"], **parent}}}


@pytest.mark.parametrize(
    ("present", "owners", "parent", "in_range", "parent_after", "events"),
    [
        (stored("a"), ["a"], None, True, "a", []),
        (
            None,
            ["a"],
            None,
            True,
            "a",
            [("a", "ClusterIPNotAllocated", "Cluster IP [IPv4]: 10.96.0.7 is not allocated; repairing")],
        ),
        (
            stored("b"),
            ["a"],
            None,
            True,
            "a",
            [
                (
                    "a",
                    "ClusterIPNotAllocated",
                    "the ClusterIP [IPv4]: 10.96.0.7 for Service default/a has a wrong reference; repairing",
                )
            ],
        ),
        (
            stored("a", resource="gateways", group="example.com"),
            ["a"],
            None,
            True,
            "a",
            [
                (
                    "a",
                    "ClusterIPNotAllocated",
                    "the ClusterIP [IPv4]: 10.96.0.7 for Service default/a has a wrong reference; repairing",
                )
            ],
        ),
        (
            stored("b"),
            ["a", "b"],
            None,
            True,
            "b",
            [
                (
                    "a",
                    "ClusterIPAlreadyAllocated",
                    "Cluster IP [IPv4]:10.96.0.7 was assigned to multiple services; please recreate service",
                )
            ],
        ),
        (
            None,
            ["a"],
            None,
            False,
            None,
            [
                (
                    "a",
                    "ClusterIPOutOfRange",
                    "Cluster IP [IPv4]: 10.96.0.7 is not within any configured Service CIDR; please recreate service",
                )
            ],
        ),
        (
            stored("a"),
            [],
            None,
            True,
            None,
            [
                (
                    "10.96.0.7",
                    "IPAddressNotAllocated",
                    "IPAddress: 10.96.0.7 for Service default/a appears to have leaked: cleaning up",
                )
            ],
        ),
        (stored("a", seconds_old=10), [], None, True, "a", []),
        (
            stored("a"),
            [],
            "a",
            True,
            None,
            [
                (
                    "10.96.0.7",
                    "IPAddressWrongReference",
                    "IPAddress: 10.96.0.7 for Service default/a has a wrong reference; cleaning up",
                )
            ],
        ),
        (
            stored("a", resource="gateways", group="example.com"),
            [],
            None,
            True,
            None,
            [
                (
                    "10.96.0.7",
                    "IPAddressNotAllocated",
                    "IPAddress 10.96.0.7 appears to have been modified, not referencing a Service "
                    "&ParentReference{Group:example.com,Resource:gateways,Namespace:default,Name:a,}: cleaning up",
                )
            ],
        ),
    ],
)
def test_what_an_address_should_be(
    present: Object | None,
    owners: list[str],
    parent: str | None,
    in_range: bool,
    parent_after: str | None,
    events: list[tuple[str, str, str]],
) -> None:
    verdict = judge(
        "10.96.0.7", present, [of(name) for name in owners], of(parent) if parent else None, in_range=in_range, now=NOW
    )
    assert [(meta.name(about), reason, message) for about, reason, message in verdict.events] == events
    assert meta.get_path(verdict.wanted, "spec", "parentRef", "name") == parent_after
    if verdict.wanted is not None and not verdict.again_seconds:
        assert verdict.wanted["spec"] == address_of(of(parent_after or ""), "10.96.0.7")["spec"]


def test_an_address_of_somebody_else_is_left_alone_and_a_new_one_gets_its_time() -> None:
    others = {**stored("a"), "metadata": {"name": "10.96.0.7"}}
    assert judge("10.96.0.7", others, [], None, in_range=True, now=NOW).wanted is others
    assert judge("10.96.0.7", stored("a", seconds_old=10), [], None, in_range=True, now=NOW).again_seconds == 50.0
    unlabelled = {**stored("a"), "metadata": {"name": "10.96.0.7", "labels": {"mine": "yes"}}}
    mended = judge("10.96.0.7", unlabelled, [of("a")], None, in_range=True, now=NOW)
    assert not mended.events and mended.wanted is not None
    assert mended.wanted["metadata"]["labels"].items() >= {"mine": "yes", addresses.MANAGED_BY_LABEL: MANAGER}.items()


def test_what_was_done_to_the_log_is_mended_at_the_next_start(tmp_path: Path) -> None:
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as api:
        for name, address in (("kept", "10.96.5.1"), ("robbed", "10.96.5.2"), ("swapped", "10.96.5.3")):
            api.made("services", service(name, clusterIP=address))

    async def tamper() -> None:
        db = LocalStore(SQLiteBackend(tmp_path / "navarch.db"))
        await db.load()
        db.start()
        kind = addresses.KIND
        robbed, swapped = (db.get(kind.key_prefix, kind.key("", address)) for address in ("10.96.5.2", "10.96.5.3"))
        assert robbed is not None and swapped is not None
        wrong = {**swapped.object(), "spec": address_of(of("other"), "10.96.5.3")["spec"]}
        leaked = stored("never-stored", "10.96.5.4")
        await db.write(
            [
                Write(kind.key_prefix, robbed.key, versioned(robbed.object()), robbed, deletes=True),
                Write(kind.key_prefix, swapped.key, versioned(wrong), swapped),
                Write(kind.key_prefix, kind.key("", "10.96.5.4"), versioned(leaked), None),
            ]
        )
        await db.stop()

    asyncio.run(tamper())
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as api:
        assert given_out(api) == held(api) == {"10.96.5.1": "kept", "10.96.5.2": "robbed", "10.96.5.3": "swapped"}
        api.listen()
        api.until(lambda: len(api.list("events", "default", fieldSelector="type=Warning").json["items"]) >= 3)
        told = api.list("events", "default", fieldSelector="type=Warning").json["items"]
        assert {(event["reason"], event["involvedObject"]["name"]) for event in told} == {
            ("ClusterIPNotAllocated", "robbed"),
            ("ClusterIPNotAllocated", "swapped"),
            ("IPAddressNotAllocated", "10.96.5.4"),
        }
        assert {event["source"]["component"] for event in told} == {"ipallocator-repair-controller"}


def test_a_restart_of_a_sound_server_writes_nothing(tmp_path: Path) -> None:
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as api:
        api.made("services", service("a"))
        before = api.store.revision

    async def start_again() -> None:
        server = APIServer(api.server.config, LocalStore(SQLiteBackend(tmp_path / "navarch.db")))
        await server.start()
        assert server.store.index.next_revision == before + 1
        await server.stop()

    asyncio.run(start_again())


def test_an_address_deleted_by_hand_comes_back_and_is_never_free_meanwhile(tmp_path: Path) -> None:
    with bench(tmp_path) as api:
        api.listen()
        api.made("services", service("a", clusterIP="10.96.5.1"))
        api.delete(ADDRESSES, "10.96.5.1")
        assert api.post("services", service("b", clusterIP="10.96.5.1")).status == 422
        api.until(lambda: held(api).get("10.96.5.1") == "a")
        api.patch(ADDRESSES, "10.96.5.1", {"metadata": {"labels": None}})
        api.until(lambda: held(api).get("10.96.5.1") == "a")
        assert api.post("services", service("b", clusterIP="10.96.5.1")).status == 422


def test_a_network_configured_otherwise_than_it_is_stays_and_is_told_of(tmp_path: Path) -> None:
    with bench(tmp_path, SQLiteBackend(tmp_path / "navarch.db")) as api:
        changed = api.get(CIDRS, "kubernetes").json
        record = api.store.get(servicecidr.KIND.key_prefix, servicecidr.KIND.key("", "kubernetes"))
        changed["spec"]["cidrs"] = ["10.0.0.0/16"]
        api.run(api.store.write([Write(servicecidr.KIND.key_prefix, record.key, versioned(changed), record)]))
        api.listen()
        api.until(lambda: api.store.collection("/registry/events/").records)
        (event,) = api.list("events", "default").json["items"]
        assert event["reason"] == "KubernetesDefaultServiceCIDRInconsistent" and event["type"] == "Warning"
        assert event["message"] == (
            "The default ServiceCIDR [10.0.0.0/16] does not match the controller flag configurations [10.96.0.0/16]"
        )
        assert api.get(CIDRS, "kubernetes").json["spec"] == {"cidrs": ["10.0.0.0/16"]}
        assert api.get("services", "kubernetes").status == 404, "its address is in no network"
