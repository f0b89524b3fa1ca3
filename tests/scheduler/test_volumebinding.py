"""Volumes are bound on a pod's way to its node: the whole scheduler, and a test in the place of the volume controller."""

from __future__ import annotations

import asyncio
from typing import Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.scheduler.profiles import Profile
from tests.fakeapi import Bench, bench
from tests.scheduler.storage import attachment, claim, csi, csi_node, storage_class, using, volume
from tests.scheduler.test_framework import running
from tests.scheduler.test_scheduler import condition, events, node, pod, scheduler, where

SELECTED = "volume.kubernetes.io/selected-node"
CLAIMS, VOLUMES = "persistentvolumeclaims", "persistentvolumes"


def clean(obj: Object) -> Object:
    """An object as somebody would create it."""
    metadata = {key: value for key, value in obj["metadata"].items() if key not in ("uid", "resourceVersion")}
    return {**obj, "metadata": metadata}


def finish_binding(found: Bench, name: str, volume_name: str) -> None:
    """What the volume controller does in the end."""
    present = found.api.objects[CLAIMS][f"default/{name}"]
    annotations = {**meta.annotations(present), "pv.kubernetes.io/bind-completed": "yes"}
    metadata = {**present["metadata"], "annotations": annotations}
    spec = {**present["spec"], "volumeName": volume_name}
    found.api.change(CLAIMS, f"default/{name}", metadata=metadata, spec=spec, status={"phase": "Bound"})


def selected(found: Bench, name: str) -> str:
    return meta.annotations(found.api.objects[CLAIMS][f"default/{name}"]).get(SELECTED, "")


def claimed(found: Bench, name: str) -> Any:
    return found.api.objects[VOLUMES][name]["spec"].get("claimRef")


def test_a_volume_is_bound_before_its_pod_and_others_do_not_wait_for_that() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            for item in (node("node-1"), node("node-2"), storage_class(), claim("c"), volume("v", on=("node-2",))):
                found.api.put(clean(item))
            found.api.put(pod("web", volumes=using("c")))
            reference = await found.until(lambda: claimed(found, "v"))
            present = found.api.objects[CLAIMS]["default/c"]
            assert (reference["name"], reference["uid"]) == ("c", meta.uid(present))
            assert meta.annotations(found.api.objects[VOLUMES]["v"])["pv.kubernetes.io/bound-by-controller"] == "yes"
            found.api.put(pod("other"))
            await found.until(lambda: where(found, "other"))
            assert not where(found, "web")
            finish_binding(found, "c", "v")
            await found.until(lambda: where(found, "web") == "node-2")

    asyncio.run(main())


def test_pods_at_the_same_time_get_different_volumes() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            found.api.put(node("node-1"))
            found.api.put(storage_class())
            for number in range(3):
                found.api.put(clean(claim(f"c{number}")))
                found.api.put(clean(volume(f"v{number}")))
                found.api.put(pod(f"p{number}", volumes=using(f"c{number}")))
            await found.until(lambda: all(claimed(found, f"v{number}") for number in range(3)))
            names = {claimed(found, f"v{number}")["name"] for number in range(3)}
            assert names == {"c0", "c1", "c2"}

    asyncio.run(main())


def test_a_provisioner_that_gives_up_makes_the_pod_try_again() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            for item in (node("node-1"), storage_class(provisioner="disk.example.com"), claim("c")):
                found.api.put(clean(item))
            found.api.put(pod("web", volumes=using("c")))
            await found.until(lambda: selected(found, "c") == "node-1")
            present = found.api.objects[CLAIMS]["default/c"]
            found.api.change(CLAIMS, "default/c", metadata={**present["metadata"], "annotations": {"tried": "yes"}})
            (event,) = await found.until(lambda: events(found, "FailedScheduling"))
            assert event["note"] == ('running PreBind plugin "VolumeBinding": binding volumes: provisioning failed for PVC "c"')
            await found.until(lambda: selected(found, "c") == "node-1")
            found.api.put(clean(volume("made", on=("node-1",))))
            finish_binding(found, "c", "made")
            await found.until(lambda: where(found, "web") == "node-1")

    asyncio.run(main())


