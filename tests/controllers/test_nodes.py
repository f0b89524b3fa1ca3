"""Nodes: their networks, their health, and what that means for pods. The pure rules."""

from __future__ import annotations

import asyncio
import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.controllers import namespace, nodeipam, nodelifecycle, nodettl, nodezones, tainteviction
from navarch.controllers.config import ControllerConfig
from navarch.simulation.loop import SimulatedClock, SimulatedLoop
from tests.controllers.world import node, on_bench
from tests.fakeapi import Bench

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def stamp(seconds_ago: float) -> str:
    return meta.format_time(NOW - timedelta(seconds=seconds_ago))


def test_parts_of_the_pod_network_are_given_in_turn() -> None:
    whole = ipaddress.ip_network("10.244.0.0/16")
    assert [nodeipam.part(whole, 24, number) for number in (0, 1, 255)] == ["10.244.0.0/24", "10.244.1.0/24", "10.244.255.0/24"]
    taken = {0, 1, 3}
    assert nodeipam.next_free(256, 0, taken.__contains__) == 2
    assert nodeipam.next_free(4, 3, taken.__contains__) == 2
    assert nodeipam.next_free(2, 1, taken.__contains__) is None


@pytest.mark.parametrize(
    ("cidr", "numbers"),
    [
        ("10.244.2.0/24", [2]),
        ("10.244.4.0/22", [4, 5, 6, 7]),
        ("10.244.3.128/25", [3]),
        ("10.0.0.0/8", list(range(256))),
        ("10.245.0.0/24", []),
        ("fd00::/64", []),
        ("nothing", []),
    ],
)
def test_what_a_node_has_takes_all_parts_that_overlap_it(cidr: str, numbers: list[int]) -> None:
    assert list(nodeipam.parts(ipaddress.ip_network("10.244.0.0/16"), 24, cidr)) == numbers


def lease(renewed: float, where: str = nodelifecycle.LEASE_NAMESPACE) -> dict[str, Any]:
    return {"metadata": {"name": "a", "namespace": where}, "spec": {"renewTime": stamp(renewed)}}


def told(heartbeat: float, ready: str = "True") -> dict[str, Any]:
    item = node("a", ready=ready)
    item["status"]["conditions"][0]["lastHeartbeatTime"] = stamp(heartbeat)
    return item


def test_a_sign_of_life_is_a_renewal_or_a_report_whatever_the_clock_of_the_node_says() -> None:
    loop = SimulatedLoop()

    async def live() -> None:
        SimulatedClock(loop).use()
        signs = nodelifecycle.SignsOfLife()

        def heard() -> float:
            """Seconds since the last sign."""
            return (clock.now() - signs.last("a")).total_seconds()

        await clock.sleep(10)
        assert heard() == 10  # nobody is late at the start
        signs.lease_changed(None, lease(5000))
        assert heard() == 0
        await clock.sleep(10)
        signs.lease_changed(lease(5000), lease(5000))
        signs.lease_changed(lease(5000), lease(9000, "kube-system"))
        signs.node_changed(told(100), told(100))
        signs.node_changed(told(100), told(99, ready="Unknown"))
        assert heard() == 10
        signs.lease_changed(lease(5000), lease(6000))
        assert heard() == 0
        await clock.sleep(10)
        signs.node_changed(told(100), told(200))
        assert heard() == 0
        signs.node_changed(told(200), None)
        assert heard() == 30

    loop.run_until_complete(live())
    loop.close()


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("T", 10),
        ("F", 10),
        ("TF", 10),
        ("TTUU", 10),
        ("TTUUU", None),
        ("UUU", 10),
        ("T" * 20 + "U" * 30, None),
        ("T" * 20 + "U" * 31, 100),
    ],
)
def test_where_most_nodes_of_a_zone_seem_to_fail_they_are_given_up_slowly_or_not_at_all(
    states: str, expected: float | None
) -> None:
    assert nodezones.seconds_between(len(states), len(states) - states.count("T")) == expected


