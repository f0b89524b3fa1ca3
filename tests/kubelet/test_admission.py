"""Which pods a node takes."""

from __future__ import annotations

import pytest

from navarch.apimachinery.errors import Object
from navarch.kubelet import admission
from navarch.kubelet.admission import Refusal
from tests.kubelet.pods import container, pod, sidecar

NODE: Object = {
    "metadata": {"name": "n1", "labels": {"disk": "ssd"}},
    "spec": {"taints": [{"key": "a", "effect": "NoExecute"}, {"key": "b", "effect": "NoSchedule"}]},
    "status": {},
}
ALLOCATABLE = {"cpu": "2", "memory": "1Gi", "ephemeral-storage": "1Gi", "pods": "3", "example.com/gpu": "1"}
TOLERATING = {"tolerations": [{"key": "a", "operator": "Exists"}]}


def check(a_pod: Object, *others: Object, node: Object = NODE) -> Refusal | None:
    return admission.check(a_pod, node, others, ALLOCATABLE)


def asking(**requests: str) -> Object:
    return pod(
        container(resources={"requests": {name.replace("_", "/"): text for name, text in requests.items()}}), **TOLERATING
    )


def serving(port: int, *, address: str = "", protocol: str = "TCP") -> Object:
    taken = {"containerPort": 1, "hostPort": port, "protocol": protocol, "hostIP": address}
    return pod(init=(sidecar("s", ports=[taken]),), **TOLERATING)


def test_a_pod_that_fits_is_taken() -> None:
    fitting = pod(nodeSelector={"disk": "ssd"}, nodeName="n1", **TOLERATING)
    assert check(fitting) is None
    assert check(asking(cpu="2", memory="1Gi", **{"example.com_gpu": "1"})) is None


@pytest.mark.parametrize(
    ("requests", "name", "wanted", "capacity"),
    [
        ({"cpu": "2001m", "memory": "2Gi"}, "cpu", 2001, 2000),
        ({"memory": "2Gi"}, "memory", 2**31, 2**30),
        ({"ephemeral-storage": "2Gi"}, "ephemeral-storage", 2**31, 2**30),
        ({"example.com_gpu": "2"}, "example.com/gpu", 2, 1),
        ({"hugepages-2Mi": "2Mi"}, "hugepages-2Mi", 2**21, 0),
    ],
)
def test_what_there_is_not_enough_of_is_told(requests: dict[str, str], name: str, wanted: int, capacity: int) -> None:
    text = f"Node didn't have enough resource: {name}, requested: {wanted}, used: 0, capacity: {capacity}"
    assert check(asking(**requests)) == Refusal(f"OutOf{name}", text)


def test_what_is_not_the_nodes_to_give_is_not_asked_of_it() -> None:
    assert check(asking(**{"example.com_license": "1"})) is None


def test_there_may_be_only_so_many_pods() -> None:
    others = [pod(), pod(), pod()]
    text = "Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"
    assert check(pod(**TOLERATING), *others) == Refusal("OutOfpods", text)


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        (
            {"nodeSelector": {"disk": "hdd"}},
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        (
            {
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}
                            ]
                        }
                    }
                }
            },
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        ({"nodeName": "n2"}, "NodeName", "Predicate NodeName failed: node(s) didn't match the requested node name"),
        (
            {"tolerations": [{"key": "a", "value": "other"}]},
            "TaintToleration",
            "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
        ),
        ({"os": {"name": "windows"}}, "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"),
        (
            {"securityContext": {"supplementalGroupsPolicy": "Strict"}},
            "SupplementalGroupsPolicyNotSupported",
            "SupplementalGroupsPolicy=Strict is not supported in this node",
        ),
    ],
)
def test_what_is_against_a_pod_is_told(spec: Object, reason: str, message: str) -> None:
    assert check(pod(**{**TOLERATING, **spec})) == Refusal(reason, message)


def test_a_pod_may_say_by_a_label_that_it_is_for_another_system() -> None:
    foreign = pod(**TOLERATING)
    foreign["metadata"]["labels"] = {"kubernetes.io/os": "windows"}
    assert check(foreign) == Refusal(
        "PodOSSelectorNodeLabelDoesNotMatch", "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"
    )


def test_groups_are_kept_strictly_where_the_runtime_can() -> None:
    strict = pod(securityContext={"supplementalGroupsPolicy": "Strict"}, **TOLERATING)
    assert check(strict, node={**NODE, "status": {"features": {"supplementalGroupsPolicy": True}}}) is None


def test_a_port_of_the_node_is_taken_once() -> None:
    text = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
    refused = Refusal("NodePorts", text)
    assert check(serving(80), serving(80)) == refused
    assert check(serving(80, address="10.0.0.1"), serving(80)) == refused
    assert check(serving(80, address="10.0.0.1"), serving(80, address="10.0.0.2")) is None
    assert check(serving(80), serving(80, protocol="UDP")) is None
    assert check(serving(80), serving(81)) is None


def test_sysctls_must_be_allowed() -> None:
    assert admission.forbidden(()) is None
    assert admission.forbidden(("kernel.sem",)) == Refusal("SysctlForbidden", 'forbidden sysctl: "kernel.sem" not allowlisted')
