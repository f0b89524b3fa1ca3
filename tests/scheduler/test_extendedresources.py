"""Extended resources that device classes give: pods ask for them as ever, and get devices where nodes do not offer them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.client.transport import WatchEvent
from navarch.scheduler import devices, extendedresources
from navarch.scheduler.claimwriting import CLAIMS
from navarch.scheduler.cycle import feasible_rows, schedule
from navarch.scheduler.devicecounts import DeviceCounts
from navarch.scheduler.devices import SLICES
from navarch.scheduler.extendedresources import CLASSES, ExtendedResources, requests_and_mappings
from navarch.scheduler.framework import CycleState
from navarch.scheduler.nodes import Nodes
from navarch.scheduler.plugins.dynamicresources import DynamicResources
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.profiles import PluginSet, Profile
from navarch.scheduler.scheduler import Scheduler
from navarch.scheduler.vectors import Templates
from tests.fakeapi import Bench, bench
from tests.scheduler import reference, world
from tests.scheduler.test_dynamicresources import DRIVER, claim, device, device_class, exactly, resource_slice
from tests.scheduler.test_explain import explained, of
from tests.scheduler.test_reference import SLOW
from tests.scheduler.test_scheduler import condition, events, node, pod, scheduler, where

GPU, IMPLICIT = "example.com/gpu", "deviceclass.resource.kubernetes.io/gpu"


def gpu_class(name: str = "gpu", **more: Any) -> Object:
    return device_class(name, **{"extendedResourceName": GPU, **more})


def container(name: str = "c", cpu: str = "100m", restart: str = "", **resources: str) -> Object:
    """`resources`: gpu and nic are example.com's."""
    asked = {"cpu": cpu, **{f"example.com/{resource}": amount for resource, amount in resources.items()}}
    return {"name": name, "image": "i", "resources": {"requests": asked}, **({"restartPolicy": restart} if restart else {})}


def wanting(name: str, amount: int = 1, resource: str = GPU, **spec: Any) -> Object:
    found = container()
    found["resources"]["requests"][resource] = str(amount)
    found["resources"]["limits"] = {resource: str(amount)}
    return pod(name, containers=[found], **spec)


# What a pod claims.


def told(spec: Object, *resources: str) -> tuple[dict[str, int], set[tuple[str, str, str]]]:
    requests, mappings = requests_and_mappings(
        spec, resources, {"example.com/gpu": "gpu", "example.com/nic": "nic"}.__getitem__
    )
    for request in requests:
        assert request["exactly"]["allocationMode"] == "ExactCount"
    counts = {f"{request['name']} {request['exactly']['deviceClassName']}": request["exactly"]["count"] for request in requests}
    assert len({tuple(mapping.items()) for mapping in mappings}) == len(mappings)
    return counts, {(found["containerName"], found["resourceName"][12:], found["requestName"]) for found in mappings}


