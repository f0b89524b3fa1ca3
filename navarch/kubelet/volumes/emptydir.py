"""emptyDir volumes: a directory that lives as long as the pod, on disk or in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from navarch.apimachinery import quantity
from navarch.apimachinery.errors import Object
from navarch.kubelet import mounts
from navarch.kubelet.volumes.plugin import VolumeError

PERMISSIONS = 0o777
IN_MEMORY_PERMISSIONS = 0o1777
"""A memory file system's own."""
_OF_GROUP = 0o2000
"""What is made in it is the group's, too."""


class EmptyDirPlugin:
    field: ClassVar[str] = "emptyDir"
    directory: ClassVar[str] = "kubernetes.io~empty-dir"

    def set_up(self, source: Object, path: Path, gid: int | None = None) -> None:
        """Make it, unless it is there: what is in it, and what containers have made of its permissions, stays.

        `gid`: whose it is. Raises VolumeError, OSError.
        """
        medium = source.get("medium") or ""
        if medium not in ("", "Memory"):
            raise VolumeError(f"emptyDir medium {medium} is not supported by this node")
        of_group = 0 if gid is None else _OF_GROUP
        if medium == "Memory":
            path.mkdir(parents=True, exist_ok=True)
            if not mounts.is_file_system(path):
                size = quantity.value(source.get("sizeLimit") or "0")
                mounts.mount_tmpfs(path, size, mode=IN_MEMORY_PERMISSIONS | of_group, gid=gid)
        elif not path.exists():
            # It has its name only once it is as it should be. No volume's name begins with a dot.
            fresh = path.with_name(f".{path.name}")
            fresh.mkdir(parents=True, exist_ok=True)
            if gid is not None:
                os.chown(fresh, -1, gid)
            fresh.chmod(PERMISSIONS | of_group)
            fresh.rename(path)
