"""The leader's side: tells followers all there is, then everything that readers see from then on, in order.

A follower that does not keep up is dropped: it would show an ever older state. What it has not been sent yet is bounded so.
Followers ask from time to time how far the leader is; one that is silent hangs.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from pathlib import Path
from typing import cast

from navarch.component import clock
from navarch.storage.changes import Change
from navarch.storage.mvcc import MVCC
from navarch.storage.replica import protocol

logger = logging.getLogger(__name__)

# Several of a follower's own probes.
SILENCE_LIMIT_SECONDS = 30.0
BEHIND_LIMIT_BYTES = 64 * 1024 * 1024
# What is under way to a follower that reads everything.
SENDING_LIMIT_BYTES = 4 * 1024 * 1024

_CREDENTIALS = struct.Struct("3i")


class Feed:
    """Everything that is published in one index, for whoever connects to a unix socket."""

    def __init__(self, index: MVCC) -> None:
        self._index = index
        self._followers: set[_Follower] = set()
        self._server: asyncio.Server | None = None

    @property
    def followers(self) -> int:
        """How many follow."""
        return len(self._followers)

    def silent(self) -> set[int]:
        """Process ids of followers from which nothing has come for too long."""
        before = clock.monotonic() - SILENCE_LIMIT_SECONDS
        return {follower.pid for follower in self._followers if follower.heard_seconds < before}

    async def listen(self, path: Path) -> None:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Follower(self._index, self._followers), str(path))
        path.chmod(0o600)
        self._index.followers.append(self._publish)

    def _publish(self, changes: list[Change]) -> None:
        if self._followers:
            frames = b"".join(protocol.entries(protocol.CHANGES, ((change.record, change.deleted) for change in changes)))
            for follower in list(self._followers):
                follower.send(frames)

    async def close(self) -> None:
        """Let every follower go."""
        if self._server is not None:
            self._index.followers.remove(self._publish)
            self._server.close()
            self._server = None
        for follower in list(self._followers):
            follower.drop("the server stops")


class _Follower(asyncio.Protocol):
    def __init__(self, index: MVCC, followers: set[_Follower]) -> None:
        self._index = index
        self._followers = followers
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._decoder = protocol.Decoder()
        self._reading: asyncio.Task[None] | None = None
        """While it is told all there is."""
        self._held: list[bytes] = []
        """What happened meanwhile."""
        self._held_bytes = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self.heard_seconds = clock.monotonic()
        """When something last came from it."""
        self.pid = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=SENDING_LIMIT_BYTES)
        # The kernel's word for who it is: process, user and group.
        credentials = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.pid, _, _ = _CREDENTIALS.unpack(credentials)
        self._followers.add(self)
        self._reading = asyncio.get_running_loop().create_task(self._tell_all())

    def connection_lost(self, error: Exception | None) -> None:
        self._followers.discard(self)
        if self._reading is not None:
            self._reading.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def _tell_all(self) -> None:
        # As of now, whatever happens while it is being sent: versions do not change. What happened before is in there.
        self._held.clear()
        self._held_bytes = 0
        records = [record for collection in self._index.collections.values() for record in collection.records.values()]
        self._transport.write(protocol.state(self._index.revision))
        for found in protocol.entries(protocol.RECORDS, ((record, False) for record in records)):
            self._transport.write(found)
            await self._writable.wait()
            # Also where the follower is fast: others wait for this event loop.
            await asyncio.sleep(0)
        self._reading = None
        self._transport.write(protocol.frame(protocol.WHOLE) + b"".join(self._held))
        self._held.clear()

    def send(self, frames: bytes) -> None:
        if self._reading is not None:
            self._held.append(frames)
            self._held_bytes += len(frames)
        else:
            self._transport.write(frames)
        if max(self._held_bytes, self._transport.get_write_buffer_size()) > BEHIND_LIMIT_BYTES:
            self.drop("it does not keep up")

    def data_received(self, data: bytes) -> None:
        self.heard_seconds = clock.monotonic()
        try:
            for kind, body in self._decoder.feed(data):
                if kind != protocol.ASK or self._reading is not None:
                    raise protocol.ProtocolError("this is no question")
                self._transport.write(protocol.answer(protocol.read_ask(body), self._index.revision))
        except protocol.ProtocolError as error:
            self.drop(str(error))

    def drop(self, reason: str) -> None:
        logger.warning("a read replica is let go: %s", reason)
        self._followers.discard(self)
        self._transport.abort()
