"""The store over a real etcd: several servers, and everything that can come between them and etcd."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from navarch.apimachinery.errors import StatusError
from navarch.component.pki import PKI, cluster_leaves
from navarch.storage.author import UNKNOWN
from navarch.storage.backend import StorageError, StorageFullError, StorageUnavailableError
from navarch.storage.changes import Change, Write
from navarch.storage.etcd import client as etcd_client
from navarch.storage.etcd import store as etcd_store
from navarch.storage.etcd.client import EtcdClient, EtcdError
from navarch.storage.etcd.compaction import Compactor
from navarch.storage.etcd.config import EtcdConfig
from navarch.storage.etcd.store import EtcdStore
from navarch.storage.mvcc import CompactedError, ConflictError
from tests.etcd import Etcd
from tests.lossynetwork import LossyNetwork, lossy_network
from tests.storage.stores import PREFIX, encoder, opened, put, remove, run, value_of


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


async def once_there(attempt: Callable[[], Coroutine[Any, Any, Change]]) -> Change:
    """Tried again while etcd cannot be reached yet: connections are made anew after a back-off."""
    while True:
        try:
            return await attempt()
        except StorageUnavailableError:
            await asyncio.sleep(0.01)


def through(network: LossyNetwork) -> EtcdStore:
    return EtcdStore(EtcdClient(EtcdConfig((network.endpoint,))))


# Several servers


def test_what_one_server_writes_watchers_of_another_are_told(etcd: Etcd) -> None:
    async def test() -> None:
        async with opened(etcd.store()) as one, opened(etcd.store()) as other:
            seen: list[Change] = []
            other.watch(PREFIX, PREFIX, other.revision, seen.extend)
            written = [await put(one, "a/1", 1), await put(one, "a/1", 2), await remove(one, "a/1")]
            await until(lambda: len(seen) == 3)
            assert [(c.type, c.revision, c.record.created) for c in seen] == [
                (c.type, c.revision, written[0].revision) for c in written
            ]
            assert [c.object for c in seen[:2]] == [c.object for c in written[:2]]
            assert seen[2].object == {"metadata": {"resourceVersion": str(written[2].revision)}, "value": 2}

    run(test)


def test_a_fresh_server_knows_what_another_has_written_before(etcd: Etcd) -> None:
    async def test() -> None:
        async with opened(etcd.store()) as one, opened(etcd.store()) as other:
            for value in range(20):
                change = await put(one, "a/1", value)
                await other.fresh()
                assert value_of(other.get(PREFIX, PREFIX + "a/1")) == value
                assert other.revision >= change.revision
            assert not await other.fresh()

    run(test)


def test_revisions_of_others_keys_pass_too(etcd: Etcd) -> None:
    async def test() -> None:
        async with opened(etcd.store()) as db:
            before = db.revision
            etcd.write("/others/key", b"theirs")
            etcd.write("compact_rev_key", b"1")
            await db.fresh()
            assert db.revision == before + 2
            assert (await put(db, "a/1", 1)).revision == before + 3

    run(test)


def test_a_revision_that_another_server_told_of_is_waited_for(etcd: Etcd) -> None:
    async def test() -> None:
        async with opened(etcd.store()) as one, opened(etcd.store()) as other:
            waiting = asyncio.ensure_future(other.reach(other.revision + 2))
            await put(one, "a/1", 1)
            await put(one, "a/1", 2)
            await waiting
            assert value_of(other.get(PREFIX, PREFIX + "a/1")) == 2

    run(test)


def test_who_asks_while_etcd_is_being_asked_shares_the_next_question(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    revision = EtcdClient.revision

    async def counted(self: EtcdClient) -> int:
        nonlocal asked
        asked += 1
        return await revision(self)

    async def test() -> None:
        async with opened(etcd.store()) as db:
            monkeypatch.setattr(EtcdClient, "revision", counted)
            await asyncio.gather(*(db.fresh() for _ in range(100)))

    run(test)
    assert 1 <= asked <= 2


def test_a_write_on_what_another_server_has_changed_is_a_conflict_and_the_next_try_sees_why(etcd: Etcd) -> None:
    async def test() -> None:
        async with opened(etcd.store()) as one, opened(etcd.store()) as other:
            base = (await put(one, "a/1", 1)).record
            await other.fresh()
            results = await asyncio.gather(
                *(put(db, "a/1", value, base=db.get(PREFIX, base.key)) for value in range(10) for db in (one, other)),
                return_exceptions=True,
            )
            (winner,) = [result for result in results if isinstance(result, Change)]
            assert sum(isinstance(result, ConflictError) for result in results) == 19
            for db in (one, other):
                latest = db.latest(PREFIX, base.key)
                assert latest is not None and latest.revision == winner.revision

    run(test)


def test_a_conflict_names_the_object_that_another_server_has_changed(etcd: Etcd) -> None:
    async def test() -> None:
        async with opened(etcd.store()) as one, opened(etcd.store()) as other:
            await put(one, "a/taken", 1)
            writes = [Write(PREFIX, PREFIX + f"a/{name}", encoder(2), None) for name in ("new", "taken")]
            # Its index does not know yet: it is etcd that refuses.
            with pytest.raises(ConflictError, match="a/taken"):
                await other.write(writes)
            await one.fresh()
            assert one.get(PREFIX, PREFIX + "a/new") is None

    run(test)


def test_many_first_writes_are_several_transactions(etcd: Etcd) -> None:
    async def test() -> None:
        db = etcd.store()
        await db.load()
        await db.write_first([Write(PREFIX, f"{PREFIX}a/{i:03}", encoder(i), None) for i in range(250)])
        assert [value_of(r) for r in db.collection(PREFIX).range(PREFIX)] == list(range(250))
        await db.stop()

    run(test)


def test_everything_is_read_in_pages_at_one_revision(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_store, "PAGE_LIMIT", 7)

    async def test() -> None:
        async with opened(etcd.store()) as db:
            await asyncio.gather(*(put(db, f"a/{i:02}", i) for i in range(50)))
            for prefix in ("/registry/services/specs/", "/registry/services/endpoints/"):
                await db.put(prefix, f"{prefix}a/x", encoder(prefix), None)
            async with opened(etcd.store()) as other:
                assert [value_of(r) for r in other.collection(PREFIX).range(PREFIX)] == list(range(50))
                assert other.revision == db.revision
                (only,) = other.collection("/registry/services/specs/").records.values()
                assert value_of(only) == "/registry/services/specs/"

    run(test)


def test_the_past_is_read_from_etcd_where_the_server_is_younger(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_store, "PAGE_LIMIT", 2)

    async def test() -> None:
        async with opened(etcd.store()) as db:
            for i in range(5):
                past = (await put(db, f"a/{i}", i)).revision
            await put(db, "b/1", 0)
            await remove(db, "a/3")
            await put(db, "a/4", 9)
        async with opened(etcd.store()) as db:
            found = await db.snapshot(PREFIX, PREFIX + "a/", past, PREFIX + "a/1")
            assert [(r.key.removeprefix(PREFIX), value_of(r)) for r in found] == [("a/2", 2), ("a/3", 3), ("a/4", 4)]
            assert found[-1].revision == past
            etcd.compact()
            with pytest.raises(CompactedError):
                await db.snapshot(PREFIX, PREFIX, past)
            with pytest.raises(CompactedError):
                await db.snapshot(PREFIX, PREFIX, 0)

    run(test)


# What others have written


def test_an_object_written_by_hand_is_served_as_if_we_had_written_it(etcd: Etcd) -> None:
    async def test() -> None:
        async with opened(etcd.store()) as db:
            etcd.write(PREFIX + "a/1", b'{\n "kind": "ConfigMap",\n "metadata": {"name": "1", "resourceVersion": "5"}\n}')
            await db.fresh()
            record = db.get(PREFIX, PREFIX + "a/1")
            assert record is not None
            assert record.data == b'{"kind":"ConfigMap","metadata":{"name":"1","resourceVersion":"%d"}}' % record.revision

    run(test)


@pytest.mark.parametrize("value", [b"k8s\x00\n\x0f\n\x02v1", b"[]", b'{"kind":"Pod"}', b""])
def test_what_is_no_object_stops_the_start_and_is_left_out_later(
    etcd: Etcd, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with opened(etcd.store()) as db:
            etcd.write(PREFIX + "a/1", value)
            etcd.write("/registry/health", value)
            etcd.write("/registry/services", value)
            await put(db, "a/2", 2)
            assert set(db.collection(PREFIX).records) == {PREFIX + "a/2"}
        late = etcd.store()
        with pytest.raises(StorageError, match="another program's data"):
            await late.load()
        await late.stop()

    run(test)
    assert "/registry/configmaps/a/1 is not an object" in caplog.text


# etcd goes and comes


def test_while_etcd_is_away_nothing_is_written_and_afterwards_nothing_is_missing(etcd: Etcd) -> None:
    async def test() -> None:
        async with opened(etcd.store()) as db, opened(etcd.store()) as other:
            await put(db, "a/1", 1)
            await other.fresh()
            seen: list[Change] = []
            db.watch(PREFIX, PREFIX, db.revision, seen.extend)
            etcd.stop()
            await until(lambda: db.problem)
            assert etcd.endpoint in db.problem
            for attempt in (put(db, "a/2", 2), db.fresh()):
                with pytest.raises(StorageUnavailableError, match=etcd.endpoint):
                    await attempt
            assert value_of(db.get(PREFIX, PREFIX + "a/1")) == 1
            etcd.start()
            changed = await once_there(lambda: put(other, "a/1", 3))
            written = await once_there(lambda: put(db, "a/2", 4))
            assert [c.revision for c in seen] == [changed.revision, written.revision]
            await until(lambda: not db.problem)

    run(test)


def test_every_acknowledged_write_survives_kills_and_no_refused_one_is_there(etcd: Etcd) -> None:
    """Each lane writes one object, one version after the other, whatever happens to etcd."""
    lanes, kills = 8, 4
    acknowledged: list[list[int]] = [[] for _ in range(lanes)]
    doubtful: list[set[int]] = [set() for _ in range(lanes)]

    async def write(db: EtcdStore, lane: int, stopped: asyncio.Event) -> None:
        value = 0
        while not stopped.is_set():
            value += 1
            try:
                await put(db, f"a/{lane}", value)
                acknowledged[lane].append(value)
            except StorageUnavailableError:
                await asyncio.sleep(0.005)
            except ConflictError:
                raise AssertionError("nobody else writes this object") from None
            except StorageError:
                doubtful[lane].add(value)

    async def test() -> None:
        seen: list[Change] = []
        async with opened(etcd.store()) as db, opened(etcd.store()) as other:
            other.watch(PREFIX, PREFIX, other.revision, seen.extend)
            stopped = asyncio.Event()
            writers = [asyncio.ensure_future(write(db, lane, stopped)) for lane in range(lanes)]
            for _ in range(kills):
                count = sum(map(len, acknowledged))
                await until(lambda count=count: sum(map(len, acknowledged)) > count + 50)
                etcd.kill()
                etcd.start()
            stopped.set()
            await asyncio.gather(*writers)
            await db.fresh()
            await other.fresh()
            for lane in range(lanes):
                key = f"{PREFIX}a/{lane}"
                told = [value_of(change.record) for change in seen if change.record.key == key]
                assert set(acknowledged[lane]) <= set(told) <= set(acknowledged[lane]) | doubtful[lane]
                assert told == sorted(told)
                assert value_of(db.get(PREFIX, key)) == value_of(other.get(PREFIX, key)) == told[-1]

    run(test)


# Answers that are lost


Fault = Callable[[EtcdStore], Awaitable[Change]]
WRITES: dict[str, Fault] = {
    "create": lambda db: put(db, "a/new", 2),
    "update": lambda db: put(db, "a/old", 2),
    "delete": lambda db: remove(db, "a/old"),
}


async def is_done(observer: EtcdStore, name: str) -> None:
    if name == "delete":
        await until(lambda: observer.get(PREFIX, PREFIX + "a/old") is None)
    else:
        key = PREFIX + ("a/new" if name == "create" else "a/old")
        await until(lambda: value_of(observer.get(PREFIX, key)) == 2)


@pytest.mark.parametrize("name", WRITES)
def test_a_write_whose_answer_was_lost_is_found_done(etcd: Etcd, name: str) -> None:
    async def test() -> None:
        async with lossy_network(etcd.endpoint) as network, opened(through(network)) as db, opened(etcd.store()) as observer:
            await put(db, "a/old", 1)
            await observer.fresh()
            network.loses_answers = True
            writing = asyncio.ensure_future(WRITES[name](db))
            await is_done(observer, name)
            revision = observer.revision
            await network.cut()
            change = await writing
            assert change.revision == revision, "it was done once, and that is what is told"
            assert await observer.fresh() is False

    run(test)


@pytest.mark.parametrize("name", ["create", "update"])
def test_a_write_whose_answer_was_lost_is_no_conflict_though_somebody_has_written_since(etcd: Etcd, name: str) -> None:
    async def test() -> None:
        async with lossy_network(etcd.endpoint) as network, opened(through(network)) as db, opened(etcd.store()) as observer:
            await put(db, "a/old", 1)
            await observer.fresh()
            network.loses_answers = True
            writing = asyncio.ensure_future(WRITES[name](db))
            await is_done(observer, name)
            revision = observer.revision
            await put(observer, "a/new" if name == "create" else "a/old", 3)
            await network.cut()
            assert (await writing).revision == revision

    run(test)


@pytest.mark.parametrize("name", WRITES)
def test_a_write_that_was_lost_is_made_again(etcd: Etcd, name: str) -> None:
    async def test() -> None:
        async with lossy_network(etcd.endpoint) as network, opened(through(network)) as db, opened(etcd.store()) as observer:
            await put(db, "a/old", 1)
            await observer.fresh()
            network.loses_requests = True
            writing = asyncio.ensure_future(WRITES[name](db))
            await asyncio.sleep(0.02)
            await network.cut()
            change = await writing
            await is_done(observer, name)
            assert change.revision == observer.revision

    run(test)


def test_a_write_that_was_lost_is_a_conflict_if_somebody_was_faster(etcd: Etcd) -> None:
    async def test() -> None:
        async with lossy_network(etcd.endpoint) as network, opened(through(network)) as db, opened(etcd.store()) as observer:
            await put(db, "a/1", 1)
            await observer.fresh()
            network.loses_requests = True
            writing = asyncio.ensure_future(put(db, "a/1", 2))
            await put(observer, "a/1", 3)
            await network.cut()
            with pytest.raises(ConflictError):
                await writing
            assert value_of(db.latest(PREFIX, PREFIX + "a/1")) == 3

    run(test)


def test_of_a_write_that_is_in_doubt_to_the_end_success_is_not_told(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_store, "WRITE_TIMEOUT_SECONDS", 0.2)

    async def test() -> None:
        async with lossy_network(etcd.endpoint) as network, opened(through(network)) as db, opened(etcd.store()) as observer:
            network.loses_answers = True
            with pytest.raises(StorageError, match="whether it was stored is not known") as caught:
                await put(db, "a/1", 1)
            assert not isinstance(caught.value, StorageUnavailableError), "nobody may simply try again"
            await observer.fresh()
            assert value_of(observer.get(PREFIX, PREFIX + "a/1")) == 1
            await network.cut()
            await until(lambda: db.revision == observer.revision)
            assert value_of(db.get(PREFIX, PREFIX + "a/1")) == 1

    run(test)


def test_an_etcd_that_is_silent_answers_no_read(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_client, "READ_TIMEOUT_SECONDS", 0.2)

    async def test() -> None:
        async with opened(etcd.store()) as db:
            await put(db, "a/1", 1)
            etcd.pause()
            try:
                with pytest.raises(StorageUnavailableError):
                    await db.fresh()
                assert db.problem and value_of(db.get(PREFIX, PREFIX + "a/1")) == 1
            finally:
                etcd.resume()
            while db.problem:
                await db.fresh()

    run(test)


def test_a_watch_that_lags_behind_is_begun_anew(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_store, "CATCH_UP_SECONDS", 0.1)

    async def test() -> None:
        async with lossy_network(etcd.endpoint) as network, opened(etcd.store()) as one:
            db = EtcdStore(EtcdClient(EtcdConfig((network.endpoint, etcd.endpoint))))
            async with opened(db):
                await put(one, "a/1", 0)
                await db.fresh()
                # Calls go another way than the watch, which hangs.
                db._client.avoid(network.endpoint)
                network.loses_answers = True
                await put(one, "a/1", 1)
                with pytest.raises(StorageUnavailableError, match="the watch of etcd has reached"):
                    await db.fresh()
                await until(lambda: value_of(db.get(PREFIX, PREFIX + "a/1")) == 1)

    run(test)


# Compaction and restoration


def test_what_was_compacted_before_it_was_seen_is_read_again(etcd: Etcd) -> None:
    async def test() -> None:
        async with lossy_network(etcd.endpoint) as network, opened(through(network)) as db, opened(etcd.store()) as other:
            for name in ("changed", "gone", "again", "same"):
                await put(db, f"a/{name}", 1)
            same = db.get(PREFIX, PREFIX + "a/same")
            expired: list[str] = []
            told: list[Change] = []
            db.watch(PREFIX, PREFIX, db.revision, told.extend, lambda: expired.append("all"))
            db.watch(PREFIX, PREFIX + "b/", db.revision, told.extend, lambda: expired.append("b"))
            followed: list[Change] = []
            db.watch(PREFIX, PREFIX, db.revision, followed.extend)
            since = db.revision
            await network.close()
            await other.fresh()
            await put(other, "a/changed", 2)
            await remove(other, "a/gone")
            await remove(other, "a/again")
            await put(other, "a/again", 2)
            await put(other, "a/new", 2)
            etcd.compact()
            await network.open()
            await until(lambda: db.revision == other.revision)
            assert {r.key: (r.revision, value_of(r)) for r in db.collection(PREFIX).records.values()} == {
                r.key: (r.revision, value_of(r)) for r in other.collection(PREFIX).records.values()
            }
            assert db.get(PREFIX, PREFIX + "a/same") is same
            assert sorted(expired) == ["all", "b"] and told == []
            assert sorted((c.type, c.record.key.removeprefix(PREFIX)) for c in followed) == [
                ("ADDED", "a/again"),
                ("ADDED", "a/new"),
                ("DELETED", "a/again"),
                ("DELETED", "a/gone"),
                ("MODIFIED", "a/changed"),
            ]
            with pytest.raises(CompactedError):
                db.watch(PREFIX, PREFIX, since, told.extend)
            await put(db, "a/new", 3)
            assert told == [], "who expired is told no more"
            assert followed[-1].object["value"] == 3

    run(test)


def test_compaction_of_what_was_seen_disturbs_nobody(etcd: Etcd) -> None:
    async def test() -> None:
        async with lossy_network(etcd.endpoint) as network, opened(through(network)) as db:
            expired: list[str] = []
            seen: list[Change] = []
            db.watch(PREFIX, PREFIX, db.revision, seen.extend, lambda: expired.append("x"))
            await put(db, "a/1", 1)
            etcd.compact()
            await put(db, "a/1", 2)
            await network.cut()
            await put(db, "a/1", 3)
            assert [value_of(change.record) for change in seen] == [1, 2, 3] and not expired

    run(test)


def test_of_several_servers_one_compacts_what_is_older_than_an_interval(etcd: Etcd) -> None:
    async def test() -> None:
        async with opened(etcd.store()) as db:
            compactors = [Compactor(db._client) for _ in range(3)]

            async def turn() -> int:
                for compactor in compactors:
                    await compactor.compact()
                await db.fresh()
                return db.revision

            first = (await put(db, "a/1", 1)).revision
            await turn()
            second = await turn()
            third = (await put(db, "a/1", 2)).revision
            # Not everybody's second turn forgets something: the key is changed once in a round.
            assert db.revision - first == 3
            await turn()
            with pytest.raises(EtcdError) as caught:
                await db._client.range(etcd_store.pb.RangeRequest(key=b"x", revision=first))
            assert caught.value.is_compacted
            assert (await db._client.range(etcd_store.pb.RangeRequest(key=b"x", revision=second))) is not None
            assert third > second

    run(test)


def test_a_restored_backup_is_noticed(etcd_of_its_own: Etcd) -> None:
    etcd = etcd_of_its_own
    data, backup = etcd.directory / "data", etcd.directory / "backup"

    async def test() -> None:
        async with opened(etcd.store()) as db:
            await put(db, "a/kept", 1)
            etcd.stop()
            shutil.copytree(data, backup)
            etcd.start()
            for value in range(5):
                await put(db, "a/lost", value)
            etcd.stop()
            shutil.rmtree(data)
            backup.rename(data)
            etcd.start()
            expired: list[str] = []
            db.watch(PREFIX, PREFIX, db.revision, lambda changes: None, lambda: expired.append("x"))
            with pytest.raises(StorageUnavailableError, match="was restored from a backup"):
                await db.fresh()
            with pytest.raises(StorageUnavailableError, match="was restored from a backup"):
                await put(db, "a/lost", 9)
            await until(lambda: expired)
            await db.fresh()
            assert set(db.collection(PREFIX).records) == {PREFIX + "a/kept"}
            await put(db, "a/kept", 2)

    run(test)


# etcd refuses


def test_what_is_too_large_for_etcd_is_too_large(etcd: Etcd) -> None:
    async def test() -> None:
        async with opened(etcd.store()) as db:
            for size in (1_600_000, 40_000_000):
                with pytest.raises(StatusError) as caught:
                    await put(db, "a/1", "x" * size)
                assert caught.value.code == 413
            await put(db, "a/1", 1)

    run(test)


@pytest.fixture
def etcd_of_its_own(tmp_path: Path) -> Iterator[Etcd]:
    server = Etcd(tmp_path)
    try:
        yield server
    finally:
        server.close()


def test_a_full_etcd_says_so(tmp_path: Path) -> None:
    etcd = Etcd(tmp_path, options=("--quota-backend-bytes", "2000000"))

    async def test() -> None:
        async with opened(etcd.store()) as db:
            with pytest.raises(StorageFullError):
                # It looks at what its last commit has left, and commits every tenth of a second.
                for i in range(400):
                    await put(db, f"a/{i}", "x" * 500_000)
            assert value_of(db.get(PREFIX, PREFIX + "a/0")) == "x" * 500_000
            await db.fresh()

    try:
        run(test)
    finally:
        etcd.close()


# The way to etcd


def test_a_server_that_starts_before_etcd_waits_and_says_for_whom(etcd: Etcd, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with lossy_network(etcd.endpoint) as network:
            await network.close()
            db = through(network)
            assert db.problem
            loading = asyncio.ensure_future(db.load())
            await until(lambda: "refused" in db.problem)
            assert network.endpoint in db.problem
            await network.open()
            await loading
            assert not db.problem
            await put(db, "a/1", 1)
            await db.stop()

    run(test)
    assert "refused" in caplog.text and len(caplog.records) <= 3, "said once, not at each try"


def test_an_endpoint_that_is_away_gives_way_to_the_next(etcd: Etcd) -> None:
    async def test() -> None:
        async with lossy_network(etcd.endpoint) as network:
            db = EtcdStore(EtcdClient(EtcdConfig((network.endpoint, etcd.endpoint))))
            async with opened(db):
                seen: list[Change] = []
                db.watch(PREFIX, PREFIX, db.revision, seen.extend)
                await put(db, "a/1", 1)
                await network.close()
                for value in (2, 3):
                    await put(db, "a/1", value)
                assert [value_of(c.record) for c in seen] == [1, 2, 3]

    run(test)


def test_versions_are_known_until_etcd_is_compacted_and_nobody_who_wrote_them(etcd: Etcd) -> None:
    async def test() -> None:
        async with opened(etcd.store()) as db:
            assert not db.knows_authors and await db.written_by("", 0, 10) == []
            assert await db.versions(PREFIX, PREFIX + "a/1") == []
            for value in range(3):
                await put(db, "a/1", value)
            then = db.revision
            found = await db.versions(PREFIX, PREFIX + "a/1")
            assert [(value_of(v.record), v.deleted, v.written_ms, v.author) for v in found] == [
                (value, False, None, UNKNOWN) for value in range(3)
            ]
            await remove(db, "a/1")
            assert [v.deleted for v in await db.versions(PREFIX, PREFIX + "a/1")] == [False, False, False, True]
            assert [value_of(record) for record in await db.past(PREFIX, PREFIX, then)] == [2]
            await put(db, "a/1", 7)
            assert [value_of(v.record) for v in await db.versions(PREFIX, PREFIX + "a/1")] == [7]
            await put(db, "a/1", 8)
            etcd.compact()
            assert [value_of(v.record) for v in await db.versions(PREFIX, PREFIX + "a/1")] == [8]

    run(test)


def test_members_of_different_clusters_are_not_mixed(etcd: Etcd, etcd_of_its_own: Etcd) -> None:
    async def test() -> None:
        client = EtcdClient(EtcdConfig((etcd.endpoint, etcd_of_its_own.endpoint)))
        await client.revision()
        client.avoid(etcd.endpoint)
        with pytest.raises(EtcdError, match="another cluster"):
            await client.revision()
        await client.close()

    run(test)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    directory = tmp_path_factory.mktemp("secured")
    pki = PKI(directory / "pki")
    pki.ensure(cluster_leaves(addresses=["127.0.0.1"], host_names=["localhost"]))
    server = Etcd(directory, pki=pki)
    try:
        yield server
    finally:
        server.close()


def test_etcd_over_tls_with_a_client_certificate(secured: Etcd) -> None:
    async def test() -> None:
        async with opened(secured.store()) as db, opened(secured.store()) as other:
            await put(db, "a/1", 1)
            await other.fresh()
            assert value_of(other.get(PREFIX, PREFIX + "a/1")) == 1

    run(test)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"certificate_file": None, "key_file": None}, "does it want a client certificate"),
        ({"ca_file": None}, "CERTIFICATE_VERIFY_FAILED"),
        ({"tls": False}, "etcds://"),
    ],
)
def test_a_server_that_etcd_does_not_trust_or_that_does_not_trust_etcd_says_why(
    secured: Etcd, change: dict[str, Any], said: str
) -> None:
    async def test() -> None:
        db = EtcdStore(EtcdClient(replace(secured.config, **change)))
        loading = asyncio.ensure_future(db.load())
        await until(lambda: secured.endpoint in db.problem)
        assert said in db.problem
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        await db.stop()

    run(test)


def test_an_etcd_that_comes_back_with_another_authority_is_refused_under_load_and_taken_back_with_its_own(
    secured: Etcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = PKI(tmp_path / "pki")
    others.ensure(cluster_leaves(addresses=["127.0.0.1"], host_names=["localhost"]))
    own = secured._pki
    config = secured.config
    acknowledged: dict[str, int] = {}
    refused: list[str] = []
    # What is in doubt is so for less long.
    monkeypatch.setattr(etcd_store, "WRITE_TIMEOUT_SECONDS", 1.0)

    async def restart(pki: PKI | None) -> None:
        # In a thread: the others go on meanwhile.
        await asyncio.to_thread(secured.kill)
        secured._pki = pki
        await asyncio.to_thread(secured.start)

    async def test() -> None:
        async with opened(EtcdStore(EtcdClient(config))) as db:
            ending = asyncio.Event()

            async def write(lane: int) -> None:
                for count in itertools.count():
                    if ending.is_set():
                        return
                    try:
                        change = await put(db, f"tls/{lane}-{count}", count)
                        acknowledged[change.record.key] = change.revision
                    except StorageError as error:
                        refused.append(str(error))
                        await asyncio.sleep(0.01)

            lanes = [asyncio.ensure_future(write(lane)) for lane in range(8)]
            await until(lambda: len(acknowledged) > 50)
            await restart(others)
            before = len(acknowledged)
            await until(lambda: any("CERTIFICATE_VERIFY_FAILED" in text for text in refused))
            assert secured.endpoint in db.problem and all(secured.endpoint in text for text in refused)
            assert len(acknowledged) == before and len(db.collection(PREFIX).records) >= before
            await restart(own)
            await until(lambda: len(acknowledged) > before + 50)
            ending.set()
            await asyncio.gather(*lanes)
            await until(lambda: not db.problem)
        async with opened(EtcdStore(EtcdClient(config))) as db:
            found = {key: record.revision for key, record in db.collection(PREFIX).records.items()}
            assert acknowledged.items() <= found.items()

    run(test)
