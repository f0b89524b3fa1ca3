"""What a namespace may use, and what is counted of it."""

from __future__ import annotations

from typing import Any

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import container, pod, replication_controller, workload
from tests.conformance.world import Space

QUOTAS = "resourcequotas"
HARD = {
    "pods": "5",
    "services": "10",
    "services.nodeports": "1",
    "services.loadbalancers": "1",
    "replicationcontrollers": "10",
    "resourcequotas": "1",
    "cpu": "1",
    "memory": "500Mi",
    "configmaps": "10",
    "secrets": "10",
    "persistentvolumeclaims": "10",
    "requests.storage": "10Gi",
    "requests.ephemeral-storage": "50Gi",
    "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "10",
    "gold.storageclass.storage.k8s.io/requests.storage": "10Gi",
    "count/replicasets.apps": "5",
    "requests.example.com/dongle": "3",
}
COMPUTE = {"requests.cpu": "1", "requests.memory": "500Mi", "limits.cpu": "2", "limits.memory": "1Gi", "pods": "5"}


def make(space: Space, name: str = "test-quota", hard: Object = HARD, **spec: Any) -> Object:
    """A quota whose use has been counted."""
    space.create(QUOTAS, {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})
    return space.until_true(
        QUOTAS, name, lambda found: found["status"].get("hard") == hard and set(used_of(found)) == set(hard)
    )


def used_of(quota: Object) -> Object:
    found: Object = quota["status"].get("used") or {}
    return found


def until_used(space: Space, name: str = "test-quota", **used: str) -> None:
    """Names in `used` have two underscores for a slash, and one for a dot."""
    expected = {key.replace("__", "/").replace("_", "."): value for key, value in used.items()}
    space.until_true(QUOTAS, name, lambda found: {key: used_of(found).get(key) for key in expected} == expected)


def idle(quota: Object) -> bool:
    """Whether nothing is in use, but for the quota itself and what is in every namespace."""
    used = {key: value for key, value in used_of(quota).items() if key not in ("resourcequotas", "configmaps", "secrets")}
    return set(used.values()) <= {"0"}


def with_resources(name: str, requests: Object, limits: Object | None = None, **spec: Any) -> Object:
    resources = {"requests": requests, **({"limits": limits} if limits else {})}
    return {"metadata": {"name": name}, "spec": {"containers": [container(resources=resources)], **spec}}


@behaviour("ResourceQuota, object count quota, resourcequotas")
def test_a_quotas_status_is_calculated(space: Space) -> None:
    assert idle(make(space))
    until_used(space, resourcequotas="1")


@behaviour("ResourceQuota, object count quota, service")
def test_services_are_counted_and_refused(space: Space) -> None:
    def service(name: str, type_: str) -> Object:
        return {"metadata": {"name": name}, "spec": {"type": type_, "ports": [{"port": 80, "targetPort": 80}]}}

    make(space)
    space.create("services", service("test-service", "ClusterIP"))
    space.create("services", service("test-service-np", "NodePort"))
    refused = space.create("services", service("test-service-lb", "LoadBalancer"), code=403)
    assert "exceeded quota: test-quota" in refused["message"]
    until_used(space, services="2", services_nodeports="1", services_loadbalancers="0")
    space.delete("services", "test-service")
    space.delete("services", "test-service-np")
    until_used(space, services="0", services_nodeports="0", services_loadbalancers="0")


def counts(space: Space, resource: str, obj: Object, key: str) -> None:
    """That an object is counted while it is there."""
    make(space)
    before = int(used_of(space.get(QUOTAS, "test-quota"))[key])
    name = obj["metadata"]["name"]
    space.create(resource, obj)
    space.until_true(QUOTAS, "test-quota", lambda found: used_of(found)[key] == str(before + 1))
    space.delete(resource, name)
    space.until_true(QUOTAS, "test-quota", lambda found: used_of(found)[key] == str(before))


@behaviour("ResourceQuota, object count quota, secret")
def test_secrets_are_counted(space: Space) -> None:
    counts(space, "secrets", {"metadata": {"name": "test-secret"}, "stringData": {"data-1": "value-1"}}, "secrets")


@behaviour("ResourceQuota, object count quota, configmap")
def test_config_maps_are_counted(space: Space) -> None:
    counts(space, "configmaps", {"metadata": {"name": "test-configmap"}, "data": {"a": "b"}}, "configmaps")


@behaviour("ResourceQuota, object count quota, replicationController")
def test_replication_controllers_are_counted(space: Space) -> None:
    counts(space, "replicationcontrollers", replication_controller("test-rc", 0), "replicationcontrollers")


@behaviour("ResourceQuota, object count quota, replicaSet")
def test_replica_sets_are_counted(space: Space) -> None:
    counts(space, "replicasets.apps", workload("test-rs", 0), "count/replicasets.apps")


