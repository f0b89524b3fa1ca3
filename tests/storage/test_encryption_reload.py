"""The encryption file is taken over while the store is open: what is written and can be read then, what a broken file does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from navarch.component import metrics
from navarch.storage import mvcc
from navarch.storage.backend import StorageError
from navarch.storage.encryption import reloading
from navarch.storage.encryption.reloading import Reloader
from navarch.storage.encryption.transformers import Rule, Transformers
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore
from tests.etcd import Etcd
from tests.storage.encrypting import GCM_ONE, GCM_TWO, IDENTITY, PREFIXES, SECRETS, configuration, transformers
from tests.storage.stores import encoder, opened, run, value_of

KEY = SECRETS + "default/password"
BY_ONE, BY_TWO = b"k8s:enc:aesgcm:v1:one:", b"k8s:enc:aesgcm:v1:two:"


def by_rules(rules: list[Rule]) -> Transformers:
    return Transformers(rules, PREFIXES)


class File:
    """The configuration of Secrets, and who looks after it."""

    def __init__(self, path: Path, *providers: dict[str, Any]) -> None:
        self.path = path
        self.write(*providers)
        self.reloader = Reloader(path, by_rules)
        self.start = transformers((["secrets"], providers))

    def write(self, *providers: dict[str, Any]) -> None:
        self.path.write_text(yaml.safe_dump(configuration((["secrets"], providers))))


def reloads(status: str) -> int:
    lines = metrics.render().decode().splitlines()
    begins = f'apiserver_encryption_config_controller_automatic_reloads_total{{status="{status}"'
    found = [line for line in lines if line.startswith(begins)]
    return int(found[0].rpartition(" ")[2]) if found else 0


@pytest.fixture
def counted() -> Callable[[], tuple[int, int]]:
    """Successes and failures since the test began."""
    before = reloads("success"), reloads("failure")
    return lambda: (reloads("success") - before[0], reloads("failure") - before[1])


def store(path: Path, file: File) -> LocalStore:
    return LocalStore(SQLiteBackend(path / "navarch.db", transformers=file.start))


async def put_secret(db: Any, value: object, name: str = "default/password") -> None:
    await db.put(SECRETS, SECRETS + name, encoder(value), db.latest(SECRETS, SECRETS + name))


def on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.glob("navarch.db*")))


def test_the_database_is_stored_anew_and_the_old_key_can_go(
    tmp_path: Path, counted: Callable[[], tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 1)
    file = File(tmp_path / "encryption.yaml", GCM_ONE)

    async def test() -> None:
        async with opened(store(tmp_path, file)) as db:
            for value in range(4):
                await put_secret(db, value)
            await db.compact()
            await file.reloader.look(db)
            assert BY_ONE in on_disk(tmp_path) and counted() == (0, 0), "nothing has changed"
            file.write(GCM_TWO, GCM_ONE)
            await file.reloader.look(db)
            assert BY_ONE not in on_disk(tmp_path) and BY_TWO in on_disk(tmp_path)
            await put_secret(db, 4)
            file.write(GCM_TWO)
            await file.reloader.look(db)
            assert counted() == (2, 0)
            await db.compact()
            assert [value_of(version.record) for version in await db.versions(SECRETS, KEY)] == list(range(5))
        only_two = transformers((["secrets"], [GCM_TWO]))
        async with opened(LocalStore(SQLiteBackend(tmp_path / "navarch.db", transformers=only_two))) as db:
            assert value_of(db.get(SECRETS, KEY)) == 4

    run(test)


@pytest.mark.parametrize(
    "break_", [lambda p: p.write_text("kind: Pod"), lambda p: p.write_bytes(b"\xff:"), os.remove, lambda p: p.write_text("")]
)
def test_a_broken_file_is_told_and_counted_and_changes_nothing(
    break_: Callable[[Path], object],
    tmp_path: Path,
    counted: Callable[[], tuple[int, int]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = File(tmp_path / "encryption.yaml", GCM_ONE)

    async def test() -> None:
        async with opened(store(tmp_path, file)) as db:
            break_(file.path)
            for _ in range(2):
                await file.reloader.look(db)
            assert counted() == (0, 2) and str(file.path) in caplog.text
            await put_secret(db, "by one")
            assert BY_ONE in on_disk(tmp_path)
            file.write(GCM_TWO, GCM_ONE)
            await file.reloader.look(db)
            assert counted() == (1, 2) and BY_ONE not in on_disk(tmp_path)

    run(test)


def test_a_file_by_which_what_is_stored_cannot_be_read_is_refused(
    tmp_path: Path, counted: Callable[[], tuple[int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    file = File(tmp_path / "encryption.yaml", GCM_ONE)

    async def test() -> None:
        async with opened(store(tmp_path, file)) as db:
            await put_secret(db, 1)
            file.write(GCM_TWO)
            await file.reloader.look(db)
            assert counted() == (0, 1)
            assert f"{KEY} at revision 1 cannot be read" in caplog.text and "nothing was changed" in caplog.text
            await put_secret(db, 2)
        assert BY_TWO not in on_disk(tmp_path)
        async with opened(store(tmp_path, file)) as db:
            assert value_of(db.get(SECRETS, KEY)) == 2

    run(test)


def test_what_is_written_meanwhile_is_stored_by_one_or_the_other_and_then_by_the_new_key(tmp_path: Path) -> None:
    file = File(tmp_path / "encryption.yaml", GCM_ONE)
    written = 0

    async def test() -> None:
        nonlocal written
        async with opened(store(tmp_path, file)) as db:
            ending = asyncio.Event()

            async def write(lane: int) -> None:
                nonlocal written
                while not ending.is_set():
                    await put_secret(db, written, f"default/{lane}")
                    written += 1

            lanes = [asyncio.ensure_future(write(lane)) for lane in range(8)]
            while written < 100:
                await asyncio.sleep(0)
            file.write(GCM_TWO, GCM_ONE)
            looking = asyncio.ensure_future(file.reloader.look(db))
            # Whoever looked has gone: it is done to its end all the same.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            before = written
            while written < before + 100:
                await asyncio.sleep(0)
            ending.set()
            await asyncio.gather(*lanes)
            assert BY_ONE not in on_disk(tmp_path)
        only_two = transformers((["secrets"], [GCM_TWO]))
        async with opened(LocalStore(SQLiteBackend(tmp_path / "navarch.db", transformers=only_two))) as db:
            assert len(db.collection(SECRETS).records) == 8

    run(test)


def test_the_file_is_looked_at_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "POLL_SECONDS", 0.001)
    file = File(tmp_path / "encryption.yaml", GCM_ONE)

    async def test() -> None:
        async with opened(store(tmp_path, file)) as db:
            await put_secret(db, 1)
            looking = asyncio.ensure_future(file.reloader.run(db))
            for providers, prefix in (((GCM_TWO, GCM_ONE), BY_ONE), ((GCM_ONE, GCM_TWO), BY_TWO)):
                file.write(*providers)
                while prefix in on_disk(tmp_path):
                    await asyncio.sleep(0.001)
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    run(test)


# etcd


def test_over_etcd_what_another_key_has_written_is_stale_then(etcd: Etcd, tmp_path: Path) -> None:
    file = File(tmp_path / "encryption.yaml", GCM_ONE, IDENTITY)

    async def test() -> None:
        async with opened(etcd.store(file.start)) as db:
            await put_secret(db, 1)
            file.write(GCM_ONE, GCM_TWO, IDENTITY)
            await file.reloader.look(db)
            assert not db.is_stale(KEY), "it is written as before"
            file.write(GCM_TWO, GCM_ONE, IDENTITY)
            await file.reloader.look(db)
            assert db.is_stale(KEY) and etcd.read(KEY).startswith(BY_ONE)
            await put_secret(db, 1)
            assert not db.is_stale(KEY) and etcd.read(KEY).startswith(BY_TWO)

    run(test)


def test_over_etcd_what_could_not_be_read_can_be_with_its_key(etcd: Etcd, tmp_path: Path) -> None:
    file = File(tmp_path / "encryption.yaml", GCM_ONE)

    async def test() -> None:
        two = transformers((["secrets"], [GCM_TWO, GCM_ONE]))
        async with opened(etcd.store(file.start)) as db, opened(etcd.store(two)) as other:
            await put_secret(db, 1)
            await other.fresh()
            await put_secret(other, 2)
            await db.fresh()
            assert f"{KEY} in etcd cannot be read" in db.problem
            file.write(GCM_ONE, IDENTITY)
            await file.reloader.look(db)
            assert f"{KEY} in etcd cannot be read" in db.problem and value_of(db.get(SECRETS, KEY)) == 1
            file.write(GCM_ONE, GCM_TWO)
            await file.reloader.look(db)
            while db.problem or value_of(db.get(SECRETS, KEY)) != 2:
                await asyncio.sleep(0.001)
            assert db.is_stale(KEY)

    run(test)


def test_while_etcd_is_away_it_is_a_failure_and_the_next_look_tries_again(
    etcd: Etcd, tmp_path: Path, counted: Callable[[], tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = File(tmp_path / "encryption.yaml", GCM_ONE)

    async def test() -> None:
        async with opened(etcd.store(file.start)) as db:

            async def refuse(keys: list[str]) -> bool:
                raise StorageError("away")

            db._unreadable[KEY] = "cannot be read"
            file.write(GCM_TWO, GCM_ONE)
            with monkeypatch.context() as patch:
                patch.setattr(db, "_can_read", refuse)
                await file.reloader.look(db)
            assert counted() == (0, 1)
            await file.reloader.look(db)
            assert counted() == (1, 1)

    run(test)
