"""Stores against a model: any sequence of writes, restarts, crashes and compactions leaves what it should."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from navarch.storage import mvcc
from navarch.storage.changes import Change, Write
from navarch.storage.mvcc import CompactedError, ConflictError
from navarch.storage.replica.store import ReplicaStore
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore, Store
from tests.etcd import Etcd
from tests.storage.following import FollowedStore
from tests.storage.stores import encoder, value_of

T = TypeVar("T")
PREFIX = "/registry/leases/"
NAMES = st.sampled_from([f"{space}/{name}" for space in ("a", "b") for name in ("x", "y", "z")])
State = dict[str, tuple[Any, int]]
"""name -> (value, revision)"""


class StoreMachine(RuleBasedStateMachine):
    """What holds for every store."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.states: list[tuple[int, State]] = [(0, {})]
        """Every revision and what there was at it, oldest first."""
        self.events: list[tuple[int, str, str]] = []
        self.durable: State = {}
        """What a crash would leave."""
        self.gaps = False
        """Whether the past is not what is told by `states` once the store is opened again."""
        self.highest = 0
        self.counter = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(20):
                return await coroutine

        return self.loop.run_until_complete(bounded())

    @abstractmethod
    def new(self) -> Store:
        """One that is not opened yet, over what the last one has left."""

    async def opened(self) -> Store:
        db = self.new()
        await db.load()
        db.start()
        return db

    @initialize()
    def open(self) -> None:
        self.db = self.run(self.opened())
        self.watched: list[Change] = []
        self.watched_since = self.db.revision
        self.db.watch(PREFIX, PREFIX, self.db.revision, self.watched.extend)
        assert self.db.revision >= self.highest, "revisions never go back"
        self.highest = self.db.revision

    def teardown(self) -> None:
        self.run(self.db.stop())
        self.loop.close()

    @property
    def now(self) -> State:
        return self.states[-1][1]

    def note(self, change: Change, name: str, value: Any) -> None:
        state = dict(self.now)
        if value is None:
            del state[name]
        else:
            state[name] = (value, change.revision)
        assert change.revision >= self.states[-1][0]
        if change.revision == self.states[-1][0]:
            # Another change of the same commit.
            self.states.pop()
        self.states.append((change.revision, state))
        self.events.append((change.revision, change.type, name))
        self.highest = change.revision

    def next_value(self) -> int:
        self.counter += 1
        return self.counter

    async def put(self, name: str, *, lazy: bool = False) -> tuple[Change, str, int]:
        value, key = self.next_value(), PREFIX + name
        base = self.db.latest(PREFIX, key)
        return await self.db.put(PREFIX, key, encoder(value), base, lazy=lazy), name, value

    @rule(name=NAMES)
    def put_one(self, name: str) -> None:
        self.note(*self.run(self.put(name)))
        self.durable = self.now

    @rule(names=st.lists(NAMES, min_size=2, max_size=8))
    def put_at_once(self, names: list[str]) -> None:
        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*(self.put(name) for name in names), return_exceptions=True)

        results = self.run(all_of_them())
        for result in results:
            assert not isinstance(result, Exception) or isinstance(result, ConflictError)
        written = [result for result in results if not isinstance(result, Exception)]
        assert {name for _, name, _ in written} == set(names), "of writes on one version, one is done"
        for change, name, value in sorted(written, key=lambda item: item[0].revision):
            self.note(change, name, value)
        self.durable = self.now

    @rule(names=st.lists(NAMES, min_size=2, max_size=4, unique=True), deletes=st.booleans())
    def write_together(self, names: list[str], deletes: bool) -> None:
        writes, values = [], []
        for name in names:
            base = self.db.latest(PREFIX, PREFIX + name)
            gone = deletes and base is not None
            values.append(None if gone else self.next_value())
            writes.append(Write(PREFIX, PREFIX + name, encoder(values[-1]), base, deletes=gone))
        for change, name, value in zip(self.run(self.db.write(writes)), names, values, strict=True):
            self.note(change, name, value)
        self.durable = self.now

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        base = self.db.latest(PREFIX, PREFIX + name)
        assert (base is not None) == (name in self.now)
        if base is not None:
            change = self.run(self.db.delete(PREFIX, PREFIX + name, encoder(None), base))
            self.note(change, name, None)
            self.durable = self.now

    def may_be_forgotten(self, revision: int) -> bool:
        """Whether the state at a revision need not be known any more."""
        return revision < self.db.compacted

    @rule(back=st.integers(0, 10))
    def look_back(self, back: int) -> None:
        revision, state = self.states[max(0, len(self.states) - 1 - back)]
        try:
            found = self.run(self.db.snapshot(PREFIX, PREFIX, revision))
        except CompactedError:
            assert self.may_be_forgotten(revision)
            return
        assert {r.key.removeprefix(PREFIX): (value_of(r), r.revision) for r in found} == state
        assert [r.key for r in found] == sorted(r.key for r in found)

    @rule(back=st.integers(0, 10))
    def watch_from_back_then(self, back: int) -> None:
        revision = self.states[max(0, len(self.states) - 1 - back)][0]
        seen: list[Change] = []
        try:
            watcher = self.db.watch(PREFIX, PREFIX, revision, seen.extend)
        except CompactedError:
            assert revision < self.db.compacted
            return
        self.db.unwatch(PREFIX, watcher)
        expected = [event for event in self.events if event[0] > revision]
        assert [(c.revision, c.type, c.record.key.removeprefix(PREFIX)) for c in seen] == expected

    @rule(kept=st.integers(0, 5))
    def compact(self, kept: int) -> None:
        limit, mvcc.HISTORY_EVENTS_LIMIT = mvcc.HISTORY_EVENTS_LIMIT, kept
        try:
            self.run(self.db.compact())
        finally:
            mvcc.HISTORY_EVENTS_LIMIT = limit

    @rule()
    def restart(self) -> None:
        self.run(self.db.stop())
        self.reopen(self.now)

    def reopen(self, left: State) -> None:
        self.open()
        self.durable = left
        if self.gaps:
            self.states, self.events, self.gaps = [(self.db.revision, left)], [], False

    @invariant()
    def what_is_there_is_what_was_written(self) -> None:
        records = self.db.collection(PREFIX).records
        assert {key.removeprefix(PREFIX): (value_of(r), r.revision) for key, r in records.items()} == self.now
        for record in records.values():
            assert record.object()["metadata"]["resourceVersion"] == str(record.revision)

    @invariant()
    def whoever_watched_since_the_start_saw_everything(self) -> None:
        expected = [event[0] for event in self.events if event[0] > self.watched_since]
        assert [change.revision for change in self.watched] == expected


