"""One cluster for each module, a namespace of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.customresources import Converting
from tests.conformance.realtime import RealTime
from tests.conformance.world import Space, World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = World(tmp_path_factory.mktemp("world"))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealTime]:
    """A cluster for what comes from outside this process."""
    found = RealTime(tmp_path_factory.mktemp("real"))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture
def space(world: World) -> Space:
    return world.space()


@pytest.fixture
def converting(world: World, monkeypatch: pytest.MonkeyPatch) -> Converting:
    found = Converting()
    monkeypatch.setattr(world.server.pipeline.resources.webhooks, "_connect", found.client)
    return found
