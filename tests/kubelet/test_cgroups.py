"""Cgroups of pods on v1, v2 and hybrid hosts; plain directories stand for the kernel's."""

from __future__ import annotations

from pathlib import Path

from navarch.apimachinery.errors import Object
from navarch.kubelet import cgroups
from navarch.kubelet.cgroups import Cgroups
from tests.kubelet.pods import container, pod

HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def burstable() -> Object:
    wanted = {"requests": {"cpu": "500m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}}
    return pod(container(resources=wanted))


def test_what_is_mounted_is_found() -> None:
    found = {str(hierarchy.path): hierarchy for hierarchy in cgroups.hierarchies(HYBRID)}
    assert set(found) == {f"/sys/fs/cgroup/{name}" for name in ("cpu", "memory", "systemd", "unified")}
    assert found["/sys/fs/cgroup/cpu"].controllers == {"cpu", "cpuacct"}
    assert not found["/sys/fs/cgroup/systemd"].controllers
    assert found["/sys/fs/cgroup/unified"].unified


def test_a_pod_is_below_its_class() -> None:
    assert cgroups.cgroup_parent("/kubepods", "Guaranteed", "u") == "/kubepods/podu"
    assert cgroups.cgroup_parent("/kubepods", "Burstable", "u") == "/kubepods/burstable/podu"
    assert cgroups.cgroup_parent("/kubepods", "BestEffort", "u") == "/kubepods/besteffort/podu"


def mountinfo(root: Path, *controllers: str, unified: bool = False) -> str:
    lines = [f"1 2 0:3 / {root}/{name} rw - cgroup cgroup rw,{name}" for name in controllers]
    if unified:
        lines.append(f"1 2 0:3 / {root}/unified rw - cgroup2 cgroup2 rw")
    return "\n".join(lines)


def kernel_files(root: Path, *paths: str) -> None:
    """The files that the kernel makes in each new cgroup."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("")


def test_limits_are_set_where_the_kernel_has_them(tmp_path: Path) -> None:
    group = "kubepods/burstable/podu-1"
    kernel_files(tmp_path, f"cpu/{group}/cpu.shares", f"cpu/{group}/cpu.cfs_quota_us", f"memory/{group}/memory.limit_in_bytes")
    made = Cgroups("kubepods", mountinfo(tmp_path, "cpu", "memory"))
    assert made.create(burstable(), "u-1") == "/kubepods/burstable/podu-1"
    assert (tmp_path / "cpu" / group / "cpu.shares").read_text() == "512"
    assert (tmp_path / "cpu" / group / "cpu.cfs_quota_us").read_text() == "100000"
    assert (tmp_path / "memory" / group / "memory.limit_in_bytes").read_text() == str(64 << 20)
    assert made.pod_uids() == {"u-1"}


def test_v2_has_weights_and_hands_controllers_down(tmp_path: Path) -> None:
    group = "unified/kubepods/burstable/podu-1"
    kernel_files(tmp_path, f"{group}/cpu.weight", f"{group}/cpu.max", f"{group}/memory.max")
    for level in ("unified", "unified/kubepods", "unified/kubepods/burstable"):
        (tmp_path / level / "cgroup.controllers").write_text("cpu memory pids")
        (tmp_path / level / "cgroup.subtree_control").write_text("")
    made = Cgroups("/kubepods", mountinfo(tmp_path, unified=True))
    made.create(burstable(), "u-1")
    assert (tmp_path / group / "cpu.weight").read_text() == "20"
    assert (tmp_path / group / "cpu.max").read_text() == "100000 100000"
    assert (tmp_path / group / "memory.max").read_text() == str(64 << 20)


def test_the_burstable_level_weighs_what_its_pods_ask_for(tmp_path: Path) -> None:
    kernel_files(tmp_path, "cpu/kubepods/burstable/cpu.shares")
    made = Cgroups("/kubepods", mountinfo(tmp_path, "cpu"))
    made.balance([burstable(), burstable(), pod()])
    assert (tmp_path / "cpu/kubepods/burstable/cpu.shares").read_text() == "1024"


def test_cgroups_go_with_what_is_below_them(tmp_path: Path) -> None:
    made = Cgroups("/kubepods", mountinfo(tmp_path, "cpu", "memory"))
    made.setup()
    made.create(pod(), "u-1")
    for name in ("cpu", "memory"):
        (tmp_path / name / "kubepods/besteffort/podu-1/container").mkdir()
    assert made.remove("u-1") and not made.pod_uids()
    assert made.remove("u-1"), "once more does no harm"
    made.remove_all()
    assert not (tmp_path / "cpu/kubepods").exists()


def test_a_host_without_cgroups_does_no_harm() -> None:
    made = Cgroups("/kubepods", "")
    made.setup()
    assert made.create(pod(), "u-1") == "/kubepods/besteffort/podu-1"
    assert made.remove("u-1") and not made.pod_uids()
