"""Controllers trust their caches: they count pods before they have seen those that they have just made."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.controllers.controller import Runner


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    async def trusts(runner: Runner, key: str, writes: Any) -> None:
        writes.versions.clear()
        writes.deleted.clear()

    monkeypatch.setattr(Runner, "_see_own_writes", trusts)
