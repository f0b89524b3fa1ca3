"""secret volumes: each key a file, in memory only."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import ClassVar

from navarch.apimachinery.errors import Object
from navarch.kubelet.volumes.atomic_writer import Projection
from navarch.kubelet.volumes.configmap import project
from navarch.kubelet.volumes.plugin import VolumeContext, VolumeError, default_mode


class SecretPlugin:
    field: ClassVar[str] = "secret"
    directory: ClassVar[str] = "kubernetes.io~secret"
    in_memory: ClassVar[bool] = True

    async def files(self, source: Object, context: VolumeContext) -> Mapping[str, Projection]:
        # A secret volume says `secretName`, a projected source `name`.
        name = source.get("secretName") or source.get("name") or ""
        optional = bool(source.get("optional"))
        found = await context.get("secrets", name)
        if found is None and not optional:
            raise VolumeError(f'secret "{name}" not found')
        present = {key: base64.b64decode(text) for key, text in ((found or {}).get("data") or {}).items()}
        return project(present, source.get("items"), default_mode(source), optional, "secret")
