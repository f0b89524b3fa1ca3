"""The node's own objects: registration, status, Lease; and how little is written about them."""

from __future__ import annotations

from pathlib import Path

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.cri import runtime_pb2 as pb
from tests.kubelet.trial import NODE, Trial, on_a_trial


def node_of(t: Trial) -> Object:
    found = t.api.one("nodes", NODE)
    assert found is not None
    return found


def ready(t: Trial) -> bool:
    return meta.is_condition_true(t.api.one("nodes", NODE) or {"metadata": {}}, "Ready")


def test_a_node_registers_and_is_ready(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        await t.until(lambda: ready(t))
        node = node_of(t)
        assert node["metadata"]["labels"]["kubernetes.io/hostname"] == NODE
        status = node["status"]
        assert status["addresses"] == [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": NODE}]
        assert status["nodeInfo"]["containerRuntimeVersion"] == "fake://1.0.0"
        assert status["nodeInfo"]["kubeletVersion"] == "v1.36.0"
        assert status["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10250}}
        assert status["images"] == [{"names": ["app:1"], "sizeBytes": 1024}]
        await t.until(lambda: t.events("Starting") == ["Starting kubelet."])
        for reason in ("NodeHasSufficientMemory", "NodeHasSufficientPID", "NodeReady"):
            await t.until(lambda reason=reason: t.events(reason), what=reason)
            assert t.events(reason) == [f"Node {NODE} status is now: {reason}"]
        assert "features" not in status and "runtimeHandlers" not in status

    on_a_trial(test)(tmp_path)


def test_the_lease_is_renewed(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        key = f"kube-node-lease/{NODE}"
        lease = await t.until(lambda: t.api.one("leases.coordination.k8s.io", key))
        assert lease["spec"]["holderIdentity"] == NODE and lease["spec"]["leaseDurationSeconds"] == 40
        assert lease["metadata"]["ownerReferences"][0]["uid"] == meta.uid(node_of(t))
        before = lease["spec"]["renewTime"]
        await t.until(lambda: (t.api.one("leases.coordination.k8s.io", key) or {})["spec"]["renewTime"] != before)

    on_a_trial(test, lease_renew_seconds=0.05)(tmp_path)


def test_a_node_that_has_nothing_new_to_say_writes_nothing(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        await t.until(lambda: ready(t))
        looked = t.runtime.status
        looks = 0

        async def counted(*, verbose: bool = False) -> object:
            nonlocal looks
            looks += 1
            return await looked(verbose=verbose)

        t.runtime.status = counted  # type: ignore[method-assign, assignment]
        await t.until(lambda: looks > 1)
        writes = [path for method, path in t.api.requests if method == "PATCH" and path.endswith("/status")]
        await t.until(lambda: looks > 6)
        assert [path for method, path in t.api.requests if method == "PATCH" and path.endswith("/status")] == writes

    on_a_trial(test)(tmp_path)


def test_what_goes_wrong_with_the_runtime_shows_and_goes(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        await t.until(lambda: ready(t))
        t.runtime.network_ready = False
        await t.until(lambda: not ready(t))
        condition = meta.condition(node_of(t), "Ready") or {}
        assert condition["reason"] == "KubeletNotReady" and "NetworkPluginNotReady" in condition["message"]
        t.runtime.network_ready = True
        await t.until(lambda: ready(t))
        assert any("status is now: NodeReady" in message for message in t.events("NodeReady"))

    on_a_trial(test)(tmp_path)


def test_a_node_that_is_deleted_registers_again(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        before = meta.uid(node_of(t))
        t.api.remove("nodes", NODE)
        await t.until(lambda: t.api.one("nodes", NODE) and meta.uid(node_of(t)) != before)
        await t.until(lambda: ready(t))

    on_a_trial(test)(tmp_path)


def test_the_runtime_is_told_the_pods_addresses(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.api.change("nodes", NODE, spec={"podCIDR": "10.244.9.0/24"})
        await t.until(lambda: ("UpdateRuntimeConfig", "10.244.9.0/24") in t.runtime.calls)

    on_a_trial(test)(tmp_path)


def test_what_the_runtime_can_do_is_told(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        await t.until(lambda: ready(t))
        looked = t.runtime.status

        async def able(*, verbose: bool = False) -> pb.StatusResponse:
            found = await looked(verbose=verbose)
            found.features.supplemental_groups_policy = True
            found.runtime_handlers.add().features.recursive_read_only_mounts = True
            return found

        t.runtime.status = able  # type: ignore[method-assign]
        await t.until(lambda: "features" in node_of(t)["status"])
        status = node_of(t)["status"]
        assert status["features"] == {"supplementalGroupsPolicy": True}
        features = {"recursiveReadOnlyMounts": True, "userNamespaces": False}
        assert status["runtimeHandlers"] == [{"name": "", "features": features}]

    on_a_trial(test)(tmp_path)


def test_it_is_told_whether_pods_may_be_put_on_a_node(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        await t.until(lambda: ready(t))
        for unschedulable, reason in ((True, "NodeNotSchedulable"), (False, "NodeSchedulable")):
            t.api.change("nodes", NODE, spec={"unschedulable": unschedulable})
            await t.until(lambda reason=reason: t.events(reason), what=reason)
            assert t.events(reason) == [f"Node {NODE} status is now: {reason}"]

    on_a_trial(test)(tmp_path)


def test_a_machine_that_was_started_anew_is_told(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        await t.until(lambda: ready(t))
        node = node_of(t)
        boot_id = node["status"]["nodeInfo"]["bootID"]
        info = {**node["status"]["nodeInfo"], "bootID": "before"}
        t.api.change("nodes", NODE, status={**node["status"], "nodeInfo": info})
        await t.until(lambda: t.events("Rebooted"))
        assert t.events("Rebooted") == [f"Node {NODE} has been rebooted, boot id: {boot_id}"]

    on_a_trial(test)(tmp_path)
