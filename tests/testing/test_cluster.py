"""The cluster that tests are given: what a user of it writes."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery import meta
from navarch.component.httpserver import Request
from navarch.simulation import loop
from navarch.simulation.behaviour import PREFIX
from navarch.simulation.checkers.checker import State
from navarch.simulation.loop import StuckError
from navarch.testing import ActionError, Cluster, InvariantError, StatusError, WaitError, invariant

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as found:
        yield found


def template(app: str = "web", **said: str) -> dict[str, Any]:
    annotations = {PREFIX + key.replace("_", "-"): value for key, value in said.items()}
    container = {"name": "main", "image": "registry.example/main:1"}
    return {"metadata": {"labels": {"app": app}, "annotations": annotations}, "spec": {"containers": [container]}}


def deployment(name: str = "web", replicas: int = 3, **said: str) -> dict[str, Any]:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(name, **said)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def pod(name: str, restart: str = "Always", **said: str) -> dict[str, Any]:
    made = template(name, **said)
    made["metadata"]["name"] = name
    made["spec"]["restartPolicy"] = restart
    return {"apiVersion": "v1", "kind": "Pod", **made}


def test_pods_of_a_node_that_crashed_are_replaced(cluster: Cluster) -> None:
    cluster.apply(deployment(replicas=6))
    cluster.wait("deployment/web", "Available")
    assert {found["spec"]["nodeName"] for found in cluster.pods("app=web", ready=True)} == {"node-1", "node-2", "node-3"}
    cluster.nodes["node-3"].crash()
    cluster.advance(minutes=10)
    found = cluster.pods("app=web", ready=True)
    assert len(found) == 6 and {each["spec"]["nodeName"] for each in found} == {"node-1", "node-2"}
    assert meta.condition(cluster.nodes["node-3"].object, "Ready")["status"] == "Unknown"  # type: ignore[index]
    cluster.nodes["node-3"].boot()
    cluster.wait("node/node-3", "Ready")


def test_a_node_that_reboots_soon_starts_its_pods_again(cluster: Cluster) -> None:
    cluster.apply(pod("stays"))
    before = cluster.wait("pod/stays", "Ready")
    node = cluster.nodes[before["spec"]["nodeName"]]
    node.crash()
    cluster.advance(seconds=5)
    node.boot()
    after = cluster.wait("pod/stays", lambda found: restarts(found) == 1)
    assert meta.uid(after) == meta.uid(before)
    assert after["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 255


def test_events_are_in_the_order_in_which_they_were_last_seen_whoever_records_them(cluster: Cluster) -> None:
    cluster.apply(deployment(replicas=1))
    cluster.wait("deployment/web", "Available")
    cluster.advance(minutes=1)
    too_large = pod("too-large")
    too_large["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1000"}}
    cluster.apply(too_large)
    cluster.wait("pod/too-large", lambda found: meta.condition(found, "PodScheduled"))
    cluster.advance(minutes=1)
    cluster.patch("deployment/web", {"spec": {"replicas": 2}})
    cluster.advance(minutes=1)
    reasons = [event["reason"] for event in cluster.events()]
    first, *_, last = [place for place, reason in enumerate(reasons) if reason == "ScalingReplicaSet"]
    assert first < reasons.index("FailedScheduling") < last


def test_what_happens_in_one_moment_is_told_by_all_who_see_it(cluster: Cluster) -> None:
    for name in ("a", "b", "c"):
        cluster.apply(pod(name, run_seconds="soon"))
    cluster.advance(seconds=1)
    for name in ("a", "b", "c"):
        assert [event["reason"] for event in cluster.events(f"pod/{name}")] == ["Scheduled", "InvalidBehaviour"]


def test_events_of_containers_say_of_which(cluster: Cluster) -> None:
    cluster.apply(pod("starts"))
    cluster.wait("pod/starts", "Ready")
    started = next(event for event in cluster.events("pod/starts") if event["reason"] == "Started")
    name = pod("starts")["spec"]["containers"][0]["name"]
    assert (started["message"], started["involvedObject"]["fieldPath"]) == ("Container started", f"spec.containers{{{name}}}")


def test_the_control_plane_is_well_where_it_runs(cluster: Cluster) -> None:
    statuses = {status["metadata"]["name"]: status["conditions"][0]["message"] for status in cluster.list("componentstatuses")}
    assert statuses == {"controller-manager": "ok", "scheduler": "ok", "etcd-0": "ok"}


def test_a_node_that_is_cut_off_goes_on_and_is_given_up(cluster: Cluster) -> None:
    cluster.apply(deployment(replicas=3))
    cluster.wait("deployment/web", "Available")
    node = cluster.nodes["node-1"]
    node.cut()
    cluster.advance(minutes=10)
    assert meta.condition(node.object, "Ready")["status"] == "Unknown"  # type: ignore[index]
    assert len(cluster.pods("app=web", ready=True)) == 3
    node.heal()
    cluster.wait("node/node-1", "Ready")
    cluster.wait_until(lambda: not [found for found in cluster.list("pods") if meta.being_deleted(found)])


def test_a_frozen_node_is_ready_again_when_it_thaws(cluster: Cluster) -> None:
    node = cluster.nodes["node-2"]
    node.freeze()
    cluster.wait("node/node-2", "Ready=Unknown")
    node.thaw()
    cluster.wait("node/node-2", "Ready")


def test_pods_of_a_node_that_was_silent_for_a_moment_are_ready_again(cluster: Cluster) -> None:
    cluster.apply(pod("stays"))
    node = cluster.nodes[cluster.wait("pod/stays", "Ready")["spec"]["nodeName"]]
    node.freeze()
    cluster.wait("pod/stays", "Ready=False")
    node.thaw()
    cluster.wait("pod/stays", "Ready", timeout=30)


def test_containers_do_what_is_said_of_them(cluster: Cluster) -> None:
    cluster.apply(pod("once", "Never", run_seconds="30", exit_code="3"))
    began = cluster.now
    ended = cluster.wait("pod/once", lambda found: found["status"]["phase"] == "Failed")
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    assert 30 <= (cluster.now - began).total_seconds() < 40
    cluster.apply(pod("late", ready_seconds="60"))
    cluster.wait("pod/late", lambda found: found["status"]["phase"] == "Running")
    assert not meta.is_condition_true(cluster.get("pod/late"), "Ready")
    cluster.advance(seconds=61)
    assert meta.is_condition_true(cluster.get("pod/late"), "Ready")
    cluster.apply(pod("absent", pull_error="not found"))
    cluster.wait("pod/absent", lambda found: waiting(found) == "ImagePullBackOff")
    cluster.advance(seconds=1)
    told = [f"{event['type']} {event['reason']} {event['message']}" for event in cluster.events("pod/absent")]
    assert told[1:] == [
        'Warning Failed Failed to pull image "registry.example/main:1": not found',
        "Warning Failed Error: ErrImagePull",
        'Normal BackOff Back-off pulling image "registry.example/main:1"',
        "Warning Failed Error: ImagePullBackOff",
    ]


def restarts(found: Any) -> int:
    return sum(status["restartCount"] for status in found["status"].get("containerStatuses") or ())


def waiting(found: Any) -> str:
    (status,) = found["status"].get("containerStatuses") or [{"state": {}}]
    return str(status["state"].get("waiting", {}).get("reason", ""))


def test_what_crashes_again_and_again_is_backed_off(cluster: Cluster) -> None:
    cluster.apply(pod("crashing", run_seconds="1", exit_code="1"))
    cluster.wait("pod/crashing", lambda found: waiting(found) == "CrashLoopBackOff")
    cluster.advance(minutes=5)
    few = cluster.get("pod/crashing")["status"]["containerStatuses"][0]["restartCount"]
    cluster.advance(hours=1)
    more = cluster.get("pod/crashing")["status"]["containerStatuses"][0]["restartCount"]
    # 10 s, 20 s, 40 s, 80 s and 160 s within five minutes; then one in five minutes.
    assert 4 <= few <= 6 and 11 <= more - few <= 13
    told = [event for event in cluster.events("pod/crashing") if event["reason"] == "BackOff"]
    where = f"crashing_default({meta.uid(cluster.get('pod/crashing'))})"
    assert {event["message"] for event in told} == {f"Back-off restarting failed container main in pod {where}"}


def test_jobs_run_at_their_time(cluster: Cluster) -> None:
    job = {"spec": {"template": {"spec": {**template()["spec"], "restartPolicy": "Never"}}}}
    spec = {"schedule": "0 * * * *", "jobTemplate": job, "successfulJobsHistoryLimit": 100}
    cluster.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "hourly"}, "spec": spec})
    cluster.advance(days=1)
    assert len([found for found in cluster.list("jobs") if meta.is_condition_true(found, "Complete")]) in (23, 24)


def test_deletion_is_graceful(cluster: Cluster) -> None:
    cluster.apply(pod("slow", stop_seconds="20"))
    cluster.wait("pod/slow", "Ready")
    cluster.delete("pod/slow")
    cluster.advance(seconds=19)
    assert cluster.find("pod/slow") is not None
    cluster.advance(seconds=2)
    assert cluster.find("pod/slow") is None
    cluster.apply(pod("stubborn", stop_seconds="3600"))
    cluster.wait("pod/stubborn", "Ready")
    cluster.delete("pod/stubborn", grace_seconds=5)
    cluster.wait("pod/stubborn", "delete", timeout=10)


def test_init_containers_go_first(cluster: Cluster) -> None:
    made = pod("staged", run_seconds="forever")
    made["metadata"]["annotations"][f"{PREFIX}run-seconds.first"] = "5"
    made["spec"]["initContainers"] = [{"name": "first", "image": "registry.example/first:1"}]
    cluster.apply(made)
    cluster.wait("pod/staged", "Initialized=False")
    cluster.advance(seconds=3)
    assert cluster.get("pod/staged")["status"]["phase"] == "Pending"
    cluster.wait("pod/staged", "Ready", timeout=10)


def test_yaml_files_and_directories_are_applied(cluster: Cluster, tmp_path: Path) -> None:
    documents = (
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n---\n# nothing\n---\napiVersion: v1\nkind: Namespace\n"
    )
    (tmp_path / "a.yaml").write_text(documents + "metadata: {name: other}\n")
    (tmp_path / "b.json").write_text(
        '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "two", "namespace": "other"}}'
    )
    (tmp_path / "c.txt").write_text("not: read")
    assert [meta.key(made) for made in cluster.apply(tmp_path)] == ["default/one", "other", "other/two"]
    cluster.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: b}\n")
    assert cluster.get("cm/one")["data"] == {"a": "b"}
    assert cluster.get("configmaps/two", namespace="other")["metadata"]["namespace"] == "other"


def test_mistakes_are_answered_as_by_any_api_server(cluster: Cluster) -> None:
    wrong = deployment(replicas=-1)
    with pytest.raises(StatusError, match="must be greater than or equal to 0"):
        cluster.apply(wrong)
    with pytest.raises(StatusError, match=r'deployments\.apps "web" not found'):
        cluster.get("deployment/web")
    with pytest.raises(KeyError, match="no resource is called 'deploymint'"):
        cluster.get("deploymint/web")
    with pytest.raises(KeyError, match=r'no matches for kind "Widget" in version "example\.com/v1"'):
        cluster.apply({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}})


def test_waiting_in_vain_says_how_things_stand(cluster: Cluster) -> None:
    made = pod("large")
    made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1000"}}
    cluster.apply(made)
    with pytest.raises(WaitError, match=r"(?s)pod/large is not Ready within 60 s.*Insufficient cpu"):
        cluster.wait("pod/large", "Ready", timeout=60)


def test_custom_resources_are_served(cluster: Cluster) -> None:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"]}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "names": names, "scope": "Namespaced", "versions": [version]},
    }
    cluster.apply(definition)
    cluster.wait("crd/widgets.example.com", "Established")
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"size": 3}}
    cluster.apply(widget)
    assert cluster.get("wd/a")["spec"] == {"size": 3}
    with pytest.raises(StatusError, match="size"):
        cluster.apply({**widget, "spec": {"size": "large"}})


def test_parts_that_are_not_wanted_are_not_there() -> None:
    with Cluster(controllers=False, scheduler=False, nodes=0) as cluster:
        cluster.apply(deployment())
        cluster.advance(hours=1)
        assert cluster.list("replicasets") == [] and cluster.list("nodes") == []
        cluster.apply(pod("stored"))
        assert cluster.get("pod/stored")["status"]["phase"] == "Pending"


def test_logs_are_those_of_a_run_and_nothing_leaves_the_process(cluster: Cluster) -> None:
    cluster.apply(pod("talks", log="one\ntwo", run_seconds="5", exit_code="1"))
    cluster.wait("pod/talks", lambda found: restarts(found) == 1)
    assert cluster.logs("talks") == cluster.logs("talks", previous=True) == "one\ntwo\n"

    async def ask(path: str) -> Any:
        request = Request("GET", path, "tailLines=1", {}, b"", {"subject": ((("commonName", "a"),),)})
        response = await cluster._simulated.server.pipeline.handle(request)
        return response.status, response.body

    path = "/api/v1/namespaces/default/pods/talks"
    assert cluster.run(ask(f"{path}/log")) == (200, b"two\n")
    status, body = cluster.run(ask(f"{path}/proxy/"))
    assert (status, b"connection refused" in body.lower()) == (503, True)


def test_the_same_seed_gives_the_same_history() -> None:
    program = (
        "from navarch.testing import Cluster\n"
        "from tests.testing.test_cluster import deployment\n"
        "with Cluster(seed=7) as cluster:\n"
        "    cluster.apply(deployment(replicas=5))\n"
        "    cluster.wait('deployment/web', 'Available')\n"
        "    cluster.nodes['node-2'].crash()\n"
        "    cluster.advance(minutes=30)\n"
        "    for resource in ('pods', 'replicasets', 'events', 'nodes', 'leases'):\n"
        "        for found in cluster.list(resource, namespace=''):\n"
        "            print(found['metadata']['name'], found['metadata']['uid'], found['metadata']['resourceVersion'])\n"
    )
    histories = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert histories[0] and histories[0] == histories[1]


def test_many_live_side_by_side() -> None:
    clusters = [Cluster(nodes=1, seed=seed) for seed in range(5)]
    try:
        for cluster in clusters:
            cluster.start()
        for number, cluster in enumerate(clusters):
            cluster.apply(deployment(replicas=number + 1))
        for number, cluster in enumerate(clusters):
            cluster.wait("deployment/web", "Available")
            assert len(cluster.pods("app=web", ready=True)) == number + 1
    finally:
        for cluster in clusters:
            cluster.stop()


def test_faults_are_those_of_scenarios(cluster: Cluster) -> None:
    cluster.apply(deployment(replicas=2))
    cluster.wait("deployment/web", "Available")
    with cluster.do("fail-requests", code=500, share=1.0, of="kube-controller-manager") as fault:  # type: ignore[union-attr]
        cluster.do("scale", object="deployment/web", replicas=4)
        cluster.advance(minutes=1)
        assert len(cluster.pods("app=web")) == 2
        fault.end()
    cluster.wait("deployment/web", lambda found: found["status"].get("readyReplicas") == 4)
    cluster.do("restart-control-plane", for_="10s")
    cluster.do("delete-pods", selector="app=web", count=4)
    cluster.settle()
    assert len(cluster.pods("app=web", ready=True)) == 4
    with pytest.raises(ValueError, match="unknown action 'crsh'; the nearest is 'crash'"):
        cluster.do("crsh", node="node-1")
    with pytest.raises(ActionError, match="no node is 'node-9'; the nearest is"):
        cluster.do("crash", node="node-9")


@pytest.mark.parametrize("written", [False, True])
def test_a_node_with_a_wrong_clock_is_no_silent_node(written: bool) -> None:
    with Cluster(nodes=1, written_heartbeats=written) as cluster:
        for skew in (-3600, 3600):
            cluster.nodes["node-1"].skew(skew)
            cluster.nodes["node-1"].reboot(seconds=5)
            cluster.advance(minutes=5)
            assert meta.is_condition_true(cluster.nodes["node-1"].object, "Ready")
            assert not cluster.nodes["node-1"].object["spec"].get("taints")
        assert not [event for event in cluster.events("node/node-1", namespace="") if event["reason"] == "NodeNotReady"]


def test_invariants_of_the_user_are_watched(cluster: Cluster) -> None:
    @cluster.invariant
    def at_most_two(state: State) -> str | None:
        count = len(list(state.objects("pods", "default")))
        return f"there are {count} pods" if count > 2 else None

    cluster.apply(deployment(replicas=2))
    cluster.wait("deployment/web", "Available")
    cluster.scale("deployment/web", 3)
    with pytest.raises(InvariantError, match="at_most_two: there are 3 pods"):
        cluster.advance(minutes=1)


def test_nodes_join_once_whatever_becomes_of_their_requests(cluster: Cluster) -> None:
    with cluster.do("fail-requests", code=503, share=0.7), cluster.do("time-out-requests", when="after", share=0.7):
        cluster.do("add-nodes", count=3)
        names = [f"node-{number}" for number in range(1, 7)]
        assert list(cluster.nodes) == names
    assert [meta.name(node) for node in cluster.list("nodes")] == names
    cluster.settle(minutes=5)


def test_a_broken_invariant_is_told_once_until_it_has_held_again(cluster: Cluster) -> None:
    @cluster.invariant
    def few(state: State) -> None:
        found = list(state.objects("cm", "default"))
        assert len(found) <= 2, f"there are {len(found)}"

    def make(name: str) -> None:
        cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
        cluster.advance(seconds=1)

    make("a")
    with pytest.raises(InvariantError, match=r"^few: there are 3\n[\s\S]*\(seed 0, 1s after the start\)$"):
        make("b")
    make("c")
    cluster.delete("cm/c")
    cluster.delete("cm/b")
    cluster.advance(seconds=1)
    with pytest.raises(InvariantError, match="there are 3"):
        make("d")


def test_an_invariant_that_fails_by_itself_is_told(cluster: Cluster) -> None:
    @cluster.invariant
    def named(state: State) -> str:
        return str({}["name"])

    with pytest.raises(InvariantError, match=r"named: it cannot be looked at: KeyError: 'name' \(test_cluster\.py:\d+\)"):
        cluster.apply(deployment(replicas=1))
        cluster.advance(seconds=1)
    with pytest.raises(ValueError, match="few: no resource is called 'podz'; the nearest is 'pod'"):

        @cluster.invariant
        @invariant(resources="podz")
        def few(state: State) -> None: ...


def test_invariants_see_custom_resources() -> None:
    with Cluster(nodes=0) as cluster:
        seen = []

        @cluster.invariant
        @invariant(resources=("widgets.example.com",))
        def small(state: State) -> None:
            sizes = [widget["spec"]["size"] for widget in state.objects("widgets.example.com")]
            seen.append(sizes)
            assert max(sizes, default=0) < 3, f"one is of size {max(sizes)}"

        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
        cluster.apply({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
        })  # fmt: skip
        cluster.wait("crd/widgets.example.com", "Established")
        widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"size": 1}}
        cluster.create(widget)
        cluster.advance(seconds=1)
        cluster.do("restart-control-plane", for_="5s")
        with pytest.raises(InvariantError, match="small: one is of size 5"):
            cluster.patch("widget/a", {"spec": {"size": 5}})
            cluster.advance(seconds=1)
        assert seen == [[1], [5]]


def test_a_defect_of_a_component_is_told(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise LookupError("it is not there")

    monkeypatch.setattr("navarch.controllers.deployment.plan", broken)
    with pytest.raises(InvariantError, match=r"defects: .*LookupError: it is not there"):
        cluster.apply(deployment(replicas=1))
        cluster.advance(seconds=1)


def test_clusters_in_threads_leave_the_machine_its_clock() -> None:
    functions = time.time, random.random, uuid.uuid4
    with Cluster(nodes=0) as outer:

        def live() -> None:
            with Cluster(nodes=0) as inner:
                inner.advance(hours=1)

        async def beside() -> None:
            thread = threading.Thread(target=live)
            thread.start()
            thread.join()

        outer.run(beside())
    assert (time.time, random.random, uuid.uuid4) == functions


def test_what_cannot_be_meant_is_told(cluster: Cluster) -> None:
    with pytest.raises(KeyError, match=r"^no node is 'node-33'; the nearest is 'node-3'$"):
        cluster.nodes["node-33"].crash()
    with pytest.raises(ValueError, match=r"Pod: an object that is applied has a metadata\.name"):
        cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a"}})
    with pytest.raises(LookupError, match=r"no container of pod 'nowhere' has run"):
        cluster.apply({**pod("nowhere"), "spec": {**pod("nowhere")["spec"], "nodeSelector": {"a": "b"}}})
        cluster.logs("nowhere")
    with pytest.raises(ValueError, match="there is a node 'node-1' already"):
        cluster.add_node("node-1")
    with pytest.raises(StatusError, match=r"taints\[0\]\.effect: Required value"):
        cluster.add_node("odd", taints=[{"key": "a"}])
    assert "odd" not in cluster.nodes and cluster.find("node/odd") is None
    with pytest.raises(ValueError, match="time does not go back: -5 s"):
        cluster.advance(seconds=-5)
    with pytest.raises(KeyError, match=r"^no resource is called 'pood'; the nearest is 'pod'$"):
        cluster.get("pood/a")
    with pytest.raises(KeyError, match=r"^an object has an apiVersion and a kind, both strings$"):
        cluster.apply({"a": 1})
    with pytest.raises(ValueError, match="no patch is 'mrge'; the nearest is 'merge'"):
        cluster.patch("node/node-1", {}, type="mrge")
    with pytest.raises(ActionError, match="nobody who asks is 'kube-schduler'; the nearest is 'kube-scheduler'"):
        cluster.do("fail-requests", of="kube-schduler")
    with pytest.raises(ActionError, match="no resource is 'podz'; the nearest is 'pods'"):
        cluster.do("break-watches", resource="podz")
    for options in ({"nodes": -1}, {"nodes": "three"}, {"control_planes": 0}, {"heartbeat_seconds": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            Cluster(**options)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="the cluster does not run"):
        Cluster().pods()


def test_what_must_hold_in_every_cluster_is_watched(cluster: Cluster) -> None:
    made = deployment(replicas=2)
    made["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1000"}}
    cluster.apply(made)
    with pytest.raises(InvariantError, match="convergence: Deployment default/web: availableReplicas is 0 where 2 are wanted"):
        cluster.settle()


@pytest.mark.parametrize("written", [False, True])
def test_heartbeats_are_there_for_who_looks(written: bool) -> None:
    with Cluster(nodes=2, written_heartbeats=written) as cluster:

        def renewed() -> float:
            """Seconds ago."""
            lease = cluster.get("lease/node-1", namespace="kube-node-lease")
            return (cluster.now - meta.parse_time(lease["spec"]["renewTime"])).total_seconds()

        cluster.advance(minutes=30)
        assert 0 <= renewed() <= 11
        began = cluster.now
        cluster.nodes["node-1"].crash()
        cluster.wait("node/node-1", "Ready=Unknown")
        # Fifty seconds after its last renewal.
        assert 39 <= (cluster.now - began).total_seconds() <= 52
        assert 49 <= renewed() <= 52


def test_informers_that_are_told_all_again_change_nothing(cluster: Cluster) -> None:
    cluster.apply(deployment())
    cluster.wait("deployment/web", "Available")
    cluster.advance(minutes=2)
    told: list[str] = []

    async def listen() -> None:
        for informers in (cluster._simulated.informers, cluster._simulated._informers_of_nodes):
            informers.get("pods").add_handler(lambda old, new: told.append(meta.name(new or old or {})))

    cluster.run(listen())
    told.clear()
    before = cluster.list("pods", namespace="")
    cluster.do("break-watches", relist=True, repeat=True)
    cluster.advance(minutes=2)
    # Each pod twice: by the controllers' informer, and by the nodes'.
    assert sorted(told) == sorted(meta.name(pod) for pod in before for _ in range(2))
    assert cluster.list("pods", namespace="") == before
    cluster.scale("deployment/web", 1)
    cluster.settle()


def test_a_test_that_would_never_end_ends_and_names_who_is_busy(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BUSY_LIMIT_SECONDS", 0.05)
    monkeypatch.setattr(loop, "BUSY_LIMIT_SECONDS_PER_NODE", 0.0)

    async def circles() -> None:
        while True:
            await asyncio.sleep(0)

    async def begin() -> asyncio.Task[None]:
        return asyncio.create_task(circles(), name="circling")

    circling = cluster.run(begin())
    with pytest.raises(StuckError, match=r"time has stood still for 0 s of work: .*circling"):
        cluster.advance(hours=1)
    circling.cancel()
    # Virtual time is limited as well.
    with pytest.raises(WaitError, match="it is not so within 600 s"):
        cluster.wait_until(lambda: False)


def test_a_pod_that_gets_another_address_says_so(cluster: Cluster) -> None:
    cluster.apply(deployment(replicas=1))
    cluster.wait("deployment/web", "Available")
    before = cluster.pods()[0]
    node = cluster._simulated.nodes[before["spec"]["nodeName"]]
    assert before["status"]["podIP"].startswith("10.128.")
    # As if it had never been told of its network.
    node._node = None
    cluster.nodes[node.name].reboot()
    cluster.wait_until(lambda: len(cluster.pods(ready=True)) == 1 and cluster.pods()[0]["status"] != before["status"])
    cluster.settle(minutes=2)
    after = cluster.pods()[0]["status"]
    assert after["podIPs"] == [{"ip": after["podIP"]}] and after["podIP"].startswith("198.18.")


@pytest.mark.parametrize("options", ["", "http=True"])
def test_a_cluster_that_nobody_ends_leaves_nothing_behind(tmp_path: Path, options: str) -> None:
    program = f"from navarch.testing import Cluster; cluster = Cluster({options}); cluster.start()"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr, list(tmp_path.iterdir())) == ("", "", [])
