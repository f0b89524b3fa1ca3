"""Preemption: whom to take off which node."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from navarch.apimachinery.errors import Object
from navarch.scheduler import preemption
from navarch.scheduler.cycle import schedule
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import Snapshot
from navarch.scheduler.vectors import Templates
from tests.scheduler.world import framework, node, pod, snapshot


def find(found: Snapshot, item: Object, *budgets: Object) -> preemption.Outcome:
    info, plugins = PodInfo(item), framework(found)
    decision = schedule(plugins, Templates(found), info, Random(1))
    assert not decision.node
    search = preemption.Search(plugins, decision.filtered, info, found, budgets)
    return preemption.find(search, decision.fit, Random(1), min_candidates=100, min_percentage=10)


def victims(outcome: preemption.Outcome) -> tuple[str, set[str]]:
    assert outcome.candidate is not None
    return outcome.candidate.node, {victim.name for victim in outcome.candidate.victims}


def low(name: str, cpu: str = "1", priority: int = 0, **more: Any) -> Object:
    return pod(name, cpu=cpu, priority=priority, **more)


def budget(app: str) -> Object:
    """One that lets nobody go."""
    return {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": 0},
    }


def test_no_more_pods_than_needed_go_and_the_least_important_first() -> None:
    found = snapshot(node("a", cpu="3"), placed={"a": [low("x", priority=1), low("y", priority=2), low("z", priority=3)]})
    assert victims(find(found, pod(cpu="2", priority=10))) == ("a", {"x", "y"})
    assert found.requested[0, 0] == 3000  # Nothing is changed by trying.


def test_the_node_is_chosen_whose_victims_matter_least() -> None:
    found = snapshot(
        node("a", cpu="1"), node("b", cpu="1"), placed={"a": [low("important", priority=5)], "b": [low("other", priority=1)]}
    )
    assert victims(find(found, pod(cpu="1", priority=10))) == ("b", {"other"})


def test_pods_of_equal_priority_are_never_victims() -> None:
    found = snapshot(node("a", cpu="1"), placed={"a": [low("x", priority=10)]})
    outcome = find(found, pod(cpu="1", priority=10))
    assert outcome.candidate is None
    assert outcome.message == ("preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.")


def test_where_it_cannot_help_it_is_said_so() -> None:
    found = snapshot(node("a", unschedulable=True), node("b", cpu="1"), placed={"a": [low("x")]})
    outcome = find(found, pod(cpu="2", priority=10))
    assert outcome.message == "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."


def test_where_all_that_may_go_would_not_make_room_it_is_said_what_stands_in_the_way() -> None:
    full = snapshot(
        node("a", cpu="3"),
        node("b", cpu="3"),
        placed={"a": [low("x"), low("y", cpu="2", priority=10)], "b": [low("z", cpu="3", priority=10)]},
    )
    outcome = find(full, pod(cpu="2", priority=10))
    assert outcome.message == (
        "preemption: 0/2 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming pod."
    )
    near = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}}
    web = {"app": "web"}
    shared = snapshot(node("a"), placed={"a": [low("x", labels=web), low("y", labels=web, priority=10)]})
    assert find(shared, pod(priority=10, affinity=affinity)).message == (
        "preemption: 0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
    )


def test_nobody_is_taken_off_a_node_that_for_another_reason_would_not_do() -> None:
    item = pod(cpu="1", priority=10)
    (container,) = item["spec"]["containers"]
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    item["spec"]["containers"] = [{**container, "restartPolicy": "Never", "restartPolicyRules": [rule]}]
    outcome = find(snapshot(node("a", cpu="1"), placed={"a": [low("x")]}), item)
    assert outcome.message == "preemption: 0/1 nodes are available: 1 node(s) didn't match Pod's required features."


def leaving(name: str, reason: str = "PreemptionByScheduler") -> Object:
    item = low(name)
    item["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    item["status"] = {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason}]}
    return item


def test_those_are_waited_for_that_have_been_preempted_on_the_node_that_the_pod_waits_for() -> None:
    item = pod(cpu="1", priority=10)
    item["status"] = {"nominatedNodeName": "a"}
    found = snapshot(node("a", cpu="1"), placed={"a": [leaving("x")]})
    assert find(found, item).message == "preemption: not eligible due to a terminating pod on the nominated node."
    found = snapshot(
        node("a", cpu="1"), node("b", cpu="1"), placed={"a": [leaving("x", "EvictionByEvictionAPI")], "b": [low("y")]}
    )
    assert find(found, item).candidate is not None  # Who leaves for other reasons may take long.
    tainted = node("a", cpu="1", taints=[{"key": "k", "effect": "NoSchedule"}])
    found = snapshot(tainted, node("b", cpu="1"), placed={"a": [leaving("x")], "b": [low("y")]})
    assert victims(find(found, item)) == ("b", {"y"})  # There is no waiting for a node that will not do.


def test_a_pod_may_be_told_not_to_preempt() -> None:
    found = snapshot(node("a", cpu="1"), placed={"a": [low("x")]})
    outcome = find(found, pod(cpu="1", priority=10, preemptionPolicy="Never"))
    assert (outcome.candidate, outcome.message) == (None, "preemption: not eligible due to preemptionPolicy=Never.")


def test_protected_pods_are_spared_where_others_will_do() -> None:
    protected = low("db", labels={"app": "db"})
    found = snapshot(node("a", cpu="1"), node("b", cpu="1"), placed={"a": [protected], "b": [low("web", priority=5)]})
    assert victims(find(found, pod(cpu="1", priority=10), budget("db"))) == ("b", {"web"})


def test_nodes_are_looked_at_until_there_is_one_where_no_budget_is_broken() -> None:
    names = "abcdefgh"
    placed = {name: [low(name, labels={"app": "web" if name == "d" else "db"})] for name in names}
    found = snapshot(*(node(name, cpu="1") for name in names), placed=placed)
    for seed in range(8):
        info, plugins = PodInfo(pod(cpu="1", priority=10)), framework(found)
        decision = schedule(plugins, Templates(found), info, Random(1))
        search = preemption.Search(plugins, decision.filtered, info, found, [budget("db")])
        outcome = preemption.find(search, decision.fit, Random(seed), min_candidates=1, min_percentage=0)
        assert victims(outcome) == ("d", {"d"})


def test_pods_that_keep_others_away_can_be_preempted() -> None:
    term = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    found = snapshot(node("a"), placed={"a": [low("shy", affinity=affinity), low("calm")]})
    assert victims(find(found, pod(labels={"app": "web"}, priority=10))) == ("a", {"shy"})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_is_kept_of_nodes_is_what_looking_again_finds(data: st.DataObject) -> None:
    """Also: supposing amounts only finds what changing the snapshot itself finds."""
    names, sizes = ("a", "b", "c"), ("250m", "500m", "1")
    found = snapshot(*(node(name, cpu=data.draw(st.sampled_from(("1", "2"))), memory="3Gi") for name in names))
    plugins, templates = framework(found), Templates(found)
    kept = preemption.Kept(found.layout, found.position, 0)
    there: list[str] = []
    for number in range(data.draw(st.integers(4, 14))):
        name = data.draw(st.sampled_from(names))
        match data.draw(st.sampled_from(("add", "add", "add", "remove", "nominate"))):
            case "add":
                item = low(f"p{number}", data.draw(st.sampled_from(sizes)), data.draw(st.integers(0, 3)))
                found.add_pod(PodInfo(item), name)
                there.append(f"p{number}")
            case "remove" if there:
                found.remove_pod(there.pop(data.draw(st.integers(0, len(there) - 1))))
            case "nominate":
                found.nominate(PodInfo(pod(f"n{number}", cpu="500m", priority=data.draw(st.sampled_from((5, 20))))), name)
        info = PodInfo(pod(f"new{number}", cpu="1", memory="1Gi", priority=10))
        decision = schedule(plugins, templates, info, Random(1))
        if decision.node:
            continue
        search = preemption.Search(plugins, decision.filtered, info, found, ())
        assert kept.update(found, 0)
        outcome = preemption.find(search, decision.fit, Random(1), min_candidates=100, min_percentage=10, kept=kept)
        again = preemption.find(search, decision.fit, Random(1), min_candidates=100, min_percentage=10)
        assert (outcome.candidate is None) == (again.candidate is None)
        assert outcome.message == again.message
        for row in kept.known.nonzero()[0].tolist():
            assert (kept.found.get(row) or kept.against.get(row, (preemption.NO_VICTIMS,))) == slow(search, row)
        if outcome.candidate is not None and again.candidate is not None:
            assert outcome.candidate.cost == again.candidate.cost


def slow(search: preemption.Search, row: int) -> preemption.Candidate | preemption.Reasons:
    """Whom to take off a node, or why that does not help, found by taking them off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preemption, "_AmountsTrial", preemption._Trial)
        return preemption._victims(search, row)
