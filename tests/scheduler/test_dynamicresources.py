"""Devices for pods' claims: which there are, which can be had together, and that pods get them."""

from __future__ import annotations

import asyncio
from itertools import combinations, count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.api.resource import deviceselector
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.scheduler import devices
from navarch.scheduler.deviceallocation import AllocationError, OutOfSteps, Search, results
from navarch.scheduler.devicepools import Pools
from navarch.scheduler.deviceusage import DeviceUsage
from navarch.scheduler.deviceverdicts import asked
from navarch.scheduler.plugins.dynamicresources import DynamicResources
from navarch.scheduler.profiles import Profile
from tests.fakeapi import Bench, bench
from tests.scheduler.test_framework import running
from tests.scheduler.test_scheduler import condition, node, pod, scheduler, where
from tests.scheduler.test_volumes_reference import allowed
from tests.scheduler.world import framework as plugins_of
from tests.scheduler.world import node as small_node
from tests.scheduler.world import pod as small_pod
from tests.scheduler.world import snapshot

# What expressions need raises the recursion limit when it is loaded; not in the middle of a test.
deviceselector.environment()
DRIVER, CLASS = "gpu.example.com", "gpu"
CLAIMS = "resourceclaims.resource.k8s.io"


def device(name: str, memory: str = "40Gi", **more: Any) -> Object:
    attributes = {"model": {"string": more.pop("model", "a100")}, **more.pop("attributes", {})}
    return {"name": name, "attributes": attributes, "capacity": {"memory": {"value": memory}}, **more}


def resource_slice(pool: str, *devices: Object, slices: int = 1, generation: int = 1, name: str = "", **more: Any) -> Object:
    """Of a node of the pool's name, if nothing else is said."""
    where = {} if {"allNodes", "nodeSelector", "perDeviceNodeSelection", "nodeName"} & more.keys() else {"nodeName": pool}
    spec = {"driver": DRIVER, "pool": {"name": pool, "generation": generation, "resourceSliceCount": slices}, **where, **more}
    found = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": name or f"{pool}-slice"}}
    return {**found, "spec": {**spec, "devices": list(devices)}}


def device_class(name: str = CLASS, expression: str = f"device.driver == '{DRIVER}'", **more: Any) -> Object:
    spec = {"selectors": [{"cel": {"expression": expression}}], **more}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name}, "spec": spec}


def exactly(amount: int = 1, *expressions: str, name: str = "r", **more: Any) -> Object:
    selectors = [{"cel": {"expression": text}} for text in expressions]
    asked = {"deviceClassName": CLASS, "allocationMode": "ExactCount", "count": amount, "selectors": selectors, **more}
    return {"name": name, "exactly": asked}


def claim(name: str, *requests: Object, **more: Any) -> Object:
    devices = {"requests": list(requests) or [exactly()], **more.pop("devices", {})}
    found = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name, "namespace": "default"}}
    return {**found, "spec": {"devices": devices}, **more}


CLASSES = {CLASS: device_class()}


def found(slices: list[Object], *claims: Object, usage: DeviceUsage | None = None, on: str = "n", labels: Any = None) -> Any:
    """The devices' names, claim by claim; None if there are none."""
    reachable = list(Pools(slices).of_node(on, labels or {}))
    chosen = Search(claims, reachable, usage or DeviceUsage(), CLASSES.get).find()
    return None if chosen is None else [[one.device.id[2] for one in devices] for devices in chosen]


