"""A store that is killed again and again under load, and what must hold after each restart.

    make crash-test ARGS='[--kills 1000] [--seed N]'

The process that is killed tells over a pipe what it begins, what was acknowledged and what its watcher saw; whoever killed it
reads on to the pipe's end and looks at the file, which the next process then opens. What is told is thus what clients knew.
Every few lives what is stored is to be stored otherwise: encrypted by another key, or as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import random
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson

from navarch.storage import checkpoints, mvcc, sqlitefile
from navarch.storage.changes import Change, Write
from navarch.storage.encryption.transformers import Transformers
from navarch.storage.mvcc import CompactedError
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore
from tests.storage.encrypting import GCM_ONE, GCM_TWO, IDENTITY, everything

PREFIX, LEASES = "/registry/configmaps/", "/registry/leases/"
LANES, NAMES = 12, 20
LIFE_SECONDS = 0.06
COMPACTION_SECONDS = 0.005
# So few that most of what is written goes on into the history.
WINDOW = 300
# How many revisions are looked back to after some of the restarts.
LOOKED_BACK, LOOKED_BACK_EVERY = 3, 4
WRITERS = (IDENTITY, GCM_ONE, GCM_TWO)
LIVES_OF_A_KEY = 5


def transformers(life: int) -> Transformers:
    """How that life stores what it has, and what it finds."""
    first = WRITERS[life // LIVES_OF_A_KEY % len(WRITERS)]
    return everything(first, *(provider for provider in WRITERS if provider is not first))


# What is killed


def encoder(value: str, padding: int) -> Callable[[int | None], bytes]:
    """An object whose text says whether all of it is there."""
    text = value + "." * padding

    def data(revision: int | None) -> bytes:
        metadata = {"resourceVersion": str(revision)}
        return orjson.dumps({"metadata": metadata, "value": value, "text": text, "sum": zlib.crc32(text.encode())})

    return data


def value_of(data: bytes) -> str:
    obj = orjson.loads(data)
    assert zlib.crc32(obj["text"].encode()) == obj["sum"], "an object is half there"
    value: str = obj["value"]
    return value


class Life:
    """One process."""

    def __init__(self, connection: Connection, path: Path, life: int, since: int) -> None:
        self._connection, self._life, self._since = connection, life, since
        self._random = random.Random(life)
        self._path = path

    def tell(self, *words: Any) -> None:
        # Blocks where the other side does not read: nothing is told later than it is known.
        self._connection.send_bytes(orjson.dumps(words))

    async def run(self) -> None:
        self.db = LocalStore(SQLiteBackend(self._path, transformers=transformers(self._life)))
        await self.db.load()
        self.db.start()
        self.tell("started", self.db.revision)
        self.db.watch(PREFIX, PREFIX, self._since, self._seen)
        lanes = [self._write(lane) for lane in range(LANES)]
        await asyncio.gather(*lanes, self._write_together(), self._renew(), self._compact())

    def _seen(self, changes: list[Change]) -> None:
        for change in changes:
            self.tell("seen", change.revision, change.record.key, change.type, value_of(change.record.data))

    async def _write(self, lane: int) -> None:
        for count in itertools.count():
            key = f"{PREFIX}a/{lane}-{self._random.randrange(NAMES)}"
            value, base = f"{self._life}-{count}", self.db.latest(PREFIX, key)
            data = encoder(value, self._random.choice((10, 1000, 9000)))
            self.tell("begun", key, value)
            if base is not None and self._random.random() < 0.3:
                change = await self.db.delete(PREFIX, key, data, base)
            else:
                change = await self.db.put(PREFIX, key, data, base)
            self.tell("acknowledged", change.revision, key, change.deleted, value)

    async def _write_together(self) -> None:
        for count in itertools.count():
            value, data = f"{self._life}-{count}", encoder(f"{self._life}-{count}", 100)
            keys = [f"{PREFIX}together/{side}" for side in ("a", "b", "c")]
            for key in keys:
                self.tell("begun", key, value)
            changes = await self.db.write([Write(PREFIX, key, data, self.db.latest(PREFIX, key)) for key in keys])
            for change in changes:
                self.tell("acknowledged", change.revision, change.record.key, False, value)

    async def _renew(self) -> None:
        """Lazily, as Leases are: these may be lost, and nothing else for it."""
        for count in itertools.count():
            data = encoder(str(count), 10)
            await self.db.put(LEASES, f"{LEASES}a/x", data, self.db.latest(LEASES, f"{LEASES}a/x"), lazy=True)
            await asyncio.sleep(0)

    async def _compact(self) -> None:
        while True:
            await asyncio.sleep(COMPACTION_SECONDS)
            await self.db.compact()


def live(connection: Connection, path: Path, life: int, since: int) -> None:
    checkpoints.PASS_BYTES, checkpoints.DUE_BYTES = 50_000, 300_000
    mvcc.HISTORY_EVENTS_LIMIT = WINDOW
    asyncio.run(Life(connection, path, life, since).run())


# Who kills


class Survivor:
    """What clients of all these lives know."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.random = random.Random(seed)
        self.acknowledged: dict[str, tuple[int, bool, str]] = {}
        """key -> the revision of the last write, whether it was a deletion, and the value."""
        self.begun: dict[str, set[str]] = {}
        self.seen: list[int] = []
        self.states: dict[str, str] = {}
        """What there is, as a watcher knows it."""
        self.past: list[tuple[int, dict[str, str]]] = []
        """Some of what there was, and when."""
        self.writes = 0
        self.highest = 0
        self._checked = 0
        self.life = 0
        self.looked_back = 0
        # Forked from a process that has everything imported: a life begins within milliseconds.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])

    def kill_once(self, life: int) -> None:
        self.life = life
        receiving, sending = self._context.Pipe(duplex=False)
        since = self.seen[-1] if self.seen else 0
        process = self._context.Process(target=live, args=(sending, self.path, life, since))
        process.start()
        sending.close()
        # Now and then it does not even come to its first write.
        if self.random.random() < 0.9:
            self._take(receiving.recv_bytes())
        deadline = time.monotonic() + self.random.uniform(0, LIFE_SECONDS)
        while (left := deadline - time.monotonic()) > 0 and process.is_alive():
            if receiving.poll(left):
                self._take(receiving.recv_bytes())
        assert process.is_alive(), "the store has failed by itself"
        process.kill()
        try:
            while True:
                self._take(receiving.recv_bytes())
        except (EOFError, OSError):
            pass
        process.join()
        receiving.close()
        process.close()
        self.check()
        if life % LOOKED_BACK_EVERY == 0 and self.past:
            asyncio.run(self.look_back())

    def _take(self, message: bytes) -> None:
        kind, *words = orjson.loads(message)
        if kind == "started":
            assert words[0] >= self.highest, "revisions have gone back"
            self.highest = words[0]
        elif kind == "begun":
            self.begun.setdefault(words[0], set()).add(words[1])
        elif kind == "acknowledged":
            revision, key, deleted, value = words
            self._note(key, revision, value, deleted=deleted)
            self.writes += 1
        else:
            revision, key, how, value = words
            assert not self.seen or revision > self.seen[-1], "a watcher saw something twice, or out of order"
            self.seen.append(revision)
            # Who has seen a write knows of it, whether or not it was acknowledged to who made it.
            self._note(key, revision, value, deleted=how == "DELETED")
            if how == "DELETED":
                del self.states[key]
            else:
                self.states[key] = value
            if self.random.random() < 0.02:
                self.past.append((revision, dict(self.states)))

    def _note(self, key: str, revision: int, value: str, *, deleted: bool) -> None:
        if revision > self.acknowledged.get(key, (0, False, ""))[0]:
            self.acknowledged[key] = (revision, deleted, value)
        self.highest = max(self.highest, revision)

    def check(self) -> None:
        """The file, as the next server finds it."""
        # A life that was killed before it had made its first commit leaves no file, or an empty one.
        backend = SQLiteBackend(self.path, transformers=transformers(self.life))
        log, compacted = list(backend.load()), backend.marks().compacted
        backend.close()
        revisions = [record.revision for record, _ in log]
        assert revisions == sorted(set(revisions))
        newest = {record.key: (record, deleted) for record, deleted in log}
        for key, (revision, deleted, value) in self.acknowledged.items():
            found = newest.get(key)
            if found is None:
                assert deleted, f"{key}, acknowledged at {revision}, is not there"
            else:
                record, is_deleted = found
                assert record.revision >= revision, f"{key} is older than was acknowledged"
                if record.revision == revision:
                    assert (is_deleted, value_of(record.data)) == (deleted, value)
        for key, (record, _) in newest.items():
            if key.startswith(PREFIX):
                assert value_of(record.data) in self.begun[key], f"{key} is what nobody wrote"
        together = [newest.get(f"{PREFIX}together/{side}") for side in ("a", "b", "c")]
        assert len({None if found is None else value_of(found[0].data) for found in together}) == 1, "half a commit"
        if self.seen:
            # All that was told to watchers is there, and all that is there was told.
            told = set(self.seen)
            kept = {r.revision for r, _ in log if r.key.startswith(PREFIX) and compacted < r.revision <= self.seen[-1]}
            assert kept <= told, "a watcher has missed something"
            assert {revision for revision in told if revision > max(compacted, self._checked)} <= kept, "seen and not stored"
            self._checked = self.seen[-1]

    async def look_back(self) -> None:
        db = LocalStore(SQLiteBackend(self.path, transformers=transformers(self.life)))
        await db.load()
        for revision, state in self.random.choices(self.past, k=LOOKED_BACK):
            try:
                found = await db.past(PREFIX, PREFIX, revision)
            except CompactedError:
                # It was long ago.
                continue
            # Writes of one commit have a revision each: watchers are told of them together, but one may look between them.
            assert {record.key: value_of(record.data) for record in found} == state, f"the past at {revision} is another"
            self.looked_back += 1
        await db.stop()


def crash(path: Path, kills: int, seed: int, tell: Callable[[str], None] = lambda text: None) -> Survivor:
    """Kill it so many times. Raises AssertionError for whatever does not hold."""
    survivor = Survivor(path, seed)
    for life in range(kills):
        survivor.kill_once(life)
        if life % 100 == 99:
            tell(f"{life + 1} kills, {survivor.writes} writes, {len(survivor.seen)} events")
    assert list(sqlitefile.check(path, transformers(kills - 1))) == []
    return survivor


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=1000)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = arguments.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="navarch-crash-"))
    print(f"seed {options.seed}, in {directory}", flush=True)
    survivor = crash(directory / "navarch.db", options.kills, options.seed, lambda text: print(text, flush=True))
    assert survivor.writes > options.kills
    # Kept where it fails.
    shutil.rmtree(directory)
    print(f"nothing was lost: {options.kills} kills, {survivor.writes} writes, {len(survivor.seen)} events")
