"""The garbage collector takes the finalizer off an owner that waits for its dependants, whether they have gone or not."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.controllers.garbagecollector import FOREGROUND, GarbageCollector


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    async def loses(collector: GarbageCollector, node: Any) -> None:
        await collector._drop_finalizer(node, FOREGROUND)

    monkeypatch.setattr(GarbageCollector, "_wait_for_dependants", loses)
