"""The store says that a write is done before it is durable."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.storage.store import LocalStore


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    async def writes(store: LocalStore, wanted: Any) -> Any:
        changes = store.index.stage(wanted)
        for change in changes:
            store._publish_lazily(change)
        return changes

    monkeypatch.setattr(LocalStore, "write", writes)