class TestClaim:
    def test_each_container_has_a_request_for_each_resource_named_after_both_places(self) -> None:
        spec = {"containers": [container("a", gpu="2", nic="1"), container("b"), container("c", nic="3")]}
        assert told(spec, "example.com/gpu", "example.com/nic") == (
            {"container-0-request-1 gpu": 2, "container-0-request-2 nic": 1, "container-2-request-1 nic": 3},
            {
                ("a", "gpu", "container-0-request-1"),
                ("a", "nic", "container-0-request-2"),
                ("c", "nic", "container-2-request-1"),
            },
        )
        # What a node offers by itself is left out; the places stay.
        assert told(spec, "example.com/nic")[0] == {"container-0-request-2 nic": 1, "container-2-request-1 nic": 3}

    def test_containers_that_only_prepare_use_the_devices_of_those_after_them(self) -> None:
        spec = {"initContainers": [container("i", gpu="2")], "containers": [container("a", gpu="1"), container("b", gpu="2")]}
        assert told(spec, GPU) == (
            {"container-1-request-1 gpu": 1, "container-2-request-1 gpu": 2},
            {
                ("a", "gpu", "container-1-request-1"),
                ("b", "gpu", "container-2-request-1"),
                ("i", "gpu", "container-1-request-1"),
                ("i", "gpu", "container-2-request-1"),
            },
        )

    def test_what_they_lack_one_request_gives_to_all_of_them(self) -> None:
        spec = {
            "initContainers": [container("i", gpu="2"), container("j", gpu="4"), container("k", gpu="1")],
            "containers": [container("a", gpu="1")],
        }
        assert told(spec, GPU) == (
            {"container-1-request-1 gpu": 3, "container-3-request-1 gpu": 1},
            {
                ("a", "gpu", "container-3-request-1"),
                ("i", "gpu", "container-3-request-1"),
                ("i", "gpu", "container-1-request-1"),
                ("j", "gpu", "container-3-request-1"),
                ("j", "gpu", "container-1-request-1"),
                ("k", "gpu", "container-3-request-1"),
            },
        )

    def test_sidecars_keep_theirs_and_lend_them_only_to_those_before_them(self) -> None:
        spec = {
            "initContainers": [container("i", gpu="1"), container("s", restart="Always", gpu="1"), container("j", gpu="1")],
            "containers": [container("a")],
        }
        assert told(spec, GPU) == (
            {"container-1-request-1 gpu": 1, "container-2-request-1 gpu": 1},
            {
                ("s", "gpu", "container-1-request-1"),
                ("i", "gpu", "container-1-request-1"),
                ("j", "gpu", "container-2-request-1"),
            },
        )


class TestClasses:
    def made(self, *classes: Object) -> tuple[ExtendedResources, world.Known, list[int]]:
        known, changes = world.Known(classes), list[int]()
        return ExtendedResources(known, lambda: changes.append(1)), known, changes  # type: ignore[arg-type]

    def aged(self, name: str, minute: int, **more: Any) -> Object:
        found = gpu_class(name, **more)
        return {**found, "metadata": {"name": name, "creationTimestamp": f"2026-01-01T00:{minute:02}:00Z"}}

    def test_a_class_gives_what_it_names_and_what_is_named_after_it(self) -> None:
        found, _, _ = self.made(gpu_class(), device_class("plain"))
        assert found[GPU] == found[IMPLICIT] == "gpu"
        assert found["deviceclass.resource.kubernetes.io/plain"] == "plain"
        assert "example.com/nic" not in found

    def test_of_several_the_newest_gives_it_then_the_first_by_name(self) -> None:
        found, known, changes = self.made(self.aged("old", 1))
        known.change("new", self.aged("new", 2))
        assert found[GPU] == "new"
        known.change("a", self.aged("a", 2))
        assert found[GPU] == "a"
        known.change("older", self.aged("older", 0))
        assert found[GPU] == "a"
        before = len(changes)
        known.change("a", {**self.aged("a", 2), "spec": {"extendedResourceName": GPU, "selectors": []}})
        assert len(changes) == before, "what it gives is the same"
        known.change("a", None)
        known.change("new", self.aged("new", 2, extendedResourceName="example.com/nic"))
        assert (found[GPU], found["example.com/nic"]) == ("old", "new")
        for name in ("old", "older", "new"):
            known.change(name, None)
        assert GPU not in found and "example.com/nic" not in found


# Where a pod can go, against the reference.

NAMES, KINDS = ("a", "b", "c"), ("gpu", "nic")
numbers = count()
amounts = st.sampled_from(("0", "1", "1", "2", "3"))


@st.composite
def pods(draw: Any) -> Object:
    def some(name: str, restart: str = "") -> Object:
        asked = {kind: draw(amounts) for kind in KINDS if draw(st.integers(0, 2))}
        return container(name, draw(st.sampled_from(("100m", "2"))), restart, **asked)

    early = [some(f"i{n}", draw(st.sampled_from(("", "", "Always")))) for n in range(draw(st.integers(0, 2)))]
    found = world.pod(containers=[some(f"c{n}") for n in range(draw(st.integers(1, 2)))])
    found["spec"]["initContainers"] = early
    return found


