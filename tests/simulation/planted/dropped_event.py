"""The store forgets to tell a watcher of a change, once in two hundred times."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apiserver.watch import Watch
from navarch.component import clock


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Watch._take

    def drops(watch: Watch, changes: list[Any]) -> None:
        if clock.random_below(200):
            take(watch, changes)

    monkeypatch.setattr(Watch, "_take", drops)
