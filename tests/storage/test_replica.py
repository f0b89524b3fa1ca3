"""Following a leader: nothing is missed or out of order, however it is cut and whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.storage.backend import StorageError, StorageUnavailableError
from navarch.storage.changes import Change, Record
from navarch.storage.memory import MemoryBackend
from navarch.storage.replica import protocol
from navarch.storage.replica.feed import SILENCE_LIMIT_SECONDS, Feed, _Follower
from navarch.storage.replica.protocol import Decoder, ProtocolError
from navarch.storage.replica.store import ReplicaStore
from navarch.storage.store import LocalStore
from tests.storage.following import FollowedStore
from tests.storage.stores import PREFIX, encoder, opened, put, remove, run, value_of


@pytest.fixture
def socket() -> Iterator[Path]:
    # A socket's path is short.
    directory = Path(tempfile.mkdtemp(prefix="navarch-"))
    yield directory / "feed"
    shutil.rmtree(directory)


# The protocol

VERSIONS = st.lists(
    st.tuples(
        st.builds(
            Record,
            st.text(max_size=20),
            st.binary(max_size=400),
            st.integers(0, 2**64 - 1),
            st.integers(0, 2**64 - 1),
        ),
        st.booleans(),
    ),
    max_size=20,
)


def shown(record: Record, deleted: bool) -> tuple[object, ...]:
    return record.key, record.data, record.revision, record.created, deleted


@given(versions=VERSIONS, number=st.integers(0, 2**64 - 1), cuts=st.lists(st.integers(1, 300), max_size=50))
def test_what_is_sent_is_what_comes_however_it_is_cut(
    versions: list[tuple[Record, bool]], number: int, cuts: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "BATCH_BYTES", 500)
        sent = b"".join(
            [
                protocol.state(number),
                *protocol.entries(protocol.RECORDS, versions),
                protocol.frame(protocol.WHOLE),
                protocol.answer(number, number),
                protocol.ask(number),
            ]
        )
    decoder, found = Decoder(), []
    for cut in [*cuts, len(sent)]:
        found += decoder.feed(sent[:cut])
        sent = sent[cut:]
    kinds = [kind for kind, _ in found]
    middle = kinds.count(protocol.RECORDS)
    assert kinds == [protocol.STATE, *[protocol.RECORDS] * middle, protocol.WHOLE, protocol.ANSWER, protocol.ASK]
    assert protocol.read_state(found[0][1]) == number
    entries = [shown(*entry) for _, body in found[1 : 1 + middle] for entry in protocol.read_entries(body)]
    assert entries == [shown(*version) for version in versions]
    assert protocol.read_answer(found[-2][1]) == (number, number) and protocol.read_ask(found[-1][1]) == number


def all_entries(body: memoryview) -> list[protocol.Entry]:
    return list(protocol.read_entries(body))


@given(garbage=st.binary(max_size=100))
def test_garbage_is_refused_or_waited_for(garbage: bytes) -> None:
    try:
        for _, body in Decoder().feed(garbage):
            for read in (
                protocol.read_state,
                protocol.read_ask,
                protocol.read_answer,
                lambda body: list(protocol.read_entries(body)),
            ):
                try:
                    read(body)
                except (ProtocolError, UnicodeDecodeError):
                    continue
    except ProtocolError:
        return


def test_another_version_says_so() -> None:
    ((_, body),) = Decoder().feed(protocol.state(7).replace(b"\x00\x00\x00\x01", b"\x00\x00\x00\x02", 1))
    with pytest.raises(ProtocolError, match="the leader speaks version 2, this one 1: restart it"):
        protocol.read_state(body)


# Following


def test_what_happens_while_everything_is_being_read_is_not_missed(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BATCH_BYTES", 200)

    async def test() -> None:
        async with opened(LocalStore(MemoryBackend())) as leader:
            feed = Feed(leader.index)
            await feed.listen(socket)
            await asyncio.gather(*(put(leader, f"a/{number:03}", 0) for number in range(300)))

            async def change() -> None:
                for number in range(300):
                    if number % 3:
                        await put(leader, f"a/{number:03}", number)
                    else:
                        await remove(leader, f"a/{number:03}")
                    await put(leader, f"b/{number:03}", number)

            changing = asyncio.ensure_future(change())
            replicas = []
            while not changing.done():
                replica = ReplicaStore(socket)
                await replica.load()
                replica.start()
                replicas.append(replica)
            await changing
            assert len(replicas) > 2

            def all_of(db: LocalStore | ReplicaStore) -> list[tuple[object, ...]]:
                return [shown(record, False) for record in db.collection(PREFIX).range(PREFIX)]

            for replica in replicas:
                await replica.fresh()
                assert all_of(replica) == all_of(leader) and replica.revision == leader.revision
                await replica.stop()
            await feed.close()

    run(test)


def test_what_happened_between_connecting_and_being_told_comes_once(socket: Path) -> None:
    async def test() -> None:
        async with opened(LocalStore(MemoryBackend())) as leader:
            feed = Feed(leader.index)
            await feed.listen(socket)
            replica = ReplicaStore(socket)
            taken: list[int] = []
            publish = replica.index.publish
            replica.index.publish = lambda changes, now: (taken.extend(c.revision for c in changes), publish(changes, now))  # type: ignore[func-returns-value]
            tell_all = _Follower._tell_all

            async def late(follower: _Follower) -> None:
                await put(leader, "a/early", 1)
                await tell_all(follower)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(_Follower, "_tell_all", late)
                await replica.load()
            assert value_of(replica.get(PREFIX, PREFIX + "a/early")) == 1 and taken == []
            change = await put(leader, "a/late", 2)
            await replica.fresh()
            assert taken == [change.revision]
            await replica.stop()
            await feed.close()

    run(test)


def test_who_asks_while_a_question_is_under_way_shares_the_next_one(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    ask = protocol.ask
    monkeypatch.setattr(protocol, "ask", lambda number: asked.append(number) or ask(number))

    async def test() -> None:
        async with opened(FollowedStore(MemoryBackend(), socket)) as db:
            first = asyncio.ensure_future(db.fresh())
            await asyncio.sleep(0)
            await asyncio.gather(first, *(db.fresh() for _ in range(100)))

    run(test)
    assert asked == [1, 2]


def test_an_answer_that_is_late_is_none_to_the_next_question(socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with opened(FollowedStore(MemoryBackend(), socket)) as db:
            monkeypatch.setattr("navarch.storage.replica.store.ANSWER_TIMEOUT_SECONDS", 0.02)
            (follower,) = db.feed._followers
            received: list[bytes] = []
            monkeypatch.setattr(follower, "data_received", received.append)
            with pytest.raises(StorageUnavailableError, match="the leader has not answered"):
                await db.fresh()
            assert db.problem
            monkeypatch.setattr("navarch.storage.replica.store.ANSWER_TIMEOUT_SECONDS", 5)
            second = asyncio.ensure_future(db.fresh())
            while len(received) < 2:
                await asyncio.sleep(0.001)
            monkeypatch.undo()
            follower.data_received(received[0])
            await asyncio.sleep(0.05)
            assert not second.done()
            change = await put(db.leader, "a/1", 1)
            follower.data_received(received[1])
            assert await second and db.revision == change.revision
            assert value_of(db.get(PREFIX, PREFIX + "a/1")) == 1 and not db.problem

    run(test)


def test_a_follower_that_hangs_is_known_by_its_process(socket: Path) -> None:
    async def test() -> None:
        async with opened(FollowedStore(MemoryBackend(), socket)) as db:
            assert db.feed.silent() == set()
            (follower,) = db.feed._followers
            follower.heard_seconds -= SILENCE_LIMIT_SECONDS
            assert db.feed.silent() == {os.getpid()}
            await db.fresh()
            assert db.feed.silent() == set()

    run(test)


def test_watchers_are_told_in_order_what_readers_see(socket: Path) -> None:
    async def test() -> None:
        async with opened(FollowedStore(MemoryBackend(), socket)) as db:
            seen: list[Change] = []
            db.watch(PREFIX, PREFIX, db.revision, seen.extend)
            await asyncio.gather(*(put(db.leader, f"a/{number % 7}", number) for number in range(7)))
            for number in range(50):
                await put(db.leader, f"a/{number % 7}", number, lazy=bool(number % 2))
            await remove(db.leader, "a/1")
            await db.fresh()
            assert [c.revision for c in seen] == list(range(db.revision - 57, db.revision + 1))
            for before, change in zip(seen, seen[7:], strict=False):
                assert change.previous is not None and change.previous.key == change.record.key
                assert (change.previous.revision, change.previous.created) == (before.revision, change.record.created)
            assert [c.type for c in seen] == ["ADDED"] * 7 + ["MODIFIED"] * 50 + ["DELETED"]

    run(test)


def test_a_replica_writes_nothing(socket: Path) -> None:
    async def test() -> None:
        async with opened(FollowedStore(MemoryBackend(), socket)) as db:
            base = (await put(db, "a/1", 1)).record
            for attempt in (
                ReplicaStore.put(db, PREFIX, PREFIX + "a/2", encoder(1), None),
                ReplicaStore.delete(db, PREFIX, PREFIX + "a/1", encoder(1), base),
                ReplicaStore.write(db, []),
                ReplicaStore.write_first(db, []),
                db.purge(PREFIX, PREFIX + "a/1"),
                db.versions(PREFIX, PREFIX + "a/1"),
                db.written_by("", 0, 1),
            ):
                with pytest.raises(StorageUnavailableError, match="this server is a read replica: the leader writes"):
                    await attempt

    run(test)


def test_without_a_leader_there_is_nothing_to_follow(socket: Path) -> None:
    async def test() -> None:
        with pytest.raises(StorageError, match=f"cannot follow the leader over {socket}"):
            await ReplicaStore(socket).load()

        has_gone = asyncio.Event()

        async def talks_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(protocol.frame(protocol.WHOLE))
            await reader.read()
            writer.close()
            await writer.wait_closed()
            has_gone.set()

        server = await asyncio.start_unix_server(talks_nonsense, socket)
        db = ReplicaStore(socket)
        with pytest.raises(StorageError, match="a frame of kind 87 before there is anything"):
            await db.load()
        await db.stop()
        await has_gone.wait()
        server.close()

    run(test)


def test_where_the_leader_goes_it_is_known_at_once(socket: Path) -> None:
    async def test() -> None:
        async with opened(FollowedStore(MemoryBackend(), socket)) as db:
            waiting = asyncio.ensure_future(db.lost())
            (follower,) = db.feed._followers
            follower.data_received = lambda data: None  # type: ignore[method-assign]
            asking = asyncio.ensure_future(db.fresh())
            await asyncio.sleep(0)
            await db.feed.close()
            await waiting
            for _ in range(2):
                with pytest.raises(StorageUnavailableError, match="the leader is gone"):
                    await asking
                asking = asyncio.ensure_future(db.fresh())
            with pytest.raises(StorageUnavailableError):
                await asking
            assert db.problem == "the leader is gone"

    run(test)
