"""Paths in volumes. Containers may put links there, and change them at any moment; none leads the kubelet out of the volume."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from navarch.kubelet.volumes.plugin import VolumeError


def resolve(volume: Path, relative: str) -> Path:
    """What `relative` means in the volume, whether or not it is there. Raises VolumeError where that is not in the volume."""
    wanted = Path(os.path.realpath(Path(os.path.realpath(volume)) / relative))
    _check_inside(volume, wanted)
    return wanted


@contextmanager
def opened(volume: Path, resolved: Path) -> Iterator[str]:
    """A path by which to use what `resolved` names now, whatever it may name later. Raises VolumeError, OSError."""
    handle = os.open(resolved, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        path = f"/proc/self/fd/{handle}"
        # What was opened, not what the name may mean by now.
        _check_inside(volume, Path(path).readlink())
        yield path
    finally:
        os.close(handle)


def read(volume: Path, relative: str, limit_bytes: int) -> bytes:
    """The content of a regular file: all else might never end, or never begin. Raises VolumeError, OSError."""
    with opened(volume, resolve(volume, relative)) as path:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise VolumeError(f"{relative} is not a regular file")
        with Path(path).open("rb") as file:
            content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise VolumeError(f"{relative} is longer than {limit_bytes} bytes")
    return content


def _check_inside(volume: Path, path: Path) -> None:
    if not path.is_relative_to(os.path.realpath(volume)):
        raise VolumeError(f"subpath {path} leads out of the volume")
