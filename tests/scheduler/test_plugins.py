"""The scheduler's rules, plugin by plugin."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from navarch.scheduler.podinfo import PodInfo
from tests.scheduler.world import decide, feasible, node, pod, service, snapshot

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


def why(found: Any, item: Object) -> str:
    return decide(found, item).fit.message


def test_reasons_are_counted_and_sorted() -> None:
    found = snapshot(node("a", cpu="1"), node("b", memory="1Gi"), node("c", unschedulable=True))
    message = why(found, pod(cpu="2", memory="2Gi"))
    assert message == "0/3 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 node(s) were unschedulable."


def test_a_node_with_several_shortages_is_told_all_of_them() -> None:
    assert why(snapshot(node("a", cpu="1", memory="1Gi", pods="0")), pod(cpu="2", memory="2Gi")) == (
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 Too many pods."
    )


def test_extended_resources_that_no_node_has_are_insufficient() -> None:
    found = snapshot(node("a"))
    item = pod()
    item["spec"]["containers"][0]["resources"]["requests"]["example.com/gpu"] = "1"
    assert why(found, item) == "0/1 nodes are available: 1 Insufficient example.com/gpu."
    found.set_node(node("b", extended={"example.com/gpu": "2"}))
    assert feasible(found, item) == {"b"}


def test_what_a_pod_needs_of_a_new_feature_its_node_must_declare() -> None:
    found = snapshot(node("a"))
    item = pod()
    (container,) = item["spec"]["containers"]
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}
    item["spec"]["containers"] = [{**container, "restartPolicy": "Never", "restartPolicyRules": [rule]}]
    assert why(found, item) == "0/1 nodes are available: 1 node(s) didn't match Pod's required features."
    found.set_node(node("b", declaredFeatures=["A", "RestartAllContainersOnContainerExits"]))
    assert feasible(found, item) == {"b"}
    item["spec"] |= {"hostNetwork": True, "hostUsers": False}
    assert not feasible(found, item)
    found.set_node(node("a", declaredFeatures=["RestartAllContainersOnContainerExits", "UserNamespacesHostNetworkSupport"]))
    assert feasible(found, item) == {"a"}
    assert feasible(found, pod()) == {"a", "b"}


def test_taints_must_be_tolerated() -> None:
    taint = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
    found = snapshot(node("a", taints=[taint]))
    assert why(found, pod()) == "0/1 nodes are available: 1 node(s) had untolerated taint(s)."
    for toleration in ({"key": "dedicated", "value": "db"}, {"operator": "Exists"}, {"key": "dedicated", "operator": "Exists"}):
        assert feasible(found, pod(tolerations=[toleration])) == {"a"}
    assert not feasible(found, pod(tolerations=[{"key": "dedicated", "value": "web"}]))


def test_soft_taints_are_avoided_where_possible() -> None:
    soft = {"key": "slow", "effect": "PreferNoSchedule"}
    found = snapshot(node("a", taints=[soft]), node("b"))
    assert decide(found, pod()).node == "b"
    assert decide(snapshot(node("a", taints=[soft])), pod()).node == "a"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"key": "size", "operator": "In", "values": ["2", "3"]}, {"b"}),
        ({"key": "size", "operator": "NotIn", "values": ["2"]}, {"a", "c"}),
        ({"key": "size", "operator": "Exists"}, {"a", "b"}),
        ({"key": "size", "operator": "DoesNotExist"}, {"c"}),
        ({"key": "size", "operator": "Gt", "values": ["1"]}, {"b"}),
        ({"key": "size", "operator": "Lt", "values": ["2"]}, {"a"}),
    ],
)
def test_node_affinity_operators(expression: Object, expected: set[str]) -> None:
    found = snapshot(node("a", labels={"size": "1"}), node("b", labels={"size": "2"}), node("c"))
    term = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}
    assert feasible(found, pod(affinity=affinity)) == expected


def test_affinity_by_node_name_narrows_before_everything_else() -> None:
    found = snapshot(node("a", cpu="1"), node("b"), node("c"))
    fields = [{"key": "metadata.name", "operator": "In", "values": ["a"]}]
    term = {"nodeSelectorTerms": [{"matchFields": fields}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}
    assert why(found, pod(cpu="2", affinity=affinity)) == (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


def test_preferred_node_affinity_weighs_more_than_free_room() -> None:
    found = snapshot(node("a", labels={"disk": "ssd"}), node("b", cpu="64", memory="256Gi"))
    preference = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": preference}]}}
    assert decide(found, pod(cpu="1", memory="1Gi", affinity=affinity)).node == "a"


def test_an_empty_preference_weighs_nothing() -> None:
    found = snapshot(node("a", labels={"disk": "ssd"}), node("b", cpu="5", memory="10Gi"))
    preference = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    terms = [{"weight": 100, "preference": {}}, {"weight": 1, "preference": preference}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}
    assert decide(found, pod(cpu="1", memory="1Gi", affinity=affinity)).node == "a"


def test_host_ports_are_taken_once_per_address() -> None:
    def with_port(ip: str = "") -> Object:
        item = pod()
        item["spec"]["containers"][0]["ports"] = [{"containerPort": 1, "hostPort": 80, "hostIP": ip}]
        return item

    found = snapshot(node("a"), placed={"a": [with_port("10.0.0.1")]})
    assert why(found, with_port()) == "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."
    assert not feasible(found, with_port("10.0.0.1"))
    assert feasible(found, with_port("10.0.0.2")) == {"a"}


def _near(field: str, key: str, app: str) -> Object:
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}
    return {field: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _zones() -> list[Object]:
    return [node("a", labels={ZONE: "x"}), node("b", labels={ZONE: "x"}), node("c", labels={ZONE: "y"}), node("d")]


def test_pods_go_where_those_are_that_they_want_to_be_near() -> None:
    found = snapshot(*_zones(), placed={"a": [pod(labels={"app": "db"})]})
    assert feasible(found, pod(affinity=_near("podAffinity", ZONE, "db"))) == {"a", "b"}
    assert feasible(found, pod(affinity=_near("podAffinity", HOST, "db"))) == {"a"}
    assert "didn't match pod affinity rules" in why(found, pod(affinity=_near("podAffinity", ZONE, "none")))


def test_the_first_of_a_group_that_wants_to_be_together_may_go_anywhere_with_the_label() -> None:
    item = pod(labels={"app": "db"}, affinity=_near("podAffinity", ZONE, "db"))
    assert feasible(snapshot(*_zones()), item) == {"a", "b", "c"}


def test_anti_affinity_works_both_ways() -> None:
    shy = pod(labels={"app": "db"}, affinity=_near("podAntiAffinity", ZONE, "web"))
    found = snapshot(*_zones(), placed={"a": [pod(labels={"app": "web"})]})
    assert feasible(found, shy) == {"c", "d"}
    found = snapshot(*_zones(), placed={"c": [shy]})
    assert feasible(found, pod(labels={"app": "web"})) == {"a", "b", "d"}


def test_affinity_looks_into_other_namespaces_only_if_asked() -> None:
    found = snapshot(*_zones(), placed={"a": [pod(labels={"app": "db"}, namespace="other")]})
    found.namespace_labels["other"] = {"team": "x"}
    near = _near("podAffinity", ZONE, "db")
    assert not feasible(found, pod(affinity=near))
    term = near["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]
    term["namespaceSelector"] = {"matchLabels": {"team": "x"}}
    assert feasible(found, pod(affinity=near)) == {"a", "b"}


def test_preferred_affinity_attracts_and_preferred_anti_affinity_repels() -> None:
    term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": HOST}
    wish = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}
    found = snapshot(node("a"), node("b"), placed={"a": [pod(labels={"app": "db"})]})
    assert decide(found, pod(affinity={"podAffinity": wish})).node == "a"
    assert decide(found, pod(affinity={"podAntiAffinity": wish})).node == "b"


def _spread(skew: int = 1, key: str = ZONE, **more: Any) -> list[Object]:
    constraint = {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", **more}
    return [{"labelSelector": {"matchLabels": {"app": "web"}}, **constraint}]


def test_hard_spread_constraints_keep_zones_even() -> None:
    web = {"app": "web"}
    found = snapshot(*_zones(), placed={"a": [pod(labels=web)]})
    item = pod(labels=web, topologySpreadConstraints=_spread())
    assert feasible(found, item) == {"c"}
    assert feasible(found, pod(labels=web, topologySpreadConstraints=_spread(2))) == {"a", "b", "c"}
    found = snapshot(node("a", labels={ZONE: "x"}), node("d"), placed={"a": [pod(labels=web)]})
    assert feasible(found, item) == {"a"}
    few = pod(labels=web, topologySpreadConstraints=_spread(minDomains=2))
    assert why(found, few) == (
        "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, "
        "1 node(s) didn't match pod topology spread constraints (missing required label)."
    )


def test_a_spread_constraint_with_an_empty_selector_counts_no_pods() -> None:
    found = snapshot(*_zones(), placed={"a": [pod(), pod()]})
    assert feasible(found, pod(topologySpreadConstraints=_spread(labelSelector={}))) == {"a", "b", "c"}


def test_spread_counts_only_nodes_that_the_pod_may_use() -> None:
    web = {"app": "web"}
    found = snapshot(*_zones(), placed={"a": [pod(labels=web)]})
    item = pod(labels=web, nodeSelector={ZONE: "x"}, topologySpreadConstraints=_spread())
    assert feasible(found, item) == {"a", "b"}
    ignoring = _spread(nodeAffinityPolicy="Ignore")
    assert not feasible(found, pod(labels=web, nodeSelector={ZONE: "x"}, topologySpreadConstraints=ignoring))


def test_pods_of_one_service_spread_by_default() -> None:
    web = {"app": "web"}
    found = snapshot(node("a"), node("b"), placed={"a": [pod(labels=web), pod(labels=web)], "b": [pod(cpu="1500m")]})
    assert decide(found, pod(labels=web)).node == "a"  # By room alone.
    assert decide(found, pod(labels=web), service(web)).node == "b"


def test_nodes_that_have_the_image_are_preferred() -> None:
    images = [{"names": ["i:latest"], "sizeBytes": 900 * 1024 * 1024}]
    found = snapshot(node("a"), node("b", images=images), node("c"))
    assert decide(found, pod()).node == "b"
    images = [{"names": ["data:1"], "sizeBytes": 900 * 1024 * 1024}]
    found = snapshot(node("a"), node("b", images=images), node("c"))
    assert decide(found, pod(volumes=[{"name": "v", "image": {"reference": "data:1"}}])).node == "b"


def test_the_emptiest_and_best_balanced_node_is_preferred() -> None:
    found = snapshot(node("a"), node("b"), placed={"a": [pod(cpu="1", memory="2Gi")]})
    assert decide(found, pod(cpu="1", memory="1Gi")).node == "b"


def test_init_containers_and_sidecars_count_as_they_run() -> None:
    from navarch.scheduler.podinfo import pod_requests

    def container(cpu: str, **more: Any) -> Object:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "containers": [container("100m"), container("200m")],
        "initContainers": [container("50m", restartPolicy="Always"), container("500m")],
        "overhead": {"cpu": "10m"},
    }
    assert pod_requests(spec) == {"cpu": 560}
    assert pod_requests({**spec, "initContainers": spec["initContainers"][:1]}) == {"cpu": 360}
    assert pod_requests({**spec, "resources": {"requests": {"cpu": "1"}}}) == {"cpu": 1010}


def test_a_pod_for_one_node_by_name_goes_there_or_waits_for_room_that_is_promised_to_nobody() -> None:
    found = snapshot(node("a"), node("b", cpu="1"))
    fields = [{"key": "metadata.name", "operator": "In", "values": ["b"]}]
    term = {"nodeSelectorTerms": [{"matchFields": fields}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}
    assert decide(found, pod(cpu="600m", affinity=affinity)).node == "b"
    found.nominate(PodInfo(pod("waiting", cpu="500m", priority=5)), "b")
    assert not decide(found, pod(cpu="600m", affinity=affinity)).node
    assert decide(found, pod(cpu="500m", affinity=affinity)).node == "b"
    assert decide(found, pod(cpu="600m", priority=9, affinity=affinity)).node == "b"