class Twins:
    """A cluster both ways. Devices of a node are `MOST` of each kind, some of which are taken."""

    MOST = 4

    def __init__(self) -> None:
        self.world = reference.World()
        self.snapshot = world.snapshot()
        self.informers = world.Objects([])
        self.plugins = world.framework(self.snapshot, informers=self.informers)
        self.templates = Templates(self.snapshot)
        found = self.plugins.plugins["DynamicResources"]
        assert isinstance(found, DynamicResources)
        self.usage = devices.shared(found.handle).usage

    def set_class(self, kind: str, gives: str) -> None:
        for resource in [resource for resource, name in self.world.given.items() if name == kind]:
            del self.world.given[resource]
        expression = f"device.attributes['{DRIVER}'].model == '{kind}'"
        self.informers.get(CLASSES).change(
            kind, device_class(kind, expression, **({"extendedResourceName": gives} if gives else {}))
        )
        self.world.given[f"deviceclass.resource.kubernetes.io/{kind}"] = kind
        if gives:
            self.world.given[gives] = kind

    def set_node(self, name: str, extended: dict[str, str], devices: dict[str, int]) -> None:
        self.world.nodes[name] = world.node(name, cpu="3", extended=extended)
        self.snapshot.set_node(self.world.nodes[name])
        made = [device(f"{kind}{n}", model=kind) for kind in KINDS for n in range(devices.get(kind, 0))]
        self.informers.get(SLICES).change(f"{name}-slice", resource_slice(name, *made) if made else None)
        for kind in KINDS:
            self.world.devices[name, kind] = devices.get(kind, 0)
            for number in range(self.MOST):
                self.usage.set(f"{name}{kind}{number}", None)

    def take(self, name: str, kind: str, is_taken: bool) -> None:
        """One of the node's free devices, or give back one that is taken."""
        there = self.informers.get(SLICES).get(f"{name}-slice")
        all_of_kind = (
            [d["name"] for d in there["spec"]["devices"] if d["attributes"]["model"]["string"] == kind] if there else []
        )
        free = self.world.devices.get((name, kind), 0)
        if is_taken and free:
            free -= 1
            entry = {"request": "r", "driver": DRIVER, "pool": name, "device": all_of_kind[free]}
            self.usage.set(f"{name}{kind}{free}", {"devices": {"results": [entry]}})
        elif not is_taken and free < len(all_of_kind):
            self.usage.set(f"{name}{kind}{free}", None)
            free += 1
        self.world.devices[name, kind] = free

    def change(self, draw: Any, templates: list[Object]) -> None:
        name, kind = draw(st.sampled_from(NAMES)), draw(st.sampled_from(KINDS))
        match draw(st.sampled_from(("node", "class", "take", "take", "pod"))):
            case "node":
                offered = {f"example.com/{kind}": draw(st.sampled_from(("0", "2"))) for kind in KINDS if draw(st.booleans())}
                devices = {kind: draw(st.integers(0, self.MOST)) for kind in KINDS}
                self.set_node(name, offered, devices if draw(st.booleans()) else {})
            case "class":
                self.set_class(kind, draw(st.sampled_from(("", f"example.com/{kind}"))))
            case "take":
                self.take(name, kind, draw(st.booleans()))
            case "pod" if name in self.world.nodes:
                item = draw(st.sampled_from(templates))
                uid = f"pod-{next(numbers)}"
                item = {**item, "metadata": {**item["metadata"], "name": uid, "uid": uid}}
                self.world.pods.setdefault(name, []).append(item)
                self.snapshot.add_pod(PodInfo(item), name)

    def compare(self, item: Object) -> None:
        expected = {name for name, found in self.world.nodes.items() if not reference.rejections(self.world, item, found)}
        rows, fit, _ = feasible_rows(self.plugins, self.templates, PodInfo(item))
        assert {self.snapshot.names[row] for row in rows} == expected
        if not expected:
            assert fit.message == reference.message(self.world, item)


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_columns_equal_the_reference(data: st.DataObject) -> None:
    """Some nodes offer the resources themselves, some have devices, some both or neither."""
    twins = Twins()
    for kind in KINDS:
        twins.set_class(kind, f"example.com/{kind}")
    templates = [data.draw(pods()) for _ in range(2)]
    for _ in range(data.draw(st.integers(4, 14))):
        twins.change(data.draw, templates)
        for item in templates:
            twins.compare(item)


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_devices_are_counted_as_they_are(data: st.DataObject) -> None:
    twins = Twins()
    for kind in KINDS:
        twins.set_class(kind, f"example.com/{kind}")
    counts = DeviceCounts(twins.snapshot, devices.shared(twins.plugins.plugins["DynamicResources"].handle))
    for _ in range(data.draw(st.integers(1, 14))):
        twins.change(data.draw, [world.pod(cpu="1")])
        nodes = Nodes(twins.snapshot)
        for kind in KINDS:
            there, taken = counts.of(kind, nodes)
            for name in twins.world.nodes:
                row, on_node = twins.snapshot.rows[name], twins.informers.get(SLICES).get(f"{name}-slice")
                made = on_node["spec"]["devices"] if on_node else []
                count = sum(one["attributes"]["model"]["string"] == kind for one in made)
                assert (there[row], taken[row]) == (count, count - twins.world.devices[name, kind])


