"""Claims are made for pods that name templates, reserved for those that use them, and freed when they are done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from navarch.api import registry
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.controllers import resourceclaimpods as plan
from tests.apiserver.samples import pod, sample
from tests.controllers.cluster import Cluster, cluster

CLAIMS, TEMPLATES = "resourceclaims.resource.k8s.io", "resourceclaimtemplates.resource.k8s.io"
RESULT = {"request": "gpu", "driver": "dra.example.com", "pool": "pool", "device": "gpu-0"}
ALLOCATION = {"devices": {"results": [RESULT]}}
# Nobody runs what is bound to it.
SILENT = "silent"


def run(tmp_path: Path, test: Callable[[Cluster], Awaitable[None]]) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            found.silent.add(SILENT)
            await test(found)

    asyncio.run(main())


def claim(name: str = "shared", **metadata: Any) -> Object:
    body = sample(registry.resource(CLAIMS), name)
    body["metadata"] |= metadata
    return body


def template(name: str = "gpus") -> Object:
    body = sample(registry.resource(TEMPLATES), name)
    body["spec"]["metadata"] = {"labels": {"for": "gpus"}, "annotations": {"note": "kept"}}
    return body


def templated(name: str = "user", **spec: Any) -> Object:
    return pod(name, resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "gpus"}], **spec)


def using(name: str = "user", **spec: Any) -> Object:
    return pod(name, resourceClaims=[{"name": "gpu", "resourceClaimName": "shared"}], **spec)


def recorded(found: Cluster, name: str = "user") -> str | None:
    """Which claim the pod was told of."""
    body = found.one("pods", f"default/{name}")
    return plan.recorded(body).get("gpu") if body else None


def consumers(found: Cluster, name: str = "shared") -> list[str] | None:
    """For whom a claim is reserved; None if there is no such claim."""
    body = found.one(CLAIMS, f"default/{name}")
    return None if body is None else [consumer["name"] for consumer in plan.consumers(body)]


async def allocate(found: Cluster, name: str = "shared", *users: Object) -> None:
    status: Object = {"allocation": ALLOCATION}
    if users:
        status["reservedFor"] = list(users)
    await found.client.patch(CLAIMS, name, {"status": status}, "default", subresource="status")


async def end(found: Cluster, name: str = "user", phase: str = "Succeeded") -> None:
    await found.client.patch("pods", name, {"status": {"phase": phase}}, "default", subresource="status")


# Made from templates.


def test_a_pod_gets_a_claim_from_its_template(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        source = await found.client.create(TEMPLATES, template())
        created = await found.client.create("pods", templated())
        name = await found.until(lambda: recorded(found))
        made = await found.until(lambda: found.one(CLAIMS, f"default/{name}"))
        metadata = made["metadata"]
        assert name.startswith("user-gpu-")
        assert len(name) == len("user-gpu-") + 5
        assert metadata["labels"] == {"for": "gpus"}
        assert metadata["annotations"] == {"note": "kept", "resource.kubernetes.io/pod-claim-name": "gpu"}
        assert metadata["ownerReferences"] == [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": "user",
                "uid": meta.uid(created),
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
        assert made["spec"] == source["spec"]["spec"]

    run(tmp_path, test)


def test_each_template_makes_a_claim_and_named_claims_need_none(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(TEMPLATES, template())
        entries = [
            {"name": "one", "resourceClaimTemplateName": "gpus"},
            {"name": "two", "resourceClaimTemplateName": "gpus"},
            {"name": "three", "resourceClaimName": "shared"},
        ]
        await found.client.create("pods", pod("user", resourceClaims=entries))
        body = await found.until(
            lambda: found.one("pods", "default/user") if plan.recorded(found.one("pods", "default/user") or EMPTY) else None
        )
        told = plan.recorded(body)
        assert sorted(told) == ["one", "two"]
        await found.until(lambda: len(found.all(CLAIMS)) == 2)
        assert sorted(map(meta.name, found.all(CLAIMS))) == sorted(filter(None, told.values()))

    run(tmp_path, test)


EMPTY: Object = {"spec": {}}


def test_a_claim_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(TEMPLATES, template())
        await found.client.create("pods", templated())
        first = await found.until(lambda: recorded(found))
        await found.client.delete(CLAIMS, first, "default")
        second = await found.until(lambda: (name := recorded(found)) != first and name)
        await found.until(lambda: [meta.name(body) for body in found.all(CLAIMS)] == [second])

    run(tmp_path, test)


def test_a_missing_template_is_told_and_waited_for(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create("pods", templated())

        def warning() -> Object | None:
            wanted = (event for event in found.all("events") if event["reason"] == "FailedResourceClaimCreation")
            return next(wanted, None)

        event = await found.until(warning)
        assert event["type"] == "Warning"
        assert event["source"]["component"] == "resource_claim"
        assert event["message"] == (
            'PodResourceClaim gpu: resource claim template "gpus": resourceclaimtemplate.resource.k8s.io "gpus" not found'
        )
        await found.client.create(TEMPLATES, template())
        assert await found.until(lambda: recorded(found))

    run(tmp_path, test)


def test_a_claim_of_another_with_the_annotation_is_not_taken(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(CLAIMS, claim("foreign", annotations={plan.POD_CLAIM: "gpu"}))
        await found.until(lambda: found.one(CLAIMS, "default/foreign"))
        await found.client.create(TEMPLATES, template())
        await found.client.create("pods", templated())
        assert await found.until(lambda: recorded(found)) != "foreign"

    run(tmp_path, test)


def test_a_claim_made_for_the_pod_before_is_found_again(tmp_path: Path) -> None:
    """The claim was made but the pod could not be told any more."""

    async def test(found: Cluster) -> None:
        created = await found.client.create("pods", templated())
        owner = meta.owner_reference({"apiVersion": "v1", "kind": "Pod", **created})
        await found.client.create(CLAIMS, claim("ours", annotations={plan.POD_CLAIM: "gpu"}, ownerReferences=[owner]))
        await found.until(lambda: found.one(CLAIMS, "default/ours"))
        await found.client.create(TEMPLATES, template())
        await found.until(lambda: recorded(found) == "ours")
        assert [meta.name(body) for body in found.all(CLAIMS)] == ["ours"]

    run(tmp_path, test)


# Reserved.


def test_an_allocated_claim_is_reserved_for_a_pod_that_has_a_node_already(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(CLAIMS, claim())
        created = await found.client.create("pods", using(nodeName=SILENT))
        await allocate(found)
        await found.until(lambda: consumers(found) == ["user"])
        status = (await found.client.get(CLAIMS, "shared", "default"))["status"]
        assert status["reservedFor"] == [{"resource": "pods", "name": "user", "uid": meta.uid(created)}]
        assert status["allocation"] == ALLOCATION

    run(tmp_path, test)


def test_a_claim_made_for_the_pod_is_reserved_too(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(TEMPLATES, template())
        await found.client.create("pods", templated(nodeName=SILENT))
        name = await found.until(lambda: recorded(found))
        await allocate(found, name)
        await found.until(lambda: consumers(found, name) == ["user"])

    run(tmp_path, test)


def test_nothing_is_reserved_for_pods_that_wait_for_a_node(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(CLAIMS, claim())
        await found.client.create("pods", using("waiting", schedulerName="other"))
        await found.until(lambda: found.one("pods", "default/waiting"))
        await found.client.create("pods", using("bound", nodeName=SILENT))
        await allocate(found)
        await found.until(lambda: consumers(found) == ["bound"])

    run(tmp_path, test)


# Freed.


def test_a_claim_stays_allocated_until_the_last_of_its_pods_is_done(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(CLAIMS, claim(finalizers=[plan.FINALIZER, "example.com/other"]))
        for name in ("one", "two"):
            await found.client.create("pods", using(name, nodeName=SILENT))
        await allocate(found)
        await found.until(lambda: sorted(consumers(found) or ()) == ["one", "two"])
        await end(found, "one")
        await found.until(lambda: consumers(found) == ["two"])
        body = await found.client.get(CLAIMS, "shared", "default")
        assert body["status"]["allocation"] == ALLOCATION
        assert plan.FINALIZER in body["metadata"]["finalizers"]
        await found.client.delete("pods", "two", "default", grace_period_seconds=0)

        def free() -> bool:
            current = found.one(CLAIMS, "default/shared") or EMPTY
            return not current.get("status") and current["metadata"]["finalizers"] == ["example.com/other"]

        await found.until(free)

    run(tmp_path, test)


def test_a_deleted_claim_goes_when_nobody_uses_it(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(CLAIMS, claim(finalizers=[plan.FINALIZER]))
        await found.client.create("pods", using(nodeName=SILENT))
        await allocate(found)
        await found.until(lambda: consumers(found) == ["user"])
        deleted = await found.client.delete(CLAIMS, "shared", "default")
        assert meta.being_deleted(deleted)
        await found.client.delete("pods", "user", "default", grace_period_seconds=0)
        await found.until(lambda: found.one(CLAIMS, "default/shared") is None)

    run(tmp_path, test)


def test_an_allocation_that_nobody_reserved_goes_with_its_claim(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(CLAIMS, claim(finalizers=[plan.FINALIZER]))
        await allocate(found)
        await found.client.delete(CLAIMS, "shared", "default")
        await found.until(lambda: found.one(CLAIMS, "default/shared") is None)

    run(tmp_path, test)


def test_a_pod_of_the_same_name_is_another(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(CLAIMS, claim())
        await found.client.create("pods", using(schedulerName="other"))
        await allocate(found, "shared", {"resource": "pods", "name": "user", "uid": "before"})
        await found.until(lambda: consumers(found) == [])
        # Without the finalizer it is for others to take the allocation away.
        assert (await found.client.get(CLAIMS, "shared", "default"))["status"] == {"allocation": ALLOCATION}

    run(tmp_path, test)


def test_reservations_for_others_than_pods_are_left_alone(tmp_path: Path) -> None:
    async def test(found: Cluster) -> None:
        other = {"apiGroup": "example.com", "resource": "widgets", "name": "w", "uid": "1"}
        gone = {"resource": "pods", "name": "gone", "uid": "2"}
        await found.client.create(CLAIMS, claim("foreign"))
        await found.client.create(CLAIMS, claim("shared"))
        await allocate(found, "foreign", other, gone)
        await allocate(found, "shared", gone)
        await found.until(lambda: consumers(found) == [])
        assert consumers(found, "foreign") == ["w", "gone"]

    run(tmp_path, test)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_claim_made_for_a_pod_goes_when_the_pod_is_done(tmp_path: Path, phase: str) -> None:
    async def test(found: Cluster) -> None:
        await found.client.create(TEMPLATES, template())
        await found.client.create("pods", templated(nodeName=SILENT))
        name = await found.until(lambda: recorded(found))
        await allocate(found, name)
        await found.until(lambda: consumers(found, name) == ["user"])
        await end(found, phase=phase)
        await found.until(lambda: not found.all(CLAIMS))
        assert found.one("pods", "default/user") is not None

    run(tmp_path, test)


def extended(owner: Object, name: str = "user-extended-resources-x") -> Object:
    """What a scheduler makes for a pod that asks for an extended resource."""
    body = claim(name, annotations={"resource.kubernetes.io/extended-resource-claim": "true"}, finalizers=[plan.FINALIZER])
    reference = {"apiVersion": "v1", "kind": "Pod", "name": meta.name(owner), "uid": meta.uid(owner), "controller": True}
    body["metadata"]["ownerReferences"] = [reference]
    return body


@pytest.mark.parametrize("deleted", [False, True])
def test_a_claim_for_extended_resources_goes_with_its_pod(tmp_path: Path, deleted: bool) -> None:
    async def test(found: Cluster) -> None:
        gpu = {"example.com/gpu": "1"}
        main = {"name": "main", "image": "i", "resources": {"requests": gpu, "limits": gpu}}
        owner = await found.client.create("pods", pod("user", nodeName=SILENT, containers=[main]))
        name = meta.name(await found.client.create(CLAIMS, extended(owner)))
        consumer = {"resource": "pods", "name": "user", "uid": meta.uid(owner)}
        await allocate(found, name, consumer)
        mapping = {"containerName": "main", "resourceName": "example.com/gpu", "requestName": "gpu"}
        told = {"extendedResourceClaimStatus": {"resourceClaimName": name, "requestMappings": [mapping]}}
        await found.client.patch("pods", "user", {"status": told}, "default", subresource="status")
        await found.until(lambda: consumers(found, name) == ["user"])
        if deleted:
            await found.client.delete("pods", "user", "default", grace_period_seconds=0)
        else:
            await end(found)
        await found.until(lambda: not found.all(CLAIMS))
        assert (found.one("pods", "default/user") is None) == deleted

    run(tmp_path, test)


# Without a cluster.


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("web", "gpu"), "web-gpu-"),
        (("p" * 52, "gpu"), f"{'p' * 52}-gpu-"),
        # 60 characters + "-" + 60 + "-" are 122: of each part 57/122 stay.
        (("p" * 60, "c" * 60), f"{'p' * 28}-{'c' * 28}"),
        (("p" * 253, "gpu"), f"{'p' * 55}-"),
    ],
)
def test_the_beginning_of_a_claims_name_leaves_room_for_its_end(parts: tuple[str, str], expected: str) -> None:
    name = plan.generated_name(*parts)
    assert name == expected
    assert len(name) <= 57


@pytest.mark.parametrize(
    ("deletion", "node", "phase", "expected"),
    [
        ({}, "", "Pending", False),
        ({}, "node", "Running", False),
        ({}, "node", "Succeeded", True),
        ({}, "node", "Failed", True),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, "node", "Running", False),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, "", "Pending", True),
    ],
)
def test_a_pod_is_done_when_nothing_of_it_runs_or_will(deletion: Object, node: str, phase: str, expected: bool) -> None:
    body = pod("one", **({"nodeName": node} if node else {}))
    body["metadata"] |= deletion
    body["status"] = {"phase": phase}
    assert plan.is_done(body) is expected


def test_a_claim_is_full_at_256_consumers() -> None:
    users = [{"resource": "pods", "name": str(number), "uid": str(number)} for number in range(255)]
    body = {"metadata": {"name": "shared"}, "status": {"allocation": {}, "reservedFor": users}}
    another = {"metadata": {"name": "another", "uid": "another"}, "spec": {}}
    assert plan.may_reserve(body, another)
    full = plan.reserved_for(body, another)
    assert not plan.may_reserve(full, {"metadata": {"name": "late", "uid": "late"}, "spec": {}})
    assert not plan.may_reserve(body, {"metadata": {"name": "0", "uid": "0"}, "spec": {}})
