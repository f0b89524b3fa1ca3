"""Look before anything is started: can this machine run the cluster, and if not, what to do about it.

Every finding says what is wrong, why it matters and how to mend it. All are collected, so that they can be mended at once.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import os
import platform
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from navarch.component import processes
from navarch.cri.containerd import find_cni_plugins, find_program
from navarch.cri.images.pause import ARCHITECTURES

# Program → the Debian package it comes with.
PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
}
CNI_PACKAGE = "containernetworking-plugins"
NFTABLES_LIBRARY = "libnftables.so.1"
CGROUPS = Path("/sys/fs/cgroup")
PROC_MOUNT_CGROUP = Path("/proc/self/cgroup")
RUNC_TIMEOUT_SECONDS = 20.0
ROOM_NEEDED_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Listener:
    """An address that is going to be listened on."""

    address: str
    port: int
    what: str
    option: str = ""
    """The option that chooses another port, if one does."""
    datagram: bool = False


@dataclass(slots=True)
class Machine:
    """What was found."""

    problems: list[str]
    warnings: list[str]
    snapshotter: str
    cgroups: str
    """"v1", "v2" or "hybrid"."""
    runc: subprocess.Popen[str] | None = None
    """Under way, so that nobody waits for it: see `runc_problem`."""


def examine(data_dir: Path, listeners: Iterable[Listener], *, programs: Sequence[str] = tuple(PROGRAMS)) -> Machine:
    """Look at everything that can be looked at without changing anything. Needs root."""
    machine = Machine([], [], "overlayfs", cgroup_version(CGROUPS))
    problems = machine.problems
    if platform.machine() not in ARCHITECTURES:
        problems.append(f"navarch makes no sandbox image for {platform.machine()} machines, only for x86_64 and aarch64.")
    problems += missing_programs(programs)
    if not machine.cgroups:
        problems.append(
            f"there are no cgroups below {CGROUPS}, so no container can run. Mount them: "
            "mount -t cgroup2 none /sys/fs/cgroup (or apt-get install cgroupfs-mount)"
        )
    problems += filter(None, map(taken, listeners))
    room = os.statvfs(data_dir)
    if room.f_bavail * room.f_frsize < ROOM_NEEDED_BYTES:
        free = room.f_bavail * room.f_frsize // (1024 * 1024)
        problems.append(
            f"only {free} MiB are free below {data_dir}; images and logs need at least 512. Choose another --data-dir."
        )
    reason = overlay_problem(data_dir)
    if reason:
        machine.snapshotter = "native"
        machine.warnings.append(
            f"overlayfs cannot be used below {data_dir} ({reason}): images are copied instead, which is slower"
        )
    runc = find_program("runc")
    if runc is not None and not problems:
        machine.runc = subprocess.Popen([runc, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return machine


def runc_problem(machine: Machine) -> str:
    """Why runc is broken; "" if it works. Waits for what `examine` began."""
    if machine.runc is None:
        return ""
    try:
        output, _ = machine.runc.communicate(timeout=RUNC_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        machine.runc.kill()
        machine.runc.communicate()
        return f"runc does not answer within {RUNC_TIMEOUT_SECONDS:.0f} s. Reinstall it: apt-get install --reinstall runc"
    if machine.runc.returncode:
        said = output.strip()[:400] or f"exit code {machine.runc.returncode}"
        return f"runc is broken, so no container can start: {said}. Reinstall it: apt-get install --reinstall runc"
    return ""


def not_root() -> str:
    """Why this user may not; "" if they may."""
    if os.geteuid() == 0:
        return ""
    return (
        "navarch must run as root, because containers need namespaces, mounts and network interfaces. "
        "Try again with sudo (sudo keeps its own PATH: give navarch's full path)."
    )


def missing_programs(programs: Iterable[str]) -> list[str]:
    """What is not installed, with the one command that installs all of it."""
    packages: dict[str, list[str]] = {}
    for program in programs:
        if find_program(program) is None:
            packages.setdefault(PROGRAMS[program], []).append(program)
    if find_cni_plugins() is None:
        packages.setdefault(CNI_PACKAGE, []).append("the CNI plugins (in /opt/cni/bin or /usr/lib/cni)")
    if not _library_loads(NFTABLES_LIBRARY):
        packages.setdefault("libnftables1", []).append(NFTABLES_LIBRARY)
    if not packages:
        return []
    missing = ", ".join(name for names in packages.values() for name in names)
    return [f"not installed: {missing}. Install with: apt-get install -y {' '.join(sorted(packages))}"]


def cgroup_version(root: Path) -> str:
    """Which cgroup hierarchies are mounted: "v2", "v1", "hybrid" (both), or "" for none."""
    if (root / "cgroup.controllers").exists():
        return "v2"
    v1 = (root / "memory").is_dir() or (root / "cpu").is_dir()
    if not v1:
        return ""
    return "hybrid" if (root / "unified" / "cgroup.controllers").exists() else "v1"


def overlay_problem(directory: Path) -> str:
    """Why overlayfs cannot be used below `directory`; "" if it can. Tries it."""
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".overlay-") as scratch:
        parts = {name: Path(scratch, name) for name in ("lower", "upper", "work", "merged")}
        for path in parts.values():
            path.mkdir()
        options = f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}"
        if libc.mount(b"overlay", os.fsencode(parts["merged"]), b"overlay", 0, options.encode()):
            return os.strerror(ctypes.get_errno())
        libc.umount2(os.fsencode(parts["merged"]), 0)
    return ""


def taken(listener: Listener) -> str:
    """Why an address cannot be listened on; "" if it can."""
    kind = socket.SOCK_DGRAM if listener.datagram else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if not listener.datagram:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listener.address, listener.port))
            if not listener.datagram:
                probe.listen(1)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return f"{listener.what} cannot listen on {listener.address}:{listener.port}: {error.strerror}."
            by = owner_of_port(listener.port, datagram=listener.datagram)
            mend = f"or choose another with {listener.option}" if listener.option else "navarch needs this one"
            return f"port {listener.port} ({listener.what}) is taken{f' by {by}' if by else ''}: stop that, {mend}."
    return ""


def owner_of_port(port: int, *, datagram: bool = False) -> str:
    """Who listens on a port: "nginx (process 812)"; "" if that cannot be seen."""
    protocol = "udp" if datagram else "tcp"
    inodes = set()
    for table in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
        try:
            inodes |= listening_inodes(Path(table).read_text(), port, datagram=datagram)
        except OSError:
            continue
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in processes.all_pids():
        try:
            if any(str(link.readlink()) in wanted for link in Path(f"/proc/{pid}/fd").iterdir()):
                return f"{Path(f'/proc/{pid}/comm').read_text().strip()} (process {pid})"
        except OSError:
            # It has ended, or a descriptor was closed, while we looked.
            continue
    return ""


def listening_inodes(table: str, port: int, *, datagram: bool = False) -> set[str]:
    """Inodes of the sockets that listen on `port`, from the text of `/proc/net/tcp` or `udp`."""
    listening = "07" if datagram else "0A"
    found = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] == listening and int(fields[1].rsplit(":", 1)[1], 16) == port:
            found.add(fields[9])
    return found


def _library_loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