@pytest.mark.parametrize("resource", [GPU, IMPLICIT])
@pytest.mark.parametrize(("type_", "expected"), [("MostAllocated", "full"), ("LeastAllocated", "free")])
def test_nodes_are_compared_by_their_devices_where_the_strategy_names_the_resource(
    type_: str, expected: str, resource: str
) -> None:
    """One that offers the resource itself is judged by that, as ever."""
    nodes = world.snapshot(world.node("free"), world.node("full"), world.node("own", extended={resource: "8"}))
    slices = [resource_slice(name, *(device(f"d{number}") for number in range(4))) for name in ("free", "full", "own")]
    strategy = {"type": type_, "resources": [{"name": resource, "weight": 1}]}
    only_this = {"score": PluginSet((("NodeResourcesFit", 1),), frozenset({"*"}))}
    profile = Profile(plugins=only_this, args={"NodeResourcesFit": {"scoringStrategy": strategy}})
    plugins = world.framework(nodes, profile, gpu_class(), *slices)
    fit = plugins.plugins["NodeResourcesFit"]
    taken = [{"request": "r", "driver": DRIVER, "pool": "full", "device": f"d{number}"} for number in range(2)]
    devices.shared(fit.handle).usage.set("a claim", {"devices": {"results": taken}})
    item = world.pod(cpu="1")
    item["spec"]["containers"][0]["resources"]["requests"][resource] = "1"
    shares = {"free": 1 / 4, "full": 3 / 4, "own": 1 / 8}
    scores = fit.score(CycleState(), PodInfo(item), Nodes(nodes))
    for name, share in shares.items():
        assert scores[nodes.rows[name]] == int(100 * (share if type_ == "MostAllocated" else 1 - share))
    nodes.remove_node("own")
    assert schedule(plugins, Templates(nodes), PodInfo(item), Random(1)).node == expected


def test_pods_that_ask_for_none_are_none_of_its_business() -> None:
    twins = Twins()
    twins.set_class("gpu", GPU)
    twins.set_node("a", {}, {"gpu": 1})
    plugin = twins.plugins.plugins["DynamicResources"]
    assert plugin.reuse(PodInfo(world.pod(cpu="1"))).value == "Node"
    twins.compare(world.pod(cpu="1"))
    assert not twins.templates.of(twins.plugins, PodInfo(world.pod(cpu="1"))).fresh_filters


# Explanations.