def test_nobody_waits_longer_than_the_profile_allows() -> None:
    impatient = Profile(args={"VolumeBinding": {"bindTimeoutSeconds": 0}})

    async def main() -> None:
        async with bench(running(profiles=(impatient,))) as found:
            for item in (node("node-1"), storage_class(), claim("c"), volume("v")):
                found.api.put(clean(item))
            found.api.put(pod("web", volumes=using("c")))
            await found.until(lambda: condition(found, "web"))
            assert condition(found, "web")["message"] == (
                'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded'
            )

    asyncio.run(main())


def test_a_pod_that_waits_for_its_claim_is_tried_when_that_is_bound() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            for item in (node("node-1"), storage_class(waits=False), claim("c")):
                found.api.put(clean(item))
            found.api.put(pod("web", volumes=using("c")))
            await found.until(lambda: condition(found, "web"))
            assert condition(found, "web")["message"] == (
                "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
            )
            found.api.put(clean(volume("v")))
            finish_binding(found, "c", "v")
            await found.until(lambda: where(found, "web") == "node-1")

    asyncio.run(main())


def test_the_pod_that_has_a_claim_for_one_pod_is_preempted() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            modes = ("ReadWriteOncePod",)
            for item in (node("node-1"), node("node-2"), claim("c", volume="v", modes=modes), volume("v", modes=modes)):
                found.api.put(clean(item))
            found.api.put(pod("low", volumes=using("c")))
            await found.until(lambda: where(found, "low"))
            found.api.put(pod("high", volumes=using("c"), priority=1000))
            await found.until(lambda: meta.being_deleted(found.api.objects["pods"]["default/low"]))
            found.api.remove("pods", "default/low")
            await found.until(lambda: where(found, "high"))

    asyncio.run(main())


def test_a_node_takes_more_volumes_when_one_has_been_detached_or_its_limit_grows() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            for number in range(3):
                found.api.put(clean(claim(f"c{number}", volume=f"v{number}")))
                found.api.put(clean(volume(f"v{number}", csi=csi(f"h{number}"))))
            found.api.put(node("node-1"))
            found.api.put(csi_node("node-1", 1))
            found.api.put(attachment("old", "node-1", "v0"))
            found.api.put(pod("one", volumes=using("c1")))
            await found.until(lambda: condition(found, "one"))
            assert "1 node(s) exceed max volume count" in condition(found, "one")["message"]
            found.api.remove("volumeattachments.storage.k8s.io", "old")
            await found.until(lambda: where(found, "one"))
            found.api.put(pod("two", volumes=using("c2")))
            await found.until(lambda: condition(found, "two"))
            found.api.put(csi_node("node-1", 2))
            await found.until(lambda: where(found, "two"))

    asyncio.run(main())


def test_a_pod_whose_volume_is_one_too_many_is_preempted() -> None:
    async def main() -> None:
        async with bench(scheduler) as found:
            for number in range(2):
                found.api.put(clean(claim(f"c{number}", volume=f"v{number}")))
                found.api.put(clean(volume(f"v{number}", csi=csi(f"h{number}"))))
            found.api.put(node("node-1"))
            found.api.put(csi_node("node-1", 1))
            found.api.put(pod("plain"))
            found.api.put(pod("low", volumes=using("c0")))
            await found.until(lambda: where(found, "low") and where(found, "plain"))
            found.api.put(pod("high", volumes=using("c1"), priority=1000))
            await found.until(lambda: meta.being_deleted(found.api.objects["pods"]["default/low"]))
            assert not meta.being_deleted(found.api.objects["pods"]["default/plain"])
            found.api.remove("pods", "default/low")
            await found.until(lambda: where(found, "high"))

    asyncio.run(main())
