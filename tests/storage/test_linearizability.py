"""Reads and writes of concurrent clients, over one server or several, are as if they had been made one after the other."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from navarch.storage.changes import Record
from navarch.storage.mvcc import ConflictError
from navarch.storage.replica.feed import Feed
from navarch.storage.replica.store import ReplicaStore
from navarch.storage.sqlite import SQLiteBackend
from navarch.storage.store import LocalStore, Store
from tests.etcd import Etcd
from tests.storage.linearizing import Operation, is_linearizable
from tests.storage.stores import PREFIX, encoder, opened, run, value_of

CLIENTS, OPERATIONS, OBJECTS = 8, 60, 4


class Clients:
    """Each reads and writes at one server, the others at theirs."""

    def __init__(self, writing: Sequence[Store], reading: Sequence[Store], seed: int) -> None:
        self._writing, self._reading = writing, reading
        self._chance = random.Random(seed)
        self._moments = itertools.count()
        self.histories: dict[str, list[Operation]] = {f"{PREFIX}a/{number}": [] for number in range(OBJECTS)}

    async def run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(CLIENTS)))

    async def _client(self, number: int) -> None:
        for count in range(OPERATIONS):
            key = self._chance.choice(list(self.histories))
            began = next(self._moments)
            if self._chance.random() < 0.5:
                operation = await self._read(key, self._reading[number % len(self._reading)])
            else:
                operation = await self._swap(key, self._writing[number % len(self._writing)], f"{number}-{count}")
            operation.began, operation.ended = began, next(self._moments)
            self.histories[key].append(operation)
            for _ in range(self._chance.randrange(3)):
                await asyncio.sleep(0)

    async def _read(self, key: str, db: Store) -> Operation:
        await db.fresh()
        return Operation(0, 0, "read", _value(db.get(PREFIX, key)))

    async def _swap(self, key: str, db: Store, value: str) -> Operation:
        base = db.latest(PREFIX, key)
        try:
            if base is not None and self._chance.random() < 0.2:
                await db.delete(PREFIX, key, encoder(_value(base)), base)
                return Operation(0, 0, "swap", None, _value(base))
            await db.put(PREFIX, key, encoder(value), base)
            return Operation(0, 0, "swap", value, _value(base))
        except ConflictError:
            return Operation(0, 0, "refused", None, _value(base))


def _value(record: Record | None) -> str | None:
    value: str | None = value_of(record)
    return value


async def check(writing: Sequence[Store], reading: Sequence[Store]) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    clients = Clients(writing, reading, seed)
    await clients.run()
    kinds = {operation.kind for history in clients.histories.values() for operation in history}
    assert {"read", "swap"} <= kinds
    for key, history in clients.histories.items():
        assert is_linearizable(history), f"{key}: {sorted(history, key=lambda operation: operation.began)}"


def test_one_server(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(LocalStore(SQLiteBackend(tmp_path / "navarch.db"))) as db:
            await check([db], [db])

    run(test)


def test_several_servers_over_one_etcd(etcd: Etcd) -> None:
    async def test() -> None:
        async with opened(etcd.store()) as one, opened(etcd.store()) as two, opened(etcd.store()) as three:
            await check([one, two, three], [two, three, one])

    run(test)


@pytest.fixture
def socket() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="navarch-"))
    yield directory / "feed"
    shutil.rmtree(directory)


def test_a_server_and_its_replicas(tmp_path: Path, socket: Path) -> None:
    async def test() -> None:
        async with AsyncExitStack() as stack:
            leader = await stack.enter_async_context(opened(LocalStore(SQLiteBackend(tmp_path / "navarch.db"))))
            feed = Feed(leader.index)
            await feed.listen(socket)
            stack.push_async_callback(feed.close)
            replicas = [await stack.enter_async_context(opened(ReplicaStore(socket))) for _ in range(2)]
            await check([leader], [*replicas, leader])

    run(test)


# The checker


def test_a_read_of_what_was_replaced_before_it_began_is_found_out() -> None:
    write = Operation(0, 1, "swap", "a", None)
    assert is_linearizable([write, Operation(2, 3, "read", "a")])
    assert not is_linearizable([write, Operation(2, 3, "read", None)])
    during = Operation(0, 9, "swap", "a", None)
    assert is_linearizable([during, Operation(1, 2, "read", None), Operation(3, 4, "read", "a")])
    assert not is_linearizable([during, Operation(1, 2, "read", "a"), Operation(3, 4, "read", None)])


def test_two_writes_on_one_version_are_found_out() -> None:
    one, two = Operation(0, 5, "swap", "a", None), Operation(1, 4, "swap", "b", None)
    assert not is_linearizable([one, two])
    assert is_linearizable([one, Operation(1, 4, "refused", None, None)])
    assert not is_linearizable([Operation(0, 1, "refused", None, None)])