def test_zones_are_judged_apart_and_when_all_are_silent_nobody_is_evicted() -> None:
    def placed(name: str, zone: str, ready: str, **labels: str) -> Object:
        found = node(name, ready)
        found["metadata"]["labels"] |= {nodezones.ZONE_LABEL: zone, **labels}
        return found

    async def main(*nodes: Object) -> set[str]:
        async with on_bench(nodelifecycle.controller(ControllerConfig())) as found:
            for item in nodes:
                found.api.put(item)

            silent = [meta.name(item) for item in nodes if nodelifecycle.readiness(item) != "True"]
            await found.until(lambda: all(_taints(found, name) for name in silent))
            return {name for name in silent if "NoExecute" in _taints(found, name)}

    # One zone is all silent, but there is another; of each the first is given up at once.
    silent = [placed(f"a{n}", "a", "Unknown") for n in range(4)]
    assert len(asyncio.run(main(*silent, placed("b", "b", "True")))) == 1
    assert len(asyncio.run(main(*silent, placed("b", "b", "Unknown"), placed("c", "b", "True")))) == 2
    assert asyncio.run(main(*silent, placed("b", "b", "Unknown"))) == set()
    excluded = placed("b", "b", "True", **{nodezones.EXCLUDED_LABEL: ""})
    assert asyncio.run(main(*silent, excluded)) == set()


def test_nodes_that_were_given_up_stay_so_when_most_of_their_zone_follows() -> None:
    async def main() -> None:
        async with on_bench(nodelifecycle.controller(ControllerConfig())) as found:
            gone = node("gone", "Unknown")
            gone["spec"]["taints"] = [{"key": nodelifecycle.UNREACHABLE, "effect": "NoExecute"}]
            for item in (node("d"), gone, node("b", "Unknown"), node("c", "Unknown")):
                found.api.put(item)
            await found.until(lambda: len(_taints(found, "gone")) == 2 and _taints(found, "b") and _taints(found, "c"))
            assert "NoExecute" in _taints(found, "gone")
            assert _taints(found, "b") == _taints(found, "c") == ["NoSchedule"]

    asyncio.run(main())


def _taints(found: Bench, name: str) -> list[str]:
    taints = found.api.objects["nodes"][name]["spec"].get("taints") or ()
    return [taint["effect"] for taint in taints]


