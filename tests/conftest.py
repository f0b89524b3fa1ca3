"""What every test has: bounded hypothesis runs, and (asked for by name) a real API server over HTTPS with certificates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.apiserver.https import HTTPSServer

if TYPE_CHECKING:
    from tests.etcd import Etcd

settings.register_profile(
    "navarch",
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
settings.register_profile("thorough", parent=settings.get_profile("navarch"), max_examples=2000, derandomize=False)
settings.load_profile("navarch")


@pytest.fixture(scope="session")
def https_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HTTPSServer]:
    """A real API server over SQLite, with TLS and client certificates, on a port of its own."""
    server = HTTPSServer(tmp_path_factory.mktemp("https"))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def kubeconfig(https_server: HTTPSServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of the cluster's administrator."""
    return https_server.write_kubeconfig(tmp_path_factory.mktemp("kubeconfig") / "config")


@pytest.fixture(scope="session")
def etcd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """A real etcd, for whoever leaves it running."""
    from tests.etcd import Etcd

    server = Etcd(tmp_path_factory.mktemp("etcd"))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def etcd(etcd_server: Etcd) -> Etcd:
    """The same, with nothing in it."""
    etcd_server.clear()
    return etcd_server
