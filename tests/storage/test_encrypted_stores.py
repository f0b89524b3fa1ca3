"""Encrypted stores: nothing readable on the disk, keys that change, keys that are missing, and what is purged is gone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from navarch.storage import mvcc, rewriting, sqlitefile
from navarch.storage.backend import StorageError
from navarch.storage.changes import Record
from navarch.storage.encryption.transformers import PLAIN, Transformers
from navarch.storage.history import HistoryReader
from navarch.storage.mvcc import CompactedError
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore
from tests.apiserver.bench import bench
from tests.etcd import Etcd
from tests.storage.encrypting import GCM_ONE, GCM_TWO, IDENTITY, SECRETS, transformers
from tests.storage.stores import PREFIX, encoder, opened, put, remove, run, value_of

KEY = SECRETS + "default/password"
ONE = transformers((["secrets"], [GCM_ONE, IDENTITY]))
TWO = transformers((["secrets"], [GCM_TWO, GCM_ONE, IDENTITY]))
ONLY_TWO = transformers((["secrets"], [GCM_TWO]))
DECRYPTING = transformers((["secrets"], [IDENTITY, GCM_ONE, GCM_TWO]))
WRONG = "d3Jvbmd3cm9uZ3dyb25nIQ=="
# Such that pages overflow, and that pieces of it are found too.
WORD = "open-sesame-"


def store(path: Path, found: Transformers = PLAIN) -> LocalStore:
    return LocalStore(SQLiteBackend(path / "navarch.db", transformers=found))


async def put_secret(db: Any, value: object, name: str = "default/password") -> None:
    await db.put(SECRETS, SECRETS + name, encoder(value), db.latest(SECRETS, SECRETS + name))


def on_disk(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.iterdir()))


async def values(db: LocalStore) -> list[object]:
    return [value_of(version.record) for version in await db.versions(SECRETS, KEY)]


@pytest.fixture
def no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been replaced goes into the history with the next compaction."""
    monkeypatch.setattr(mvcc, "HISTORY_EVENTS_LIMIT", 0)


def test_no_secret_is_in_any_file_nor_in_a_backup(tmp_path: Path, no_window: None) -> None:
    path = tmp_path / "data"
    path.mkdir()

    async def test() -> None:
        async with opened(store(path, ONE)) as db:
            for size in (1, 100, 1000):
                await put_secret(db, WORD * size)
            await put(db, "a/1", "not secret")
            await db.compact()
            sqlitefile.copy(path / "navarch.db", tmp_path / "backup")
            # All is in the write-ahead log yet.
            for found in (on_disk(path), (tmp_path / "backup").read_bytes()):
                assert WORD.encode() not in found and b"k8s:enc:aesgcm:v1:one:" in found and b"not secret" in found
            assert value_of(db.get(SECRETS, KEY)) == WORD * 1000, "in memory it is as it is"
            assert await values(db) == [WORD, WORD * 100, WORD * 1000]
        assert WORD.encode() not in on_disk(path)
        async with opened(store(path, ONE)) as db:
            assert await values(db) == [WORD, WORD * 100, WORD * 1000]
        assert list(sqlitefile.check(path / "navarch.db")) == list(sqlitefile.check(path / "navarch.db", ONE)) == []
        (problem, *_) = sqlitefile.check(path / "navarch.db", ONLY_TWO)
        assert "it cannot be read: no matching key was found" in problem

    run(test)


def test_what_there_was_is_encrypted_and_nothing_of_it_stays_in_plain(tmp_path: Path, no_window: None) -> None:
    async def test() -> None:
        async with opened(store(tmp_path)) as db:
            for number in range(300):
                await put_secret(db, f"{WORD}{number}" * (number % 50), f"default/{number % 9}")
                await put_secret(db, f"{WORD}{number}")
                await put(db, f"a/{number % 7}", number)
                if number % 40 == 0:
                    await db.compact()
            for number in range(9):
                base = db.latest(SECRETS, f"{SECRETS}default/{number}")
                assert base is not None
                await db.delete(SECRETS, base.key, encoder("gone"), base)
            before = await values(db)
            assert len(before) == 300
        assert WORD.encode() in on_disk(tmp_path)
        async with opened(store(tmp_path, ONE)) as db:
            assert WORD.encode() not in on_disk(tmp_path)
            assert await values(db) == before
            assert value_of(db.get(PREFIX, PREFIX + "a/1")) == 295
        assert WORD.encode() not in on_disk(tmp_path)
        assert list(sqlitefile.check(tmp_path / "navarch.db", ONE)) == []

    run(test)


