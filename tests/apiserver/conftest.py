"""The API server that most of these tests ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from navarch.storage.memory import MemoryBackend
from navarch.storage.sqlite import SQLiteBackend
from tests.apiserver.bench import Bench, bench


def nothing_shared_was_changed(api: Bench) -> None:
    """What many hold decoded is still what was stored."""
    for collection in api.store.index.collections.values():
        for record in collection.records.values():
            assert api.store.decoded(record) == record.object(), record.key


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A server over memory, for one module's tests."""
    with bench(tmp_path_factory.mktemp("api"), MemoryBackend()) as found:
        yield found
        nothing_shared_was_changed(found)


@pytest.fixture(scope="module", params=["memory", "sqlite", "etcd"])
def any_api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A server over each store."""
    directory = tmp_path_factory.mktemp("api")
    if request.param == "etcd":
        etcd = request.getfixturevalue("etcd_server")
        etcd.clear()
        with bench(directory, store=etcd.store()) as found:
            found.forget = etcd.compact
            yield found
            nothing_shared_was_changed(found)
        return
    backend = SQLiteBackend(directory / "navarch.db") if request.param == "sqlite" else MemoryBackend()
    with bench(directory, backend) as found:
        yield found
        nothing_shared_was_changed(found)
