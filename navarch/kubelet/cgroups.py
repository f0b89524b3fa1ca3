"""Cgroups of pods: ``/kubepods/<qos>/pod<uid>``, on cgroup v1, v2, or a host that has some of both.

The runtime puts containers below the pod's cgroup (cgroupfs driver); here it is made with the pod's own limits and removed
when the pod is gone. A controller that is missing is left out: pods then run without that limit.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from navarch.apimachinery.errors import Object
from navarch.kubelet.resources import (
    QUOTA_PERIOD_MICROSECONDS,
    PodLimits,
    QoS,
    pod_limits,
    pod_request,
    qos_class,
    shares_of,
)

logger = logging.getLogger(__name__)

# Controllers that matter for pods; the others are the runtime's.
V2_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "io", "hugetlb")
V1_CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted cgroup file system; `controllers` is empty for v2's and named ones."""

    path: Path
    controllers: frozenset[str]
    unified: bool


def hierarchies(mountinfo: str) -> list[Hierarchy]:
    """The cgroup file systems in the text of /proc/self/mountinfo. Pure."""
    found: dict[Path, Hierarchy] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) < 5 or len(rest) < 3:
            continue
        path = Path(fields[4])
        if rest[0] == "cgroup2":
            found[path] = Hierarchy(path, frozenset(), unified=True)
        elif rest[0] == "cgroup":
            options = {option for option in rest[2].split(",") if option not in ("rw", "ro")}
            found[path] = Hierarchy(path, frozenset(o for o in options if "=" not in o), unified=False)
    return list(found.values())


def cgroup_parent(root: str, qos: QoS, uid: str) -> str:
    """A pod's cgroup as the runtime is told it."""
    level = "" if qos == "Guaranteed" else f"/{qos.lower()}"
    return f"{root}{level}/pod{uid}"


def uid_of(name: str) -> str | None:
    """The uid in the name of a pod's cgroup directory."""
    return name.removeprefix("pod") if name.startswith("pod") else None


class Cgroups:
    """The cgroups below one root; blocking calls, each a few file operations."""

    def __init__(self, root: str, mountinfo: str | None = None) -> None:
        self.root = "/" + root.strip("/")
        text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
        self._hierarchies = hierarchies(text)

    def setup(self) -> None:
        """Make the levels that pods hang below."""
        for level in (self.root, f"{self.root}/burstable", f"{self.root}/besteffort"):
            self._make(level)
        self._write(f"{self.root}/besteffort", PodLimits())

    def create(self, pod: Object, uid: str) -> str:
        """Make a pod's cgroup and set its limits; returns its name for the runtime."""
        parent = cgroup_parent(self.root, qos_class(pod), uid)
        self._make(parent)
        self._write(parent, pod_limits(pod))
        return parent

    def widen(self, before: Object, after: Object, uid: str) -> None:
        """Set the limits of a pod's cgroup so that it has room both for what its containers had and for what they will have."""
        old, new = pod_limits(before), pod_limits(after)
        self._write(
            cgroup_parent(self.root, qos_class(after), uid),
            PodLimits(
                cpu_shares=max(old.cpu_shares, new.cpu_shares),
                cpu_quota_microseconds=_wider(old.cpu_quota_microseconds, new.cpu_quota_microseconds),
                memory_bytes=_wider(old.memory_bytes, new.memory_bytes),
            ),
        )

    def balance(self, pods: list[Object]) -> None:
        """Give the burstable level the weight of all its pods' requests."""
        total = sum(pod_request(pod, "cpu") for pod in pods if qos_class(pod) == "Burstable")
        self._write(f"{self.root}/burstable", PodLimits(cpu_shares=shares_of(total)))

    def pod_uids(self) -> set[str]:
        """Uids of the pods that have a cgroup."""
        found: set[str] = set()
        for hierarchy in self._hierarchies:
            for level in ("", "burstable", "besteffort"):
                directory = hierarchy.path / self.root.lstrip("/") / level
                if directory.is_dir():
                    found.update(uid for entry in directory.iterdir() if (uid := uid_of(entry.name)) is not None)
        return found

    def remove(self, uid: str) -> bool:
        """Remove a pod's cgroup wherever it is, ending what may still run in it; False if that must be tried again."""
        gone = True
        for hierarchy in self._hierarchies:
            for level in ("", "burstable", "besteffort"):
                directory = hierarchy.path / self.root.lstrip("/") / level / f"pod{uid}"
                if directory.is_dir():
                    gone = _remove_tree(directory) and gone
        return gone

    def remove_all(self) -> None:
        """Remove the root and everything below it."""
        for hierarchy in self._hierarchies:
            directory = hierarchy.path / self.root.lstrip("/")
            if directory.is_dir():
                _remove_tree(directory)

    def _make(self, parent: str) -> None:
        for hierarchy in self._hierarchies:
            directory = hierarchy.path / parent.lstrip("/")
            if directory.is_dir():
                continue
            try:
                directory.mkdir(parents=True, exist_ok=True)
                if hierarchy.unified:
                    _delegate(hierarchy.path, directory)
                elif "cpuset" in hierarchy.controllers:
                    _inherit_cpuset(hierarchy.path, directory)
            except OSError as error:
                logger.warning("cannot make the cgroup %s: %s", directory, error)

    def _write(self, parent: str, limits: PodLimits) -> None:
        for hierarchy in self._hierarchies:
            directory = hierarchy.path / parent.lstrip("/")
            for name, value in _settings(hierarchy, limits):
                file = directory / name
                if file.exists():
                    try:
                        file.write_text(value)
                    except OSError as error:
                        logger.warning("cannot set %s to %s: %s", file, value, error)


