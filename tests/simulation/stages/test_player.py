"""Clusters whose pods and nodes go through stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from navarch.apimachinery.errors import Object
from navarch.simulation import runner, scenario
from navarch.simulation.document import ScenarioError
from navarch.testing import Cluster

PODS = Path(__file__).parent / "pods.yaml"
IMAGE = "registry.example/app:1"


def workload(kind: str, **annotations: str) -> Object:
    template: Object = {
        "metadata": {
            "labels": {"app": "app"},
            "annotations": {f"stage.example.com/{key}": value for key, value in annotations.items()},
        },
        "spec": {"containers": [{"name": "main", "image": IMAGE}]},
    }
    if kind == "Job":
        template["spec"]["restartPolicy"] = "Never"
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "app"},
            "spec": {"completions": 8, "parallelism": 8, "backoffLimit": 0, "template": template},
        }
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "app"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "app"}, "spec": spec}


def test_pods_go_through_stages_and_are_let_go_at_the_end() -> None:
    with Cluster(stages=[PODS]) as cluster:
        cluster.apply(workload("Deployment", start="30s"))
        cluster.advance(seconds=29)
        assert [pod["status"]["phase"] for pod in cluster.pods("app=app")] == ["Pending"] * 3
        cluster.advance(seconds=8)
        pods = cluster.pods("app=app", ready=True)
        assert len(pods) == 3 and len({pod["status"]["podIPs"][0]["ip"] for pod in pods}) == 3
        assert all(pod["metadata"]["finalizers"] == ["stage.example.com/held"] for pod in pods)
        cluster.wait("deployment/app", "Available")
        cluster.delete("deployment/app")
        cluster.advance(seconds=2)
        assert len(cluster.list("pods")) == 3
        cluster.advance(seconds=2)
        assert cluster.list("pods") == []


def test_the_next_stage_is_drawn_by_weight() -> None:
    with Cluster(stages=[PODS]) as cluster:
        cluster.apply(workload("Job", failures="0"))
        cluster.wait("job/app", "Complete")
        assert {pod["status"]["phase"] for pod in cluster.pods("app=app")} == {"Succeeded"}
    with Cluster(stages=[PODS]) as cluster:
        cluster.apply(workload("Job", failures="1000000"))
        cluster.wait("job/app", "Failed")
        assert {pod["status"].get("reason") for pod in cluster.pods("app=app") if pod["status"]["phase"] == "Failed"} == {
            "Unlucky"
        }


def test_nodes_go_through_stages_and_somebody_elses_are_taken_over() -> None:
    with Cluster(nodes=1, scheduler=True, stages=[PODS]) as cluster:
        labels = {"kubernetes.io/hostname": "mine", "zone": "z"}
        cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "mine", "labels": labels}})
        cluster.wait("node/mine", "Ready")
        cluster.apply(workload("Deployment"))
        cluster.wait("deployment/app", "Available")
        # Its lease is renewed: nobody takes it for dead.
        cluster.advance(minutes=10)
        assert {pod["spec"]["nodeName"] for pod in cluster.pods("app=app", ready=True)} == {"node-1", "mine"}
        mine = cluster.get("node/mine")
        assert mine["status"]["allocatable"]["cpu"] == "8" and mine["metadata"]["labels"]["zone"] == "z"
        cluster.patch("node/mine", {"metadata": {"labels": {"stage.example.com/broken": "true"}}})
        cluster.wait("node/mine", "Ready=False")
        cluster.advance(seconds=5)
        events = [event for event in cluster.list("events", namespace="") if event["reason"] == "Broken"]
        assert [event["message"] for event in events] == ["it was broken on purpose, mine"]
        # When it is deleted nobody renews its lease any more, nor runs what is bound to it.
        cluster.delete("node/mine")
        cluster.advance(minutes=10)
        assert set(cluster.nodes) == {"node-1"}
        assert {pod["spec"]["nodeName"] for pod in cluster.pods("app=app")} == {"node-1"}
        assert [lease["metadata"]["name"] for lease in cluster.list("leases", namespace="kube-node-lease")] == ["node-1"]


def test_while_a_node_has_failed_its_pods_go_through_nothing() -> None:
    with Cluster(nodes=1, stages=[PODS]) as cluster:
        cluster.apply(workload("Deployment", start="30s"))
        cluster.advance(seconds=20)
        cluster.nodes["node-1"].freeze()
        cluster.advance(seconds=20)
        assert cluster.pods("app=app", ready=True) == []
        cluster.nodes["node-1"].thaw()
        cluster.advance(seconds=2)
        assert len(cluster.pods("app=app", ready=True)) == 3


def test_a_template_that_fails_is_told_in_an_event(tmp_path: Path) -> None:
    text = PODS.read_text().replace("(index $.status.containerStatuses $index)", "(index $.status.none $index)")
    (tmp_path / "pods.yaml").write_text(text)
    with Cluster(nodes=1, stages=[tmp_path / "pods.yaml"]) as cluster:
        cluster.apply(workload("Deployment"))
        cluster.advance(minutes=2)
        events = [event for event in cluster.list("events") if event["reason"] == "StageFailed"]
        assert {event["message"] for event in events} == {"pod-is-ready: line 18: index: index of untyped nil"}


def test_a_stage_that_follows_itself_does_not_stop_the_clock(tmp_path: Path) -> None:
    text = (
        PODS.read_text()
        + """---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: circle}
spec:
  resourceRef: {kind: ConfigMap}
  selector: {matchLabels: {circles: "true"}}
  next:
    patches: [{root: data, template: 'count: {{ add1 (or .data.count 0) | Quote }}'}]
"""
    )
    (tmp_path / "pods.yaml").write_text(text)
    with Cluster(nodes=0, stages=[tmp_path / "pods.yaml"]) as cluster:
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"circles": "true"}}})
        cluster.advance(seconds=3)
        assert 100 < int(cluster.get("configmap/a")["data"]["count"]) < 500


SCENARIO = f"""
stages: [{PODS}]
for: 10m
settle: 1m
objects:
- apiVersion: batch/v1
  kind: Job
  metadata: {{name: app}}
  spec:
    completions: 10
    parallelism: 3
    backoffLimit: 100
    template: {{spec: {{restartPolicy: Never, containers: [{{name: main, image: {IMAGE}}}]}}}}
timeline:
- {{at: 30s, do: crash, node: any, for: 1m}}
expect:
- {{object: job/app, condition: Complete}}
"""


def test_scenarios_have_stages_and_the_same_seed_draws_the_same() -> None:
    found = scenario.parse(SCENARIO)
    again = scenario.parse(scenario.write(found, found.draw(4)))
    records = [runner.run(each, runner.Options(seed=4)) for each in (found, again, found)]
    assert [record.failures for record in records] == [[], [], []]
    assert records[0].digest == records[2].digest
    assert len(again.stages) == 8


def test_mistakes_in_a_scenarios_stages_are_told() -> None:
    with pytest.raises(ScenarioError, match=r"scenario:3: it should be a Stage of kwok\.x-k8s\.io/v1alpha1"):
        scenario.parse("for: 1m\nstages:\n- {kind: Pod}\n")
