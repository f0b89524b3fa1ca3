"""What becomes of what an owner owned."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import pod, replication_controller, workload
from tests.conformance.world import Space

REPLICAS = 10
DEPLOYMENTS, SETS, CONTROLLERS = "deployments.apps", "replicasets.apps", "replicationcontrollers"


def owners(obj: Object) -> list[str]:
    return [owner["name"] for owner in obj["metadata"].get("ownerReferences") or ()]


def make_controller(space: Space, name: str, replicas: int = REPLICAS) -> Object:
    """A replication controller and all its pods."""
    space.create(CONTROLLERS, replication_controller(name, replicas))
    return space.until_true(CONTROLLERS, name, lambda rc: rc["status"].get("replicas") == replicas)


@behaviour("Garbage Collector, delete replication controller, propagation policy background")
def test_pods_go_after_their_controller(space: Space) -> None:
    make_controller(space, "simple", 2)
    space.delete(CONTROLLERS, "simple", propagationPolicy="Background")
    assert space.find(CONTROLLERS, "simple") is None
    space.until_count("pods", 0)


@behaviour("Garbage Collector, delete replication controller, propagation policy orphan")
def test_pods_stay_when_their_controller_orphans_them(space: Space) -> None:
    make_controller(space, "simple")
    space.delete(CONTROLLERS, "simple", propagationPolicy="Orphan")
    space.until_gone(CONTROLLERS, "simple")
    space.world.pass_time(30)
    left = space.list("pods")
    assert len(left) == REPLICAS
    assert not any(owners(each) or "deletionTimestamp" in each["metadata"] for each in left)


@behaviour("Garbage Collector, delete deployment,  propagation policy background")
def test_a_deployments_replica_set_and_pods_go_with_it(space: Space) -> None:
    space.create(DEPLOYMENTS, workload("simple", 2))
    space.until_count("pods", 2)
    space.delete(DEPLOYMENTS, "simple", propagationPolicy="Background")
    space.until_count(SETS, 0)
    space.until_count("pods", 0)


@behaviour("Garbage Collector, delete deployment, propagation policy orphan")
def test_a_deployments_replica_set_and_pods_stay_when_it_orphans_them(space: Space) -> None:
    space.create(DEPLOYMENTS, workload("simple", 2))
    space.until_count("pods", 2)
    space.delete(DEPLOYMENTS, "simple", propagationPolicy="Orphan")
    space.until_gone(DEPLOYMENTS, "simple")
    space.world.pass_time(30)
    (found,) = space.list(SETS)
    assert owners(found) == []
    assert [owners(each) for each in space.list("pods")] == [[found["metadata"]["name"]]] * 2


@behaviour("Garbage Collector, delete replication controller, after owned pods")
def test_a_controller_deleted_in_the_foreground_goes_after_all_its_pods(space: Space) -> None:
    since = make_controller(space, "simple")["metadata"]["resourceVersion"]
    answer = space.delete(CONTROLLERS, "simple", code=202, propagationPolicy="Foreground")
    assert answer["metadata"]["finalizers"] == ["foregroundDeletion"] and "deletionTimestamp" in answer["metadata"]
    space.until_gone(CONTROLLERS, "simple")
    assert space.list("pods") == []
    pods = [int(obj["metadata"]["resourceVersion"]) for type_, obj in space.events("pods", since=since) if type_ == "DELETED"]
    gone = [obj for type_, obj in space.events(CONTROLLERS, since=since) if type_ == "DELETED"]
    assert len(pods) == REPLICAS
    assert max(pods) < int(gone[0]["metadata"]["resourceVersion"])


@behaviour("Garbage Collector, multiple owners")
def test_what_another_owner_keeps_stays(space: Space) -> None:
    going, staying = make_controller(space, "going"), make_controller(space, "staying", 0)
    shared = [each["metadata"]["name"] for each in space.list("pods")[: REPLICAS // 2]]
    owner = {"apiVersion": "v1", "kind": "ReplicationController", "name": "staying", "uid": staying["metadata"]["uid"]}
    for name in shared:
        patch = [{"op": "add", "path": "/metadata/ownerReferences/-", "value": owner}]
        space.patch("pods", name, patch, content_type="application/json-patch+json")
    uid = {"uid": going["metadata"]["uid"]}
    space.delete(CONTROLLERS, "going", code=202, propagationPolicy="Foreground", preconditions=uid)
    space.until_gone(CONTROLLERS, "going")
    space.world.pass_time(30)
    left = space.list("pods")
    assert sorted(each["metadata"]["name"] for each in left) == sorted(shared)
    for each in left:
        assert owners(each) == ["staying"] and "deletionTimestamp" not in each["metadata"]


@behaviour("Garbage Collector, dependency cycle")
def test_a_circle_of_owners_goes_as_a_whole(space: Space) -> None:
    made = [space.create("pods", pod(f"pod{number}")) for number in range(3)]
    for number, each in enumerate(made):
        owner = made[number - 1]["metadata"]
        reference = {"apiVersion": "v1", "kind": "Pod", "name": owner["name"], "uid": owner["uid"]}
        reference |= {"controller": True, "blockOwnerDeletion": True}
        space.patch("pods", each["metadata"]["name"], {"metadata": {"ownerReferences": [reference]}})
    space.delete("pods", "pod0", code=202, propagationPolicy="Foreground")
    space.until_count("pods", 0)
