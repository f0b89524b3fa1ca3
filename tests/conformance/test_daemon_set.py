"""DaemonSets."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.lifecycles import collection_is_listed_and_deleted, status_is_read_updated_and_patched
from tests.conformance.objects import is_ready, workload
from tests.conformance.world import NODES, Space

SETS, REVISIONS = "daemonsets.apps", "controllerrevisions.apps"
OTHER_IMAGE = "registry.example/agnhost:2"
HASH = "controller-revision-hash"


def make(space: Space, name: str = "daemon-set", **spec: Any) -> None:
    space.create(SETS, workload(name, None, {"daemonset-name": name}, **spec))


def nodes_with_pods(space: Space) -> list[str]:
    return sorted(each["spec"]["nodeName"] for each in space.list("pods") if is_ready(each))


def until_on(space: Space, *nodes: str) -> None:
    space.world.until(lambda: nodes_with_pods(space) == sorted(nodes))


def label(space: Space, node: str, color: str | None) -> None:
    space.patch("nodes", node, {"metadata": {"labels": {"color": color}}})


@behaviour("DaemonSet-Creation")
def test_each_node_has_a_pod_also_after_one_was_deleted(space: Space) -> None:
    make(space)
    until_on(space, *NODES)
    gone = space.list("pods")[0]["metadata"]
    space.delete("pods", gone["name"])
    space.until_gone("pods", gone["name"])
    until_on(space, *NODES)


@behaviour("DaemonSet-NodeSelection")
def test_pods_follow_the_labels_of_nodes(space: Space) -> None:
    first, *_ = NODES
    template_spec = workload("daemon-set", None, {"daemonset-name": "daemon-set"})["spec"]["template"]
    template_spec["spec"]["nodeSelector"] = {"color": "blue"}
    make(space, template=template_spec)
    space.world.pass_time(10)
    assert nodes_with_pods(space) == []
    label(space, first, "blue")
    until_on(space, first)
    label(space, first, "green")
    until_on(space)
    patch = {"spec": {"template": {"spec": {"nodeSelector": {"color": "green"}}}, "updateStrategy": {"type": "RollingUpdate"}}}
    space.patch(SETS, "daemon-set", patch)
    until_on(space, first)
    label(space, first, None)
    until_on(space)


@behaviour("DaemonSet-FailedPodCreation")
def test_a_pod_that_failed_is_replaced(space: Space) -> None:
    make(space)
    until_on(space, *NODES)
    failed = space.list("pods")[0]
    space.world.run(space.world.cluster.report(failed, phase="Failed"))
    space.until_gone("pods", failed["metadata"]["name"])
    until_on(space, *NODES)


def revision(space: Space) -> str:
    """The newest revision's hash."""
    newest = max(space.list(REVISIONS), key=lambda item: int(item["revision"]))
    return str(newest["metadata"]["labels"][HASH])


def set_image(space: Space, image: str) -> None:
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
    space.patch(SETS, "daemon-set", patch, content_type="application/json-patch+json")


def all_of(space: Space, hash_: str) -> bool:
    return nodes_with_pods(space) == sorted(NODES) and {each["metadata"]["labels"][HASH] for each in space.list("pods")} == {
        hash_
    }


@behaviour("DaemonSet-RollingUpdate")
def test_a_rolling_update_replaces_all_pods(space: Space) -> None:
    make(space, updateStrategy={"type": "RollingUpdate"})
    until_on(space, *NODES)
    first = revision(space)
    assert all_of(space, first)
    set_image(space, OTHER_IMAGE)
    space.world.until(lambda: revision(space) != first and all_of(space, revision(space)))
    assert {each["spec"]["containers"][0]["image"] for each in space.list("pods")} == {OTHER_IMAGE}
    assert sorted(item["revision"] for item in space.list(REVISIONS)) == [1, 2]


@behaviour("DaemonSet-Rollback")
def test_a_rollback_restarts_no_pod_that_was_not_updated(space: Space) -> None:
    make(space, updateStrategy={"type": "RollingUpdate"})
    until_on(space, *NODES)
    first = revision(space)
    before = {each["metadata"]["uid"] for each in space.list("pods")}
    space.world.cluster.unready.add("foo:non-existent")
    set_image(space, "foo:non-existent")

    def updated() -> list[Object]:
        return [each for each in space.list("pods") if each["spec"]["containers"][0]["image"] == "foo:non-existent"]

    space.world.until(updated)
    space.world.pass_time(30)
    assert len(updated()) == 1
    kept = before & {each["metadata"]["uid"] for each in space.list("pods")}
    assert len(kept) == len(NODES) - 1
    patch = [{"op": "replace", "path": "/spec/template", "value": space.get(SETS, "daemon-set")["spec"]["template"]}]
    patch[0]["value"]["spec"]["containers"][0]["image"] = workload("x", None)["spec"]["template"]["spec"]["containers"][0][
        "image"
    ]
    space.patch(SETS, "daemon-set", patch, content_type="application/json-patch+json")
    space.world.until(lambda: all_of(space, first))
    assert kept <= {each["metadata"]["uid"] for each in space.list("pods")}


@behaviour("DaemonSet, list and delete a collection of DaemonSets")
def test_a_collection_of_daemon_sets(space: Space) -> None:
    collection_is_listed_and_deleted(space, SETS, workload("daemon-set", None, {"daemonset-name": space.name}))


@behaviour("DaemonSet, status sub-resource")
def test_a_daemon_sets_status(space: Space) -> None:
    make(space)
    until_on(space, *NODES)
    status_is_read_updated_and_patched(space, SETS, "daemon-set")
