"""configMap volumes: each key a file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import ClassVar

from navarch.apimachinery.errors import Object
from navarch.kubelet.volumes.atomic_writer import Projection
from navarch.kubelet.volumes.plugin import VolumeContext, VolumeError, default_mode


class ConfigMapPlugin:
    field: ClassVar[str] = "configMap"
    directory: ClassVar[str] = "kubernetes.io~configmap"
    in_memory: ClassVar[bool] = False

    async def files(self, source: Object, context: VolumeContext) -> Mapping[str, Projection]:
        name = source.get("name", "")
        optional = bool(source.get("optional"))
        found = await context.get("configmaps", name)
        if found is None and not optional:
            raise VolumeError(f'configmap "{name}" not found')
        return project(content(found or {}), source.get("items"), default_mode(source), optional, "config")


def content(configmap: Object) -> dict[str, bytes]:
    """Data and binary data."""
    result = {key: text.encode() for key, text in (configmap.get("data") or {}).items()}
    result.update((key, base64.b64decode(text)) for key, text in (configmap.get("binaryData") or {}).items())
    return result


def project(
    present: Mapping[str, bytes], items: list[Object] | None, mode: int, optional: bool, what: str
) -> dict[str, Projection]:
    """All keys, or those that `items` names at the paths it gives. Raises VolumeError."""
    if not items:
        return {key: Projection(value, mode) for key, value in present.items()}
    result: dict[str, Projection] = {}
    for item in items:
        value = present.get(item["key"])
        if value is None:
            if optional:
                continue
            raise VolumeError(f"references non-existent {what} key: {item['key']}")
        result[item["path"]] = Projection(value, mode if item.get("mode") is None else int(item["mode"]))
    return result