def test_keys_change_with_all_that_is_in_the_past_and_the_old_one_can_go(tmp_path: Path, no_window: None) -> None:
    async def test() -> None:
        async with opened(store(tmp_path, ONE)) as db:
            await put_secret(db, 1)
            await put_secret(db, 2)
            await db.compact()
            await put_secret(db, 3)
            revision = db.revision
        async with opened(store(tmp_path, TWO)) as db:
            assert await values(db) == [1, 2, 3]
            assert db.latest(SECRETS, KEY).revision == revision, "nothing was written as far as anybody sees"  # type: ignore[union-attr]
        assert b":one:" not in on_disk(tmp_path)
        async with opened(store(tmp_path, ONLY_TWO)) as db:
            assert await values(db) == [1, 2, 3]
        async with opened(store(tmp_path, DECRYPTING)) as db:
            assert await values(db) == [1, 2, 3]
        async with opened(store(tmp_path)) as db:
            assert await values(db) == [1, 2, 3]

    run(test)


def test_a_missing_or_wrong_key_refuses_the_start_and_changes_nothing(tmp_path: Path, no_window: None) -> None:
    def state() -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(tmp_path / "navarch.db")) as connection:
            return [
                row for table in ("log", "history", "meta") for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")
            ]

    wrong = transformers((["secrets"], [{"aesgcm": {"keys": [{"name": "one", "secret": WRONG}]}}]))

    async def test() -> None:
        async with opened(store(tmp_path, ONE)) as db:
            await put_secret(db, 1)
            await put_secret(db, 2)
            await db.compact()
        before = state()
        for found, text in (
            (PLAIN, "no matching key was found: it is encrypted with key 'one' of aesgcm"),
            (ONLY_TWO, "no matching key was found: it is encrypted with key 'one' of aesgcm"),
            (wrong, "key 'one' of aesgcm: cipher: message authentication failed"),
        ):
            with pytest.raises(StorageError, match=rf"{KEY} at revision \d+ cannot be read: {text}; nothing was changed"):
                store(tmp_path, found)
            assert state() == before
        async with opened(store(tmp_path, ONE)) as db:
            assert await values(db) == [1, 2]

    run(test)


def test_what_somebody_has_put_in_its_place_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(store(tmp_path, ONE)) as db:
            await put_secret(db, "mine")
            await put_secret(db, "theirs", "default/other")
        with closing(sqlite3.connect(tmp_path / "navarch.db")) as connection, connection:
            query = "UPDATE log SET data = (SELECT data FROM log WHERE key LIKE '%other') WHERE key LIKE '%password'"
            connection.execute(query)
        db = store(tmp_path, ONE)
        with pytest.raises(StorageError, match=f"{KEY} at revision 1 cannot be read: .*authentication failed"):
            await db.load()
        await db.stop()

    run(test)


def test_an_old_version_that_cannot_be_read_is_an_error_of_who_asks_for_it(tmp_path: Path, no_window: None) -> None:
    async def test() -> None:
        async with opened(store(tmp_path, ONE)) as db:
            await put_secret(db, 1)
            await put_secret(db, 2)
            await db.compact()
            with pytest.raises(StorageError, match=f"an earlier version of {KEY} in .* cannot be read"):
                HistoryReader(tmp_path / "navarch.db", ONLY_TWO).versions(KEY, [])

    run(test)


def test_a_rewriting_that_was_interrupted_is_finished_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with opened(store(tmp_path)) as db:
            await put_secret(db, WORD)
        with monkeypatch.context() as patched:

            def power_goes(connection: sqlite3.Connection) -> bool:
                raise KeyboardInterrupt

            patched.setattr(rewriting, "scrub", power_goes)
            with pytest.raises(KeyboardInterrupt):
                store(tmp_path, ONE)
        scrubbed = []
        monkeypatch.setattr(rewriting, "scrub", lambda connection: scrubbed.append(connection) or True)
        async with opened(store(tmp_path, ONE)) as db:
            assert value_of(db.get(SECRETS, KEY)) == WORD
        async with opened(store(tmp_path, ONE)):
            pass
        assert len(scrubbed) == 1

    run(test)


# Purging


