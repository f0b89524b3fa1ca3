"""Namespaces, and what goes with them."""

from __future__ import annotations

from collections.abc import Callable

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import condition, pod
from tests.conformance.world import Space

FAKE_FINALIZER = "e2e.example.com/fakeFinalizer"


def delete_and_make_again(space: Space) -> None:
    space.delete("namespaces", space.name)
    space.until_gone("namespaces", space.name)
    space.create("namespaces", {"metadata": {"name": space.name}})
    space.world.until(lambda: space.find("serviceaccounts", "default"))


@behaviour("namespace-deletion-removes-pods")
def test_pods_go_with_their_namespace(space: Space) -> None:
    space.create("pods", pod("test-pod"))
    space.until_true("pods", "test-pod", lambda found: found["status"].get("phase") == "Running")
    delete_and_make_again(space)
    assert space.list("pods") == []


@behaviour("namespace-deletion-removes-services")
def test_services_go_with_their_namespace(space: Space) -> None:
    spec = {"selector": {"foo": "bar", "baz": "blah"}, "ports": [{"port": 80, "targetPort": 80}]}
    space.create("services", {"metadata": {"name": "test-service"}, "spec": spec})
    delete_and_make_again(space)
    assert space.list("services") == []


@behaviour("Namespace patching")
def test_a_namespace_is_patched(space: Space) -> None:
    patch = {"metadata": {"labels": {"testLabel": "testValue"}}}
    space.patch("namespaces", space.name, patch, content_type="application/strategic-merge-patch+json")
    assert space.get("namespaces", space.name)["metadata"]["labels"]["testLabel"] == "testValue"


@behaviour("Namespace, apply update to a namespace")
def test_a_namespace_is_updated(space: Space) -> None:
    def change(found: Object) -> None:
        found["metadata"].setdefault("labels", {})[space.name] = "updated"

    assert space.change("namespaces", space.name, change)["metadata"]["labels"][space.name] == "updated"
    assert space.get("namespaces", space.name)["metadata"]["labels"][space.name] == "updated"


@behaviour("Namespace, apply changes to a namespace status")
def test_a_namespaces_status_is_read_patched_and_updated(space: Space) -> None:
    assert space.get("namespaces", space.name, "status")["status"]["phase"] == "Active"
    added = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "Patched by an e2e test"}
    patch = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"conditions": [added]}}
    patched = space.patch("namespaces", space.name, patch, "status")
    assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
    assert {**condition(patched, "StatusPatch"), **added} == condition(patched, "StatusPatch")

    def change(found: Object) -> None:
        update = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Updated by an e2e test"}
        found["status"]["conditions"].append(update)

    space.change("namespaces", space.name, change, "status")
    found = space.get("namespaces", space.name)
    assert condition(found, "StatusUpdate")["message"] == "Updated by an e2e test"
    assert condition(found, "StatusPatch")["message"] == "Patched by an e2e test"
    assert found["status"]["phase"] == "Active"


@behaviour("Namespace, apply finalizer to a namespace")
def test_a_namespaces_finalizers_are_changed_by_finalize(space: Space) -> None:
    def finalizers() -> list[str]:
        return list(space.get("namespaces", space.name)["spec"]["finalizers"])

    def finalize(change: Callable[[Object], None]) -> None:
        found = space.get("namespaces", space.name)
        change(found)
        space.update("namespaces", found, "finalize")

    assert finalizers() == ["kubernetes"]
    finalize(lambda found: found["spec"]["finalizers"].append(FAKE_FINALIZER))
    assert finalizers() == ["kubernetes", FAKE_FINALIZER]
    finalize(lambda found: found["spec"]["finalizers"].remove(FAKE_FINALIZER))
    assert finalizers() == ["kubernetes"]


@behaviour("Ordered Namespace Deletion")
def test_pods_go_before_everything_else_of_their_namespace(space: Space) -> None:
    held = pod("held")
    held["metadata"]["finalizers"] = [FAKE_FINALIZER]
    space.create("pods", held)
    space.create("configmaps", {"metadata": {"name": "test-configmap"}, "data": {"key": "value"}})
    space.delete("namespaces", space.name)
    space.until_true(
        "namespaces", space.name, lambda found: condition(found, "NamespaceFinalizersRemaining").get("status") == "True"
    )
    found = space.get("namespaces", space.name)
    assert (
        condition(found, "NamespaceContentRemaining")["message"]
        == "Some resources are remaining: pods. has 1 resource instances"
    )
    assert "deletionTimestamp" in space.get("pods", "held")["metadata"]
    space.world.pass_time(60)
    assert "deletionTimestamp" not in space.get("configmaps", "test-configmap")["metadata"]
    space.patch("pods", "held", {"metadata": {"finalizers": None}})
    space.until_gone("namespaces", space.name)
    assert space.list("configmaps") == []
