"""ReplicationControllers."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.lifecycles import controller_of
from tests.conformance.objects import condition, pod, replication_controller
from tests.conformance.world import Space

CONTROLLERS = "replicationcontrollers"


@behaviour("Replication Controller, adopt matching pods")
def test_a_pod_that_matches_is_adopted(space: Space) -> None:
    space.create("pods", pod("pod-adoption", {"name": "pod-adoption"}))
    space.create(CONTROLLERS, replication_controller("adopter", 1, {"name": "pod-adoption"}))
    assert controller_of(space.until_true("pods", "pod-adoption", controller_of)) == "adopter"


@behaviour("Replication Controller, release pods")
def test_a_pod_that_ceases_to_match_is_released(space: Space) -> None:
    space.create(CONTROLLERS, replication_controller("pod-release", 1))
    (owned,) = space.until_count("pods", 1)
    name = owned["metadata"]["name"]
    space.patch("pods", name, {"metadata": {"labels": {"name": "not-matching-name"}}})
    space.until_true("pods", name, lambda found: not controller_of(found))
    space.until_count("pods", 1, "name=pod-release")


@behaviour("Replication Controller, get and update ReplicationController scale")
def test_a_scale_is_read_and_updated(space: Space) -> None:
    space.create(CONTROLLERS, replication_controller("e2e-rc", 1))
    space.until_true(CONTROLLERS, "e2e-rc", lambda found: found["status"].get("readyReplicas") == 1)
    scale = space.get(CONTROLLERS, "e2e-rc", "scale")
    assert scale["spec"]["replicas"] == 1
    scale["spec"]["replicas"] = 2
    space.update(CONTROLLERS, scale, "scale")
    found = space.until_true(CONTROLLERS, "e2e-rc", lambda found: found["status"].get("readyReplicas") == 2)
    assert found["spec"]["replicas"] == 2


@behaviour("Replication Controller, check for issues like exceeding allocated quota")
def test_a_quota_that_is_exceeded_is_told_of_in_a_condition(space: Space) -> None:
    space.create("resourcequotas", {"metadata": {"name": "condition-test"}, "spec": {"hard": {"pods": "2"}}})
    space.until_true("resourcequotas", "condition-test", lambda found: found["status"].get("hard") == {"pods": "2"})
    space.create(CONTROLLERS, replication_controller("condition-test", 3))
    found = space.until_true(CONTROLLERS, "condition-test", lambda found: condition(found, "ReplicaFailure"))
    failure = condition(found, "ReplicaFailure")
    assert (failure["status"], failure["reason"]) == ("True", "FailedCreate") and "exceeded quota" in failure["message"]
    space.change(CONTROLLERS, "condition-test", lambda found: found["spec"].update(replicas=2))
    space.until_true(CONTROLLERS, "condition-test", lambda found: not condition(found, "ReplicaFailure"))


@behaviour("Replication Controller, lifecycle")
def test_a_controller_is_made_patched_scaled_and_deleted(space: Space) -> None:
    mark = f"test-rc-static={space.name}"
    made = replication_controller("rc-test", 1, {"test-rc-static": space.name})
    strategic = "application/strategic-merge-patch+json"
    with space.watching(CONTROLLERS, mark) as watch:
        space.create(CONTROLLERS, made)
        assert watch.next()[0] == "ADDED"
        watch.until("MODIFIED", condition=lambda obj: obj["status"].get("readyReplicas") == 1)
        space.patch(CONTROLLERS, "rc-test", {"metadata": {"labels": {"test-rc": "patched"}}}, content_type=strategic)
        watch.until("MODIFIED", condition=lambda obj: obj["metadata"]["labels"].get("test-rc") == "patched")
        space.patch(
            CONTROLLERS, "rc-test", {"status": {"readyReplicas": 0, "availableReplicas": 0}}, "status", content_type=strategic
        )
        watch.until("MODIFIED", condition=lambda obj: obj["status"].get("readyReplicas", 0) == 0)
        watch.until("MODIFIED", condition=lambda obj: obj["status"].get("readyReplicas", 0) == 1)
        assert space.get(CONTROLLERS, "rc-test", "status")["metadata"]["name"] == "rc-test"
        space.patch(CONTROLLERS, "rc-test", {"spec": {"replicas": 2}}, "scale")
        watch.until("MODIFIED", condition=lambda obj: obj["status"].get("readyReplicas") == 2)
        (listed,) = space.world.everywhere.list(CONTROLLERS, mark)
        assert listed["metadata"]["labels"]["test-rc"] == "patched"

        def relabel(found: Object) -> None:
            found["metadata"]["labels"]["test-rc"] = "updated"

        space.change(CONTROLLERS, "rc-test", relabel)
        watch.until("MODIFIED", condition=lambda obj: obj["metadata"]["labels"].get("test-rc") == "updated")
        space.delete_all(CONTROLLERS, mark)
        watch.until("DELETED")
    space.until_count("pods", 0)