class LocalMachine(StoreMachine):
    """The store of one server, over SQLite."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())

    def new(self) -> Store:
        return LocalStore(SQLiteBackend(self.directory / "navarch.db"))

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.directory)

    @rule(name=NAMES)
    def put_lazily(self, name: str) -> None:
        if name in self.now:
            self.note(*self.run(self.put(name, lazy=True)))
            # The log keeps only the last of several lazy changes to one object.
            self.gaps = True

    @rule()
    def crash(self) -> None:
        self.run(self.die())
        self.reopen(self.durable)

    async def die(self) -> None:
        assert isinstance(self.db, LocalStore)
        await kill(self.db)


async def kill(db: LocalStore) -> None:
    """What waits is not stored any more."""
    await db._tasks.stop()
    db._thread.shutdown()
    db._backend.close()


class ReplicaMachine(LocalMachine):
    """The same, read by a replica of it."""

    def new(self) -> Store:
        (self.directory / "feed").unlink(missing_ok=True)
        return FollowedStore(SQLiteBackend(self.directory / "navarch.db"), self.directory / "feed")

    async def die(self) -> None:
        assert isinstance(self.db, FollowedStore)
        await ReplicaStore.stop(self.db)
        await self.db.feed.close()
        await kill(self.db.leader)


class EtcdMachine(StoreMachine):
    """A store over etcd, another server beside it, and an etcd that ends at the worst moments."""

    etcd: Etcd

    def __init__(self) -> None:
        super().__init__()
        self.etcd.clear()
        self.other = self.run(self.opened())
        self.forgotten = self.other.revision
        self.states = [(self.forgotten, {})]

    def new(self) -> Store:
        return self.etcd.store()

    def teardown(self) -> None:
        self.run(self.other.stop())
        super().teardown()

    def may_be_forgotten(self, revision: int) -> bool:
        return revision < self.forgotten

    async def put_elsewhere(self, name: str) -> tuple[Change, str, int]:
        value, key = self.next_value(), PREFIX + name
        await self.other.fresh()
        change = await self.other.put(PREFIX, key, encoder(value), self.other.latest(PREFIX, key))
        await self.db.fresh()
        return change, name, value

    @rule(name=NAMES)
    def another_server_writes(self, name: str) -> None:
        self.note(*self.run(self.put_elsewhere(name)))

    @rule()
    def somebody_writes_something_else(self) -> None:
        self.etcd.write("/others/key", b"theirs")
        self.run(self.db.fresh())

    @rule()
    def somebody_compacts(self) -> None:
        self.forgotten = self.etcd.compact()

    @precondition(lambda self: len(self.states) > 1)
    @rule(name=NAMES)
    def etcd_is_killed_and_starts_again(self, name: str) -> None:
        self.etcd.kill()
        self.etcd.start()
        self.note(*self.run(self.put(name)))


def check(machine: type[StoreMachine], examples: int, steps: int) -> None:
    chosen = settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    run_state_machine_as_test(machine, settings=chosen)  # type: ignore[no-untyped-call]


def test_a_local_store_does_what_the_model_says() -> None:
    check(LocalMachine, 40, 30)


def test_a_replica_shows_what_the_model_says() -> None:
    check(ReplicaMachine, 12, 30)


def test_a_store_over_etcd_does_what_the_model_says(etcd_server: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EtcdMachine, "etcd", etcd_server, raising=False)
    check(EtcdMachine, 10, 25)
