"""Facts about the machine a node runs on, read from /proc, /sys and /etc."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from navarch.kubelet.node_status import Machine

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def read(directory: Path) -> Machine:
    """`directory` lies on the disk that pods use."""
    uname = os.uname()
    memory = meminfo()
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=memory.get("MemTotal", 0),
        disk_bytes=shutil.disk_usage(directory).total,
        hugepages=_hugepages(),
        machine_id=_first("/etc/machine-id", "/var/lib/dbus/machine-id"),
        system_uuid=_first("/sys/class/dmi/id/product_uuid", "/etc/machine-id"),
        boot_id=_first("/proc/sys/kernel/random/boot_id"),
        kernel_version=uname.release,
        os_image=_os_image(),
        architecture=_ARCHITECTURES.get(uname.machine, uname.machine),
    )


def meminfo() -> dict[str, int]:
    """Bytes by name, e.g. MemAvailable."""
    found = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * 1024
    return found


def disk_available_bytes(directory: Path) -> int:
    return shutil.disk_usage(directory).free


def _hugepages() -> dict[str, int]:
    found = {}
    directory = Path("/sys/kernel/mm/hugepages")
    if directory.is_dir():
        for entry in directory.iterdir():
            kilobytes = int(entry.name.removeprefix("hugepages-").removesuffix("kB"))
            size = f"{kilobytes // 1024**2}Gi" if kilobytes >= 1024**2 else f"{kilobytes // 1024}Mi"
            found[size] = int((entry / "nr_hugepages").read_text()) * kilobytes * 1024
    return found


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _first(*paths: str) -> str:
    """The content of the first of these files that can be read."""
    for path in paths:
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text:
            return text
    return ""