def test_labels_are_there_under_their_older_names_too() -> None:
    item = node()
    item["metadata"]["labels"] |= {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64", "beta.kubernetes.io/arch": "x"}
    expected = {"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "arm64"}
    assert nodelifecycle.mirrored_labels(item) == expected
    item["metadata"]["labels"] |= expected
    assert nodelifecycle.mirrored_labels(item) == {}


def test_taints_of_the_same_keys_but_other_effects_are_others() -> None:
    item = node()
    item["spec"]["taints"] = [
        {"key": nodelifecycle.NOT_READY, "effect": "PreferNoSchedule"},
        {"key": "node.kubernetes.io/disk-pressure", "effect": "NoExecute"},
    ]
    assert nodelifecycle.taints(item, nodelifecycle.wanted_taints(item, evict=True), NOW) == item["spec"]["taints"]


def test_conditions_become_taints_and_others_taints_stay() -> None:
    item = node(ready="Unknown", unschedulable=True)
    own = {"key": "own", "effect": "NoSchedule"}
    old = {"key": nodelifecycle.NOT_READY, "effect": "NoSchedule"}
    item["spec"]["taints"] = [own, old]
    item["status"]["conditions"].append({"type": "DiskPressure", "status": "True"})
    found = nodelifecycle.taints(item, nodelifecycle.wanted_taints(item, evict=True), NOW)
    assert [(taint["key"], taint["effect"]) for taint in found] == [
        ("own", "NoSchedule"),
        (nodelifecycle.UNREACHABLE, "NoSchedule"),
        (nodelifecycle.UNREACHABLE, "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        (nodelifecycle.UNSCHEDULABLE, "NoSchedule"),
    ]
    assert nodelifecycle.taints(node(), nodelifecycle.wanted_taints(node(), evict=True), NOW) == []
    untold = meta.set_path(node(taints=[old]), [], "status", "conditions")
    assert nodelifecycle.taints(untold, nodelifecycle.wanted_taints(untold, evict=True), NOW) == []


def test_a_taint_that_stays_keeps_the_time_it_was_added() -> None:
    item = node(ready="Unknown")
    item["spec"]["taints"] = [{"key": nodelifecycle.UNREACHABLE, "effect": "NoExecute", "timeAdded": stamp(100)}]
    found = nodelifecycle.taints(item, nodelifecycle.wanted_taints(item, evict=True), NOW)
    assert found[0]["timeAdded"] == stamp(100)


def test_silent_nodes_are_unknown_in_every_respect() -> None:
    item = node()
    item["metadata"]["creationTimestamp"] = stamp(1000)
    changed = {condition["type"]: condition for condition in nodelifecycle.unknown_conditions(item, NOW)}
    assert set(changed) == {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}
    assert changed["Ready"]["message"] == "Kubelet stopped posting node status."
    assert changed["PIDPressure"]["reason"] == "NodeStatusNeverUpdated"


def evicted_in(
    taints: list[Object], tolerations: list[Object], created: float = 1000, bound: float | None = None
) -> float | None:
    pod: Any = {"metadata": {"creationTimestamp": stamp(created)}, "spec": {"tolerations": tolerations}}
    if bound is not None:
        pod["status"] = {"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(bound)}]}
    due = tainteviction.eviction_time(pod, taints, NOW)
    return None if due is None else (due - NOW).total_seconds()


def test_tolerations_put_eviction_off_for_as_long_as_they_say() -> None:
    taint = {"key": "k", "effect": "NoExecute", "timeAdded": stamp(100)}
    assert evicted_in([taint], []) == 0
    assert evicted_in([taint], [{"key": "k", "operator": "Exists"}]) is None
    assert evicted_in([taint], [{"key": "k", "operator": "Exists", "tolerationSeconds": 300}]) == 200
    assert evicted_in([taint], [{"operator": "Exists", "effect": "NoSchedule"}]) == 0
    # A pod that came after the taint has its full time.
    assert evicted_in([taint], [{"operator": "Exists", "tolerationSeconds": 300}], created=10) == 290
    assert evicted_in([taint], [{"operator": "Exists", "tolerationSeconds": 300}], bound=10) == 290
    shorter = {"key": "other", "effect": "NoExecute", "timeAdded": stamp(10)}
    both = [
        {"operator": "Exists", "key": "k", "tolerationSeconds": 300},
        {"key": "other", "operator": "Exists", "tolerationSeconds": 20},
    ]
    assert evicted_in([taint, shorter], both) == 10
    for_ever = {"key": "k", "operator": "Exists"}
    assert evicted_in([taint], [for_ever, {**for_ever, "tolerationSeconds": 300}]) is None
    assert evicted_in([taint], [{**for_ever, "tolerationSeconds": 300}, for_ever]) == 200


def test_what_is_left_in_a_namespace_is_told_in_its_conditions() -> None:
    remains = namespace.Remains({"pods.": 2}, {"example.com/hold": 1})
    found = {item["type"]: item for item in namespace.conditions(remains, [], stamp(0))}
    assert found["NamespaceContentRemaining"]["message"] == "Some resources are remaining: pods. has 2 resource instances"
    assert found["NamespaceFinalizersRemaining"]["message"] == (
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    )
    assert found["NamespaceDeletionContentFailure"]["status"] == "False"


def test_what_neither_goes_nor_is_held_is_unexpected() -> None:
    async def main() -> None:
        async with on_bench(namespace.CONTROLLER) as found:
            spec = {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 1}
            found.api.put({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"}, "spec": spec})
            metadata = {"name": "n", "deletionTimestamp": meta.format_time(clock.now() - timedelta(seconds=2))}
            doomed = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata, "spec": {"finalizers": ["kubernetes"]}}
            found.api.put(doomed)

            def condition(type_: str) -> Object:
                return meta.condition(found.api.objects["namespaces"]["n"], type_) or {}

            await found.until(lambda: condition("NamespaceDeletionContentFailure").get("status") == "True")
            text = "Failed to delete all resource types, 1 remaining: "
            text += "unexpected items still remain in namespace: n for gvr: /v1, Resource=pods"
            assert condition("NamespaceDeletionContentFailure")["message"] == text
            assert condition("NamespaceContentRemaining")["status"] == "True"

    asyncio.run(main())


def test_how_long_kubelets_keep_secrets_grows_with_the_cluster_and_does_not_flutter() -> None:
    assert [nodettl.next_step(0, nodes) for nodes in (1, 100, 101, 501, 1001, 2001, 10**6)] == [0, 0, 1, 2, 3, 4, 4]
    assert [nodettl.next_step(1, nodes) for nodes in (90, 89, 500)] == [1, 0, 1]
    assert nodettl.next_step(4, 3) == 0

    async def main() -> None:
        async with on_bench(nodettl.controller()) as found:
            for number in range(101):
                found.api.put(node(f"n{number}"))

            def told() -> list[str]:
                return [meta.annotations(item).get(nodettl.ANNOTATION, "") for item in found.api.all("nodes")]

            await found.until(lambda: "" not in told())
            found.api.change("nodes", "n5", status={})
            await found.until(lambda: meta.annotations(found.api.one("nodes", "n5") or {})[nodettl.ANNOTATION] == "15")

    asyncio.run(main())
