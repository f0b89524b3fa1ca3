"""StatefulSets."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.lifecycles import scale_is_read_updated_and_patched, status_is_read_updated_and_patched
from tests.conformance.objects import IMAGE, is_ready, workload
from tests.conformance.world import Space

SETS = "statefulsets.apps"
OTHER_IMAGE = "registry.example/httpd:2"
HASH = "controller-revision-hash"


def make(space: Space, name: str, replicas: int, **spec: Any) -> None:
    """With its headless Service, and all its pods ready."""
    labels = {"foo": "bar"}
    service = {"clusterIP": "None", "selector": labels, "ports": [{"port": 80, "name": "http"}]}
    space.create("services", {"metadata": {"name": "test"}, "spec": service})
    space.create(SETS, workload(name, replicas, labels, serviceName="test", **spec))
    until_ready(space, name, replicas)


def until_ready(space: Space, name: str, count: int) -> Object:
    return space.until_true(
        SETS,
        name,
        lambda found: (
            found["status"].get("readyReplicas", 0) == found["status"].get("replicas", 0) == count
            and found["status"].get("observedGeneration", 0) >= found["metadata"]["generation"]
        ),
    )


def scale(space: Space, name: str, replicas: int) -> None:
    space.patch(SETS, name, {"spec": {"replicas": replicas}})


def set_ready(space: Space, name: str, ready: bool) -> None:
    space.world.run(space.world.cluster.set_ready(space.get("pods", name), ready))


def pod_names(space: Space) -> list[str]:
    return sorted(each["metadata"]["name"] for each in space.list("pods"))


def order(space: Space, since: str, type_: str) -> list[str]:
    """Names of the pods in the order in which that happened to them."""
    return [obj["metadata"]["name"] for seen, obj in space.events("pods", since=since) if seen == type_]


def revision_of_set(space: Space, name: str = "ss") -> str:
    return str(space.get(SETS, name)["metadata"]["resourceVersion"])


@behaviour("StatefulSet, Scaling")
def test_pods_are_made_in_order_and_deleted_in_reverse_and_only_while_all_are_ready(space: Space) -> None:
    make(space, "ss", 1)
    since = revision_of_set(space)
    set_ready(space, "ss-0", False)
    scale(space, "ss", 3)
    space.world.pass_time(30)
    assert pod_names(space) == ["ss-0"]
    set_ready(space, "ss-0", True)
    until_ready(space, "ss", 3)
    assert order(space, since, "ADDED") == ["ss-1", "ss-2"]
    since = revision_of_set(space)
    for name in pod_names(space):
        set_ready(space, name, False)
    scale(space, "ss", 0)
    space.world.pass_time(30)
    assert pod_names(space) == ["ss-0", "ss-1", "ss-2"]
    for name in pod_names(space):
        set_ready(space, name, True)
    until_ready(space, "ss", 0)
    assert order(space, since, "DELETED") == ["ss-2", "ss-1", "ss-0"]


@behaviour("StatefulSet, Burst Scaling")
def test_parallel_pods_do_not_wait_for_each_other(space: Space) -> None:
    make(space, "ss", 1, podManagementPolicy="Parallel")
    set_ready(space, "ss-0", False)
    scale(space, "ss", 3)
    space.world.until(lambda: pod_names(space) == ["ss-0", "ss-1", "ss-2"])
    set_ready(space, "ss-0", True)
    until_ready(space, "ss", 3)
    set_ready(space, "ss-0", False)
    scale(space, "ss", 0)
    space.world.until(lambda: pod_names(space) == [])
    until_ready(space, "ss", 0)


@behaviour("StatefulSet, Recreate Failed Pod")
def test_a_pod_that_failed_is_made_again(space: Space) -> None:
    make(space, "ss", 1)
    before = space.get("pods", "ss-0")
    space.world.run(space.world.cluster.report(before, phase="Failed", reason="NodePorts"))
    after = space.until_true(
        "pods", "ss-0", lambda found: found["metadata"]["uid"] != before["metadata"]["uid"] and is_ready(found)
    )
    assert after["status"]["phase"] == "Running"


@behaviour("StatefulSet resource Replica scaling")
def test_a_stateful_sets_scale(space: Space) -> None:
    make(space, "ss", 1)
    scale_is_read_updated_and_patched(space, SETS, "ss")


@behaviour("StatefulSet, status sub-resource")
def test_a_stateful_sets_status(space: Space) -> None:
    make(space, "ss", 1)
    status_is_read_updated_and_patched(space, SETS, "ss")


@behaviour("StatefulSet, list, patch and delete a collection of StatefulSets")
def test_stateful_sets_are_listed_patched_and_deleted_together(space: Space) -> None:
    mark = f"e2e-statefulset={space.name}"
    made = workload("test-ss", 1, {"e2e-statefulset": space.name}, serviceName="test")
    space.create(SETS, made)
    until_ready(space, "test-ss", 1)
    assert len(space.world.everywhere.list(SETS, mark)) == 1
    patch = {
        "metadata": {"labels": {"test-ss": "patched"}},
        "spec": {
            "replicas": 2,
            "template": {"spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": OTHER_IMAGE}]}},
        },
    }
    patched = space.patch(SETS, "test-ss", patch, content_type="application/strategic-merge-patch+json")
    assert patched["metadata"]["labels"]["test-ss"] == "patched" and patched["spec"]["replicas"] == 2
    until_ready(space, "test-ss", 2)
    space.world.until(lambda: {each["spec"]["containers"][0]["image"] for each in space.list("pods")} == {OTHER_IMAGE})
    space.delete_all(SETS, mark)
    space.until_count(SETS, 0)
    space.until_count("pods", 0)


def set_image(space: Space, image: str) -> None:
    def change(found: Object) -> None:
        found["spec"]["template"]["spec"]["containers"][0]["image"] = image

    space.change(SETS, "ss", change)


def until_updated(space: Space) -> Object:
    """The set, once all its pods are of its update revision."""

    def is_updated(found: Object) -> bool:
        status = found["status"]
        return (
            status.get("observedGeneration") == found["metadata"]["generation"]
            and status["updateRevision"] == status["currentRevision"]
            and status.get("readyReplicas") == found["spec"]["replicas"]
        )

    return space.until_true(SETS, "ss", is_updated)


def revisions(space: Space) -> list[str]:
    """The revision of each pod, by ordinal."""
    return [each["metadata"]["labels"][HASH] for each in sorted(space.list("pods"), key=lambda each: each["metadata"]["name"])]


@behaviour("StatefulSet, Rolling Update")
def test_a_rolling_update_replaces_pods_in_reverse_and_a_rollback_finds_its_revision(space: Space) -> None:
    make(space, "ss", 3)
    first = space.get(SETS, "ss")["status"]["currentRevision"]
    assert revisions(space) == [first] * 3
    since = revision_of_set(space)
    set_image(space, OTHER_IMAGE)
    between = space.until_true(SETS, "ss", lambda found: found["status"]["updateRevision"] != first)
    second = between["status"]["updateRevision"]
    found = until_updated(space)
    assert found["status"]["currentRevision"] == second and revisions(space) == [second] * 3
    assert order(space, since, "DELETED") == ["ss-2", "ss-1", "ss-0"]
    seen = [obj["status"] for _, obj in space.events(SETS, since=since)]
    assert any(status["currentRevision"] == first and status["updateRevision"] == second for status in seen)
    since = revision_of_set(space)
    set_image(space, IMAGE)
    space.until_true(SETS, "ss", lambda found: found["status"]["updateRevision"] == first)
    assert until_updated(space)["status"]["currentRevision"] == first
    assert revisions(space) == [first] * 3 and order(space, since, "DELETED") == ["ss-2", "ss-1", "ss-0"]


@behaviour("StatefulSet, Rolling Update with Partition")
def test_a_partition_holds_an_update_back(space: Space) -> None:
    def partition(number: int) -> Object:
        return {"type": "RollingUpdate", "rollingUpdate": {"partition": number}}

    make(space, "ss", 3, updateStrategy=partition(3))
    old = space.get(SETS, "ss")["status"]["currentRevision"]
    set_image(space, OTHER_IMAGE)
    found = space.until_true(SETS, "ss", lambda found: found["status"]["updateRevision"] != old)
    new = found["status"]["updateRevision"]
    space.world.pass_time(30)
    assert revisions(space) == [old] * 3
    space.patch(SETS, "ss", {"spec": {"updateStrategy": partition(2)}})
    space.world.until(lambda: len(space.list("pods")) == 3 and revisions(space) == [old, old, new])
    until_ready(space, "ss", 3)
    uids = {each["metadata"]["uid"] for each in space.list("pods")}
    for name in ("ss-0", "ss-2"):
        space.delete("pods", name)
    space.world.until(
        lambda: len(space.list("pods")) == 3 and len({each["metadata"]["uid"] for each in space.list("pods")} - uids) == 2
    )
    until_ready(space, "ss", 3)
    assert revisions(space) == [old, old, new]
    for number, expected in ((1, [old, new, new]), (0, [new, new, new])):
        space.patch(SETS, "ss", {"spec": {"updateStrategy": partition(number)}})
        space.world.until(lambda: len(space.list("pods")) == 3 and revisions(space) == expected)  # noqa: B023 - used at once
        until_ready(space, "ss", 3)
    assert until_updated(space)["status"]["currentRevision"] == new