@behaviour("ResourceQuota, object count quota, pod")
def test_what_pods_request_is_counted_and_refused(space: Space) -> None:
    make(space)
    dongle = {"example.com/dongle": "2"}
    space.create(
        "pods", with_resources("test-pod", {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", **dongle}, dongle)
    )
    used = {
        "pods": "1",
        "cpu": "500m",
        "memory": "252Mi",
        "requests_ephemeral-storage": "30Gi",
        "requests_example_com__dongle": "2",
    }
    until_used(space, **used)
    refused = space.create("pods", with_resources("fail-pod", {"cpu": "600m", "memory": "100Mi"}), code=403)
    assert refused["message"] == (
        'pods "fail-pod" is forbidden: exceeded quota: test-quota, requested: cpu=600m, used: cpu=500m, limited: cpu=1'
    )
    extended = with_resources("fail-pod-extended", {"cpu": "100m", "memory": "100Mi", **dongle}, dongle)
    assert "requests.example.com/dongle" in space.create("pods", extended, code=403)["message"]

    def change(found: Object) -> None:
        found["spec"]["containers"][0]["resources"]["requests"] |= {"cpu": "100m", "memory": "100Mi"}

    assert space.change("pods", "test-pod", change, code=422)["reason"] == "Invalid"
    until_used(space, **used)
    space.delete("pods", "test-pod", gracePeriodSeconds=0)
    space.until_true(QUOTAS, "test-quota", idle)


@behaviour("ResourceQuota, quota scope, Terminating and NotTerminating scope")
def test_pods_with_a_deadline_count_apart(space: Space) -> None:
    make(space, "quota-terminating", COMPUTE, scopes=["Terminating"])
    make(space, "quota-not-terminating", COMPUTE, scopes=["NotTerminating"])
    requests, limits = {"cpu": "500m", "memory": "200Mi"}, {"cpu": "1", "memory": "400Mi"}
    used = {"pods": "1", "requests_cpu": "500m", "requests_memory": "200Mi", "limits_cpu": "1", "limits_memory": "400Mi"}
    for spec, counting, other in (
        ({}, "quota-not-terminating", "quota-terminating"),
        ({"activeDeadlineSeconds": 3600}, "quota-terminating", "quota-not-terminating"),
    ):
        space.create("pods", with_resources("test-pod", requests, limits, **spec))
        until_used(space, counting, **used)
        assert idle(space.get(QUOTAS, other))
        space.delete("pods", "test-pod", gracePeriodSeconds=0)
        space.until_true(QUOTAS, counting, idle)


@behaviour("ResourceQuota, quota scope, BestEffort and NotBestEffort scope")
def test_pods_of_best_effort_count_apart(space: Space) -> None:
    make(space, "quota-besteffort", {"pods": "5"}, scopes=["BestEffort"])
    make(space, "quota-not-besteffort", {"pods": "5"}, scopes=["NotBestEffort"])
    resources = {"cpu": "500m", "memory": "200Mi"}
    for made, counting, other in (
        (pod("test-pod"), "quota-besteffort", "quota-not-besteffort"),
        (with_resources("test-pod", resources, resources), "quota-not-besteffort", "quota-besteffort"),
    ):
        space.create("pods", made)
        until_used(space, counting, pods="1")
        assert idle(space.get(QUOTAS, other))
        space.delete("pods", "test-pod", gracePeriodSeconds=0)
        space.until_true(QUOTAS, counting, idle)


@behaviour("ResourceQuota, update and delete")
def test_a_quota_is_updated_and_deleted(space: Space) -> None:
    make(space, hard={"cpu": "1", "memory": "500Mi"})
    changed = {"cpu": "2", "memory": "1Gi"}
    space.change(QUOTAS, "test-quota", lambda found: found["spec"].update(hard=changed))
    assert space.get(QUOTAS, "test-quota")["spec"]["hard"] == changed
    space.delete(QUOTAS, "test-quota")
    assert space.get(QUOTAS, "test-quota", code=404)["reason"] == "NotFound"


@behaviour("ResourceQuota, manage lifecycle of a ResourceQuota")
def test_a_quota_is_listed_patched_and_deleted_with_its_collection(space: Space) -> None:
    labels = f"e2e-rq={space.name}"
    made = {
        "metadata": {"name": "test-quota", "labels": {"e2e-rq": space.name}},
        "spec": {"hard": {"cpu": "1", "memory": "500Mi"}},
    }
    space.create(QUOTAS, made)
    assert len(space.world.everywhere.list(QUOTAS, labels)) == 1
    patch = {"metadata": {"labels": {"test-quota": "patched"}}, "spec": {"hard": {"memory": "750Mi"}}}
    patched = space.patch(QUOTAS, "test-quota", patch)
    assert patched["metadata"]["labels"]["test-quota"] == "patched"
    assert patched["spec"]["hard"] == {"cpu": "1", "memory": "750Mi"}
    space.delete_all(QUOTAS, labels)
    assert space.world.everywhere.list(QUOTAS, labels) == []


@behaviour("ResourceQuota, apply changes to a ResourceQuota status")
def test_a_quotas_status_is_written_and_put_right_again(space: Space) -> None:
    def is_written(hard: Object, since: str) -> None:
        """It was seen, and what the spec says has come back."""
        events = space.events(QUOTAS, since=since)
        assert any(obj["status"].get("hard") == hard for _, obj in events)
        space.until_true(QUOTAS, "test-quota", lambda found: found["status"]["hard"] == found["spec"]["hard"])

    make(space, hard={"cpu": "500m", "memory": "500Mi"})
    since, changed = space.get(QUOTAS, "test-quota")["metadata"]["resourceVersion"], {"cpu": "1", "memory": "600Mi"}
    updated = space.change(QUOTAS, "test-quota", lambda found: found["status"].update(hard=changed), "status")
    assert updated["status"]["hard"] == changed and updated["spec"]["hard"] == {"cpu": "500m", "memory": "500Mi"}
    is_written(changed, since)
    spec = {"cpu": "1", "memory": "1Gi"}
    space.patch(QUOTAS, "test-quota", {"spec": {"hard": spec}})
    space.until_true(QUOTAS, "test-quota", lambda found: found["status"]["hard"] == spec)
    for hard in ({"cpu": "2", "memory": "2Gi"}, {"cpu": "3", "memory": "3Gi"}):
        since = space.get(QUOTAS, "test-quota", "status")["metadata"]["resourceVersion"]
        space.patch(QUOTAS, "test-quota", {"status": {"hard": hard}}, "status")
        is_written(hard, since)
        found = space.get(QUOTAS, "test-quota", "status")
        assert found["spec"]["hard"] == found["status"]["hard"] == spec
