"""ReplicaSets."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.lifecycles import (
    collection_is_listed_and_deleted,
    pods_are_adopted_and_released,
    scale_is_read_updated_and_patched,
    status_is_read_updated_and_patched,
)
from tests.conformance.objects import workload
from tests.conformance.world import Space

SETS = "replicasets.apps"


@behaviour("ReplicaSet, is created, Replaced and Patched")
def test_a_replica_set_is_made_scaled_and_patched(space: Space) -> None:
    space.create(SETS, workload("test-rs", 1, {"test-rs": "patched"}))
    space.until_true(SETS, "test-rs", lambda found: found["status"].get("readyReplicas") == 1)
    scale = space.get(SETS, "test-rs", "scale")
    scale["spec"]["replicas"] = 2
    assert space.update(SETS, scale, "scale")["spec"]["replicas"] == 2
    space.until_true(SETS, "test-rs", lambda found: found["status"].get("readyReplicas") == 2)
    containers = [{"name": "main", "image": "registry.example/pause:1"}]
    patch = {
        "metadata": {"labels": {"test-rs": "patched"}},
        "spec": {"replicas": 3, "template": {"spec": {"terminationGracePeriodSeconds": 0, "containers": containers}}},
    }
    space.patch(SETS, "test-rs", patch, content_type="application/strategic-merge-patch+json")
    found = space.until_true(SETS, "test-rs", lambda found: found["status"].get("readyReplicas") == 3)
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/pause:1"
    assert found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 0


@behaviour("ReplicaSet, completes the scaling of a ReplicaSet subresource")
def test_a_replica_sets_scale(space: Space) -> None:
    space.create(SETS, workload("test-rs", 1))
    scale_is_read_updated_and_patched(space, SETS, "test-rs")


@behaviour("Replica Set, adopt matching pods and release non matching pods")
def test_a_replica_set_adopts_and_releases_pods(space: Space) -> None:
    pods_are_adopted_and_released(space, SETS, workload("adopter", 1, {"name": "pod-adoption-release"}))


@behaviour("ReplicaSet, list and delete a collection of ReplicaSets")
def test_a_collection_of_replica_sets(space: Space) -> None:
    collection_is_listed_and_deleted(space, SETS, workload("test-rs", 3, {"e2e-rs": space.name}))


@behaviour("ReplicaSet, status sub-resource")
def test_a_replica_sets_status(space: Space) -> None:
    space.create(SETS, workload("test-rs", 1))
    space.until_true(SETS, "test-rs", lambda found: found["status"].get("readyReplicas") == 1)
    status_is_read_updated_and_patched(space, SETS, "test-rs")
