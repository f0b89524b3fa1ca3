"""PersistentVolumes and their claims as objects."""

from __future__ import annotations

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.objects import condition
from tests.conformance.world import Space

VOLUMES, CLAIMS = "persistentvolumes", "persistentvolumeclaims"


def volume(space: Space) -> Object:
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": f"class-{space.name}",
        "csi": {"driver": "e2e-driver", "volumeHandle": "e2e-csi-conformance"},
    }
    return {"metadata": {"name": f"pv-{space.name}", "labels": {"e2e-pv-pool": space.name}}, "spec": spec}


def claim(space: Space) -> Object:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": f"class-{space.name}",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    return {"metadata": {"name": f"pvc-{space.name}", "labels": {"e2e-pv-pool": space.name}}, "spec": spec}


def make(space: Space) -> tuple[Object, Object]:
    return space.create(VOLUMES, volume(space)), space.create(CLAIMS, claim(space))


@behaviour("PersistentVolumes(Claims), lifecycle")
def test_a_volume_and_its_claim_live_and_are_replaced(space: Space) -> None:
    made = make(space)
    mark, names = f"e2e-pv-pool={space.name}", [each["metadata"]["name"] for each in made]
    both = list(zip((VOLUMES, CLAIMS), names, strict=True))
    assert len(space.list(VOLUMES, mark)) == len(space.list(CLAIMS)) == 1
    for (resource, name), obj in zip(both, made, strict=True):
        patched = space.patch(resource, name, {"metadata": {"labels": {name: "patched"}}})
        assert patched["metadata"]["labels"][name] == "patched"
        assert space.get(resource, name)["metadata"]["uid"] == obj["metadata"]["uid"]
    for resource, name in reversed(both):
        space.delete(resource, name)
        space.until_gone(resource, name)
    again = make(space)
    for (resource, name), old, new in zip(both, made, again, strict=True):
        assert old["metadata"]["uid"] != new["metadata"]["uid"]

        def relabel(found: Object) -> None:
            found["metadata"]["labels"][found["metadata"]["name"]] = "updated"

        assert space.change(resource, name, relabel)["metadata"]["labels"][name] == "updated"
    for resource, name in reversed(both):
        space.delete_all(resource, f"{name}=updated")
        space.until_gone(resource, name)


@behaviour("PersistentVolumes(Claims), apply changes to a pv/pvc status")
def test_the_statuses_of_volume_and_claim_are_read_patched_and_updated(space: Space) -> None:
    a_volume, a_claim = (each["metadata"]["name"] for each in make(space))
    assert len(space.list(VOLUMES, f"e2e-pv-pool={space.name}")) == len(space.list(CLAIMS)) == 1
    assert space.get(CLAIMS, a_claim, "status")["status"]["phase"] in ("Pending", "Bound")
    assert space.get(VOLUMES, a_volume, "status")["status"]["phase"] in ("Pending", "Available", "Bound")

    def added(type_: str) -> Object:
        return {"type": type_, "status": "True", "reason": "E2E", "message": "Set from an e2e test"}

    patched = space.patch(CLAIMS, a_claim, {"status": {"conditions": [added("StatusPatched")]}}, "status")
    assert condition(patched, "StatusPatched")["message"] == "Set from an e2e test"
    words = {"message": "StatusPatched", "reason": "E2E patchStatus"}
    patched = space.patch(VOLUMES, a_volume, {"status": words}, "status")
    assert patched["status"] | words == patched["status"]

    def append(found: Object) -> None:
        found["status"]["conditions"].append(added("StatusUpdated"))

    updated = space.change(CLAIMS, a_claim, append, "status")
    assert condition(updated, "StatusUpdated") and condition(updated, "StatusPatched")
    words = {"message": "StatusUpdated", "reason": "E2E updateStatus"}
    updated = space.change(VOLUMES, a_volume, lambda found: found["status"].update(words), "status")
    assert updated["status"] | words == updated["status"]
