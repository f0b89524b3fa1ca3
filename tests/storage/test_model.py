"""The store against a model: any sequence of writes, restarts, crashes and compactions leaves what it should."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from navarch.storage import mvcc
from navarch.storage.mvcc import Change, CompactedError, ConflictError
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore

T = TypeVar("T")
PREFIX = "/registry/leases/"
NAMES = st.sampled_from([f"{space}/{name}" for space in ("a", "b") for name in ("x", "y", "z")])
State = dict[str, tuple[Any, int]]
"""name -> (value, revision)"""


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.states: list[tuple[int, State]] = [(0, {})]
        """Every revision and what there was at it, oldest first."""
        self.events: list[tuple[int, str, str]] = []
        self.durable: State = {}
        """What a crash would leave."""
        self.gaps = False
        """Whether lazy changes were made since the store was opened: the log keeps only the last of several to one object."""
        self.highest = 0
        self.counter = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(20):
                return await coroutine

        return self.loop.run_until_complete(bounded())

    @initialize()
    def open(self) -> None:
        async def start() -> LocalStore:
            db = LocalStore(SQLiteBackend(self.directory / "navarch.db"))
            await db.load()
            db.start()
            return db

        self.db = self.run(start())
        self.watched: list[Change] = []
        self.watched_since = self.db.revision
        self.db.watch(PREFIX, PREFIX, self.db.revision, self.watched.extend)
        assert self.db.revision >= self.highest, "revisions never go back"
        self.highest = self.db.revision

    def teardown(self) -> None:
        self.run(self.db.stop())
        self.loop.close()
        shutil.rmtree(self.directory)

    @property
    def now(self) -> State:
        return self.states[-1][1]

    def note(self, change: Change, name: str, value: Any) -> None:
        state = dict(self.now)
        if value is None:
            del state[name]
        else:
            state[name] = (value, change.revision)
        assert change.revision > self.states[-1][0]
        self.states.append((change.revision, state))
        self.events.append((change.revision, change.type, name))
        self.highest = change.revision

    async def put(self, name: str, *, lazy: bool = False) -> tuple[Change, str, int]:
        self.counter += 1
        value = self.counter

        def data(revision: int) -> bytes:
            return orjson.dumps({"metadata": {"resourceVersion": str(revision)}, "value": value})

        base = self.db.latest(PREFIX, PREFIX + name)
        return await self.db.put(PREFIX, PREFIX + name, data, base, lazy=lazy), name, value

    @rule(name=NAMES)
    def put_one(self, name: str) -> None:
        self.note(*self.run(self.put(name)))
        self.durable = self.now

    @rule(name=NAMES)
    def put_lazily(self, name: str) -> None:
        if name in self.now:
            self.note(*self.run(self.put(name, lazy=True)))
            self.gaps = True

    @rule(names=st.lists(NAMES, min_size=2, max_size=8))
    def put_at_once(self, names: list[str]) -> None:
        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*(self.put(name) for name in names), return_exceptions=True)

        results = self.run(all_of_them())
        for result in results:
            assert not isinstance(result, Exception) or isinstance(result, ConflictError)
        written = [result for result in results if not isinstance(result, Exception)]
        for change, name, value in sorted(written, key=lambda item: item[0].revision):
            self.note(change, name, value)
        self.durable = self.now

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        base = self.db.latest(PREFIX, PREFIX + name)
        assert (base is not None) == (name in self.now)
        if base is not None:
            change = self.run(self.db.delete(PREFIX, PREFIX + name, lambda revision: b"{}", base))
            self.note(change, name, None)
            self.durable = self.now

    @rule(back=st.integers(0, 10))
    def look_back(self, back: int) -> None:
        revision, state = self.states[max(0, len(self.states) - 1 - back)]
        try:
            found = self.db.index.snapshot(PREFIX, PREFIX, revision)
        except CompactedError:
            assert revision < self.db.index.compacted
            return
        assert {r.key.removeprefix(PREFIX): r.revision for r in found} == {name: at for name, (_, at) in state.items()}
        assert [r.key for r in found] == sorted(r.key for r in found)

    @rule(back=st.integers(0, 10))
    def watch_from_back_then(self, back: int) -> None:
        revision = self.states[max(0, len(self.states) - 1 - back)][0]
        seen: list[Change] = []
        try:
            watcher = self.db.watch(PREFIX, PREFIX, revision, seen.extend)
        except CompactedError:
            assert revision < self.db.index.compacted
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

    @rule()
    def crash(self) -> None:
        async def die() -> None:
            await self.db._tasks.stop()
            self.db._thread.shutdown()
            self.db._backend.close()

        self.run(die())
        self.reopen(self.durable)

    def reopen(self, left: State) -> None:
        self.open()
        self.durable = left
        if self.gaps:
            # The past is as it was, but for lazy changes: look back only as far as now.
            self.states, self.events, self.gaps = [(self.db.revision, left)], [], False

    @invariant()
    def what_is_there_is_what_was_written(self) -> None:
        records = self.db.collection(PREFIX).records
        assert {key.removeprefix(PREFIX): record.revision for key, record in records.items()} == {
            name: revision for name, (_, revision) in self.now.items()
        }
        for key, record in records.items():
            assert record.object()["value"] == self.now[key.removeprefix(PREFIX)][0]

    @invariant()
    def whoever_watched_since_the_start_saw_everything(self) -> None:
        expected = [event[0] for event in self.events if event[0] > self.watched_since]
        assert [change.revision for change in self.watched] == expected


StoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestStore = StoreMachine.TestCase
