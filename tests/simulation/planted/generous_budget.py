"""An eviction is charged to a budget that has nothing left."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apiserver.subresources import eviction


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = eviction._spent

    def generous(budget: Any, pod: Any) -> Any:
        status = budget.get("status") or {}
        return spent({**budget, "status": {**status, "disruptionsAllowed": max(1, status.get("disruptionsAllowed", 0))}}, pod)

    monkeypatch.setattr(eviction, "_spent", generous)
