"""Mounting and unmounting for volumes, by system call (no process per mount), and reading the mount table."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

MS_BIND = 4096
MS_REC = 16384
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, path: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


def mount_tmpfs(target: Path, size_bytes: int = 0, *, mode: int | None = None, gid: int | None = None) -> None:
    """An empty memory file system at `target`; `size_bytes` 0 leaves the kernel's default, as None does."""
    given = (("size", size_bytes or None), ("mode", None if mode is None else f"{mode:o}"), ("gid", gid))
    options = ",".join(f"{name}={value}" for name, value in given if value is not None)
    _check(_libc().mount(b"tmpfs", os.fsencode(target), b"tmpfs", 0, options.encode()), str(target))


def bind(source: str, target: Path) -> None:
    """Show `source` (and what is mounted below it) at `target` too."""
    _check(_libc().mount(os.fsencode(source), os.fsencode(target), None, MS_BIND | MS_REC, None), str(target))


def unmount(target: Path) -> None:
    """Unmount; what is still busy goes as soon as it is not. Nothing mounted there is fine."""
    result = _libc().umount2(os.fsencode(target), MNT_DETACH | UMOUNT_NOFOLLOW)
    if result != 0 and ctypes.get_errno() not in (22, 2):  # EINVAL: no mount; ENOENT
        _check(result, str(target))


def is_file_system(path: Path) -> bool:
    """Whether another file system than its parent's begins there; cheap, and enough for memory file systems."""
    return path.stat().st_dev != path.parent.stat().st_dev


def is_mount(path: Path) -> bool:
    """Whether a file system is mounted right there (bind mounts of the same file system show only in the table)."""
    return str(path) in mounted_below(path)


def mounted_below(directory: Path, mountinfo: str | None = None) -> list[str]:
    """Mount points at and below `directory`, deepest and latest first."""
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    prefix = str(directory)
    found = []
    for line in text.splitlines():
        path = _unescaped(line.split(" ", 5)[4])
        if path == prefix or path.startswith(prefix.rstrip("/") + "/"):
            found.append(path)
    return list(reversed(found))


def unmount_below(directory: Path) -> None:
    """Unmount everything at and below `directory`."""
    for path in mounted_below(directory):
        unmount(Path(path))


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
