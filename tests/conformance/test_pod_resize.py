"""Pods that get more or less cpu and memory while they run."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import IMAGE
from tests.conformance.test_pods import STRATEGIC, until_running
from tests.conformance.world import Space

Sizes = tuple[str, str, str, str]
"""Requested cpu and memory, limits of cpu and memory; "" is none."""
FIELDS = (("requests", "cpu"), ("requests", "memory"), ("limits", "cpu"), ("limits", "memory"))


def resources(sizes: Sizes) -> Object:
    found: Object = {}
    for (side, name), amount in zip(FIELDS, sizes, strict=True):
        if amount:
            found.setdefault(side, {})[name] = amount
    return found


def exactly(cpu: str, memory: str) -> Sizes:
    return cpu, memory, cpu, memory


def containers(sizes: list[Sizes]) -> list[Object]:
    return [{"name": f"c{number}", "resources": resources(each)} for number, each in enumerate(sizes, 1)]


def resized(space: Space, before: list[Sizes], after: list[Sizes], qos: str) -> None:
    """A running pod gets what is asked for, then what it had."""
    spec = {"containers": [{**each, "image": IMAGE} for each in containers(before)]}
    made = space.create("pods", {"metadata": {"name": "resized"}, "spec": spec})
    assert made["status"]["qosClass"] == qos
    until_running(space, "resized")
    for generation, sizes in ((2, after), (3, before)):
        wanted = [resources(each) for each in sizes]
        patch = {"spec": {"containers": containers(sizes)}}
        patched = space.patch("pods", "resized", patch, "resize", content_type=STRATEGIC)
        assert [each["resources"] for each in patched["spec"]["containers"]] == wanted
        assert patched["metadata"]["generation"] == generation
        found = until_sized(space, wanted)
        assert found["status"]["qosClass"] == qos and found["status"]["observedGeneration"] == generation
        assert [each["restartCount"] for each in found["status"]["containerStatuses"]] == [0] * len(sizes)


def until_sized(space: Space, wanted: list[Object]) -> Object:
    def are(found: Object) -> bool:
        statuses = found["status"]["containerStatuses"]
        allocated = [
            each["allocatedResources"] == size.get("requests", {}) for each, size in zip(statuses, wanted, strict=True)
        ]
        return all(allocated) and [each["resources"] for each in statuses] == wanted

    return space.until_true("pods", "resized", are)


@behaviour("In-place Pod Resize, guaranteed pods with multiple containers, net increase")
def test_a_guaranteed_pod_grows(space: Space) -> None:
    before = [exactly("20m", "20Mi"), exactly("20m", "20Mi"), exactly("20m", "20Mi")]
    resized(space, before, [exactly("25m", "15Mi"), exactly("15m", "40Mi"), exactly("40m", "20Mi")], "Guaranteed")


@behaviour("In-place Pod Resize, guaranteed pods with multiple containers, net decrease")
def test_a_guaranteed_pod_shrinks(space: Space) -> None:
    before = [exactly("30m", "40Mi"), exactly("30m", "40Mi"), exactly("30m", "40Mi")]
    resized(space, before, [exactly("20m", "42Mi"), exactly("35m", "15Mi"), exactly("10m", "40Mi")], "Guaranteed")


@behaviour("In-place Pod Resize, guaranteed pods with multiple containers, various operations")
def test_each_container_of_a_guaranteed_pod_changes_in_its_own_way(space: Space) -> None:
    before = [exactly("20m", "20Mi"), exactly("30m", "30Mi"), exactly("40m", "40Mi")]
    resized(space, before, [exactly("25m", "20Mi"), exactly("30m", "35Mi"), exactly("30m", "30Mi")], "Guaranteed")


@behaviour("In-place Pod Resize, burtable pod with multiple containers and various operations")
def test_each_container_of_a_burstable_pod_changes_in_its_own_way(space: Space) -> None:
    before = [
        ("20m", "20Mi", "30m", "30Mi"),
        ("20m", "", "30m", ""),
        ("", "20Mi", "", "30Mi"),
        ("20m", "20Mi", "", ""),
        ("20m", "20Mi", "30m", ""),
        ("20m", "20Mi", "30m", "30Mi"),
    ]
    after = [
        ("25m", "15Mi", "35m", "25Mi"),
        ("15m", "", "35m", ""),
        ("", "25Mi", "", "35Mi"),
        ("30m", "10Mi", "", ""),
        ("20m", "20Mi", "40m", ""),
        ("20m", "20Mi", "30m", "30Mi"),
    ]
    resized(space, before, after, "Burstable")


@behaviour("In-place Pod Resize, burstable pod resized with equivalents")
def test_amounts_that_come_to_the_same_are_shown_as_they_were_asked_for(space: Space) -> None:
    resized(space, [("2m", "", "10m", "")], [("1m", "", "5m", "")], "Burstable")


@behaviour("In-place Pod Resize, read and replace endpoints")
def test_the_part_is_read_and_replaced(space: Space) -> None:
    small, large = resources(("20m", "20Mi", "", "")), resources(("25m", "25Mi", "", ""))
    spec = {"containers": [{"name": "c1", "image": IMAGE, "resources": small}]}
    space.create("pods", {"metadata": {"name": "resized"}, "spec": spec})
    until_running(space, "resized")
    replaced = space.change("pods", "resized", lambda found: found["spec"]["containers"][0].update(resources=large), "resize")
    assert replaced["spec"]["containers"][0]["resources"] == large
    until_sized(space, [large])
    assert space.get("pods", "resized", "resize") == space.get("pods", "resized")
