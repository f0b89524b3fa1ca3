"""CSIDrivers, and pods with volumes of theirs."""

from __future__ import annotations

from tests.conformance import behaviour
from tests.conformance.objects import pod
from tests.conformance.world import Space

DRIVERS = "csidrivers.storage.k8s.io"


@behaviour("CSIDriver, lifecycle")
def test_drivers_are_made_patched_updated_listed_and_deleted(space: Space) -> None:
    mark = f"e2e-test={space.name}"
    names = [f"inline-driver-{space.name}-{number}" for number in range(2)]
    for name in names:
        spec = {"podInfoOnMount": True, "volumeLifecycleModes": ["Ephemeral"], "attachRequired": False}
        space.create(DRIVERS, {"metadata": {"name": name, "labels": {"e2e-test": space.name}}, "spec": spec})
    first, second = names
    patched = space.patch(DRIVERS, first, {"metadata": {"labels": {first: "patched"}}})
    assert patched["metadata"]["labels"][first] == "patched"
    updated = space.change(DRIVERS, second, lambda found: found["metadata"]["labels"].update({second: "updated"}))
    assert updated["metadata"]["labels"][second] == "updated"
    assert [each["metadata"]["name"] for each in space.list(DRIVERS, mark)] == names
    space.delete(DRIVERS, first)
    assert space.get(DRIVERS, first, code=404)["reason"] == "NotFound"
    space.delete_all(DRIVERS, f"{mark},{second}=updated")
    assert space.list(DRIVERS, mark) == []


@behaviour("CSIInlineVolumes should support Pods with inline volumes")
def test_a_pod_has_an_inline_volume(space: Space) -> None:
    driver = f"e2e.example.com-{space.name}"
    spec = {"podInfoOnMount": True, "volumeLifecycleModes": ["Ephemeral"]}
    space.create(DRIVERS, {"metadata": {"name": driver}, "spec": spec})
    volume = {"name": "test-csi-volume", "csi": {"driver": driver, "fsType": "ext4", "volumeAttributes": {"size": "1Gi"}}}
    made = pod("test-csi-pod", {"test": space.name}, volumes=[volume], automountServiceAccountToken=False)
    made["spec"]["containers"][0]["volumeMounts"] = [{"name": "test-csi-volume", "mountPath": "/csi"}]
    space.create("pods", made)
    assert space.get("pods", "test-csi-pod")["spec"]["volumes"] == [volume]
    assert len(space.list("pods", f"test={space.name}")) == 1
    patch = {"metadata": {"labels": {"patched": "true"}}}
    patched = space.patch("pods", "test-csi-pod", patch, content_type="application/strategic-merge-patch+json")
    assert patched["metadata"]["labels"]["patched"] == "true" and patched["spec"]["volumes"] == [volume]
    space.delete("pods", "test-csi-pod", gracePeriodSeconds=0)
    space.until_gone("pods", "test-csi-pod")
