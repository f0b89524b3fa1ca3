"""The claims of StatefulSets' pods: made for each pod, kept when it goes, and gone only where the set says so."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.controllers import statefulset, statefulsetclaims
from navarch.controllers.statefulsetclaims import RESOURCE
from tests.controllers.cluster import cluster
from tests.controllers.world import events, kubelet, make_ready, on_bench, pods, workload
from tests.fakeapi import Bench, run_in_virtual_time

SETS = "statefulsets.apps"
TEMPLATE = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}


def owner(when_scaled: str = "Retain", when_deleted: str = "Retain", **spec: Any) -> Object:
    policy = {"whenScaled": when_scaled, "whenDeleted": when_deleted}
    spec = {"volumeClaimTemplates": [TEMPLATE], "persistentVolumeClaimRetentionPolicy": policy, "serviceName": "db"} | spec
    return meta.set_path(workload("StatefulSet", "db", **spec), "set", "metadata", "uid")


def pod(number: int = 0, uid: str = "pod") -> Object:
    metadata = {"name": f"db-{number}", "namespace": "default", "uid": uid}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}}


def claim(*owners: Object, name: str = "data-db-0") -> Object:
    metadata = {"name": name, "namespace": "default"} | ({"ownerReferences": list(owners)} if owners else {})
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": TEMPLATE["spec"]}


def reference(obj: Object, uid: str = "", **more: Any) -> Object:
    return {**meta.owner_reference(obj), **({"uid": uid} if uid else {}), **more}


OWNER, POD = reference(owner()), reference(pod())
OTHER = reference({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "uid": "x"}})
GUEST = {**OTHER, "controller": False}


def test_each_pod_has_its_own_claims() -> None:
    template = {**TEMPLATE, "metadata": {"name": "data", "labels": {"a": "b", "app": "x"}, "annotations": {"c": "d"}}}
    made = statefulsetclaims.claims(owner(volumeClaimTemplates=[template]), 2)["data"]
    labels = {"a": "b", "app": "web"}
    assert made["metadata"] == {"name": "data-db-2", "namespace": "default", "labels": labels, "annotations": {"c": "d"}}
    assert made["spec"] == TEMPLATE["spec"]


def test_a_pod_s_volumes_are_its_claims_before_those_of_its_template() -> None:
    present = {"volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "data", "emptyDir": {}}]}
    spec = statefulsetclaims.with_volumes(present, owner(), 2)
    claimed = {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-2"}}
    assert spec["volumes"] == [claimed, {"name": "tmp", "emptyDir": {}}]
    assert statefulsetclaims.has_volumes({"spec": spec}, owner(), 2)
    assert not statefulsetclaims.has_volumes({"spec": spec}, owner(), 1)
    assert not statefulsetclaims.has_volumes({"spec": present}, owner(), 2)
    bare = owner(volumeClaimTemplates=[])
    assert statefulsetclaims.with_volumes(present, bare, 2) == present and statefulsetclaims.has_volumes(pod(), bare, 0)


@pytest.mark.parametrize(
    ("when_scaled", "when_deleted", "surplus", "expected"),
    [
        ("Retain", "Retain", False, []),
        ("Retain", "Retain", True, []),
        ("Retain", "Delete", False, [OWNER]),
        ("Retain", "Delete", True, [OWNER]),
        ("Delete", "Retain", False, []),
        ("Delete", "Retain", True, [POD]),
        ("Delete", "Delete", False, [OWNER]),
        ("Delete", "Delete", True, [POD]),
    ],
)
def test_who_takes_a_claim_along_owns_it(when_scaled: str, when_deleted: str, surplus: bool, expected: list[Object]) -> None:
    item = owner(when_scaled, when_deleted)
    for present in ([], [OWNER], [POD], [POD, OWNER], [GUEST], [GUEST, OWNER]):
        kept = [GUEST] if GUEST in present else []
        wanted = statefulsetclaims.owners(claim(*present), item, pod(), surplus=surplus)
        assert wanted == (None if present == kept + expected else kept + expected), present


@pytest.mark.parametrize(
    ("policy", "present", "expected"),
    [
        (("Retain", "Delete"), [{**OWNER, "controller": False}], [OWNER]),
        (("Retain", "Delete"), [OTHER], None),
        (("Retain", "Delete"), [OTHER, {**OWNER, "controller": False}], [OTHER]),
        (("Retain", "Retain"), [OTHER], None),
        (("Retain", "Retain"), [OTHER, OWNER], [OTHER]),
        (("Retain", "Delete"), [reference(owner(), "earlier")], None),
        (("Delete", "Delete"), [reference(pod(), "earlier")], None),
    ],
    ids=[
        *("ours, but not in control", "another controls it", "another, and us", "another, and we keep all"),
        *("another, and we did", "of an earlier set", "of an earlier pod"),
    ],
)
def test_claims_of_others_are_left_to_them(
    policy: tuple[str, str], present: list[Object], expected: list[Object] | None
) -> None:
    assert statefulsetclaims.owners(claim(*present), owner(*policy), pod(), surplus=False) == expected


def test_a_claim_that_goes_with_an_earlier_pod_is_none_for_a_new_one() -> None:
    old = claim(POD)
    assert statefulsetclaims.is_stale(old, owner("Delete"), "db-0")
    assert not statefulsetclaims.is_stale(old, owner("Delete"), "db-1")
    assert not statefulsetclaims.is_stale(old, owner("Retain", "Delete"), "db-0")
    assert not statefulsetclaims.is_stale(claim(OWNER), owner("Delete"), "db-0")


def references(found: Bench, number: int) -> list[str]:
    present = found.api.one(RESOURCE, f"default/data-db-{number}") or {"metadata": {}}
    return [item["kind"] for item in present["metadata"].get("ownerReferences") or ()]


def on_one(test: Any) -> None:
    async def main() -> None:
        async with on_bench(statefulset.CONTROLLER) as found:
            await test(found)

    run_in_virtual_time(main)


def test_a_set_owns_its_claims_and_a_pod_that_is_too_much_its_own() -> None:
    async def test(found: Bench) -> None:
        kubelet(found)
        found.api.put(owner("Delete", "Delete", replicas=2))
        await found.until(lambda: len(pods(found)) == 2 and references(found, 0) == references(found, 1) == ["StatefulSet"])
        found.api.change(SETS, "default/db", spec=owner("Delete", "Delete", replicas=1)["spec"])
        await found.until(lambda: len(pods(found)) == 1)
        assert (references(found, 0), references(found, 1)) == (["StatefulSet"], ["Pod"])
        # Nobody collects garbage here: the pod waits for the claim to go.
        found.api.change(SETS, "default/db", spec=owner("Delete", "Delete", replicas=2)["spec"])
        await asyncio.sleep(60)
        assert len(pods(found)) == 1
        found.api.remove(RESOURCE, "default/data-db-1")
        await found.until(lambda: len(pods(found)) == 2 and references(found, 1) == ["StatefulSet"])
        found.api.change(SETS, "default/db", spec=owner("Retain", "Retain", replicas=2)["spec"])
        await found.until(lambda: references(found, 0) == references(found, 1) == [])
        assert "update Pod db-0 in StatefulSet db successful" in events(found, "SuccessfulUpdate")

    on_one(test)


def test_a_claim_that_is_missing_or_going_holds_up_a_pod() -> None:
    async def test(found: Bench) -> None:
        going = meta.set_path(claim(), ["example.com/held"], "metadata", "finalizers")
        found.api.put(meta.set_path(going, "2020-01-01T00:00:00Z", "metadata", "deletionTimestamp"))
        found.api.put(owner(replicas=1))
        text = "create Pod db-0 in StatefulSet db failed error: pvc data-db-0 is being deleted"
        await found.until(lambda: text in events(found, "FailedCreate"))
        assert not pods(found)
        found.api.remove(RESOURCE, "default/data-db-0")
        await found.until(lambda: pods(found))
        assert "create Claim data-db-0 Pod db-0 in StatefulSet db success" in events(found, "SuccessfulCreate")
        # The pod has not started when its claim goes: it gets another.
        found.api.remove(RESOURCE, "default/data-db-0")
        await found.until(lambda: found.api.one(RESOURCE, "default/data-db-0"))

    on_one(test)


def test_claims_that_are_refused_are_told_of() -> None:
    async def test(found: Bench) -> None:
        def refuse(method: str, path: str, body: Any) -> Exception | None:
            if method == "POST" and path.endswith(RESOURCE):
                return errors.forbidden("", RESOURCE, meta.name(body), "a quota")
            return None

        found.api.refuse = refuse
        more = {"metadata": {"name": "log"}, "spec": {}}
        found.api.put(owner(replicas=1, volumeClaimTemplates=[TEMPLATE, more]))
        refused = [f'persistentvolumeclaims "{name}-db-0" is forbidden: a quota' for name in ("data", "log")]
        told = "create Claim {name}-db-0 for Pod db-0 in StatefulSet db failed error: {refused}"
        both = ", ".join(
            f"failed to create PVC {name}-db-0: {text}" for name, text in zip(("data", "log"), refused, strict=True)
        )
        expected = {
            *(told.format(name=name, refused=text) for name, text in zip(("data", "log"), refused, strict=True)),
            f"create Pod db-0 in StatefulSet db failed error: [{both}]",
        }
        await found.until(lambda: expected <= set(events(found, "FailedCreate")))
        assert not pods(found)
        found.api.refuse = lambda method, path, body: None
        await found.until(lambda: pods(found))

    on_one(test)


def test_a_claim_that_another_controls_is_told_of_once_it_is_let_go() -> None:
    async def test(found: Bench) -> None:
        kubelet(found)
        stored = found.api.put(owner("Retain", "Delete", replicas=1))
        found.api.put(claim(OTHER, reference(stored)))
        text = (
            "PersistentVolumeClaim data-db-0 has a conflicting OwnerReference that acts as a manging controller, "
            "the retention policy is ignored for this claim"
        )
        await found.until(lambda: events(found, "ConflictingController") == [text])
        assert references(found, 0) == ["ConfigMap"]

    on_one(test)


def test_a_pod_becomes_what_the_set_s_pod_is() -> None:
    async def test(found: Bench) -> None:
        made = found.api.put(owner(replicas=1, updateStrategy={"type": "OnDelete"}))
        adopted = {**pod(), "metadata": {**pod()["metadata"], "labels": {"app": "web"}, "ownerReferences": [reference(made)]}}
        make_ready(found, found.api.put({**adopted, "spec": {**made["spec"]["template"]["spec"], "volumes": []}}))
        await found.until(lambda: events(found, "SuccessfulUpdate"))
        (now,) = pods(found)
        assert meta.labels(now) == {"app": "web", statefulset.POD_NAME_LABEL: "db-0", statefulset.POD_INDEX_LABEL: "0"}
        assert statefulsetclaims.has_volumes(now, made, 0) and found.api.one(RESOURCE, "default/data-db-0")
        assert events(found, "SuccessfulUpdate") == ["update Pod db-0 in StatefulSet db successful"]

    on_one(test)


def test_claims_go_with_what_owns_them(tmp_path: Path) -> None:
    async def main() -> None:
        async with cluster(tmp_path) as found:
            await found.add_node("node-1", "10.0.0.1")
            spec = {**TEMPLATE["spec"], "resources": {"requests": {"storage": "1Gi"}}}
            templates = [{**TEMPLATE, "spec": spec}]
            # Pods wait for volumes that nobody makes here, but not for each other.
            made = owner("Delete", "Delete", replicas=2, volumeClaimTemplates=templates, podManagementPolicy="Parallel")
            await found.client.create(SETS, made)

            def there() -> set[str]:
                return {meta.name(item) for item in found.all(RESOURCE)}

            def owned() -> bool:
                return all(meta.controller_of(item) is not None for item in found.all(RESOURCE))

            await found.until(lambda: len(there()) == 2 and owned())
            await found.client.patch(SETS, "db", {"spec": {"replicas": 1}}, "default")
            await found.until(lambda: there() == {"data-db-0"})
            await found.client.delete(SETS, "db", "default", propagation_policy="Background")
            await found.until(lambda: there() == set())

    asyncio.run(main())
