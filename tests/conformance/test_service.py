"""Services as objects."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import condition
from tests.conformance.world import Space, World

SERVICES = "services"


def service(name: str, labels: Object, type_: str = "ClusterIP") -> Object:
    ports = [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 80}]
    return {"metadata": {"name": name, "labels": labels}, "spec": {"type": type_, "ports": ports}}


@behaviour("Find Kubernetes Service in default Namespace")
def test_the_kubernetes_service_is_listed(world: World) -> None:
    found = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in world.everywhere.list(SERVICES)}
    assert ("default", "kubernetes") in found


@behaviour("Service, deletes a collection of services")
def test_a_collection_of_services_is_deleted(space: Space) -> None:
    for name, label in (("e2e-svc-a", "true"), ("e2e-svc-b", "true"), ("e2e-svc-c", "false")):
        space.create(SERVICES, service(name, {"e2e-collection": label}))
    assert len(space.list(SERVICES)) == 3
    space.delete_all(SERVICES, "e2e-collection=true")
    assert [each["metadata"]["name"] for each in space.list(SERVICES)] == ["e2e-svc-c"]


@behaviour("Service, complete ServiceStatus lifecycle")
def test_a_services_status_is_read_patched_and_updated(space: Space) -> None:
    mark = f"test-service-static={space.name}"
    with space.watching(SERVICES, mark) as watch:
        space.create(SERVICES, service("test-service", {"test-service-static": space.name}, "LoadBalancer"))
        assert watch.next()[0] == "ADDED"
        assert space.get(SERVICES, "test-service", "status")["status"] == {"loadBalancer": {}}
        ingress = {"loadBalancer": {"ingress": [{"ip": "203.0.113.1", "ipMode": "VIP"}]}}
        patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": ingress}
        patched = space.patch(SERVICES, "test-service", patch, "status")
        assert patched["status"] == ingress and patched["metadata"]["annotations"]["patchedstatus"] == "true"
        watch.until("MODIFIED", condition=lambda obj: obj["status"] == ingress)
        added = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
        added["lastTransitionTime"] = "2030-01-01T00:00:00Z"
        updated = space.change(SERVICES, "test-service", lambda found: found["status"].update(conditions=[added]), "status")
        assert condition(updated, "StatusUpdate") == added
        watch.until("MODIFIED", condition=lambda obj: condition(obj, "StatusUpdate") == added)
        patch = {"metadata": {"labels": {"test-service": "patched"}}}
        space.patch(SERVICES, "test-service", patch, content_type="application/strategic-merge-patch+json")
        seen = watch.until("MODIFIED", condition=lambda obj: obj["metadata"]["labels"].get("test-service") == "patched")
        assert seen["status"] == updated["status"]
        space.delete(SERVICES, "test-service")
        watch.until("DELETED")
