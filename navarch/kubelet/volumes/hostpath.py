"""hostPath volumes: a path of the node itself."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from navarch.apimachinery.errors import Object
from navarch.kubelet.volumes.plugin import VolumeError

_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


class HostPathPlugin:
    field: ClassVar[str] = "hostPath"

    def set_up(self, source: Object) -> Path:
        """The path, checked to be what the volume says it is. Raises VolumeError."""
        path = Path(source["path"])
        kind = source.get("type") or ""
        if kind == "DirectoryOrCreate":
            if not path.exists():
                path.mkdir(mode=0o755, parents=True)
            kind = "Directory"
        elif kind == "FileOrCreate":
            if not path.exists():
                path.touch(mode=0o644)
            kind = "File"
        if kind:
            check, name = _CHECKS[kind]
            try:
                fits = check(path.stat().st_mode)
            except OSError:
                fits = False
            if not fits:
                raise VolumeError(f"hostPath type check failed: {path} is not {name}")
        return path
