"""Take away what a node leaves on a machine when its processes are gone: mounts, cgroups, sockets, files.

Everything is found again on the machine itself, by where it is, never from a list that a crash could have left incomplete.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
from pathlib import Path

from navarch.component import clock, processes
from navarch.component.processes import KILL_TIMEOUT_SECONDS

CGROUPS = Path("/sys/fs/cgroup")
CGROUP = "navarch"
CNI_RESULTS = Path("/var/lib/cni/results")
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8
# Mounts on mounts on mounts: each round takes the uppermost away.
UNMOUNT_ROUNDS_LIMIT = 32
RMDIR_RETRY_SECONDS = 0.005


def mounts_below(directory: Path, mountinfo: str) -> list[Path]:
    """Mount points at or below `directory`, the latest first, from the text of `/proc/self/mountinfo`."""
    found = []
    for line in mountinfo.splitlines():
        # Blanks and backslashes stand as octal escapes (proc(5)).
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split()[4]))
        if point == directory or point.is_relative_to(directory):
            found.append(point)
    return found[::-1]


def unmount_below(directory: Path) -> None:
    """Undo every mount at or below `directory`."""
    libc = ctypes.CDLL(None, use_errno=True)
    for _ in range(UNMOUNT_ROUNDS_LIMIT):
        points = mounts_below(directory.resolve(), Path("/proc/self/mountinfo").read_text())
        if not points:
            return
        for point in points:
            libc.umount2(os.fsencode(point), MNT_DETACH | UMOUNT_NOFOLLOW)
    raise OSError(f"cannot unmount what is mounted below {directory}: {', '.join(map(str, points))}")


def remove_cgroups(path: str) -> None:
    """Remove the cgroup `path` and all below it from every hierarchy, and end what still runs in them."""
    hierarchies = [CGROUPS] if (CGROUPS / "cgroup.controllers").exists() else [p for p in CGROUPS.iterdir() if p.is_dir()]
    for hierarchy in hierarchies:
        top = hierarchy / path.strip("/")
        if not top.is_dir() or top == hierarchy:
            continue
        for directory, _, _ in os.walk(top, topdown=False):
            _remove_cgroup(Path(directory))


def remove_tree(directory: Path) -> None:
    """Delete a directory with everything in it; mounts in it are undone first, never followed."""
    if directory.exists():
        unmount_below(directory)
        shutil.rmtree(directory)


def remove_cni_results(run_dir: Path, results: Path = CNI_RESULTS) -> None:
    """Forget what CNI plugins noted about sandboxes below `run_dir` (libcni keeps the notes of everybody in one place)."""
    mark = f'"{run_dir}/'.encode()
    if results.is_dir():
        for file in results.iterdir():
            if mark in file.read_bytes():
                file.unlink()
    for directory in (results, results.parent):
        with contextlib.suppress(OSError):
            directory.rmdir()


def _remove_cgroup(directory: Path) -> None:
    deadline = clock.monotonic() + KILL_TIMEOUT_SECONDS
    while True:
        try:
            directory.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            if clock.monotonic() > deadline:
                raise
            _end_members(directory)


def _end_members(directory: Path) -> None:
    for line in (directory / "cgroup.procs").read_text().split():
        member = processes.find(int(line)) if int(line) else None
        if member is not None:
            member.send(9)
            member.wait(RMDIR_RETRY_SECONDS)
