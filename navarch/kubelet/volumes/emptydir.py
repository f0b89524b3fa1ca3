"""emptyDir volumes: a directory that lives as long as the pod, on disk or in memory."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from navarch.apimachinery import quantity
from navarch.apimachinery.errors import Object
from navarch.kubelet import mounts
from navarch.kubelet.volumes.plugin import VolumeError

DIRECTORY: str = "kubernetes.io~empty-dir"
PERMISSIONS = 0o777


class EmptyDirPlugin:
    field: ClassVar[str] = "emptyDir"
    directory: ClassVar[str] = DIRECTORY

    def set_up(self, source: Object, path: Path) -> None:
        """Idempotent; what is in it stays."""
        medium = source.get("medium") or ""
        if medium not in ("", "Memory"):
            raise VolumeError(f"emptyDir medium {medium} is not supported by this node")
        path.mkdir(parents=True, exist_ok=True)
        if medium == "Memory" and not mounts.is_file_system(path):
            mounts.mount_tmpfs(path, quantity.value(source.get("sizeLimit") or "0"))
        if path.stat().st_mode & 0o777 != PERMISSIONS:
            path.chmod(path.stat().st_mode & 0o7000 | PERMISSIONS)
