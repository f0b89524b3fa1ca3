"""The pytest plugin: a fixture `navarch` with a cluster of its own for each test.

    @pytest.mark.navarch(nodes=5)
    def test_it(navarch): ...

The mark takes what `navarch.testing.Cluster` takes. `--navarch-seed N` is the seed of all clusters. Functions of the
test's module that are marked with `navarch.testing.invariant` are called whenever something has changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from navarch.testing.cluster import Cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("navarch")
    group.addoption("--navarch-seed", type=int, default=0, help="seed of what is left to chance in simulated clusters")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "navarch(**options): options of navarch.testing.Cluster for the fixture navarch")


@pytest.fixture
def navarch(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A real cluster in this process."""
    from navarch.simulation import invariants
    from navarch.testing.cluster import Cluster

    options: dict[str, Any] = {"seed": request.config.getoption("--navarch-seed")}
    for mark in reversed(list(request.node.iter_markers("navarch"))):
        options |= mark.kwargs
    with Cluster(**options) as cluster:
        for function in invariants.marked(vars(request.module)):
            cluster.invariant(function)
        yield cluster
