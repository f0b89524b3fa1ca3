"""The scheduler's rules about volumes, plugin by plugin."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apimachinery.errors import Object
from navarch.scheduler.events import Action, Hint
from navarch.scheduler.framework import Plugin
from navarch.scheduler.podinfo import PodInfo
from navarch.scheduler.snapshot import Snapshot
from tests.scheduler.storage import ZONE, attachment, claim, csi, csi_node, feasible, storage_class, using, volume
from tests.scheduler.world import decide, framework, node, pod, snapshot

ONE_POD = ("ReadWriteOncePod",)


def why(found: Snapshot, item: Object, *objects: Object) -> str:
    return decide(found, item, *objects).fit.message


def zoned(*zones: str) -> Snapshot:
    return snapshot(*(node(f"n{number}", labels={ZONE: zone}) for number, zone in enumerate(zones)))


def plugin(name: str, found: Snapshot, *objects: Object) -> Plugin:
    return framework(found, None, *objects).plugins[name]


def hint(one: Plugin, resource: str, action: Action, waiting: Object, old: Object | None, new: Object | None) -> bool:
    """Whether a change makes the pod be tried again."""
    for registered in one.events_to_register():
        if registered.event.resource == resource and registered.event.actions & action:
            return registered.hint is None or registered.hint(PodInfo(waiting), old, new) is Hint.QUEUE
    return False


class TestBoundClaims:
    def test_a_pod_goes_where_its_volume_can_be_used(self) -> None:
        found, item = zoned("a", "b", "a"), pod(volumes=using("c"))
        objects = claim("c", volume="v"), volume("v", on=("a",), key=ZONE), storage_class()
        assert feasible(found, item, *objects) == {"n0", "n2"}
        assert (
            why(zoned("b"), item, *objects)
            == "0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity."
        )

    def test_a_volume_that_is_gone_is_named(self) -> None:
        message = why(snapshot(node("a")), pod(volumes=using("c")), claim("c", volume="v"), storage_class())
        # VolumeZone looks for it before any node is looked at.
        assert message == '0/1 nodes are available: persistentvolume "v" not found.'

    def test_affinity_of_volumes_does_not_know_nodes_by_name(self) -> None:
        fields = [{"key": "metadata.name", "operator": "In", "values": ["a"]}]
        place = {"required": {"nodeSelectorTerms": [{"matchFields": fields}]}}
        assert not feasible(
            snapshot(node("a")),
            pod(volumes=using("c")),
            claim("c", volume="v"),
            volume("v", nodeAffinity=place),
            storage_class(),
        )


class TestClaimsThatCannotBeUsed:
    @pytest.mark.parametrize(
        ("objects", "message"),
        [
            ([], 'persistentvolumeclaim "c" not found'),
            ([claim("c"), storage_class(waits=False)], "pod has unbound immediate PersistentVolumeClaims"),
            ([claim("c", of_class="")], "pod has unbound immediate PersistentVolumeClaims"),
            (
                [claim("c", volume="v", status={"phase": "Lost"})],
                'persistentvolumeclaim "c" bound to non-existent persistentvolume "v"',
            ),
            (
                [claim("c", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})],
                'persistentvolumeclaim "c" is being deleted',
            ),
        ],
    )
    def test_no_node_is_looked_at(self, objects: list[Object], message: str) -> None:
        assert why(snapshot(node("a")), pod(volumes=using("c")), *objects) == f"0/1 nodes are available: {message}."

    def test_a_claim_that_is_bound_beforehand_counts_as_immediate(self) -> None:
        waiting = claim("c", volume="v", annotations={})
        waiting["metadata"]["annotations"] = {}
        message = why(snapshot(node("a")), pod(volumes=using("c")), waiting, volume("v"), storage_class())
        assert message == "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."

    def test_ephemeral_volumes_wait_for_a_claim_of_the_pod_s_own(self) -> None:
        item = pod("web", volumes=[{"name": "data", "ephemeral": {"volumeClaimTemplate": {}}}])
        message = why(snapshot(node("a")), item)
        wait = 'waiting for ephemeral volume controller to create the persistentvolumeclaim "web-data"'
        assert message == f"0/1 nodes are available: {wait}."
        message = why(snapshot(node("a")), item, claim("web-data"), storage_class())
        assert "PVC default/web-data was not created for pod default/web (pod is not owner)" in message
        own = {"ownerReferences": [{"controller": True, "uid": "web", "kind": "Pod", "name": "web"}]}
        assert feasible(snapshot(node("a")), item, claim("web-data", metadata=own), storage_class(), volume("v")) == {"a"}


class TestClaimsThatWait:
    def test_the_smallest_volume_that_fits_is_taken_on_each_node(self) -> None:
        found = snapshot(node("a"), node("b"), node("c"))
        objects = claim("c", "2Gi"), storage_class(), volume("large", "8Gi", on=("a",)), volume("right", "2Gi", on=("a",))
        item = pod(volumes=using("c"))
        assert feasible(found, item, *objects) == {"a"}
        assert planned(found, item, "a", *objects) == {"c": "right"}
        message = why(found, pod(volumes=using("c")), claim("c", "9Gi"), *objects[1:])
        assert message == "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind."

    @pytest.mark.parametrize(
        "unfit",
        [
            volume("v", "500Mi"),
            volume("v", modes=("ReadOnlyMany",)),
            volume("v", of_class="fast"),
            volume("v", volumeMode="Block"),
            volume("v", phase="Released"),
            volume("v", volumeAttributesClassName="gold"),
            volume("v", claimRef={"namespace": "default", "name": "other", "uid": "x"}),
            volume("v", labels={"disk": "hdd"}),
        ],
    )
    def test_a_volume_of_another_kind_is_not_taken(self, unfit: Object) -> None:
        wanting = claim("c", selector={"matchLabels": {"disk": "ssd"}})
        found, item = snapshot(node("a")), pod(volumes=using("c"))
        assert not feasible(found, item, wanting, storage_class(), unfit)
        assert feasible(found, item, wanting, storage_class(), volume("v", labels={"disk": "ssd"})) == {"a"}

    def test_a_volume_that_is_reserved_for_the_claim_is_the_only_one(self) -> None:
        found, item = snapshot(node("a"), node("b")), pod(volumes=using("c"))
        reserved = volume("r", "5Gi", on=("b",), claimRef={"namespace": "default", "name": "c"})
        assert feasible(found, item, claim("c"), storage_class(), volume("v"), reserved) == {"b"}

    def test_two_claims_of_a_pod_get_two_volumes(self) -> None:
        found, item = snapshot(node("a"), node("b"), node("c")), pod(volumes=using("one", "two"))
        volumes = volume("a1", on=("a",)), volume("a2", "3Gi", on=("a",)), volume("b1", on=("b",)), volume("all", "9Gi")
        objects = claim("one"), claim("two", "1Gi"), storage_class(), *volumes
        assert feasible(found, item, *objects) == {"a", "b"}
        assert set(planned(found, item, "a", *objects).values()) == {"a1", "a2"}
        assert set(planned(found, item, "b", *objects).values()) == {"b1", "all"}

    def test_a_volume_is_made_where_the_class_allows_it(self) -> None:
        found, item = zoned("a", "b"), pod(volumes=using("c"))
        expressions = [{"key": ZONE, "values": ["b", "x"]}]
        made = storage_class(provisioner="disk.example.com", allowedTopologies=[{"matchLabelExpressions": expressions}])
        assert feasible(found, item, claim("c"), made) == {"n1"}
        assert "1 node(s) didn't find available persistent volumes to bind" in why(zoned("a"), item, claim("c"), made)

    def test_a_node_that_was_selected_before_is_the_only_one(self) -> None:
        selected = claim("c", annotations={"volume.kubernetes.io/selected-node": "b"})
        found, item = snapshot(node("a"), node("b")), pod(volumes=using("c"))
        assert feasible(found, item, selected, storage_class(provisioner="disk.example.com"), volume("v")) == {"b"}

    def test_a_pool_must_have_room_if_the_driver_tells(self) -> None:
        found, item = zoned("a", "b", "c"), pod(volumes=using("c"))
        driver = {"kind": "CSIDriver", "metadata": {"name": "disk.example.com"}, "spec": {"storageCapacity": True}}
        objects = [claim("c", "5Gi"), storage_class(provisioner="disk.example.com"), driver]
        assert why(found, item, *objects) == "0/3 nodes are available: 3 node(s) did not have enough free storage."
        objects += [capacity("a", "a", capacity="9Gi"), capacity("b", "b", capacity="9Gi", maximumVolumeSize="4Gi")]
        assert feasible(found, item, *objects) == {"n0"}
        objects[2] = {**driver, "spec": {"storageCapacity": False}}
        assert feasible(found, item, *objects) == {"n0", "n1", "n2"}


def capacity(name: str, zone: str, **more: Any) -> Object:
    metadata = {"name": name, "namespace": "kube-system"}
    topology = {"matchLabels": {ZONE: zone}}
    return {"kind": "CSIStorageCapacity", "metadata": metadata, "storageClassName": "slow", "nodeTopology": topology, **more}


def planned(found: Snapshot, item: Object, name: str, *objects: Object) -> dict[str, str]:
    """Claim -> volume that it would get on that node."""
    one = decide(found, {**item, "spec": {**item["spec"], "nodeName": ""}}, *objects)
    used = framework(found, None, *objects).plugins["VolumeBinding"]
    state = one.state
    assert used.reserve(state, PodInfo(item), name) is None
    return {claim["metadata"]["name"]: pv["metadata"]["name"] for claim, pv in state.get("VolumeBinding").plan.bindings}


class TestZones:
    def test_labels_of_volumes_hold_labelled_nodes(self) -> None:
        found = snapshot(node("a", labels={ZONE: "a"}), node("b", labels={ZONE: "b"}), node("free"))
        item = pod(volumes=using("c"))
        labelled = volume("v", labels={ZONE: "b__c"})
        assert feasible(found, item, claim("c", volume="v"), labelled) == {"b", "free"}
        message = why(zoned("a"), item, claim("c", volume="v"), labelled)
        assert message == "0/1 nodes are available: 1 node(s) had no available volume zone."

    def test_old_labels_of_volumes_are_met_by_new_ones_of_nodes(self) -> None:
        old = "failure-domain.beta.kubernetes.io/zone"
        found = snapshot(
            node("new", labels={ZONE: "a"}), node("old", labels={old: "a"}), node("other", labels={old: "b", ZONE: "a"})
        )
        item = pod(volumes=using("c"))
        assert feasible(found, item, claim("c", volume="v"), volume("v", labels={old: "a"})) == {"new", "old"}
        assert feasible(found, item, claim("c", volume="v"), volume("v", labels={old: "a__"})) == {"new", "old", "other"}

    def test_it_is_asked_again_when_a_volume_moves(self) -> None:
        one, waiting = plugin("VolumeZone", snapshot()), pod(volumes=using("c"))
        here, there = volume("v", labels={ZONE: "a"}), volume("v", labels={ZONE: "b"})
        assert hint(one, "persistentvolumes", Action.UPDATE, waiting, here, there)
        assert not hint(one, "persistentvolumes", Action.UPDATE, waiting, here, {**here, "status": {"phase": "Bound"}})
        assert not hint(one, "persistentvolumeclaims", Action.ADD, waiting, None, claim("other"))


class TestRestrictions:
    def test_a_claim_for_one_pod_is_in_use_everywhere(self) -> None:
        found = snapshot(node("a"), node("b"), placed={"a": [pod("first", volumes=using("c"))]})
        objects = claim("c", volume="v", modes=ONE_POD), volume("v", modes=ONE_POD)
        reason = (
            "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
        )
        assert why(found, pod(volumes=using("c")), *objects) == f"0/2 nodes are available: 2 {reason}."
        found.remove_pod("first")
        assert feasible(found, pod(volumes=using("c")), *objects) == {"a", "b"}
        assert feasible(found, pod(namespace="other", volumes=[]), *objects) == {"a", "b"}

    @pytest.mark.parametrize(
        ("one", "other", "clash"),
        [
            ({"gcePersistentDisk": {"pdName": "d"}}, {"gcePersistentDisk": {"pdName": "d"}}, True),
            (
                {"gcePersistentDisk": {"pdName": "d", "readOnly": True}},
                {"gcePersistentDisk": {"pdName": "d", "readOnly": True}},
                False,
            ),
            ({"awsElasticBlockStore": {"volumeID": "d"}}, {"awsElasticBlockStore": {"volumeID": "e"}}, False),
            (
                {"awsElasticBlockStore": {"volumeID": "d", "readOnly": True}},
                {"awsElasticBlockStore": {"volumeID": "d", "readOnly": True}},
                True,
            ),
            ({"iscsi": {"iqn": "d"}}, {"iscsi": {"iqn": "d", "readOnly": True}}, True),
            ({"rbd": {"monitors": ["x", "y"], "image": "i"}}, {"rbd": {"monitors": ["y"], "image": "i", "pool": "rbd"}}, True),
            ({"rbd": {"monitors": ["x"], "image": "i"}}, {"rbd": {"monitors": ["y"], "image": "i"}}, False),
        ],
    )
    def test_disks_without_a_claim_clash_on_a_node(self, one: Object, other: Object, clash: bool) -> None:
        found = snapshot(node("a"), node("b"), placed={"a": [pod(volumes=[{"name": "v", **one}])]})
        item = pod(volumes=[{"name": "v", **other}])
        assert feasible(found, item) == ({"b"} if clash else {"a", "b"})

    def test_it_is_asked_again_when_a_pod_with_the_claim_goes(self) -> None:
        one, waiting = plugin("VolumeRestrictions", snapshot()), pod(volumes=using("c"))
        assert hint(one, "AssignedPod", Action.DELETE, waiting, pod(volumes=using("c")), None)
        assert not hint(one, "AssignedPod", Action.DELETE, waiting, pod(volumes=using("d")), None)
        assert not hint(one, "AssignedPod", Action.DELETE, waiting, pod(namespace="other", volumes=using("c")), None)


class TestLimits:
    def test_a_driver_attaches_no_more_than_its_node_allows(self) -> None:
        placed = [pod("p0", volumes=using("c0")), pod("p1", volumes=using("c1"))]
        found = snapshot(*(node(f"n{number}") for number in range(6)), placed={"n0": placed})
        claims = [claim(f"c{number}", volume=f"v{number}") for number in range(3)]
        volumes = [volume(f"v{number}", csi=csi(f"h{number}")) for number in range(3)]
        limits = [csi_node("n0", 2), csi_node("n1", 0), csi_node("n2")]
        objects = *claims, *volumes, *limits
        assert feasible(found, pod(volumes=using("c2")), *objects) == {"n2", "n3", "n4", "n5"}
        # What is there already takes no more room, however many pods use it.
        assert feasible(found, pod(volumes=using("c1")), *objects) == {"n0", "n2", "n3", "n4", "n5"}
        assert feasible(found, pod(volumes=using("c1", "c2")), *objects) == {"n2", "n3", "n4", "n5"}

    def test_the_reason_is_told(self) -> None:
        objects = claim("c", volume="v"), volume("v", csi=csi("h")), csi_node("a", 0)
        message = why(snapshot(node("a")), pod(volumes=using("c")), *objects)
        assert message == "0/1 nodes are available: 1 node(s) exceed max volume count."

    def test_attachments_count_though_no_pod_uses_them(self) -> None:
        found = snapshot(*(node(f"n{number}") for number in range(6)))
        objects = [claim("c", volume="v"), volume("v", csi=csi("h")), volume("old", csi=csi("o"))]
        objects += [csi_node("n0", 1), csi_node("n1", 1), attachment("one", "n0", "old"), attachment("two", "n1", "v")]
        assert feasible(found, pod(volumes=using("c")), *objects) == {"n1", "n2", "n3", "n4", "n5"}

    def test_volumes_that_are_yet_to_be_made_count(self) -> None:
        found = snapshot(*(node(f"n{number}") for number in range(6)), placed={"n0": [pod("p", volumes=using("c0"))]})
        objects = claim("c0"), claim("c1"), storage_class(provisioner="disk.example.com"), csi_node("n0", 1)
        assert "n0" not in feasible(found, pod(volumes=using("c1")), *objects)
        assert "n0" in feasible(found, pod(volumes=using("c0")), *objects)

    def test_volumes_of_old_count_where_their_driver_has_taken_over(self) -> None:
        source = {"awsElasticBlockStore": {"volumeID": "vol-1"}}
        found = snapshot(*(node(f"n{number}") for number in range(6)))
        limits = csi_node("n0", 0, "ebs.csi.aws.com", "kubernetes.io/aws-ebs"), csi_node("n1", 0, "ebs.csi.aws.com")
        item = pod(volumes=using("c"))
        assert "n0" not in feasible(found, item, claim("c", volume="v"), volume("v", **source), *limits)
        assert "n1" in feasible(found, item, claim("c", volume="v"), volume("v", **source), *limits)
        assert "n0" not in feasible(found, pod(volumes=[{"name": "v", **source}]), *limits)

    def test_it_is_asked_again_when_a_node_allows_more(self) -> None:
        one, waiting = plugin("NodeVolumeLimits", snapshot()), pod(volumes=using("c"))
        assert hint(one, "csinodes.storage.k8s.io", Action.UPDATE, waiting, csi_node("a", 1), csi_node("a", 2))
        assert not hint(one, "csinodes.storage.k8s.io", Action.UPDATE, waiting, csi_node("a", 2), csi_node("a", 1))
        assert hint(one, "AssignedPod", Action.DELETE, waiting, pod(volumes=using("x")), None)
        assert not hint(one, "AssignedPod", Action.DELETE, waiting, pod(), None)


def test_pods_that_differ_only_in_their_claims_share_a_template() -> None:
    one, two, none = (PodInfo(pod(volumes=using(*names))) for names in (("a",), ("b",), ()))
    assert one.template is two.template
    assert one.template is not none.template