def test_an_explanation_says_what_is_short_of_devices_and_what_of_room() -> None:
    objects = gpu_class(), resource_slice("busy", device("d")), resource_slice("none-left", device("d"))
    taken = claim(
        "c", status={"allocation": {"devices": {"results": [{"driver": DRIVER, "pool": "none-left", "device": "d"}]}}}
    )
    found = world.snapshot(world.node("busy", cpu="1"), world.node("none-left"), world.node("own", extended={GPU: "1"}))
    item = world.pod(containers=[container(cpu="2", gpu="1")])
    answer = explained(found, item, *objects, taken)
    reasons = {entry["name"]: [(r["plugin"], r["reason"]) for r in entry["rejections"]] for entry in answer["nodes"]}
    assert reasons == {
        "busy": [("NodeResourcesFit", "Insufficient cpu")],
        "none-left": [("DynamicResources", "cannot allocate all claims")],
        "own": [],
    }
    found.remove_node("own")
    nearest = {change["change"]: change["nodes"] for change in explained(found, item, *objects, taken)["changes"]}
    assert nearest == {
        "busy would fit with 1 more cpu": ["busy"],
        "DynamicResources alone is in the way: cannot allocate all claims": ["none-left"],
    }


# The whole scheduler.


def put_devices(bench: Bench, *nodes: str, devices: int = 1, **more: Any) -> None:
    bench.api.put(gpu_class(**more))
    for name in nodes:
        bench.api.put(node(name))
        bench.api.put(resource_slice(name, *(device(f"d{number}") for number in range(devices))))


def offering(name: str, amount: str = "1") -> Object:
    found = node(name)
    return meta.set_path(found, {**found["status"]["allocatable"], GPU: amount}, "status", "allocatable")


def claims(bench: Bench) -> list[Object]:
    return [found for found in bench.api.all(CLAIMS) if meta.name(found).find("-extended-resources-") > 0]


def present(bench: Bench, name: str) -> Object:
    found = bench.api.one("pods", f"default/{name}")
    assert found is not None
    return found


def test_a_pod_gets_devices_for_what_it_asks_and_is_told_which() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            found.api.put(node("bare"))
            put_devices(found, "node-1", devices=3)
            found.api.put(wanting("web", 2))
            await found.until(lambda: where(found, "web") == "node-1")
            (made,) = claims(found)
            web = present(found, "web")
            owner = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": meta.uid(web), "controller": True}
            metadata = made["metadata"]
            assert metadata["generateName"] == "web-extended-resources-"
            assert metadata["ownerReferences"] == [owner]
            assert metadata["annotations"] == {"resource.kubernetes.io/extended-resource-claim": "true"}
            assert metadata["finalizers"] == ["resource.kubernetes.io/delete-protection"]
            exactly = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}
            assert made["spec"] == {"devices": {"requests": [{"name": "container-0-request-1", "exactly": exactly}]}}
            results = made["status"]["allocation"]["devices"]["results"]
            assert [(one["request"], one["device"]) for one in results] == [
                ("container-0-request-1", "d0"),
                ("container-0-request-1", "d1"),
            ]
            assert made["status"]["reservedFor"] == [{"resource": "pods", "name": "web", "uid": meta.uid(web)}]
            assert web["status"]["extendedResourceClaimStatus"] == {
                "resourceClaimName": meta.name(made),
                "requestMappings": [{"containerName": "c", "resourceName": GPU, "requestName": "container-0-request-1"}],
            }
            # One device is left: enough for a pod that calls the class by its name, but not for two.
            found.api.put(wanting("other", 1, IMPLICIT))
            await found.until(lambda: where(found, "other") == "node-1")
            found.api.put(wanting("late"))
            await found.until(lambda: condition(found, "late"))
            assert condition(found, "late")["message"] == (
                "0/2 nodes are available: 2 cannot allocate all claims. still not schedulable, "
                "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
            )
            # Whoever frees a device frees it for the one that waits.
            found.api.change(CLAIMS, meta.key(made), status={})
            await found.until(lambda: where(found, "late") == "node-1")

    asyncio.run(main())


