"""downwardAPI volumes: fields of the pod itself as files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from navarch.apimachinery.errors import Object
from navarch.kubelet import env
from navarch.kubelet.volumes.atomic_writer import Projection
from navarch.kubelet.volumes.plugin import VolumeContext, VolumeError, default_mode


class DownwardAPIPlugin:
    field: ClassVar[str] = "downwardAPI"
    directory: ClassVar[str] = "kubernetes.io~downward-api"
    in_memory: ClassVar[bool] = True

    async def files(self, source: Object, context: VolumeContext) -> Mapping[str, Projection]:
        mode = default_mode(source)
        result: dict[str, Projection] = {}
        for item in source.get("items") or ():
            try:
                text = _text(item, context)
            except env.ConfigError as error:
                raise VolumeError(str(error)) from None
            result[item["path"]] = Projection(text.encode(), mode if item.get("mode") is None else int(item["mode"]))
        return result


def _text(item: Object, context: VolumeContext) -> str:
    if "fieldRef" in item:
        path = item["fieldRef"]["fieldPath"]
        return env.field_value(context.pod, path, pod_ips=context.pod_ips, host_ips=context.host_ips)
    selector = item["resourceFieldRef"]
    nowhere: Object = {"name": "", "resources": {}}
    return env.resource_value(context.pod, nowhere, selector, context.allocatable)