class TestPools:
    def test_only_the_newest_generation_counts(self) -> None:
        slices = [resource_slice("n", device("old"), name="a"), resource_slice("n", device("new"), generation=2, name="b")]
        assert found(slices, claim("c")) == [["new"]]

    def test_nothing_is_given_of_a_pool_that_is_not_complete_or_has_a_name_twice(self) -> None:
        assert found([resource_slice("n", device("d"), slices=2)], claim("c")) is None
        assert found([resource_slice("n", device("d"), device("d"))], claim("c")) is None
        with pytest.raises(
            AllocationError, match=r"asks for all devices, but resource pool gpu\.example\.com/n is currently being updated"
        ):
            found([resource_slice("n", device("d"), slices=2)], claim("c", exactly(allocationMode="All")))

    @pytest.mark.parametrize(
        ("place", "reaches"),
        [
            ({"nodeName": "n"}, True),
            ({"nodeName": "m"}, False),
            ({"allNodes": True}, True),
            ({"nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "x", "operator": "Exists"}]}]}}, True),
            ({"nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "y", "operator": "Exists"}]}]}}, False),
        ],
    )
    def test_devices_are_where_their_slice_is(self, place: Object, reaches: bool) -> None:
        answer = found([resource_slice("p", device("d"), **place)], claim("c"), labels={"x": "1"})
        assert answer == ([["d"]] if reaches else None)

    def test_or_each_where_it_says(self) -> None:
        devices = device("here", nodeName="n"), device("there", nodeName="m")
        slices = [resource_slice("p", *devices, perDeviceNodeSelection=True)]
        assert found(slices, claim("c")) == [["here"]]
        assert found(slices, claim("c", exactly(2))) is None


class TestRequests:
    def test_expressions_choose(self) -> None:
        slices = [resource_slice("n", device("small", "10Gi"), device("large", "80Gi", model="h100"))]
        large = f"device.capacity['{DRIVER}'].memory.compareTo(quantity('20Gi')) > 0"
        assert found(slices, claim("c", exactly(1, large))) == [["large"]]
        assert found(slices, claim("c", exactly(1, f"device.attributes['{DRIVER}'].model == 'h100'"))) == [["large"]]
        assert found(slices, claim("c", exactly(1, "'other.example.com' in device.attributes"))) is None
        with pytest.raises(
            AllocationError, match=r"claim default/c: selector #0 on device gpu.example.com/n/small: CEL runtime error"
        ):
            found(slices, claim("c", exactly(1, f"device.attributes['{DRIVER}'].colour == 'red'")))

    def test_later_requests_make_earlier_ones_take_others(self) -> None:
        slices = [resource_slice("n", device("both", model="h100"), device("plain"))]
        picky = exactly(1, f"device.attributes['{DRIVER}'].model == 'h100'", name="picky")
        assert found(slices, claim("c", exactly(name="any"), picky)) == [["plain", "both"]]
        assert found(slices, claim("one"), claim("two", picky)) == [["plain"], ["both"]]
        assert found(slices, claim("one", exactly(2)), claim("two")) is None

    def test_the_first_alternative_that_can_be_had_is_taken(self) -> None:
        def option(name: str, amount: int, model: str) -> Object:
            return {**exactly(amount, f"device.attributes['{DRIVER}'].model == '{model}'")["exactly"], "name": name}

        request = {"name": "r", "firstAvailable": [option("best", 1, "h100"), option("good", 2, "a100")]}
        slices = [resource_slice("n", device("a"), device("b"), device("h", model="h100"))]
        assert found(slices, claim("c", request)) == [["h"]]
        assert found([resource_slice("n", device("a"), device("b"))], claim("c", request)) == [["a", "b"]]

    def test_all_means_all_that_match_and_at_least_one(self) -> None:
        slices = [resource_slice("n", device("a"), device("b"))]
        everything = exactly(allocationMode="All")
        assert found(slices, claim("c", everything)) == [["a", "b"]]
        assert found([], claim("c", everything)) is None
        assert found(slices, claim("one"), claim("c", everything)) is None

    def test_attributes_may_have_to_be_equal_or_distinct(self) -> None:
        def numa(name: str, number: int) -> Object:
            return device(name, attributes={"numa": {"int": number}})

        slices = [resource_slice("n", numa("a", 0), numa("b", 1), numa("c", 1), device("d"))]
        same = {"constraints": [{"matchAttribute": f"{DRIVER}/numa"}]}
        assert found(slices, claim("c", exactly(2), devices=same)) == [["b", "c"]]
        assert found(slices, claim("c", exactly(3), devices=same)) is None
        other = {"constraints": [{"distinctAttribute": f"{DRIVER}/numa", "requests": ["r"]}]}
        assert found(slices, claim("c", exactly(2), devices=other)) == [["a", "b"]]
        assert found(slices, claim("c", exactly(3), devices=other)) is None

    def test_taints_must_be_tolerated(self) -> None:
        slices = [resource_slice("n", device("d", taints=[{"key": "hot", "value": "yes", "effect": "NoSchedule"}]))]
        assert found(slices, claim("c")) is None
        assert found(slices, claim("c", exactly(tolerations=[{"key": "hot", "operator": "Exists"}]))) == [["d"]]
        assert found(slices, claim("c", exactly(tolerations=[{"key": "hot", "operator": "Equal", "value": "no"}]))) is None

    def test_no_more_devices_than_a_claim_can_hold(self) -> None:
        slices = [resource_slice("n", *(device(f"d{number:02}") for number in range(40)))]
        assert found(slices, claim("c", exactly(33))) is None
        assert len(found(slices, claim("c", exactly(32)))[0]) == 32

    def test_a_search_ends(self) -> None:
        slices = [resource_slice("n", *(device(f"d{number}", attributes={"x": {"int": number}}) for number in range(24)))]
        hopeless = {"constraints": [{"distinctAttribute": f"{DRIVER}/x"}]}
        requests = [exactly(12, name="one"), exactly(13, name="two")]
        with pytest.raises(OutOfSteps):
            found(slices, claim("c", *requests, devices=hopeless))


def given_to(uid: str, *names: str, **more: Any) -> DeviceUsage:
    usage = DeviceUsage()
    entries = [{"request": "r", "driver": DRIVER, "pool": "n", "device": name, **more} for name in names]
    usage.set(uid, {"devices": {"results": entries}})
    return usage


class TestWhatIsTaken:
    def test_devices_of_other_claims_are_not_to_be_had(self) -> None:
        slices = [resource_slice("n", device("a"), device("b"))]
        usage = given_to("x", "a")
        assert found(slices, claim("c"), usage=usage) == [["b"]]
        assert found(slices, claim("c", exactly(2)), usage=usage) is None
        assert found(slices, claim("c", exactly(2, adminAccess=True)), usage=usage) == [["a", "b"]]
        usage.set("x", None)
        assert found(slices, claim("c", exactly(2)), usage=usage) == [["a", "b"]]
        assert found(slices, claim("c"), usage=given_to("x", "a", adminAccess=True)) == [["a"]]

    def test_partitions_share_what_their_device_has(self) -> None:
        counters = [{"name": "card", "counters": {"slices": {"value": "4"}}}]

        def part(name: str, amount: str) -> Object:
            return device(name, consumesCounters=[{"counterSet": "card", "counters": {"slices": {"value": amount}}}])

        slices = [resource_slice("n", part("whole", "4"), part("half", "2"), part("third", "3"), sharedCounters=counters)]
        assert found(slices, claim("c")) == [["whole"]]
        assert found(slices, claim("c"), usage=given_to("x", "half")) is None
        assert found(slices, claim("c", exactly(2))) is None
        small = [resource_slice("n", part("a", "1"), part("b", "3"), part("c", "1"), sharedCounters=counters)]
        assert found(small, claim("c", exactly(2)), usage=given_to("x", "a")) is None
        assert found(small, claim("c", exactly(1)), usage=given_to("x", "b")) == [["a"]]

    def test_a_shared_device_is_given_in_parts(self) -> None:
        policy = {"default": "10Gi", "validRange": {"min": "10Gi", "step": "10Gi", "max": "30Gi"}}
        shared = device("d", "40Gi", allowMultipleAllocations=True)
        shared["capacity"]["memory"]["requestPolicy"] = policy
        slices = [resource_slice("n", shared)]

        def wants(memory: str) -> Object:
            return exactly(capacity={"requests": {"memory": memory}})

        (chosen,) = Search([claim("c", wants("11Gi"))], list(Pools(slices).of_node("n", {})), DeviceUsage(), CLASSES.get).find()  # type: ignore[misc]
        ids = count(1)
        (entry,) = results(claim("c"), chosen, "n", lambda: f"share-{next(ids)}")["devices"]["results"]
        assert (entry["shareID"], entry["consumedCapacity"]) == ("share-1", {"memory": str(20 << 30)})
        assert found(slices, claim("c", wants("31Gi"))) is None
        assert found(slices, claim("a", wants("20Gi")), claim("b", wants("20Gi"))) == [["d"], ["d"]]
        assert found(slices, claim("a", wants("30Gi")), claim("b", wants("20Gi"))) is None
        usage = given_to("x", "d", shareID="s", consumedCapacity={"memory": "30Gi"})
        assert found(slices, claim("c"), usage=usage) == [["d"]]
        assert found(slices, claim("c", wants("20Gi")), usage=usage) is None


def test_what_is_written_names_devices_configuration_and_node() -> None:
    entry = {"opaque": {"driver": DRIVER, "parameters": {"a": 1}}}
    classes = {CLASS: device_class(config=[entry])}
    item = claim("c", exactly(name="one"), exactly(name="two"), devices={"config": [{**entry, "requests": ["two"]}]})
    reachable = list(Pools([resource_slice("n", device("a"), device("b"))]).of_node("n", {}))
    (chosen,) = Search([item], reachable, DeviceUsage(), classes.get).find()  # type: ignore[misc]
    written = results(item, chosen, "n", lambda: "")
    assert [one["request"] for one in written["devices"]["results"]] == ["one", "two"]
    assert written["devices"]["config"] == [
        {**entry, "source": "FromClass"},
        {**entry, "source": "FromClaim", "requests": ["two"]},
    ]
    (term,) = written["nodeSelector"]["nodeSelectorTerms"]
    assert term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": ["n"]}]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 2), min_size=0, max_size=5),
    st.lists(st.tuples(st.integers(1, 2), st.integers(0, 2)), min_size=1, max_size=3),
    st.sets(st.integers(0, 4)),
)
def test_something_is_found_whenever_there_is_something(
    kinds: list[int], requests: list[tuple[int, int]], taken: set[int]
) -> None:
    """Against trying all combinations: devices of kinds, requests for so many of at least a kind."""
    slices = [
        resource_slice("n", *(device(f"d{number}", attributes={"kind": {"int": kind}}) for number, kind in enumerate(kinds)))
    ]
    asked = [
        exactly(amount, f"device.attributes['{DRIVER}'].kind >= {least}", name=f"r{i}")
        for i, (amount, least) in enumerate(requests)
    ]
    free = frozenset(range(len(kinds))) - taken

    def possible(left: frozenset[int], rest: list[tuple[int, int]]) -> bool:
        if not rest:
            return True
        (amount, least), others = rest[0], rest[1:]
        fitting = [number for number in left if kinds[number] >= least]
        return any(possible(left - set(group), others) for group in combinations(fitting, amount))

    answer = found(slices, claim("c", *asked), usage=given_to("x", *(f"d{number}" for number in taken)))
    assert (answer is not None) == possible(free, requests)
    if answer is not None:
        numbers = [int(name[1:]) for name in answer[0]]
        assert len(set(numbers)) == sum(amount for amount, _ in requests)
        assert not set(numbers) & taken


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(("a", "b", "shared")), st.integers(0, 1), st.booleans()), min_size=1, max_size=8),
    st.integers(1, 3),
)
def test_verdicts_that_are_kept_equal_those_that_are_not(changes: list[tuple[str, int, bool]], amount: int) -> None:
    """Whatever is taken and given back, of a node's own devices and of those that all nodes share."""
    slices = [resource_slice(name, *(device(f"d{number}") for number in range(2))) for name in ("a", "b")]
    slices.append(resource_slice("shared", *(device(f"d{number}") for number in range(2)), allNodes=True))
    wanted = claim("c", exactly(amount))
    nodes = snapshot(*(small_node(name) for name in ("a", "b", "bare")))
    plugin = plugins_of(nodes, None, device_class(), wanted, *slices).plugins["DynamicResources"]
    assert isinstance(plugin, DynamicResources)
    item = small_pod(resourceClaims=[{"name": "c", "resourceClaimName": "c"}])
    usage = devices.shared(plugin.handle).usage
    for pool, number, is_taken in changes:
        entry = {"request": "r", "driver": DRIVER, "pool": pool, "device": f"d{number}"}
        usage.set(f"{pool}-{number}", {"devices": {"results": [entry]}} if is_taken else None)
        expected = {name for name in ("a", "b", "bare") if found(slices, wanted, usage=usage, on=name) is not None}
        assert allowed(plugin, nodes, item) == expected


