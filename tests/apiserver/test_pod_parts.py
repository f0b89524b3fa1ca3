"""``pods/ephemeralcontainers`` and ``pods/resize``: parts of a pod that are changed by themselves."""

from __future__ import annotations

import pytest

from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.apiserver.bench import Bench, Reply
from tests.apiserver.samples import sample

STRATEGIC = "application/strategic-merge-patch+json"
DEBUGGER = {"name": "debugger", "image": "busybox:1", "targetContainerName": "main"}


def test_an_ephemeral_container_is_added_with_its_defaults(api: Bench) -> None:
    made = api.made("pods", sample(resource("pods"), "debugged"))
    change = {"spec": {"ephemeralContainers": [DEBUGGER]}}
    reply = api.patch("pods", "debugged", change, subresource="ephemeralcontainers", content_type=STRATEGIC)
    assert reply.status == 200, reply.body
    added = reply.json["spec"]["ephemeralContainers"]
    assert added == [
        {
            **DEBUGGER,
            "imagePullPolicy": "IfNotPresent",
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }
    ]
    assert reply.json["metadata"]["generation"] == made["metadata"]["generation"] + 1
    assert api.get("pods", "debugged", subresource="ephemeralcontainers").json["spec"]["ephemeralContainers"] == added
    second = {**DEBUGGER, "name": "second"}
    pod = api.get("pods", "debugged").json
    pod["spec"]["ephemeralContainers"] = [*added, second]
    pod["spec"]["nodeName"] = "ignored"
    reply = api.put("pods", pod, "ephemeralcontainers")
    assert [container["name"] for container in reply.json["spec"]["ephemeralContainers"]] == ["debugger", "second"]
    assert "nodeName" not in reply.json["spec"]


def test_a_pod_itself_cannot_be_given_ephemeral_containers(api: Bench) -> None:
    api.made("pods", sample(resource("pods"), "closed"))
    refused = api.patch("pods", "closed", {"spec": {"ephemeralContainers": [DEBUGGER]}}, content_type=STRATEGIC)
    assert (refused.status, refused.causes) == (422, [("FieldValueForbidden", "spec")])


def test_a_resize_changes_resources_and_nothing_else(api: Bench) -> None:
    pod = sample(resource("pods"), "grows")
    pod["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}
    made = api.made("pods", pod)
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1", "memory": "1Gi"}
    container = {"name": "main", "image": "other:1", "resources": {"requests": {"cpu": "2"}}}
    reply = api.patch("pods", "grows", {"spec": {"containers": [container]}}, subresource="resize", content_type=STRATEGIC)
    assert reply.status == 200, reply.body
    found = reply.json["spec"]["containers"][0]
    assert found["resources"] == {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    assert found["image"] == made["spec"]["containers"][0]["image"]
    assert reply.json["metadata"]["generation"] == made["metadata"]["generation"] + 1
    refused = api.patch(
        "pods",
        "grows",
        {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "3"}}}]}},
        content_type=STRATEGIC,
    )
    assert (refused.status, refused.causes) == (422, [("FieldValueForbidden", "spec")])


def sized_node(name: str, system: str = "linux") -> Object:
    status = {"allocatable": {"cpu": "4", "memory": "1Gi"}}
    return {"metadata": {"name": name, "labels": {"kubernetes.io/os": system}}, "status": status}


@pytest.mark.parametrize(
    ("node", "requests", "text", "causes"),
    [
        ("linux", {"cpu": "4"}, "", []),
        (
            "linux",
            {"cpu": "4001m", "memory": "2Gi"},
            "Node didn't have enough allocatable resources: cpu, requested: 4001, allocatable: 4000; "
            "memory, requested: 2147483648, allocatable: 1073741824",
            [{"reason": "NodeCapacity"}],
        ),
        (
            "windows",
            {"cpu": "2"},
            'pod resize is only supported on linux nodes, node "of-windows" is "windows"',
            [{"reason": "UnsupportedPlatform"}],
        ),
    ],
)
def test_a_pod_is_not_resized_beyond_its_node(api: Bench, node: str, requests: Object, text: str, causes: list[Object]) -> None:
    api.post("nodes", sized_node(f"of-{node}", node))
    name = f"resized-on-{node}-{len(text)}"
    pod = sample(resource("pods"), name)
    pod["spec"] |= {"nodeName": f"of-{node}"}
    pod["spec"]["containers"][0] |= {"resources": {"requests": {"cpu": "1", "memory": "1Mi"}}}
    api.made("pods", pod)
    change = {"spec": {"containers": [{"name": "main", "resources": {"requests": requests}}]}}
    reply = api.patch("pods", name, change, subresource="resize", content_type=STRATEGIC)
    assert reply.status == (403 if text else 200)
    if text:
        assert reply.message == f'pods "{name}" is forbidden: {text}'
        assert reply.json["details"]["causes"] == causes


@pytest.mark.parametrize("field", ["containers", "initContainers"])
def test_a_resize_brings_no_containers(api: Bench, field: str) -> None:
    api.made("pods", sample(resource("pods"), "alone"))
    for added in ({"name": "more"}, {"name": "more", "image": "x"}, {}):
        change = {"spec": {field: [added]}}
        reply = api.patch("pods", "alone", change, subresource="resize")
        assert (reply.status, reply.reason) == (422, "Invalid"), reply.body
    api.delete("pods", "alone")


@pytest.mark.parametrize("part", ["ephemeralcontainers", "resize"])
def test_parts_are_discovered(api: Bench, part: str) -> None:
    found = {item["name"]: item for item in api.call("GET", "/api/v1").json["resources"]}
    assert found[f"pods/{part}"] == {
        "name": f"pods/{part}",
        "singularName": "",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["get", "patch", "update"],
    }


def test_what_a_node_does_not_declare_is_not_asked_of_it(api: Bench) -> None:
    """Of a pod on a node its own resources change only where the kubelet can follow; on no node, they may."""

    def asking(name: str, node: str) -> None:
        pod = sample(resource("pods"), name)
        pod["spec"] |= {"resources": {"requests": {"cpu": "1"}}, **({"nodeName": node} if node else {})}
        api.made("pods", pod)

    def resized(name: str, cpu: str) -> Reply:
        change = {"spec": {"resources": {"requests": {"cpu": cpu}}}}
        return api.patch("pods", name, change, subresource="resize", content_type=STRATEGIC)

    for name in ("old", "new"):
        api.made("nodes", sized_node(name))
    told = {"status": {"declaredFeatures": ["InPlacePodLevelResourcesVerticalScaling"]}}
    assert api.patch("nodes", "new", told, subresource="status").status == 200
    for name, node in (("waiting", ""), ("on-new", "new"), ("on-old", "old"), ("lost", "nowhere")):
        asking(name, node)
    assert resized("waiting", "2").status == 200
    assert resized("on-new", "2").status == 200
    assert resized("on-old", "1000m").status == 200, "that is as much as before"
    refused = resized("on-old", "2")
    assert (refused.status, refused.message) == (
        403,
        'pods "on-old" is forbidden: pod update requires features InPlacePodLevelResourcesVerticalScaling '
        'which are not available on node "old"',
    )
    assert resized("lost", "2").message == 'pods "lost" is forbidden: node "nowhere" not found'
    # What changes of containers, and of the pod's metadata, needs nothing of the kind.
    container = {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "500m"}}}]}}
    assert api.patch("pods", "on-old", container, subresource="resize", content_type=STRATEGIC).status == 200
    assert api.patch("pods", "on-old", {"metadata": {"labels": {"a": "b"}}}).status == 200