def _wider(one: int, other: int) -> int:
    """The wider of two limits; 0 is none, and left alone."""
    return max(one, other) if one and other else 0


def _settings(hierarchy: Hierarchy, limits: PodLimits) -> Iterator[tuple[str, str]]:
    """Names and contents of the files that carry `limits`."""
    if hierarchy.unified:
        # The kernel's weights run from 1 to 10000, shares from 2 to 262144.
        yield "cpu.weight", str(1 + (limits.cpu_shares - 2) * 9999 // 262142)
        if limits.cpu_quota_microseconds:
            yield "cpu.max", f"{limits.cpu_quota_microseconds} {QUOTA_PERIOD_MICROSECONDS}"
        if limits.memory_bytes:
            yield "memory.max", str(limits.memory_bytes)
        return
    if "cpu" in hierarchy.controllers:
        yield "cpu.shares", str(limits.cpu_shares)
        if limits.cpu_quota_microseconds:
            yield "cpu.cfs_period_us", str(QUOTA_PERIOD_MICROSECONDS)
            yield "cpu.cfs_quota_us", str(limits.cpu_quota_microseconds)
    if "memory" in hierarchy.controllers and limits.memory_bytes:
        yield "memory.limit_in_bytes", str(limits.memory_bytes)


def _steps(top: Path, directory: Path) -> list[Path]:
    """`directory` and what lies between it and `top`, from above."""
    return [top, *reversed([parent for parent in directory.parents if top in parent.parents]), directory]


def _delegate(top: Path, directory: Path) -> None:
    """Hand v2's controllers down to `directory`, those that are there."""
    for parent in _steps(top, directory)[:-1]:
        available = (parent / "cgroup.controllers").read_text().split()
        control = parent / "cgroup.subtree_control"
        enabled = control.read_text().split()
        for controller in V2_CONTROLLERS:
            if controller in available and controller not in enabled:
                try:
                    control.write_text(f"+{controller}")
                except OSError as error:
                    # A cgroup that holds processes cannot hand controllers down.
                    logger.debug("cannot enable %s in %s: %s", controller, parent, error)


def _inherit_cpuset(top: Path, directory: Path) -> None:
    """A new v1 cpuset is empty, and nothing may run in it, until it is told what its parent has."""
    steps = _steps(top, directory)
    for parent, child in pairwise(steps):
        for name in V1_CPUSET_FILES:
            if not (child / name).read_text().strip():
                (child / name).write_text((parent / name).read_text())


def _remove_tree(directory: Path) -> bool:
    """Remove a cgroup and those in it, deepest first; processes still there are killed."""
    gone = True
    for child in [Path(entry.path) for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]:
        gone = _remove_tree(child) and gone
    try:
        directory.rmdir()
    except FileNotFoundError:
        return gone
    except OSError as error:
        _kill_all(directory)
        logger.debug("cannot remove the cgroup %s yet: %s", directory, error)
        return False
    return gone


def _kill_all(directory: Path) -> None:
    try:
        pids = (directory / "cgroup.procs").read_text().split()
    except OSError:
        return
    for pid in map(int, pids):
        # 0 is a process outside of our PID namespace; to kill, it would mean our own process group.
        if pid == 0:
            continue
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