def test_claims_that_differ_in_names_alone_share_verdicts() -> None:
    same, other = device_class("same"), device_class("other", "device.driver == 'else'")
    classes = {CLASS: device_class(), "same": same, "other": other}
    config = [{"opaque": {"driver": DRIVER, "parameters": {"mode": "fast"}}}]

    def key(*requests: Object, **more: Any) -> bytes:
        return asked([claim("c", *requests, devices=more)], classes.get).key

    assert key(exactly()) == key(exactly(name="x")) == key(exactly(deviceClassName="same")) == key(exactly(), config=config)
    assert len({key(exactly()), key(exactly(2)), key(exactly(), exactly()), key(exactly(deviceClassName="other"))}) == 4
    tolerant = exactly(tolerations=[{"operator": "Exists"}])
    assert key(exactly()) != key(tolerant) != key({"name": "r", "firstAvailable": [tolerant["exactly"], exactly()["exactly"]]})
    # A constraint speaks of requests by name.
    first, second = ([exactly(name="a"), exactly(2, name="b")], [exactly(name="b"), exactly(2, name="a")])
    constraints = [{"requests": ["a"], "matchAttribute": "gpu.example.com/model"}]
    assert key(*first) == key(*second)
    assert key(*first, constraints=constraints) != key(*second, constraints=constraints)