def test_a_node_that_offers_the_resource_itself_gives_it_without_a_claim() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            found.api.put(offering("own"))
            found.api.put(gpu_class())
            found.api.put(resource_slice("own", device("unused")))
            found.api.put(wanting("first"))
            await found.until(lambda: where(found, "first") == "own")
            assert not claims(found)
            assert "extendedResourceClaimStatus" not in present(found, "first")["status"]
            found.api.put(wanting("second"))
            await found.until(lambda: condition(found, "second"))
            assert condition(found, "second")["message"].startswith(f"0/1 nodes are available: 1 Insufficient {GPU}. ")
            # Its device plugin goes, and with it what the node offers: now it is devices.
            found.api.change("nodes", "own", status=offering("own", "0")["status"])
            await found.until(lambda: where(found, "second") == "own")
            assert len(claims(found)) == 1
            found.api.put(wanting("third"))
            await found.until(lambda: "cannot allocate" in condition(found, "third").get("message", ""))
            # And when it comes back, with more than before, it is no longer devices.
            found.api.change("nodes", "own", status=offering("own", "3")["status"])
            await found.until(lambda: where(found, "third") == "own")
            assert len(claims(found)) == 1

    asyncio.run(main())


def test_what_room_is_told_to_ignore_must_be_there_beside_what_devices_give() -> None:
    nodes = [offering("a"), offering("b"), offering("c")]
    for item, amount in zip(nodes, ("1", "0", None), strict=True):
        del item["status"]["allocatable"][GPU]
        if amount is not None:
            item["status"]["allocatable"]["example.com/nic"] = amount
    slices = [resource_slice(name, device("d")) for name in ("a", "b", "c")]
    found = world.snapshot(*nodes)
    ignoring = Profile(args={"NodeResourcesFit": {"ignoredResources": ["example.com/nic"]}})
    item = wanting("web")
    item["metadata"] |= {"namespace": "default", "uid": "web"}
    item["spec"]["containers"][0]["resources"]["requests"]["example.com/nic"] = "1"
    plugins = world.framework(found, ignoring, gpu_class(), *slices)
    rows, fit, _ = feasible_rows(plugins, Templates(found), PodInfo(item))
    assert [found.names[row] for row in rows.tolist()] == ["a", "b"]
    assert fit.reasons == {"cannot fit resource": 1}


def test_a_pod_waits_for_the_class_and_for_devices() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            found.api.put(node("node-1"))
            found.api.put(wanting("web"))
            await found.until(lambda: condition(found, "web"))
            assert condition(found, "web")["message"].startswith(f"0/1 nodes are available: 1 Insufficient {GPU}. ")
            found.api.put(device_class())
            found.api.put(gpu_class("other", extendedResourceName="example.com/nic"))
            found.api.change(CLASSES, "gpu", spec=gpu_class()["spec"])
            text = "0/1 nodes are available: 1 cannot allocate all claims. "
            await found.until(lambda: condition(found, "web")["message"].startswith(text))
            found.api.put(resource_slice("node-1", device("d")))
            await found.until(lambda: where(found, "web") == "node-1")

    asyncio.run(main())


def test_claims_of_its_own_and_extended_resources_are_allocated_together() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            put_devices(found, "small")
            put_devices(found, "large", devices=2)
            found.api.put(claim("c"))
            found.api.put(wanting("web", resourceClaims=[{"name": "x", "resourceClaimName": "c"}]))
            await found.until(lambda: where(found, "web") == "large")
            all_claims = [found.api.objects[CLAIMS]["default/c"], *claims(found)]
            taken = [one["device"] for c in all_claims for one in c["status"]["allocation"]["devices"]["results"]]
            assert taken == ["d0", "d1"]
            # And on a node that offers the resource, only what the spec names.
            found.api.put(offering("own"))
            found.api.put(resource_slice("own", device("d")))
            found.api.put(claim("d"))
            found.api.put(wanting("more", resourceClaims=[{"name": "x", "resourceClaimName": "d"}]))
            await found.until(lambda: where(found, "more") == "own")
            assert len(claims(found)) == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    "failing",
    ["POST .*/binding", "POST .*/resourceclaims", "PUT .*/resourceclaims/.*/status", "PATCH .*extendedResourceClaim.*"],
)
def test_what_fails_on_the_way_is_taken_back_and_tried_again(failing: str) -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            failures = iter([ConnectionError("away")])

            def refuse(method: str, path: str, body: Any) -> Exception | None:
                request = f"{method} {path}{body if method == 'PATCH' else ''}"
                return next(failures, None) if re.fullmatch(failing, request) else None

            found.api.refuse = refuse
            put_devices(found, "node-1")
            found.api.put(wanting("web"))
            await found.until(lambda: where(found, "web") == "node-1")
            (made,) = claims(found)
            assert present(found, "web")["status"]["extendedResourceClaimStatus"]["resourceClaimName"] == meta.name(made)
            assert made["status"]["reservedFor"][0]["uid"] == meta.uid(present(found, "web"))
            assert next(failures, None) is None

    asyncio.run(main())


