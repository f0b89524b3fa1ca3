"""ControllerRevisions."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import workload
from tests.conformance.world import Space

SETS, REVISIONS = "daemonsets.apps", "controllerrevisions.apps"


@behaviour("ControllerRevision, resource lifecycle")
def test_revisions_are_listed_patched_made_deleted_and_updated(space: Space) -> None:
    mark = f"daemonset-name={space.name}"
    labels = {"daemonset-name": space.name}

    def listed(count: int) -> list[Object]:
        found = space.until_count(REVISIONS, count, mark)
        assert len(space.world.everywhere.list(REVISIONS, mark)) == count
        return sorted(found, key=lambda item: int(item["revision"]))

    space.create(SETS, workload("e2e-daemon-set", None, labels))
    (first,) = listed(1)
    name = first["metadata"]["name"]
    patch = {"metadata": {"labels": {name: "patched"}}}
    patched = space.patch(REVISIONS, name, patch, content_type="application/strategic-merge-patch+json")
    assert patched["metadata"]["labels"][name] == "patched" and patched["revision"] == 1
    made: Object = {
        "metadata": {"name": "made-by-hand", "labels": labels, "ownerReferences": first["metadata"]["ownerReferences"]},
        "data": first["data"],
        "revision": first["revision"] + 1,
    }
    space.create(REVISIONS, made)
    assert [item["revision"] for item in listed(2)] == [1, 2]
    space.delete(REVISIONS, name)
    (left,) = listed(1)
    assert left["metadata"]["name"] == "made-by-hand"

    def relabel(found: Object) -> None:
        found["metadata"]["labels"]["made-by-hand"] = "updated"

    assert space.change(REVISIONS, "made-by-hand", relabel)["metadata"]["labels"]["made-by-hand"] == "updated"
    space.patch(SETS, "e2e-daemon-set", {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}})
    assert [item["revision"] for item in listed(2)] == [2, 3]
    space.delete_all(REVISIONS, "made-by-hand=updated")
    assert [item["revision"] for item in listed(1)] == [3]
