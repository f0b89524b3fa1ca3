"""An informer that lists anew does not notice what has gone meanwhile."""

from __future__ import annotations

import pytest

from navarch.client.informer import Informer


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    listing, remove = Informer._list, Informer._remove
    listed: set[int] = set()

    async def lists(informer: Informer) -> None:
        listed.add(id(informer))
        try:
            await listing(informer)
        finally:
            listed.discard(id(informer))

    def removes(informer: Informer, key: str) -> None:
        if id(informer) not in listed:
            remove(informer, key)

    monkeypatch.setattr(Informer, "_list", lists)
    monkeypatch.setattr(Informer, "_remove", removes)