# The whole scheduler.


def put_devices(given: Bench, *nodes: str, devices: int = 1) -> None:
    given.api.put(device_class())
    for name in nodes:
        given.api.put(node(name))
        given.api.put(resource_slice(name, *(device(f"d{number}") for number in range(devices))))


def wanting(name: str, *claims: str, **more: Any) -> Object:
    entries = [{"name": f"c{number}", "resourceClaimName": one} for number, one in enumerate(claims)]
    return pod(name, resourceClaims=entries, **more)


def allocation(given: Bench, name: str) -> Any:
    return (given.api.objects[CLAIMS][f"default/{name}"].get("status") or {}).get("allocation")


def test_a_pod_gets_its_devices_on_the_way_to_its_node() -> None:
    async def main() -> None:
        async with bench(scheduler) as given:
            given.api.put(node("bare"))
            put_devices(given, "node-1")
            given.api.put(claim("c"))
            given.api.put(wanting("web", "c"))
            await given.until(lambda: where(given, "web") == "node-1")
            present = given.api.objects[CLAIMS]["default/c"]
            assert present["metadata"]["finalizers"] == ["resource.kubernetes.io/delete-protection"]
            assert [one["device"] for one in present["status"]["allocation"]["devices"]["results"]] == ["d0"]
            web = given.api.objects["pods"]["default/web"]
            assert present["status"]["reservedFor"] == [{"resource": "pods", "name": "web", "uid": meta.uid(web)}]
            # Whoever shares the claim goes where its devices are.
            given.api.put(wanting("beside", "c"))
            await given.until(lambda: where(given, "beside") == "node-1")
            assert len(given.api.objects[CLAIMS]["default/c"]["status"]["reservedFor"]) == 2

    asyncio.run(main())


