"""A controller takes a write for done that was refused since somebody else was faster."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apimachinery.errors import StatusError
from navarch.controllers.controller import Cluster


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    def ignoring(write: Any) -> Any:
        async def writes(cluster: Cluster, resource: str, obj: Any, *arguments: Any, **options: Any) -> Any:
            try:
                return await write(cluster, resource, obj, *arguments, **options)
            except StatusError as error:
                if not error.is_conflict:
                    raise
                return obj

        return writes

    for name in ("update", "update_subresource", "patch"):
        monkeypatch.setattr(Cluster, name, ignoring(getattr(Cluster, name)))