def test_what_is_purged_is_in_no_file_any_more(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(store(tmp_path)) as db:
            for number in range(200):
                await put_secret(db, f"{WORD}{number}" * (number % 30))
                await put(db, f"a/{number % 5}", number)
            await put_secret(db, "harmless")
            kept = db.revision
            assert WORD.encode() in on_disk(tmp_path)
            assert await db.purge(SECRETS, KEY) == 200
            assert WORD.encode() not in on_disk(tmp_path)
            assert await values(db) == ["harmless"]
            await put_secret(db, "later")
            assert await db.purge(SECRETS, KEY) == 1
            # A state that is not known whole is not told of.
            with pytest.raises(CompactedError):
                await db.past(SECRETS, SECRETS, kept)
            others = await db.past(PREFIX, PREFIX, kept)
            assert [value_of(record) for record in others] == [195, 196, 197, 198, 199]
            assert len(await db.written_by("", 0, 1000)) == 201, "of the others all, of it the last"
            await remove(db, "a/1")
        async with opened(store(tmp_path)) as db:
            assert await values(db) == ["later"]
        assert list(sqlitefile.check(tmp_path / "navarch.db")) == []
        assert WORD.encode() not in on_disk(tmp_path)

    run(test)


def test_of_a_deleted_object_nothing_is_left(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(store(tmp_path)) as db:
            await put_secret(db, WORD)
            base = db.latest(SECRETS, KEY)
            assert base is not None
            await db.delete(SECRETS, KEY, encoder(WORD), base)
            # Something lazy must not keep it.
            leases = "/registry/leases/"
            await db.put(leases, leases + "a/1", encoder(1), None)
            await db.put(leases, leases + "a/1", encoder(2), db.latest(leases, leases + "a/1"), lazy=True)
            assert await db.purge(SECRETS, KEY) == 2
            assert await values(db) == [] and WORD.encode() not in on_disk(tmp_path)
            assert value_of(db.get(leases, leases + "a/1")) == 2
            assert await db.purge(SECRETS, KEY) == 0

    run(test)


def test_what_a_reader_still_holds_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "scrub", lambda connection: False)

    async def test() -> None:
        async with opened(store(tmp_path)) as db:
            await put_secret(db, 1)
            await put_secret(db, 2)
            with pytest.raises(StorageError, match=r"1 versions were emptied, but .* purge once more"):
                await db.purge(SECRETS, KEY)

    run(test)


# etcd


def test_etcd_holds_what_kube_apiserver_would_have_put_there(etcd: Etcd) -> None:
    async def test() -> None:
        async with opened(etcd.store(ONE)) as db, opened(etcd.store(ONE)) as other:
            await put_secret(db, WORD)
            await other.fresh()
            assert value_of(other.get(SECRETS, KEY)) == WORD
            stored = etcd.read(KEY)
            assert stored.startswith(b"k8s:enc:aesgcm:v1:one:") and WORD.encode() not in stored
            plain, is_stale = ONE.decode(KEY, stored)
            assert (plain, is_stale) == (encoder(WORD)(None), False)
            first = db.revision
            await put_secret(other, 2)
            await db.fresh()
            assert [value_of(version.record) for version in await db.versions(SECRETS, KEY)] == [WORD, 2]
            assert [value_of(record) for record in await db.snapshot(SECRETS, SECRETS, first)] == [WORD]
            with pytest.raises(StorageError, match="etcdctl compact, then etcdctl defrag"):
                await db.purge(SECRETS, KEY)

    run(test)


def test_what_is_stored_by_an_old_key_in_etcd_is_stale_until_it_is_written_again(etcd: Etcd) -> None:
    async def test() -> None:
        async with opened(etcd.store()) as db:
            await put_secret(db, 1)
            await put_secret(db, 1, "default/gone")
        async with opened(etcd.store(ONE)) as db, opened(etcd.store(TWO)) as other:
            assert db.is_stale(KEY) and other.is_stale(KEY)
            await put_secret(db, 1)
            assert not db.is_stale(KEY) and db.is_stale(SECRETS + "default/gone")
            await other.fresh()
            assert other.is_stale(KEY) and value_of(other.get(SECRETS, KEY)) == 1
            await put_secret(other, 1)
            await db.fresh()
            assert not other.is_stale(KEY)
            # It has not got that key.
            assert f"{KEY} in etcd cannot be read: no matching key" in db.problem
            base = other.latest(SECRETS, SECRETS + "default/gone")
            assert base is not None
            await other.delete(SECRETS, base.key, encoder("gone"), base)
            await other.put(SECRETS, base.key, encoder(3), None)
            assert not other.is_stale(base.key)
        late = etcd.store(ONE)
        with pytest.raises(StorageError, match=r"in etcd cannot be read: .* it is encrypted with key 'two'"):
            await late.load()
        await late.stop()
        async with opened(etcd.store(ONLY_TWO)) as db:
            assert value_of(db.get(SECRETS, KEY)) == 1 and not db.is_stale(KEY)

    run(test)


def test_a_secret_that_is_replaced_by_itself_is_stored_by_the_new_key(etcd: Etcd, tmp_path: Path) -> None:
    body = {"metadata": {"name": "a", "namespace": "default"}, "stringData": {"word": WORD}}
    with bench(tmp_path, store=etcd.store(ONE)) as api:
        made = api.made("secrets", body)
    with bench(tmp_path, store=etcd.store(TWO)) as api:
        assert etcd.read(SECRETS + "default/a").startswith(b"k8s:enc:aesgcm:v1:one:")
        replaced = api.put("secrets", made).json
        assert etcd.read(SECRETS + "default/a").startswith(b"k8s:enc:aesgcm:v1:two:")
        assert replaced["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
        assert api.put("secrets", replaced).json == replaced, "once is enough"


def test_records_are_what_they_were(tmp_path: Path) -> None:
    async def found(db: LocalStore) -> Record:
        record = db.get(SECRETS, KEY)
        assert record is not None
        return record

    async def test() -> None:
        async with opened(store(tmp_path, ONE)) as db:
            await put_secret(db, 1)
            await put_secret(db, 2)
            one = await found(db)
        async with opened(store(tmp_path, TWO)) as db:
            two = await found(db)
        assert (one.data, one.revision, one.created) == (two.data, two.revision, two.created)

    run(test)
