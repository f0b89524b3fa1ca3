"""Resources of pods that run: granted or not, told to the runtime, brought into force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from navarch.apimachinery import meta, quantity
from navarch.apimachinery.errors import Object
from tests.kubelet.trial import KEY, Trial, on_a_trial


def sized(cpu: str, memory: str = "64Mi", **fields: Any) -> Object:
    return {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}, **fields}


async def resize(t: Trial, cpu: str, memory: str = "64Mi") -> None:
    pod = t.api.one("pods", KEY)
    assert pod is not None
    container = {**pod["spec"]["containers"][0], "resources": sized(cpu, memory)["resources"]}
    generation = pod["metadata"]["generation"] + 1
    metadata = {**pod["metadata"], "generation": generation}
    t.api.put({**pod, "metadata": metadata, "spec": {**pod["spec"], "containers": [container]}})
    await t.until(lambda: t.status().get("observedGeneration") == generation)


def resize_condition(t: Trial, type_: str) -> Object:
    return meta.condition(t.api.one("pods", KEY) or {}, type_) or {}


def test_a_resize_is_told_to_the_runtime_and_then_in_the_status(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.add(sized("100m"))
        await t.until(lambda: t.container().get("allocatedResources") == {"cpu": "100m", "memory": "64Mi"})
        (before,) = t.runtime.running("c")
        await resize(t, "200m", "128Mi")
        await t.until(lambda: (t.container().get("resources") or {}).get("limits") == {"memory": "128Mi"})
        assert t.container()["allocatedResources"] == {"cpu": "200m", "memory": "128Mi"}
        assert t.runtime.running("c") == [before] and t.container()["restartCount"] == 0
        told = t.runtime.configs[before].linux.resources
        assert (told.cpu_shares, told.memory_limit_in_bytes) == (204, 128 * 2**20)
        assert not resize_condition(t, "PodResizePending") and not resize_condition(t, "PodResizeInProgress")
        await t.until(lambda: len(t.events("ResizeStarted")) == len(t.events("ResizeCompleted")) == 1)

    on_a_trial(test)(tmp_path)


def test_a_container_starts_anew_where_its_policy_says_so(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.add(sized("100m", resizePolicy=[{"resourceName": "memory", "restartPolicy": "RestartContainer"}]))
        await t.until(lambda: t.container().get("allocatedResources"))
        (before,) = t.runtime.running("c")
        await resize(t, "200m")
        await t.until(lambda: t.container()["allocatedResources"]["cpu"] == "200m")
        assert t.runtime.running("c") == [before], "cpu needs no restart"
        await resize(t, "200m", "128Mi")
        await t.until(lambda: t.runtime.running("c") not in ([], [before]))
        (after,) = t.runtime.running("c")
        assert t.runtime.configs[after].linux.resources.memory_limit_in_bytes == 128 * 2**20
        await t.until(lambda: t.container()["restartCount"] == 1)
        await t.until(lambda: not resize_condition(t, "PodResizeInProgress"))

    on_a_trial(test)(tmp_path)


def test_a_resize_that_the_node_has_no_room_for_waits_or_is_hopeless(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        cores = quantity.milli(t.kubelet.node.allocatable["cpu"]) // 1000
        t.add({"name": "other", "resources": {"requests": {"cpu": f"{cores - 1}"}}}, name="other")
        t.add(sized("100m"))
        await t.until(lambda: t.container().get("allocatedResources"))
        await resize(t, f"{cores * 2}")
        await t.until(lambda: resize_condition(t, "PodResizePending").get("reason") == "Infeasible")
        message = resize_condition(t, "PodResizePending")["message"]
        assert message.startswith(f"Node didn't have enough capacity: cpu, requested: {cores * 2000}, capacity: "), message
        await resize(t, f"{cores * 1000 - 500}m")
        await t.until(lambda: resize_condition(t, "PodResizePending").get("reason") == "Deferred")
        assert t.container()["allocatedResources"]["cpu"] == "100m"
        assert ("UpdateContainerResources", "c") not in t.runtime.calls
        await resize(t, "100m")
        await t.until(lambda: not resize_condition(t, "PodResizePending"))

    on_a_trial(test)(tmp_path)


def test_memory_in_use_is_not_taken_away(tmp_path: Path) -> None:
    async def test(t: Trial) -> None:
        t.add(sized("100m", "128Mi"))
        await t.until(lambda: t.container().get("allocatedResources"))
        t.runtime.memory_bytes["c"] = 100 * 2**20
        await resize(t, "100m", "64Mi")
        await t.until(lambda: resize_condition(t, "PodResizeInProgress").get("reason") == "Error")
        assert "below current usage" in resize_condition(t, "PodResizeInProgress")["message"]
        assert t.container()["allocatedResources"]["memory"] == "64Mi"
        assert t.container()["resources"]["limits"]["memory"] == "128Mi"

    on_a_trial(test)(tmp_path)
