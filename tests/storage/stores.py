"""Short ways to use a store, whatever it is kept in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import orjson

from navarch.storage.changes import Change, Record
from navarch.storage.store import Store

PREFIX = "/registry/configmaps/"
AnyStore = TypeVar("AnyStore", bound=Store)


def encoder(value: Any) -> Callable[[int | None], bytes]:
    def data(revision: int | None) -> bytes:
        return orjson.dumps({"metadata": {} if revision is None else {"resourceVersion": str(revision)}, "value": value})

    return data


def value_of(record: Record | None) -> Any:
    return None if record is None else record.object()["value"]


async def put(db: Store, name: str, value: Any, *, lazy: bool = False, base: Any = ...) -> Change:
    key = PREFIX + name
    found = db.latest(PREFIX, key) if base is ... else base
    return await db.put(PREFIX, key, encoder(value), found, lazy=lazy)


async def remove(db: Store, name: str) -> Change:
    base = db.latest(PREFIX, PREFIX + name)
    assert base is not None
    return await db.delete(PREFIX, base.key, encoder("gone"), base)


@asynccontextmanager
async def opened(db: AnyStore) -> AsyncIterator[AnyStore]:
    await db.load()
    db.start()
    try:
        yield db
    finally:
        await db.stop()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(bounded())
