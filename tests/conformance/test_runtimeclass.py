"""RuntimeClasses, and pods that ask for one."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.lifecycles import supports_api_operations
from tests.conformance.objects import pod
from tests.conformance.world import Space

CLASSES = "runtimeclasses.node.k8s.io"


def make(space: Space, overhead: Object | None = None) -> str:
    name = f"class-{space.name}"
    fields = {"overhead": {"podFixed": overhead}} if overhead else {}
    space.create(CLASSES, {"metadata": {"name": name}, "handler": "preconfigured", **fields})
    return name


@behaviour("Pod with the non-existing RuntimeClass is rejected.")
def test_a_pod_of_a_class_that_is_not_there_is_refused(space: Space) -> None:
    refused = space.create("pods", pod("test-runtimeclass", runtimeClassName="nonexistent"), code=403)
    assert refused["reason"] == "Forbidden" and "nonexistent" in refused["message"]


@behaviour("Pod with the deleted RuntimeClass is rejected.")
def test_a_pod_of_a_class_that_was_deleted_is_refused(space: Space) -> None:
    name = make(space)
    space.delete(CLASSES, name)
    space.until_gone(CLASSES, name)
    assert space.create("pods", pod("test-runtimeclass", runtimeClassName=name), code=403)["reason"] == "Forbidden"


@behaviour("Can schedule a pod requesting existing RuntimeClass.")
def test_a_pod_of_a_class_without_overhead_is_scheduled(space: Space) -> None:
    made = space.create("pods", pod("test-runtimeclass", runtimeClassName=make(space)))
    assert "overhead" not in made["spec"]
    space.until_true("pods", "test-runtimeclass", lambda found: found["spec"].get("nodeName"))


@behaviour("RuntimeClass Overhead field must be respected.")
def test_a_pod_is_given_its_classes_overhead_and_scheduled(space: Space) -> None:
    overhead = {"cpu": "10m", "memory": "1Mi"}
    made = space.create("pods", pod("test-runtimeclass", runtimeClassName=make(space, overhead)))
    assert made["spec"]["overhead"] == overhead
    space.until_true("pods", "test-runtimeclass", lambda found: found["spec"].get("nodeName"))


@behaviour("RuntimeClass API")
def test_a_runtime_class_does_every_verb(space: Space) -> None:
    names = [f"{space.name}-class-{number}" for number in range(3)]
    supports_api_operations(space, CLASSES, names, {"handler": "e2e-handler"})
