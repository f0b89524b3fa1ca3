"""projected volumes: ConfigMaps, Secrets, fields of the pod and service account tokens in one directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from navarch.apimachinery.errors import Object
from navarch.kubelet.resources import all_containers
from navarch.kubelet.volumes.atomic_writer import Projection
from navarch.kubelet.volumes.configmap import ConfigMapPlugin
from navarch.kubelet.volumes.downwardapi import DownwardAPIPlugin
from navarch.kubelet.volumes.plugin import FilesPlugin, VolumeContext, VolumeError, default_mode
from navarch.kubelet.volumes.secret import SecretPlugin

DEFAULT_TOKEN_SECONDS = 3600

_PLUGINS: dict[str, FilesPlugin] = {plugin.field: plugin for plugin in (ConfigMapPlugin(), SecretPlugin(), DownwardAPIPlugin())}


class ProjectedPlugin:
    field: ClassVar[str] = "projected"
    directory: ClassVar[str] = "kubernetes.io~projected"
    in_memory: ClassVar[bool] = True

    async def files(self, source: Object, context: VolumeContext) -> Mapping[str, Projection]:
        mode = default_mode(source)
        result: dict[str, Projection] = {}
        for part in source.get("sources") or ():
            for field, value in part.items():
                if field == "serviceAccountToken":
                    result[value["path"]] = await _token(value, mode, context)
                elif field in _PLUGINS:
                    result.update(await _PLUGINS[field].files({"defaultMode": mode, **value}, context))
                else:
                    raise VolumeError(f"projected volumes from {field} are not supported by this node")
        return result


async def _token(source: Object, mode: int, context: VolumeContext) -> Projection:
    token = await context.token(source.get("audience") or "", source.get("expirationSeconds") or DEFAULT_TOKEN_SECONDS)
    user = common_user(context.pod)
    # Only those who need it may read it, where it is known who that is.
    if user is not None or context.gid is not None:
        mode = 0o600
    return Projection(token.encode(), mode, uid=user)


def common_user(pod: Object) -> int | None:
    """The one user all containers run as, if the spec says so."""
    spec = pod["spec"]
    default = (spec.get("securityContext") or {}).get("runAsUser")
    users = {(container.get("securityContext") or {}).get("runAsUser", default) for container in all_containers(pod)}
    user = users.pop() if len(users) == 1 else None
    return None if user is None else int(user)
