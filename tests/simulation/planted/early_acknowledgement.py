"""The store says that a write is done before it is durable."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.storage.store import LocalStore


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    put = LocalStore.put

    async def puts(store: LocalStore, *arguments: Any, lazy: bool = False) -> Any:
        return await put(store, *arguments, lazy=True)

    monkeypatch.setattr(LocalStore, "put", puts)
