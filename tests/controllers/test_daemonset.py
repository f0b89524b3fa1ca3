"""DaemonSets: which nodes get a pod, and how templates are replaced."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import daemonset, daemonsetplan, history
from tests.controllers.cluster import Cluster, cluster
from tests.controllers.world import node, template, workload

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def owner(**spec: Any) -> Object:
    found = workload("DaemonSet", name="agent", updateStrategy={"type": "RollingUpdate"}, **spec)
    return meta.set_path(found, "uid", "metadata", "uid")


def pod(name: str, on: str, hashed: str = "new", *, ready: bool = True, phase: str = "Running") -> Object:
    stamp = meta.format_time(NOW - timedelta(seconds=100))
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": stamp}] if ready else []
    metadata: Object = {"name": name, "uid": name, "namespace": "default", "creationTimestamp": stamp}
    metadata["labels"] = {"app": "web", history.HASH_LABEL: hashed}
    return {"metadata": metadata, "spec": {"nodeName": on}, "status": {"phase": phase, "conditions": conditions}}


def plan(daemons: Object, pods: list[Object], *nodes: Object) -> tuple[list[str], list[str]]:
    todo = daemonsetplan.plan(daemons, pods, nodes, "new", NOW)
    return todo.create, [meta.name(item) for item in todo.delete]


def test_nodes_that_do_not_qualify_get_none_and_lose_theirs() -> None:
    chosen = owner(template=template(nodeSelector={"disk": "ssd"}))
    good = meta.set_path(node("a"), {"disk": "ssd"}, "metadata", "labels")
    assert plan(chosen, [pod("p", "b")], good, node("b")) == (["a"], ["p"])


def test_taints_keep_daemons_away_but_not_those_that_every_daemon_tolerates() -> None:
    custom = node("a", taints=[{"key": "own", "effect": "NoSchedule"}])
    cordoned = node("b", unschedulable=True, taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}])
    dead = node("c", taints=[{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}])
    assert plan(owner(), [], custom, cordoned, dead) == (["b", "c"], [])
    # NoSchedule does not drive away what runs, NoExecute does.
    assert plan(owner(), [pod("p", "a")], custom) == ([], [])
    assert plan(owner(), [pod("p", "a")], node("a", taints=[{"key": "own", "effect": "NoExecute"}])) == ([], ["p"])


def test_a_second_pod_on_a_node_and_finished_pods_are_removed() -> None:
    assert plan(owner(), [pod("second", "a"), pod("first", "a", ready=False)], node("a")) == ([], ["second"])
    assert plan(owner(), [pod("failed", "a", phase="Failed")], node("a")) == ([], ["failed"])


def test_a_rolling_update_replaces_as_many_as_may_be_unavailable() -> None:
    nodes = [node(name) for name in "abc"]
    olds = [pod(f"old-{name}", name, "old") for name in "abc"]
    assert plan(owner(), olds, *nodes) == ([], ["old-a"])
    assert plan(owner(), [pod("new-a", "a", ready=False), *olds[1:]], *nodes) == ([], [])
    assert plan(owner(), [pod("new-a", "a"), *olds[1:]], *nodes) == ([], ["old-b"])
    broken = [pod(f"old-{name}", name, "old", ready=False) for name in "abc"]
    assert plan(owner(), broken, *nodes) == ([], ["old-a", "old-b", "old-c"])


def test_with_surge_new_pods_come_before_old_ones_go() -> None:
    nodes = [node(name) for name in "ab"]
    olds = [pod(f"old-{name}", name, "old") for name in "ab"]
    assert plan(surging(), olds, *nodes) == (["a"], [])
    assert plan(surging(), [*olds, pod("new-a", "a", ready=False)], *nodes) == ([], [])
    assert plan(surging(), [*olds, pod("new-a", "a")], *nodes)[1] == ["old-a"]


def surging() -> Object:
    found = owner()
    found["spec"]["updateStrategy"]["rollingUpdate"] = {"maxSurge": 1, "maxUnavailable": 0}
    return found


def going(found: Object) -> Object:
    return meta.set_path(found, meta.format_time(NOW), "metadata", "deletionTimestamp")


def test_what_has_ended_and_goes_already_makes_room_for_the_next() -> None:
    ended = going(pod("p", "a", phase="Failed"))
    assert plan(owner(), [ended], node("a")) == (["a"], [])
    assert plan(owner(), [going(pod("p", "a"))], node("a")) == ([], [])
    assert plan(surging(), [going(pod("p", "a"))], node("a")) == (["a"], [])


def test_while_surging_an_old_pod_that_does_not_work_goes_before_the_new_one_works() -> None:
    pods = [pod("old", "a", "old", ready=False), pod("new", "a", ready=False)]
    assert plan(surging(), pods, node("a")) == ([], ["old"])


def test_a_failed_pod_that_lies_for_a_while_does_not_hold_up_the_others() -> None:
    pods = [pod("failed", "a", phase="Failed"), pod("old", "b", "old", ready=False)]
    todo = daemonsetplan.plan(owner(), pods, [node("a"), node("b")], "new", NOW, {"failed"})
    assert [meta.name(item) for item in todo.delete] == ["old"]
    todo = daemonsetplan.plan(surging(), [pod("failed", "a", phase="Failed")], [node("a")], "new", NOW, {"failed"})
    assert (todo.create, todo.delete) == ([], [])


def test_a_node_without_its_pod_counts_as_unavailable_and_pods_where_none_should_be_are_updated_too() -> None:
    tainted = node("b", taints=[{"key": "own", "effect": "NoSchedule"}])
    assert plan(owner(), [pod("old", "b", "old"), going(pod("p", "a"))], node("a"), tainted) == ([], [])
    assert plan(owner(), [pod("old", "b", "old"), pod("p", "a")], node("a"), tainted) == ([], ["old"])


def test_while_surging_a_pod_leaves_a_node_that_lost_its_place_only_when_enough_work_elsewhere() -> None:
    tainted = node("b", taints=[{"key": "own", "effect": "NoSchedule"}])
    leaving = pod("leaving", "b", "old")
    assert plan(surging(), [leaving, pod("p", "a", ready=False)], node("a"), tainted) == ([], [])
    assert plan(surging(), [leaving, pod("p", "a")], node("a"), tainted) == ([], ["leaving"])


def test_a_toleration_of_the_template_that_ends_is_one_without_end() -> None:
    short = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    found = daemonsetplan.tolerations({"tolerations": [short]})
    assert [item for item in found if item["key"] == short["key"]] == [
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    ]


def test_the_status_of_a_node_is_that_of_its_oldest_pod() -> None:
    old, new = pod("old", "a", "old"), pod("new", "a", ready=False)
    status = daemonsetplan.status(owner(), [new, going(old)], [node("a")], "new", NOW)
    assert (status["numberReady"], status.get("numberAvailable"), status["numberUnavailable"]) == (0, None, 1)
    old = meta.set_path(old, meta.format_time(NOW - timedelta(seconds=200)), "metadata", "creationTimestamp")
    status = daemonsetplan.status(owner(), [new, going(old)], [node("a")], "new", NOW)
    assert (status["numberReady"], status["numberAvailable"], status.get("updatedNumberScheduled")) == (1, 1, None)


def test_a_pod_for_no_node_is_left_alone() -> None:
    assert plan(owner(), [pod("p", "")], node("a")) == (["a"], [])


def test_revisions_that_pods_are_of_count_for_the_limit() -> None:
    found = history.History(None, [{"metadata": {"name": name, "labels": {history.HASH_LABEL: name}}} for name in "abc"])
    unwanted = daemonsetplan.outdated(owner(revisionHistoryLimit=1), found, [pod("p", "n", "a")])
    assert [meta.name(item) for item in unwanted] == ["b", "c"]


def test_a_node_that_fails_pods_again_and_again_has_to_wait_longer_each_time() -> None:
    backoff, key = daemonset.Backoff(), ("uid", 1, "a")
    assert backoff.seconds_left(key, 0.0) == 0
    backoff.count(key, 0.0)
    assert backoff.seconds_left(key, 0.0) == 1
    backoff.count(key, 1.0)
    assert (backoff.seconds_left(key, 1.5), backoff.seconds_left(key, 3.0)) == (1.5, 0)
    backoff.count(key, 2000.0)
    assert backoff.seconds_left(key, 2000.0) == 1


def _status(found: Cluster) -> Object:
    status: Object = (found.one("daemonsets.apps", "default/agent") or {}).get("status") or {}
    return status


def test_a_daemonset_runs_on_every_node_also_on_new_ones_and_is_updated(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await found.add_node("node-1", "10.0.0.1")
            await found.add_node("node-2", "10.0.0.2")
            agent = workload("DaemonSet", name="agent")
            del agent["spec"]["replicas"]
            await found.client.create("daemonsets.apps", agent)
            await found.until(lambda: _status(found).get("numberReady") == 2)
            await found.add_node("node-3", "10.0.0.3")
            await found.until(lambda: _status(found).get("numberReady") == 3)
            assert sorted(item["spec"]["nodeName"] for item in found.all("pods")) == ["node-1", "node-2", "node-3"]
            await found.client.patch("daemonsets.apps", "agent", {"spec": {"template": template("nginx:2")}}, "default")

            def updated() -> bool:
                images = [item["spec"]["containers"][0]["image"] for item in found.all("pods")]
                return images == ["nginx:2"] * 3 and _status(found).get("updatedNumberScheduled") == 3

            await found.until(updated)
            revisions = sorted(item["revision"] for item in found.all("controllerrevisions.apps"))
            assert revisions == [1, 2]
            await found.client.patch("daemonsets.apps", "agent", {"spec": {"template": template("nginx:1")}}, "default")
            await found.until(lambda: sorted(i["revision"] for i in found.all("controllerrevisions.apps")) == [2, 3])

    asyncio.run(main())
