"""What a node says of itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from navarch.apimachinery.errors import Object
from navarch.cri import runtime_pb2 as pb
from navarch.kubelet import machine, node_status
from navarch.kubelet.config import KubeletConfig
from navarch.kubelet.node_status import Health, Machine
from tests.kubelet.pods import NOW

CONFIG = KubeletConfig(node_name="n1", node_ip="10.0.0.1", root_directory=Path("/none"), log_directory=Path("/none"))
MACHINE = Machine(
    cpus=4,
    memory_bytes=8 << 30,
    disk_bytes=100 << 30,
    hugepages={"2Mi": 4 << 20, "1Gi": 0},
    machine_id="m",
    system_uuid="s",
    boot_id="b",
    kernel_version="6.1",
    os_image="Debian",
    architecture="amd64",
)
HEALTHY = Health(
    problem="",
    memory_available_bytes=4 << 30,
    memory_reserve_bytes=100 << 20,
    disk_available_bytes=50 << 30,
    disk_bytes=100 << 30,
)


def test_pods_get_what_is_not_reserved() -> None:
    total = node_status.capacity(CONFIG, MACHINE)
    assert total == {
        "cpu": "4",
        "ephemeral-storage": "104857600Ki",
        "memory": "8388608Ki",
        "pods": "110",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "4Mi",
    }
    left = node_status.allocatable(CONFIG, total)
    assert left["cpu"] == "4" and left["memory"] == f"{8388608 - 102400 - 4096}Ki"
    assert left["ephemeral-storage"] == str((100 << 30) * 9 // 10)
    small = replace(CONFIG, capacity_cpu="2", capacity_memory="1Gi", kube_reserved_cpu="500m")
    assert node_status.allocatable(small, node_status.capacity(small, MACHINE))["cpu"] == "1500m"


def test_labels_name_the_node_and_its_kind() -> None:
    found = node_status.labels(replace(CONFIG, node_labels={"zone": "z"}), MACHINE)
    assert found["kubernetes.io/hostname"] == "n1" and found["kubernetes.io/arch"] == "amd64" and found["zone"] == "z"


def by_type(health: Health, old: list[dict[str, str]] | None = None) -> dict[str, dict[str, str]]:
    return {condition["type"]: condition for condition in node_status.conditions(health, old or [], NOW)}


def test_a_healthy_node_is_ready() -> None:
    found = by_type(HEALTHY)
    assert found["Ready"] | {"status": "True", "reason": "KubeletReady"} == found["Ready"]
    assert found["Ready"]["message"] == "kubelet is posting ready status"
    assert found["MemoryPressure"]["message"] == "kubelet has sufficient memory available"
    assert found["DiskPressure"]["message"] == "kubelet has no disk pressure"
    assert found["PIDPressure"]["reason"] == "KubeletHasSufficientPID"


def test_what_is_wrong_shows() -> None:
    bad = replace(HEALTHY, problem="container runtime is down", memory_available_bytes=1, disk_available_bytes=1)
    found = by_type(bad)
    assert found["Ready"]["reason"] == "KubeletNotReady" and found["Ready"]["message"] == "container runtime is down"
    assert found["MemoryPressure"]["reason"] == "KubeletHasInsufficientMemory"
    assert found["DiskPressure"]["reason"] == "KubeletHasDiskPressure"


def test_transition_times_change_with_the_status_only() -> None:
    old = [{"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]
    found = by_type(HEALTHY, old)["Ready"]
    assert found["lastTransitionTime"] == "2020-01-01T00:00:00Z" and found["lastHeartbeatTime"] == "2026-05-01T12:00:00Z"
    assert by_type(replace(HEALTHY, problem="x"), old)["Ready"]["lastTransitionTime"] == "2026-05-01T12:00:00Z"


def test_a_heartbeat_alone_is_nothing_new() -> None:
    first = {"conditions": node_status.conditions(HEALTHY, [], NOW), "images": []}
    later = {"conditions": node_status.conditions(HEALTHY, first["conditions"], NOW.replace(hour=15)), "images": []}
    network = {"type": "NetworkUnavailable", "status": "False"}
    assert not node_status.differs({**first, "conditions": [*first["conditions"], network], "more": 1}, later)
    assert node_status.differs(first, {**later, "images": [{"names": ["a"]}]})


def test_the_largest_images_are_listed() -> None:
    many = [pb.Image(id=str(i), repo_tags=[f"i:{i}"], size=i) for i in range(60)]
    found = node_status.images([*many, pb.Image(id="x", size=10**9)])
    assert len(found) == 49 and found[0] == {"names": ["i:59"], "sizeBytes": 59}


def test_the_runtimes_conditions_are_read() -> None:
    network = pb.RuntimeCondition(type="NetworkReady", reason="NetworkPluginNotReady", message="no config")
    status = pb.StatusResponse(
        status=pb.RuntimeStatus(conditions=[pb.RuntimeCondition(type="RuntimeReady", status=True), network])
    )
    expected = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:no config"
    assert node_status.runtime_problem(status) == ("", expected)


def test_the_machine_can_be_read(tmp_path: Path) -> None:
    found = machine.read(tmp_path)
    assert found.cpus > 0 and found.memory_bytes > 0 and found.disk_bytes > 0 and found.kernel_version


def test_conditions_that_change_are_news() -> None:
    def all_of(**statuses: str) -> list[Object]:
        return [{"type": type_, "status": status} for type_, status in statuses.items()]

    fresh = all_of(MemoryPressure="False", DiskPressure="False", PIDPressure="True", Ready="False")
    assert node_status.news((), fresh) == ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasInsufficientPID"]
    assert node_status.news(fresh, fresh) == []
    assert node_status.news(fresh, all_of(DiskPressure="True", Ready="True")) == ["NodeHasDiskPressure", "NodeReady"]
    assert node_status.news(all_of(Ready="Unknown"), fresh[-1:]) == ["NodeNotReady"]
