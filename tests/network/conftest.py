"""Fixtures of the network's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.network.laboratory import FakeAPI, Laboratory


@pytest.fixture
def api() -> FakeAPI:
    return FakeAPI()


@pytest.fixture(scope="session")
def _laboratory() -> Iterator[Laboratory]:
    lab = Laboratory()
    try:
        lab.build()
        yield lab
    finally:
        lab.remove()


@pytest.fixture
def lab(_laboratory: Laboratory) -> Iterator[Laboratory]:
    try:
        yield _laboratory
    finally:
        _laboratory.stop_servers()
        for name in ("n1", "n2"):
            _laboratory.nft(name, "add table ip navarch\ndelete table ip navarch")
