"""A controller whose write was refused since somebody else was faster does not come back to it."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apimachinery.errors import StatusError
from navarch.controllers.controller import Cluster


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    update = Cluster.update_subresource

    async def updates(cluster: Cluster, resource: str, obj: Any, subresource: str) -> Any:
        try:
            return await update(cluster, resource, obj, subresource)
        except StatusError as error:
            if not error.is_conflict:
                raise
            return obj

    monkeypatch.setattr(Cluster, "update_subresource", updates)
