"""DaemonSets: which nodes get a pod, and how templates are replaced."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import daemonset, history
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
    todo = daemonset.plan(daemons, pods, nodes, "new", NOW)
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
    assert plan(owner(), [pod("old", "a"), pod("unready", "a", ready=False)], node("a")) == ([], ["unready"])
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
    surging = owner()
    surging["spec"]["updateStrategy"]["rollingUpdate"] = {"maxSurge": 1, "maxUnavailable": 0}
    nodes = [node(name) for name in "ab"]
    olds = [pod(f"old-{name}", name, "old") for name in "ab"]
    assert plan(surging, olds, *nodes) == (["a"], [])
    assert plan(surging, [*olds, pod("new-a", "a", ready=False)], *nodes) == ([], [])
    assert plan(surging, [*olds, pod("new-a", "a")], *nodes)[1] == ["old-a"]


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