@pytest.mark.parametrize("profiles", [(Profile(),), (Profile(), Profile("other"))])
def test_no_device_is_given_twice_and_one_that_is_given_back_is_given_again(profiles: tuple[Profile, ...]) -> None:
    names = [profile.scheduler_name for profile in profiles]

    async def main() -> None:
        async with bench(running(profiles=profiles)) as given:
            put_devices(given, "node-1", "node-2", devices=2)
            for number in range(5):
                given.api.put(claim(f"c{number}"))
                given.api.put(wanting(f"p{number}", f"c{number}", schedulerName=names[number % len(names)]))
            placed = await given.until(
                lambda: (names := [n for n in range(5) if where(given, f"p{n}")]) and len(names) == 4 and names
            )
            devices = {(one["pool"], one["device"]) for n in placed for one in allocation(given, f"c{n}")["devices"]["results"]}
            assert len(devices) == 4
            (left,) = set(range(5)) - set(placed)
            await given.until(lambda: condition(given, f"p{left}"))
            assert condition(given, f"p{left}")["message"] == (
                "0/2 nodes are available: 2 cannot allocate all claims. still not schedulable, "
                "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
            )
            given.api.change(CLAIMS, f"default/c{placed[0]}", status={})
            await given.until(lambda: where(given, f"p{left}"))

    asyncio.run(main())


