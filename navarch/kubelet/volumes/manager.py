"""The volumes of one pod: set up before its containers start, kept up to date, taken down when it is gone.

Directories are those Kubernetes uses: ``pods/<uid>/volumes/<plugin>/<name>`` and
``pods/<uid>/volume-subpaths/<volume>/<container>/<index>``.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

from navarch.apimachinery.errors import Object, StatusError
from navarch.kubelet import env, mounts
from navarch.kubelet.resources import all_containers
from navarch.kubelet.volumes import atomic_writer, paths
from navarch.kubelet.volumes.atomic_writer import Projection
from navarch.kubelet.volumes.configmap import ConfigMapPlugin
from navarch.kubelet.volumes.downwardapi import DownwardAPIPlugin
from navarch.kubelet.volumes.emptydir import EmptyDirPlugin
from navarch.kubelet.volumes.hostpath import HostPathPlugin
from navarch.kubelet.volumes.plugin import FilesPlugin, Mounted, VolumeContext, VolumeError
from navarch.kubelet.volumes.projected import ProjectedPlugin
from navarch.kubelet.volumes.secret import SecretPlugin

logger = logging.getLogger(__name__)

FILES_PLUGINS: dict[str, FilesPlugin] = {
    plugin.field: plugin for plugin in (ConfigMapPlugin(), SecretPlugin(), DownwardAPIPlugin(), ProjectedPlugin())
}
_EMPTY_DIR = EmptyDirPlugin()
_HOST_PATH = HostPathPlugin()

_GROUP_READ_BITS = 0o440


def used_volumes(pod: Object) -> list[Object]:
    """The volumes that some container mounts, or has variables from."""
    containers = list(all_containers(pod))
    wanted = {mount["name"] for container in containers for mount in container.get("volumeMounts") or ()}
    wanted |= {name for container in containers for name, _ in env.files(container)}
    return [volume for volume in pod["spec"].get("volumes") or () if volume["name"] in wanted]


def source_of(volume: Object) -> tuple[str, Object]:
    """Which plugin, and what it is told."""
    for field, source in volume.items():
        if field != "name":
            return field, source or {}
    return "emptyDir", {}


class PodVolumes:
    """What is set up for one pod."""

    def __init__(self, directory: Path, *, in_memory: bool = True) -> None:
        """`directory` is the pod's own; without `in_memory` nothing is mounted for what should not reach a disk."""
        self._directory = directory
        self._in_memory = in_memory

    async def set_up(self, context: VolumeContext) -> tuple[dict[str, Mounted], dict[str, str]]:
        """Make every volume there and current; returns those that are, and why others aren't."""
        volumes = used_volumes(context.pod)
        answers = await asyncio.gather(*(self._set_up_one(volume, context) for volume in volumes), return_exceptions=True)
        mounted: dict[str, Mounted] = {}
        failed: dict[str, str] = {}
        for volume, answer in zip(volumes, answers, strict=True):
            if isinstance(answer, Mounted):
                mounted[volume["name"]] = answer
            elif isinstance(answer, StatusError):
                failed[volume["name"]] = answer.message
            elif isinstance(answer, VolumeError | OSError | ValueError):
                failed[volume["name"]] = str(answer) or type(answer).__name__
            else:
                raise answer
        return mounted, failed

    async def _set_up_one(self, volume: Object, context: VolumeContext) -> Mounted:
        field, source = source_of(volume)
        name = volume["name"]
        if field == "hostPath":
            return Mounted(_HOST_PATH.set_up(source))
        if field == "emptyDir":
            path = self._directory / "volumes" / _EMPTY_DIR.directory / name
            _EMPTY_DIR.set_up(source, path, context.gid)
            return Mounted(path)
        plugin = FILES_PLUGINS.get(field)
        if plugin is None:
            raise VolumeError(f"no volume plugin matched: {field} volumes are not supported by this node")
        files = await plugin.files(source, context)
        path = self._directory / "volumes" / plugin.directory / name
        path.mkdir(parents=True, exist_ok=True)
        if plugin.in_memory and self._in_memory and not mounts.is_file_system(path):
            mounts.mount_tmpfs(path)
            path.chmod(0o777)
        atomic_writer.write(path, _for_group(files, context.gid), context.gid)
        return Mounted(path, read_only=True)

    def subpath(self, volume: Path, relative: str, volume_name: str, container: str, index: int) -> Path:
        """A place to mount `relative` of a volume from, which no link in the volume can lead elsewhere.

        Made as a directory if it is not there. Raises VolumeError.
        """
        if relative.startswith("/") or ".." in relative.split("/"):
            raise VolumeError(f"subPath {relative!r} must be a relative path below the volume")
        wanted = paths.resolve(volume, relative)
        if not wanted.exists():
            wanted.mkdir(parents=True, mode=0o750)
            wanted.chmod(volume.stat().st_mode & 0o777)
        target = self._directory / "volume-subpaths" / volume_name / container / str(index)
        if mounts.is_mount(target):
            mounts.unmount(target)
        with paths.opened(volume, wanted) as opened:
            if wanted.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.touch()
            mounts.bind(opened, target)
        return target

    async def tear_down(self) -> None:
        """Unmount everything and remove the pod's directory. Raises OSError if something stays."""
        await asyncio.to_thread(remove_pod_directory, self._directory)


def remove_pod_directory(directory: Path) -> None:
    """Unmount what is below and remove it; never a byte of what was only mounted there."""
    if not directory.exists():
        return
    mounts.unmount_below(directory)
    left = mounts.mounted_below(directory)
    if left:
        raise OSError(f"still mounted: {left[0]}")
    shutil.rmtree(directory)


def _for_group(files: Mapping[str, Projection], gid: int | None) -> Mapping[str, Projection]:
    if gid is None:
        return files
    return {path: Projection(file.content, file.mode | _GROUP_READ_BITS, file.uid) for path, file in files.items()}