def test_devices_are_not_given_again_while_the_claim_that_has_them_is_not_yet_known() -> None:
    async def main() -> None:
        may_pass = asyncio.Event()

        def start(found: Bench) -> Scheduler:
            watch = found.api.watch

            async def late(path: str, query: Mapping[str, str]) -> AsyncIterator[WatchEvent]:
                async for event in watch(path, query):
                    if path.endswith("/resourceclaims"):
                        await may_pass.wait()
                    yield event

            found.api.watch = late  # type: ignore[method-assign]
            return scheduler(found)

        async with bench(start) as found:
            put_devices(found, "node-1")
            found.api.put(wanting("first"))
            await found.until(lambda: [one for one in claims(found) if one.get("status", {}).get("reservedFor")])
            found.api.put(wanting("second"))
            await found.until(lambda: condition(found, "second"))
            assert not where(found, "second")
            may_pass.set()
            await found.until(lambda: where(found, "first") == "node-1")
            assert len(claims(found)) == 1

    asyncio.run(main())


def test_a_claim_that_an_earlier_attempt_left_goes_first() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            web = found.api.put(wanting("web", schedulerName="nobody"))
            left = extendedresources.claim_for(PodInfo(web), [exactly(name="container-0-request-1")], "")
            result = {"request": "container-0-request-1", "driver": DRIVER, "pool": "node-1", "device": "d0"}
            metadata = {
                **left["metadata"],
                "name": "web-extended-resources-x",
                "finalizers": ["resource.kubernetes.io/delete-protection"],
            }
            del metadata["uid"]
            status = {"allocation": {"devices": {"results": [result]}}}
            left = found.api.put(
                {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", **left, "metadata": metadata, "status": status}
            )
            put_devices(found, "node-1")
            found.api.put(pod("another"))
            await found.until(lambda: where(found, "another"))
            found.api.change("pods", "default/web", spec={**web["spec"], "schedulerName": "default-scheduler"})
            await found.until(lambda: where(found, "web") == "node-1")
            (made,) = claims(found)
            assert meta.uid(made) != meta.uid(left)
            (event,) = events(found, "FailedScheduling")
            assert event["note"] == (
                "0/1 nodes are available: 1 cannot schedule extended resource claim. deletion of ResourceClaim completed, "
                "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
            )

    asyncio.run(main())


def test_a_pod_that_has_its_devices_is_explained_where_it_is() -> None:
    async def main() -> None:
        running: list[Scheduler] = []

        def start(found: Bench) -> Scheduler:
            running.append(scheduler(found))
            return running[0]

        async with bench(start) as found:
            put_devices(found, "node-1", "node-2")
            found.api.put(wanting("web"))
            placed = await found.until(lambda: where(found, "web"))
            engine = running[0]._engine
            assert engine is not None
            # Not only assumed: what it has is known here, and that it is there.
            await found.until(lambda: meta.get_path(found.informers.get("pods").get("default/web"), "spec", "nodeName"))
            answer = engine.explain("default", "web")
            other = "node-2" if placed == "node-1" else "node-1"
            assert of(answer, placed)["fits"]
            said = {r["plugin"]: r["reason"] for r in of(answer, other)["rejections"]}
            assert said["DynamicResources"] == "resourceclaim not available on the node"

    asyncio.run(main())
