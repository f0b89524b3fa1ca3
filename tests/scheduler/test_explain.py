"""What is said of a pod and every node, and what single change would help."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from navarch.apimachinery.errors import Object
from navarch.cli.explain import told
from navarch.scheduler import explain as explaining
from navarch.scheduler.nearmisses import near_misses, shown_amount
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import Snapshot
from tests.fakeapi import Bench, bench
from tests.scheduler import test_reference as reference
from tests.scheduler.storage import claim, feasible, using, volume
from tests.scheduler.test_framework import Running, running
from tests.scheduler.test_scheduler import condition, where
from tests.scheduler.test_scheduler import node as api_node
from tests.scheduler.test_scheduler import pod as api_pod
from tests.scheduler.world import decide, framework, node, pod, snapshot


def explained(found: Snapshot, item: Object, *objects: Object) -> Object:
    answer = explaining.explain(framework(found, None, *objects), found, PodInfo(item))
    return explaining.as_object(answer, found, near_misses(answer, found))


def changes(found: Snapshot, item: Object, *objects: Object) -> dict[str, list[str]]:
    return {change["change"]: change["nodes"] for change in explained(found, item, *objects)["changes"]}


def of(answer: Object, name: str) -> Any:
    return next(entry for entry in answer["nodes"] if entry["name"] == name)


def test_every_plugin_is_asked_of_every_node() -> None:
    taint = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    found = snapshot(node("a", cpu="1", taints=[taint]), node("b"))
    answer = explained(found, pod(cpu="2"))
    rejections = {entry["plugin"]: entry["reason"] for entry in of(answer, "a")["rejections"]}
    assert rejections == {"TaintToleration": "node(s) had untolerated taint(s)", "NodeResourcesFit": "Insufficient cpu"}
    assert of(answer, "b")["fits"]
    assert not answer["message"]


def test_the_score_table_adds_up_to_the_decision() -> None:
    found = snapshot(
        node("a"), node("b", cpu="8", memory="16Gi"), node("c", taints=[{"key": "x", "effect": "PreferNoSchedule"}])
    )
    item = pod(cpu="1", memory="1Gi")
    answer = explained(found, item)
    for entry in answer["nodes"]:
        assert entry["score"] == sum(score["weighted"] for score in entry["scores"].values())
    assert [entry["name"] for entry in answer["nodes"]] == ["b", "a", "c"]
    assert decide(found, item).node == "b"


def test_other_nodes_are_judged_of_a_pod_that_has_one() -> None:
    item = pod("web", cpu="3", nodeName="a")
    answer = explained(snapshot(node("a"), node("b"), node("c", cpu="1"), placed={"a": [item]}), item)
    assert {name: of(answer, name)["fits"] for name in "abc"} == {"a": True, "b": True, "c": False}
    assert [rejection["plugin"] for rejection in of(answer, "c")["rejections"]] == ["NodeResourcesFit"]
    assert answer["fitsEmptyNodes"]["count"] == 2


def test_a_pod_that_is_placed_is_judged_as_if_it_were_not() -> None:
    item = pod("web", cpu="3")
    found = snapshot(node("a"), node("b"), placed={"a": [item]})
    answer = explained(found, item)
    assert of(answer, "a")["fits"]
    assert found.placed("web") is not None
    assert not of(explained(found, pod(cpu="3")), "a")["fits"]
    one_pod = ("ReadWriteOncePod",)
    owner = pod("owner", volumes=using("c"))
    found = snapshot(node("a"), placed={"a": [owner]})
    objects = claim("c", volume="v", modes=one_pod), volume("v", modes=one_pod)
    assert of(explained(found, owner, *objects), "a")["fits"]
    assert not of(explained(found, pod(volumes=using("c")), *objects), "a")["fits"]


def test_the_smallest_shortage_is_named() -> None:
    placed = {"a": [pod(cpu="3")], "b": [pod(cpu="2500m")], "c": [pod(cpu="1", memory="7Gi")]}
    found = snapshot(node("a"), node("b"), node("c"), placed=placed)
    assert changes(found, pod(cpu="1700m", memory="2Gi")) == {
        "b would fit with 200m more cpu": ["b"],
        "c would fit with 1Gi more memory": ["c"],
    }
    assert shown_amount("memory", (3 << 29) + 1) == "1.6Gi"
    assert shown_amount("example.com/gpu", 2) == "2"


def test_tolerations_and_cordons_are_named_with_the_nodes_they_open() -> None:
    gpu, spot = {"key": "gpu", "effect": "NoSchedule"}, {"key": "spot", "value": "yes", "effect": "NoExecute"}
    found = snapshot(
        node("a", taints=[gpu]), node("b", taints=[gpu]), node("c", taints=[gpu, spot]), node("d", unschedulable=True)
    )
    assert changes(found, pod()) == {
        "tolerating the taint gpu:NoSchedule": ["a", "b"],
        "allowing pods on cordoned nodes again (kubectl uncordon)": ["d"],
    }
    tolerant = pod(tolerations=[{"key": "gpu", "operator": "Exists"}], nodeSelector={"kubernetes.io/hostname": "c"})
    assert changes(found, tolerant)["tolerating the taint spot=yes:NoExecute"] == ["c"]


def test_conditions_on_nodes_are_named_one_by_one() -> None:
    found = snapshot(node("a", labels={"disk": "ssd"}), node("b", labels={"disk": "ssd", "zone": "x"}), node("c"))
    item = pod(nodeSelector={"disk": "ssd", "zone": "y"})
    assert changes(found, item) == {"leaving out the nodeSelector zone=y": ["a", "b"]}
    expressions = [{"key": "disk", "operator": "In", "values": ["hdd"]}, {"key": "zone", "operator": "Exists"}]
    term = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}
    assert changes(found, pod(affinity=affinity)) == {"leaving out the node affinity disk in (hdd)": ["b"]}


def test_what_can_never_fit_is_told_apart_from_what_is_full() -> None:
    found = snapshot(node("a"), node("b", cpu="2"), placed={"a": [pod(cpu="4")], "b": [pod(cpu="2")]})
    assert explained(found, pod(cpu="3"))["fitsEmptyNodes"] == {"count": 1, "of": 2}
    assert explained(found, pod(cpu="9"))["fitsEmptyNodes"] == {"count": 0, "of": 2}
    assert found.requested[:2, 0].tolist() == [4000, 2000]


def test_a_pod_that_is_rejected_as_such_is_told_why() -> None:
    answer = explained(snapshot(node("a")), pod(volumes=using("c")))
    assert answer["rejectedBy"] == "VolumeRestrictions"
    assert answer["message"] == '0/1 nodes are available: persistentvolumeclaim "c" not found.'


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_it_says_what_scheduling_does(data: st.DataObject) -> None:
    nodes = [data.draw(reference.nodes(name)) for name in ("a", "b", "c", "d")]
    placed = {name: data.draw(st.lists(reference.pods(), max_size=2)) for name in ("a", "b")}
    found, item = snapshot(*nodes, placed=placed), data.draw(reference.pods())
    answer = explained(found, item)
    assert {entry["name"] for entry in answer["nodes"] if entry["fits"]} == feasible(found, item)
    decision = decide(found, item)
    if decision.node:
        best = max(entry["score"] for entry in answer["nodes"] if entry["fits"])
        assert of(answer, decision.node)["score"] == best
    else:
        assert answer["message"] == decision.fit.message
    before = found.requested.copy()
    for change in answer["changes"]:
        assert change["nodeCount"] >= 1
    assert (found.requested == before).all()


def test_the_scheduler_explains_itself_while_it_runs() -> None:
    async def main() -> None:
        made: list[Running] = []

        def start(given_bench: Bench) -> Running:
            made.append(running()(given_bench))
            return made[0]

        async with bench(start) as given_api:
            given_api.api.put(api_node(cpu="1"))
            given_api.api.put(api_pod("low", cpu="800m"))
            await given_api.until(lambda: where(given_api, "low"))
            given_api.api.put(api_pod("next", cpu="800m"))
            given_api.api.put(api_pod("gated", schedulingGates=[{"name": "wait"}]))
            await given_api.until(lambda: condition(given_api, "next") and condition(given_api, "gated"))
            waiting = made[0].engine.explain("default", "next")
            assert condition(given_api, "next")["message"].startswith(waiting["message"])
            assert waiting["queue"]["place"] == "unschedulable"
            lines = told(waiting)
            assert lines[0] == "pod default/next: pending (unschedulable, 1 attempt)"
            assert "  node-1 would fit with 600m more cpu (1 node(s): node-1)" in lines
            assert made[0].engine.explain("default", "low")["node"] == "node-1"
            assert "kept back by SchedulingGates" in told(made[0].engine.explain("default", "gated"))[0]
            assert where(given_api, "low") == "node-1"

    asyncio.run(main())
