"""``pods/ephemeralcontainers`` and ``pods/resize``: parts of a pod that are changed by themselves."""

from __future__ import annotations

import pytest

from navarch.api.registry import resource
from tests.apiserver.bench import Bench
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
