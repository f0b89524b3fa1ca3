"""Pods as objects."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import condition, container, is_ready, pod
from tests.conformance.world import Space

STRATEGIC = "application/strategic-merge-patch+json"


def until_running(space: Space, name: str) -> Object:
    return space.until_true("pods", name, lambda found: found["status"].get("phase") == "Running" and is_ready(found))


@behaviour("Pods, lifecycle")
def test_a_pod_is_submitted_watched_and_removed(space: Space) -> None:
    mark = "name=foo,time=now"
    assert space.list("pods", mark) == []
    with space.watching("pods", mark) as watch:
        space.create("pods", pod("pod-submit-remove", {"name": "foo", "time": "now"}))
        assert watch.next()[0] == "ADDED"
        assert len(space.list("pods", mark)) == 1
        until_running(space, "pod-submit-remove")
        space.delete("pods", "pod-submit-remove", gracePeriodSeconds=30)
        seen = watch.until("MODIFIED", condition=lambda obj: "deletionTimestamp" in obj["metadata"])
        assert seen["metadata"]["deletionGracePeriodSeconds"] == 30
        last = watch.until("DELETED")
        assert "deletionTimestamp" in last["metadata"] and last["spec"]["terminationGracePeriodSeconds"] == 30
    assert space.list("pods", mark) == []


@behaviour("Pods, update")
def test_a_pods_label_is_updated(space: Space) -> None:
    space.create("pods", pod("pod-update", {"name": "foo", "time": "then"}))
    until_running(space, "pod-update")
    assert len(space.list("pods", "time=then")) == 1
    space.change("pods", "pod-update", lambda found: found["metadata"]["labels"].update(time="now"))
    assert [each["metadata"]["name"] for each in space.list("pods", "time=now")] == ["pod-update"]
    assert space.list("pods", "time=then") == []


@behaviour("Pods, delete a collection")
def test_a_collection_of_pods_is_deleted(space: Space) -> None:
    for number in range(1, 4):
        space.create("pods", pod(f"test-pod-{number}", {"type": "Testing"}))
    assert len(space.list("pods", "type=Testing")) == 3
    space.delete_all("pods", "type=Testing", gracePeriodSeconds=0)
    space.until_count("pods", 0, "type=Testing")


@behaviour("Pods, patching status")
def test_a_pods_status_is_patched(space: Space) -> None:
    space.create("pods", pod("pod-patch-status"))
    until_running(space, "pod-patch-status")
    words = {"message": "Patched by e2e test", "reason": "E2E"}
    space.patch("pods", "pod-patch-status", {"status": words}, "status", content_type=STRATEGIC)
    found = space.get("pods", "pod-patch-status", "status")
    assert (found["status"]["message"], found["status"]["reason"]) == ("Patched by e2e test", "E2E")


@behaviour("Pods, completes the lifecycle of a Pod and the PodStatus")
def test_a_pod_and_its_status_are_patched_replaced_and_deleted(space: Space) -> None:
    mark = f"test-pod-static={space.name}"
    with space.watching("pods", mark) as watch:
        space.create("pods", pod("pod-test", {"test-pod-static": space.name}))
        watch.until("MODIFIED", condition=is_ready)
        image = "registry.example/pause:2"
        patch = {"metadata": {"labels": {"test-pod": "patched"}}, "spec": {"containers": [{"name": "main", "image": image}]}}
        space.patch("pods", "pod-test", patch, content_type=STRATEGIC)
        seen = watch.until("MODIFIED", condition=lambda obj: obj["metadata"]["labels"].get("test-pod") == "patched")
        assert seen["spec"]["containers"][0]["image"] == image

        def unready(found: Object) -> None:
            condition_of(found, "Ready")["status"] = "False"

        replaced = space.change("pods", "pod-test", unready, "status")
        assert condition(replaced, "Ready")["status"] == "False"
        watch.until("MODIFIED", condition=lambda obj: condition(obj, "Ready").get("status") == "False")
        (listed,) = space.world.everywhere.list("pods", mark)
        assert listed["metadata"]["labels"]["test-pod"] == "patched"
        space.delete_all("pods", mark)
        watch.until("MODIFIED", condition=lambda obj: "deletionTimestamp" in obj["metadata"])
        watch.until("DELETED")


def condition_of(found: Object, type_: str) -> Object:
    """The condition itself, to be changed."""
    chosen: Object = next(each for each in found["status"]["conditions"] if each["type"] == type_)
    return chosen


# test/e2e/node/pods.go


@behaviour("Pods, QOS")
def test_a_pod_whose_requests_are_its_limits_is_guaranteed(space: Space) -> None:
    resources = {"cpu": "100m", "memory": "100Mi"}
    limited = container(resources={"requests": resources, "limits": resources})
    space.create("pods", {"metadata": {"name": "pod-qos-class"}, "spec": {"containers": [limited]}})
    assert space.get("pods", "pod-qos-class")["status"]["qosClass"] == "Guaranteed"


def generation(space: Space, name: str) -> int:
    return int(space.get("pods", name)["metadata"]["generation"])


def until_observed(space: Space, name: str, number: int) -> None:
    found = space.until_true("pods", name, lambda found: found["status"].get("observedGeneration") == number)
    assert found["metadata"]["generation"] == number


@behaviour("Pods Generation, updates")
def test_a_pods_generation_counts_updates_of_its_spec(space: Space) -> None:
    toleration = {"key": "example.com/key", "operator": "Exists", "effect": "NoSchedule"}

    def change(path: str, value: Any) -> None:
        patch = [{"op": "add", "path": path, "value": value}]
        space.patch("pods", "pod-generation", patch, content_type="application/json-patch+json")

    made = pod("pod-generation", {"name": "foo"}, activeDeadlineSeconds=5000)
    made["metadata"]["generation"] = 100
    space.create("pods", made)
    until_observed(space, "pod-generation", 1)
    for path, value, expected in (
        ("/metadata/labels/foo", "bar", 1),
        ("/spec/activeDeadlineSeconds", 3000, 2),
        ("/spec/containers/0/image", "registry.example/pause:2", 3),
        ("/spec/tolerations/-", toleration, 4),
        ("/metadata/annotations", {"a": "b"}, 4),
    ):
        change(path, value)
        until_observed(space, "pod-generation", expected)


@behaviour("Pods Generation, 500 updates")
def test_generation_and_observed_generation_converge_after_many_updates(space: Space) -> None:
    space.create("pods", pod("pod-generation", activeDeadlineSeconds=5000))
    until_running(space, "pod-generation")
    for number in range(499):
        space.patch("pods", "pod-generation", {"spec": {"activeDeadlineSeconds": 4999 - number}})
    assert generation(space, "pod-generation") == 500
    until_observed(space, "pod-generation", 500)


@behaviour("Pods Generation, graceful delete")
def test_a_pods_generation_is_its_own_and_counts_its_deletion(space: Space) -> None:
    made = pod("pod-generation")
    made["metadata"] |= {"generation": 100, "finalizers": ["example.com/held"]}
    assert space.create("pods", made)["metadata"]["generation"] == 1
    until_observed(space, "pod-generation", 1)
    assert space.delete("pods", "pod-generation", gracePeriodSeconds=30)["metadata"]["generation"] == 2
    space.patch("pods", "pod-generation", {"metadata": {"finalizers": None}})
    space.until_gone("pods", "pod-generation")
