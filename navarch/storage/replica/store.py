"""The store of a read replica: an index that follows the leader's, over a unix socket, and takes no writes.

It is fresh once the leader has answered a question that was asked afterwards, for by then it has been told of everything
before. All who ask while a question is under way share the next one. A stream that ends is not begun anew: what was missed is
not known, so the process that follows ends too, and another one begins with all there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from navarch.apimachinery.errors import Object
from navarch.component import clock
from navarch.component.tasks import Tasks
from navarch.storage.backend import StorageError, StorageUnavailableError, Version
from navarch.storage.changes import Change, Record, Write
from navarch.storage.collection import collection_prefix
from navarch.storage.indexed import IndexedStore
from navarch.storage.replica import protocol

# As long as Kubernetes waits for its watch cache.
ANSWER_TIMEOUT_SECONDS = 3.0
LOAD_TIMEOUT_SECONDS = 60.0
PROBE_SECONDS = 5.0
COMPACTION_SECONDS = 30.0
COMPACTION_STEP = 500


class ReplicaStore(IndexedStore):
    """What the leader has, to read."""

    is_shared = True

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._stream: _Stream | None = None
        self._problem = "the leader has not been read yet"
        self._asked = 0
        self._next_answer: asyncio.Future[None] | None = None
        """Of those who ask and for whom no question has been sent yet."""
        self._under_way: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = Tasks("store")

    @property
    def size_bytes(self) -> int:
        # The leader tells.
        return 0

    @property
    def problem(self) -> str:
        return self._problem

    # Start and stop

    async def load(self) -> None:
        """Read all there is. Raises StorageError."""
        loop = asyncio.get_running_loop()
        try:
            _, stream = await loop.create_unix_connection(lambda: _Stream(self._take), str(self._path))
            self._stream = stream
            async with asyncio.timeout(LOAD_TIMEOUT_SECONDS):
                records, revision = await stream.whole
        except OSError as error:
            raise StorageError(f"cannot follow the leader over {self._path}: {error}") from error
        self.index.replace(records, revision, clock.monotonic())
        self._problem = ""
        stream.begin()

    async def write_first(self, writes: Sequence[Write]) -> None:
        raise _read_only()

    def start(self) -> None:
        self._tasks.run_forever(self._probe_forever, name="probe")
        self._tasks.run_forever(self._compact_forever, name="compaction")

    async def lost(self) -> None:
        """Until nothing comes from the leader any more; what is here is old from then on."""
        assert self._stream is not None, "load() comes first"
        await self._stream.lost.wait()
        self._problem = "the leader is gone"
        self._end_questions(StorageUnavailableError(self._problem))

    async def compact(self) -> None:
        while self.index.compact(clock.monotonic(), COMPACTION_STEP) is not None:
            await asyncio.sleep(0)

    async def stop(self) -> None:
        await self._tasks.stop()
        self._end_questions(StorageUnavailableError("the server stops"))
        if self._stream is not None:
            self._stream.close()

    # Reads: all that goes beyond the index is the leader's

    async def snapshot(
        self, prefix: str, under: str, revision: int, after: str = "", labels: Sequence[bytes] = ()
    ) -> list[Record]:
        return self.index.snapshot(prefix, under, revision, after, labels)

    @property
    def knows_authors(self) -> bool:
        return False

    async def past(self, prefix: str, under: str, revision: int, after: str = "") -> list[Record]:
        return self.index.snapshot(prefix, under, revision, after)

    async def versions(self, prefix: str, key: str) -> list[Version]:
        raise _read_only()

    async def written_by(self, agent: str, since_ms: int, limit: int) -> list[Version]:
        raise _read_only()

    async def purge(self, prefix: str, key: str) -> int:
        raise _read_only()

    def is_stale(self, key: str) -> bool:
        return False

    # How far the index is

    async def fresh(self) -> bool:
        before, waiting = self.revision, self._next_answer
        if waiting is None:
            waiting = self._next_answer = asyncio.get_running_loop().create_future()
            # Nobody may be left to hear of a failure.
            waiting.add_done_callback(lambda done: None if done.cancelled() else done.exception())
            self._ask()
        await asyncio.shield(waiting)
        return self.revision != before

    async def reach(self, revision: int) -> None:
        if revision > self.revision:
            await self.fresh()

    def _ask(self) -> None:
        """Send the question of those who wait for none yet, unless one is under way."""
        if self._under_way is not None or self._next_answer is None:
            return
        if self._stream is None or self._stream.lost.is_set():
            self._end_questions(StorageUnavailableError(self._problem or "the leader is gone"))
            return
        self._under_way, self._next_answer = self._next_answer, None
        self._asked += 1
        self._stream.send(protocol.ask(self._asked))
        self._timer = asyncio.get_running_loop().call_later(ANSWER_TIMEOUT_SECONDS, self._time_out)

    def _time_out(self) -> None:
        self._problem = f"the leader has not answered for {ANSWER_TIMEOUT_SECONDS:.0f} s"
        self._end_questions(StorageUnavailableError(self._problem))

    def _end_questions(self, error: StorageError) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for future in (self._under_way, self._next_answer):
            if future is not None and not future.done():
                future.set_exception(error)
        self._under_way = self._next_answer = None

    # What the leader says

    def _take(self, kind: int, body: memoryview) -> None:
        """Raises ProtocolError."""
        if kind == protocol.CHANGES:
            self._publish(body)
        elif kind == protocol.ANSWER:
            number, revision = protocol.read_answer(body)
            self.index.advance(revision)
            # The answer to one that was given up is none to the next.
            if number == self._asked:
                self._answered()
        else:
            raise protocol.ProtocolError(f"a frame of kind {kind}")

    def _publish(self, body: memoryview) -> None:
        changes: list[Change] = []
        newest: dict[str, Record | None] = {}
        for record, deleted in protocol.read_entries(body):
            key = record.key
            previous = newest[key] if key in newest else self.index.get(collection_prefix(key), key)
            newest[key] = None if deleted else record
            changes.append(Change(record, previous, deleted))
        self.index.publish(changes, clock.monotonic())

    def _answered(self) -> None:
        self._problem = ""
        if self._timer is not None:
            self._timer.cancel()
        future, self._under_way = self._under_way, None
        if future is not None and not future.done():
            future.set_result(None)
        self._ask()

    # Writes

    async def put(
        self,
        prefix: str,
        key: str,
        data: Callable[[int | None], bytes],
        base: Record | None,
        obj: Object | None = None,
        *,
        lazy: bool = False,
    ) -> Change:
        raise _read_only()

    async def delete(
        self, prefix: str, key: str, data: Callable[[int | None], bytes], base: Record, obj: Object | None = None
    ) -> Change:
        raise _read_only()

    async def write(self, writes: Sequence[Write]) -> list[Change]:
        raise _read_only()

    # Beside

    async def _probe_forever(self) -> None:
        """Notice that the leader hangs, and how far it is, also while nobody asks."""
        while True:
            await clock.sleep(PROBE_SECONDS)
            try:
                await self.fresh()
            except StorageError as error:
                self._problem = str(error)

    async def _compact_forever(self) -> None:
        while True:
            await clock.sleep(COMPACTION_SECONDS)
            await self.compact()


class _Stream(asyncio.Protocol):
    """The connection: first all there is, then what happens."""

    def __init__(self, take: Callable[[int, memoryview], None]) -> None:
        self._take = take
        self._decoder = protocol.Decoder()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self.whole: asyncio.Future[tuple[list[Record], int]] = asyncio.get_running_loop().create_future()
        self.lost = asyncio.Event()
        self._records: list[Record] = []
        self._revision = -1
        self._early: list[tuple[int, memoryview]] | None = []
        """What comes after the whole before anybody has taken that in."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.set()
        if not self.whole.done():
            self.whole.set_exception(ConnectionResetError("the leader has closed the connection"))

    def data_received(self, data: bytes) -> None:
        try:
            for kind, body in self._decoder.feed(data):
                self._receive(kind, body)
        except protocol.ProtocolError as error:
            if not self.whole.done():
                self.whole.set_exception(ConnectionError(str(error)))
            self._transport.abort()

    def _receive(self, kind: int, body: memoryview) -> None:
        if self.whole.done():
            if self._early is None:
                self._take(kind, body)
            else:
                self._early.append((kind, body))
        elif kind == protocol.STATE:
            self._revision = protocol.read_state(body)
        elif kind == protocol.RECORDS and self._revision >= 0:
            self._records += [record for record, _ in protocol.read_entries(body)]
        elif kind == protocol.WHOLE and self._revision >= 0:
            self.whole.set_result((self._records, self._revision))
            self._records = []
        else:
            raise protocol.ProtocolError(f"a frame of kind {kind} before there is anything")

    def begin(self) -> None:
        """What has been read is taken in: go on with what came after it."""
        early, self._early = self._early or [], None
        for kind, body in early:
            self._take(kind, body)

    def send(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()


def _read_only() -> StorageError:
    return StorageUnavailableError("this server is a read replica: the leader writes")
