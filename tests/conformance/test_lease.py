"""Leases."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.world import Space

LEASES = "leases.coordination.k8s.io"


def spec(holder: str, number: int) -> Object:
    """A whole spec, each time another."""
    return {
        "holderIdentity": holder,
        "leaseDurationSeconds": 30 + number,
        "acquireTime": f"2030-01-01T00:00:0{number}.000005Z",
        "renewTime": f"2030-01-01T00:05:0{number}.000005Z",
        "leaseTransitions": number,
    }


@behaviour("lease API should be available")
def test_leases_are_made_updated_patched_listed_and_deleted(space: Space) -> None:
    space.create(LEASES, {"metadata": {"name": "lease"}, "spec": spec("holder", 0)})
    assert space.get(LEASES, "lease")["spec"] == spec("holder", 0)
    space.change(LEASES, "lease", lambda found: found.update(spec=spec("holder2", 1)))
    assert space.get(LEASES, "lease")["spec"] == spec("holder2", 1)
    patch, strategic = {"spec": spec("holder3", 2)}, "application/strategic-merge-patch+json"
    space.patch(LEASES, "lease", patch, content_type=strategic)
    assert space.get(LEASES, "lease")["spec"] == spec("holder3", 2)
    space.create(LEASES, {"metadata": {"name": "lease2", "labels": {"deletecollection": "true"}}, "spec": spec("holder", 0)})
    assert [each["metadata"]["name"] for each in space.list(LEASES)] == ["lease", "lease2"]
    space.delete_all(LEASES, "deletecollection=true")
    assert [each["metadata"]["name"] for each in space.list(LEASES)] == ["lease"]
    space.delete(LEASES, "lease")
    assert space.get(LEASES, "lease", code=404)["reason"] == "NotFound"
