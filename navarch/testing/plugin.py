"""The pytest plugin: a fixture `navarch` with a cluster of its own for each test.

    @pytest.mark.navarch(nodes=5)
    def test_it(navarch): ...

The mark takes what `navarch.testing.Cluster` takes. `--navarch-seed N` is the seed of all clusters. Functions of the
test's module that are marked with `navarch.testing.invariant` are called whenever something has changed. A test that
fails says with which seed, and how to run it again.
"""

from __future__ import annotations

import inspect
import os
import shlex
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from navarch.testing.cluster import Cluster


SEED = "--navarch-seed"
CLUSTER: pytest.StashKey[Cluster] = pytest.StashKey()
"""Of a test, its cluster."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("navarch")
    group.addoption(SEED, type=int, default=0, help="seed of what is left to chance in simulated clusters")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "navarch(**options): options of navarch.testing.Cluster for the fixture navarch")


@pytest.fixture
def navarch(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A real cluster in this process."""
    from navarch.simulation import invariants
    from navarch.testing.cluster import Cluster

    with Cluster(**_options(request)) as cluster:
        for function in invariants.marked(vars(request.module)):
            cluster.invariant(function)
        request.node.stash[CLUSTER] = cluster
        yield cluster


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    from navarch.simulation.document import nearest
    from navarch.testing.cluster import Cluster

    known = [name for name in inspect.signature(Cluster).parameters if name != "self"]
    options: dict[str, Any] = {"seed": request.config.getoption(SEED)}
    for mark in reversed(list(request.node.iter_markers("navarch"))):
        if mark.args:
            pytest.fail(f"pytest.mark.navarch takes options by their names: {', '.join(known)}", pytrace=False)
        for name in mark.kwargs.keys() - set(known):
            pytest.fail(f"pytest.mark.navarch has no option {name!r}{nearest(name, known)}", pytrace=False)
        options |= mark.kwargs
    return options


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Whoever sees a test fail is told how to see the same again."""
    report = yield
    cluster = item.stash.get(CLUSTER, None)
    if report.failed and cluster is not None:
        file = os.path.relpath(item.path, item.config.invocation_params.dir)
        node = "::".join([file, *str(item.nodeid).split("::")[1:]])
        replay = shlex.join(["pytest", node, SEED, str(cluster.seed)])
        report.sections.append(("navarch", f"seed {cluster.seed}\nreplay {replay}"))
    return report
