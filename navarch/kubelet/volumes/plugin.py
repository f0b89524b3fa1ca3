"""What a volume plugin is: it makes one kind of volume appear in a directory of the node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from navarch.apimachinery.errors import Object
from navarch.kubelet.volumes.atomic_writer import Projection


class VolumeError(Exception):
    """A volume cannot be set up now; the message is what the FailedMount event says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeContext:
    """Everything a plugin may need."""

    pod: Object
    get: Callable[[str, str], Awaitable[Object | None]]
    """(resource, name) -> ConfigMap or Secret of the pod's namespace, not older than it should be."""
    token: Callable[[str, int], Awaitable[str]]
    """(audience, seconds) -> service account token bound to the pod."""
    pod_ips: tuple[str, ...] = ()
    host_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)
    gid: int | None = None
    """The pod's fsGroup."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """A volume that is there."""

    path: Path
    read_only: bool = False


class FilesPlugin(Protocol):
    """A volume whose files the kubelet writes and keeps up to date."""

    field: ClassVar[str]
    """In the volume's spec, e.g. ``configMap``."""
    directory: ClassVar[str]
    """Below ``volumes/`` in the pod's directory."""
    in_memory: ClassVar[bool]
    """Whether its content must not reach a disk."""

    async def files(self, source: Object, context: VolumeContext) -> Mapping[str, Projection]:
        """What it holds. Raises VolumeError, StatusError or OSError."""


def default_mode(source: Mapping[str, Any]) -> int:
    mode = source.get("defaultMode")
    return 0o644 if mode is None else int(mode)
