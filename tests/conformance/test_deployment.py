"""Deployments."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.lifecycles import controller_of, scale_is_read_updated_and_patched, status_is_read_updated_and_patched
from tests.conformance.objects import IMAGE, condition, workload
from tests.conformance.world import Space

DEPLOYMENTS, SETS = "deployments.apps", "replicasets.apps"
OTHER_IMAGE, BROKEN_IMAGE = "registry.example/agnhost:2", "registry.example/broken:404"
REVISION = "deployment.kubernetes.io/revision"
LABELS = {"name": "sample-pod"}


def set_image(space: Space, name: str, image: str, **annotations: str) -> None:
    def change(found: Object) -> None:
        found["spec"]["template"]["spec"]["containers"][0]["image"] = image
        if annotations:
            found["spec"]["template"]["metadata"]["annotations"] = annotations

    space.change(DEPLOYMENTS, name, change)


def is_complete(found: Object) -> bool:
    status, wanted = found["status"], found["spec"]["replicas"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    return counts == [wanted] * 3 and status.get("observedGeneration", 0) >= found["metadata"]["generation"]


def until_complete(space: Space, name: str) -> Object:
    return space.until_true(DEPLOYMENTS, name, is_complete)


def revision(found: Object) -> str:
    return str(found["metadata"]["annotations"][REVISION])


def new_set(space: Space, name: str) -> Object:
    """The ReplicaSet of the newest revision."""
    owned = [item for item in space.list(SETS) if controller_of(item) == name]
    return max(owned, key=lambda item: int((item["metadata"].get("annotations") or {}).get(REVISION, "0")))


def images(space: Space) -> set[str]:
    return {each["spec"]["containers"][0]["image"] for each in space.list("pods")}


@behaviour("Deployment RollingUpdate")
def test_a_rolling_update_deletes_old_pods_and_creates_new_ones(space: Space) -> None:
    adopted = workload("test-rolling-update-controller", 1, LABELS)
    adopted["metadata"]["annotations"] = {REVISION: "3546342826334637830"}
    space.create(SETS, adopted)
    space.until_count("pods", 1)
    space.create(DEPLOYMENTS, workload("test-rolling-update-deployment", 1, LABELS, OTHER_IMAGE))
    found = until_complete(space, "test-rolling-update-deployment")
    assert revision(found) == "3546342826334637831"
    space.world.until(lambda: images(space) == {OTHER_IMAGE})
    sets = {item["metadata"]["name"]: item for item in space.list(SETS)}
    old = sets.pop("test-rolling-update-controller")
    assert old["spec"]["replicas"] == 0 and controller_of(old) == "test-rolling-update-deployment"
    (new,) = sets.values()
    assert new["spec"]["replicas"] == 1


@behaviour("Deployment Recreate")
def test_recreation_deletes_all_old_pods_before_new_ones_run(space: Space) -> None:
    space.create(DEPLOYMENTS, workload("test-recreate-deployment", 2, LABELS, strategy={"type": "Recreate"}))
    until_complete(space, "test-recreate-deployment")
    since = space.get(DEPLOYMENTS, "test-recreate-deployment")["metadata"]["resourceVersion"]
    set_image(space, "test-recreate-deployment", OTHER_IMAGE)
    until_complete(space, "test-recreate-deployment")
    space.world.until(lambda: images(space) == {OTHER_IMAGE} and len(space.list("pods")) == 2)
    old_left = 2
    for type_, obj in space.events("pods", since=since):
        is_new = obj["spec"]["containers"][0]["image"] == OTHER_IMAGE
        if type_ == "DELETED" and not is_new:
            old_left -= 1
        if is_new and obj["status"].get("phase") == "Running":
            assert old_left == 0


@behaviour("Deployment RevisionHistoryLimit")
def test_old_replica_sets_beyond_the_limit_are_deleted(space: Space) -> None:
    space.create(SETS, workload("test-cleanup-controller", 1, LABELS))
    space.until_count("pods", 1)
    space.create(DEPLOYMENTS, workload("test-cleanup-deployment", 1, LABELS, OTHER_IMAGE, revisionHistoryLimit=0))
    until_complete(space, "test-cleanup-deployment")
    (left,) = space.until_count(SETS, 1)
    assert controller_of(left) == "test-cleanup-deployment"


@behaviour("Deployment Rollover")
def test_a_rollout_is_overtaken_by_the_next(space: Space) -> None:
    space.create(SETS, workload("test-rollover-controller", 1, LABELS))
    space.until_count("pods", 1)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    space.world.cluster.unready.add(BROKEN_IMAGE)
    first = workload("test-rollover-deployment", 1, LABELS, BROKEN_IMAGE, minReadySeconds=10, strategy=strategy)
    space.create(DEPLOYMENTS, first)
    space.until_count(SETS, 2)
    stuck = space.until_true(DEPLOYMENTS, "test-rollover-deployment", lambda found: found["status"].get("updatedReplicas") == 1)
    assert revision(stuck) == "1"
    set_image(space, "test-rollover-deployment", OTHER_IMAGE)
    until_complete(space, "test-rollover-deployment")
    sets = space.list(SETS)
    newest = new_set(space, "test-rollover-deployment")
    assert revision(newest) == "2" and len(sets) == 3
    assert [item["status"]["replicas"] for item in sets if item["metadata"]["name"] != newest["metadata"]["name"]] == [0, 0]


@behaviour("Deployment Proportional Scaling")
def test_scaling_during_a_rollout_is_shared_out_in_proportion(space: Space) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    space.create(DEPLOYMENTS, workload("webserver-deployment", 10, LABELS, strategy=strategy))
    until_complete(space, "webserver-deployment")
    old = new_set(space, "webserver-deployment")["metadata"]["name"]
    space.world.cluster.unready.add(BROKEN_IMAGE)
    set_image(space, "webserver-deployment", BROKEN_IMAGE)
    space.world.until(lambda: new_set(space, "webserver-deployment")["spec"]["replicas"] == 5)
    new = new_set(space, "webserver-deployment")["metadata"]["name"]
    space.until_true(SETS, old, lambda found: found["status"]["availableReplicas"] == found["spec"]["replicas"] == 8)
    space.patch(DEPLOYMENTS, "webserver-deployment", {"spec": {"replicas": 30}})
    space.until_true(SETS, old, lambda found: found["spec"]["replicas"] == 20)
    space.until_true(SETS, new, lambda found: found["spec"]["replicas"] == 13)


@behaviour("Deployment, completes the scaling of a Deployment subresource")
def test_a_deployments_scale(space: Space) -> None:
    space.create(DEPLOYMENTS, workload("test-new-deployment", 1))
    scale_is_read_updated_and_patched(space, DEPLOYMENTS, "test-new-deployment")


@behaviour("Deployment, status sub-resource")
def test_a_deployments_status(space: Space) -> None:
    space.create(DEPLOYMENTS, workload("test-deployment", 1))
    until_complete(space, "test-deployment")
    status_is_read_updated_and_patched(space, DEPLOYMENTS, "test-deployment")


@behaviour("Deployment, completes the lifecycle of a Deployment")
def test_a_deployment_is_made_patched_scaled_updated_and_deleted(space: Space) -> None:
    label = {"test-deployment-static": "true"}
    mark = f"test-deployment-static=true,space={space.name}"
    made = workload("test-deployment", 2, {**label, "space": space.name}, IMAGE)
    with space.watching(DEPLOYMENTS, mark) as watch:
        space.create(DEPLOYMENTS, made)
        assert watch.next()[0] == "ADDED"
        watch.until("MODIFIED", condition=lambda obj: obj["status"].get("readyReplicas") == 2)
        strategic = "application/strategic-merge-patch+json"
        patch = {
            "metadata": {"labels": {"test-deployment": "patched"}},
            "spec": {
                "replicas": 1,
                "template": {
                    "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": OTHER_IMAGE}]}
                },
            },
        }
        space.patch(DEPLOYMENTS, "test-deployment", patch, content_type=strategic)
        watch.until("MODIFIED", condition=lambda obj: obj["metadata"]["labels"].get("test-deployment") == "patched")
        watch.until("MODIFIED", condition=is_complete)
        (listed,) = space.world.everywhere.list(DEPLOYMENTS, mark)
        assert listed["spec"]["template"]["spec"]["containers"][0]["image"] == OTHER_IMAGE

        def annotate(found: Object) -> None:
            found["status"]["conditions"] = [
                item | {"lastUpdateTime": "2030-01-01T00:00:00Z"} for item in found["status"]["conditions"]
            ]

        written = space.change(DEPLOYMENTS, "test-deployment", annotate, "status")
        assert condition(written, "Available")["lastUpdateTime"] == "2030-01-01T00:00:00Z"
        space.patch(DEPLOYMENTS, "test-deployment", {"status": {"readyReplicas": 0, "availableReplicas": 0}}, "status")
        watch.until("MODIFIED", condition=lambda obj: obj["status"].get("readyReplicas", 0) == 0)
        watch.until("MODIFIED", condition=lambda obj: obj["status"].get("readyReplicas", 0) == 1)
        space.delete_all(DEPLOYMENTS, mark)
        watch.until("DELETED")
    space.until_count("pods", 0)