def test_a_pod_waits_for_its_claim_and_for_the_class() -> None:
    async def main() -> None:
        async with bench(scheduler) as given:
            given.api.put(node("node-1"))
            given.api.put(resource_slice("node-1", device("d")))
            given.api.put(wanting("web", "c"))
            given.api.put(pod("other"))
            await given.until(lambda: where(given, "other"))
            assert not condition(given, "web")
            given.api.put(claim("c"))
            await given.until(lambda: condition(given, "web"))
            assert condition(given, "web")["message"].startswith(
                "0/1 nodes are available: request r: device class gpu does not exist."
            )
            given.api.put(device_class())
            await given.until(lambda: where(given, "web") == "node-1")

    asyncio.run(main())


def test_a_pod_waits_until_it_is_told_which_claim_was_made_for_it() -> None:
    async def main() -> None:
        async with bench(scheduler) as given:
            put_devices(given, "node-1")
            entries = [{"name": "gpu", "resourceClaimTemplateName": "t"}]
            web = given.api.put(pod("web", resourceClaims=entries))
            owner = {"controller": True, "uid": meta.uid(web), "kind": "Pod", "name": "web"}
            made = claim("web-gpu-x")
            made["metadata"]["ownerReferences"] = [owner]
            given.api.put(made)
            given.api.put(pod("other"))
            await given.until(lambda: where(given, "other"))
            assert not where(given, "web")
            assert not condition(given, "web")
            statuses = [{"name": "gpu", "resourceClaimName": "web-gpu-x"}]
            given.api.change("pods", "default/web", status={**web["status"], "resourceClaimStatuses": statuses})
            await given.until(lambda: where(given, "web") == "node-1")

    asyncio.run(main())


def test_a_claim_that_nobody_uses_is_taken_from_a_node_where_its_pod_does_not_fit() -> None:
    async def main() -> None:
        async with bench(scheduler) as given:
            put_devices(given, "node-1", "node-2")
            given.api.put(node("node-1", unschedulable=True))
            reachable = list(Pools([resource_slice("node-1", device("d0"))]).of_node("node-1", {}))
            (chosen,) = Search([claim("c")], reachable, DeviceUsage(), CLASSES.get).find()  # type: ignore[misc]
            given.api.put(claim("c", status={"allocation": results(claim("c"), chosen, "node-1", lambda: "")}))
            given.api.put(wanting("web", "c"))
            await given.until(lambda: where(given, "web") == "node-2")
            assert allocation(given, "c")["devices"]["results"][0]["pool"] == "node-2"

    asyncio.run(main())


def test_a_refused_binding_gives_the_claim_back() -> None:
    async def main() -> None:
        async with bench(scheduler) as given:
            failures = iter([ConnectionError("away")])
            given.api.refuse = lambda method, path, body: next(failures, None) if path.endswith("/binding") else None
            put_devices(given, "node-1")
            given.api.put(claim("c"))
            given.api.put(wanting("web", "c"))
            await given.until(lambda: where(given, "web") == "node-1")
            assert len(given.api.objects[CLAIMS]["default/c"]["status"]["reservedFor"]) == 1

    asyncio.run(main())


def test_a_pod_waits_until_its_devices_are_ready() -> None:
    async def main() -> None:
        async with bench(scheduler) as given:
            given.api.put(device_class())
            given.api.put(node("node-1"))
            slow = device("d", bindingConditions=["ready"], bindingFailureConditions=["broken"], bindsToNode=True)
            given.api.put(resource_slice("node-1", slow))
            given.api.put(claim("c"))
            given.api.put(wanting("web", "c"))
            status = await given.until(
                lambda: (found := given.api.objects[CLAIMS]["default/c"].get("status")) and found.get("reservedFor") and found
            )
            given.api.put(pod("other"))
            await given.until(lambda: where(given, "other"))
            assert not where(given, "web")
            told = {"driver": DRIVER, "pool": "node-1", "device": "d", "conditions": [{"type": "ready", "status": "True"}]}
            given.api.change(CLAIMS, "default/c", status={**status, "devices": [told]})
            await given.until(lambda: where(given, "web") == "node-1")

    asyncio.run(main())
