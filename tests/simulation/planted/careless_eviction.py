"""Evictions ask no budget."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apiserver.subresources import eviction


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    def finds_none(resources: Any, pod: Any) -> list[Any]:
        return []

    monkeypatch.setattr(eviction, "_budgets_of", finds_none)
