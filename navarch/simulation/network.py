"""The ways of the cluster's components to the API server, and what can go wrong on them.

Every component has a `Line` of its own, under its name (``kube-scheduler``, ``kubelet``…, a node's name for its kubelet). A
line can be cut; and as long as there are disturbances, each request and each watch of a line meets those that concern it.
Nothing of this is in the product: between a client and the API server's pipeline there is only this.

An answer that is lost after the write took effect, and a refusal before it, are different things; both are here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeVar

from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.transport import JSON, Transport, WatchEvent
from navarch.component import clock

E = TypeVar("E")

ADMINISTRATOR = "administrator"
"""Whoever carries out a scenario: nothing disturbs them but the absence of a server."""
# Of those of a group, such as nodes, which may be thousands: the others wait for their turn, as at a server with limits.
GROUP_REQUESTS_LIMIT = 400
# What a client waits for an answer.
CLIENT_TIMEOUT_SECONDS = 10.0


class CutOffError(ConnectionError):
    """The way to the API server is cut."""


@dataclass(eq=False)
class Disturbance:
    """Something that is wrong on the lines of some components."""

    of: str = "*"
    """Whose: a pattern of names."""
    resource: str = "*"
    """What they ask for: a pattern of plurals, such as ``pods``."""
    share: float = 1.0
    """How many of the requests it concerns."""
    code: int = 0
    """What is answered instead of doing it."""
    lost: Literal["", "before", "after"] = ""
    """The request is lost, or its answer."""
    delay_seconds: float = 0.0
    """Watch events come so much later."""
    stalls: bool = False
    """Watch events do not come at all."""
    chance: random.Random = field(default_factory=random.Random)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Network:
    """All lines of a cluster."""

    def __init__(self, server: Callable[[], Transport]) -> None:
        """`server`: the way that is there at the moment. Raises ConnectionError where there is none."""
        self.server = server
        self.disturbances: list[Disturbance] = []
        self.streams: dict[Stream, None] = {}
        """Watches under way, in the order in which they began."""
        self._seats: dict[str, asyncio.Semaphore] = {}
        """By group."""
        self.has_lost_answers = False
        """Whether a client has ever waited in vain for the answer to what was done."""

    def line(self, who: str, group: str = "") -> Line:
        """A component's own way; `group` is another name by which disturbances may mean it."""
        return Line(self, who, group)

    def seats(self, group: str) -> asyncio.Semaphore:
        """What a request of a group must have while it is under way."""
        found = self._seats.get(group)
        if found is None:
            found = self._seats[group] = asyncio.Semaphore(GROUP_REQUESTS_LIMIT)
        return found

    def begin(self, disturbance: Disturbance) -> None:
        self.disturbances.append(disturbance)
        disturbance.ended.clear()

    def end(self, disturbance: Disturbance) -> None:
        if disturbance in self.disturbances:
            self.disturbances.remove(disturbance)
        disturbance.ended.set()

    def break_watches(self, of: str = "*", resource: str = "*", *, expired: bool = False, repeated: bool = False) -> int:
        """Break connections that watch. Returns how many there were.

        `expired`: whoever comes again is told to list anew. `repeated`: who then watches gets everything again that he has.
        """
        found = [stream for stream in self.streams if stream.concerns(of, resource)]
        for stream in found:
            stream.break_off(expired=expired, repeated=repeated)
        return len(found)


class Line(Transport):
    """One component's way to the API server."""

    def __init__(self, network: Network, who: str, group: str = "") -> None:
        self._network = network
        self.who = who
        self.group = group
        self._seats = network.seats(group) if group else None
        self.is_cut = False
        self._expired: set[str] = set()
        """Paths whose next watch is told that its revision is too old."""
        self._repeated: set[str] = set()
        """Paths whose next watch begins with what is known already."""

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = JSON
    ) -> Object:
        if not self._network.disturbances:
            return await self._send(method, path, query, body, content_type)
        self._server()
        loses_answer = await self.meet(method, path)
        answer = await self._send(method, path, query, body, content_type)
        if loses_answer:
            await clock.sleep(CLIENT_TIMEOUT_SECONDS)
            raise TimeoutError("the request got no answer")
        return answer

    async def meet(self, method: str, path: str) -> bool:
        """Meet what is wrong before a request is carried out; whether its answer is lost. Raises StatusError, TimeoutError."""
        loses_answer = False
        for disturbance in self._concerned(path):
            if not (disturbance.code or disturbance.lost) or disturbance.chance.random() >= disturbance.share:
                continue
            if disturbance.code == 409 and method not in ("PUT", "PATCH"):
                continue
            if disturbance.code:
                raise refusal(disturbance.code, method, path)
            if disturbance.lost == "before":
                await clock.sleep(CLIENT_TIMEOUT_SECONDS)
                raise TimeoutError("the request got no answer")
            loses_answer = True
        if loses_answer and method != "GET":
            self._network.has_lost_answers = True
        return loses_answer

    async def _send(self, method: str, path: str, query: Mapping[str, str] | None, body: Any, content_type: str) -> Object:
        """Have it done."""
        if self._seats is None:
            return await self._server().request(method, path, query=query, body=body, content_type=content_type)
        async with self._seats:
            return await self._server().request(method, path, query=query, body=body, content_type=content_type)

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[WatchEvent]:
        if self.has_expired(path):
            raise errors.expired("too old resource version: the watch cache does not go back so far")
        if path in self._repeated:
            self._repeated.discard(path)
            # All at once: who is told of an old revision must be told of the newest again before anything else happens.
            for known in await self._known(path, query):
                yield known
        stream = Stream(self, path)
        self._network.streams[stream] = None
        events = aiter(self._server().watch(path, query))
        try:
            while (event := await stream.next(events)) is not None:
                yield event
        finally:
            self._network.streams.pop(stream, None)
            await events.aclose()  # type: ignore[attr-defined]

    async def _known(self, path: str, query: Mapping[str, str]) -> list[WatchEvent]:
        """What who watches from a revision on has of it: every object as it still is, and the revision."""
        revision = int(query.get("resourceVersion") or 0)
        selectors = {key: value for key, value in query.items() if key.endswith("Selector")}
        answer = await self._server().request("GET", path, query=selectors)
        kind = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
        found = [{**kind, **obj} for obj in answer.get("items") or ()]
        events = [WatchEvent("ADDED", obj) for obj in found if int(obj["metadata"]["resourceVersion"]) <= revision]
        return [*events, WatchEvent("BOOKMARK", {**kind, "metadata": {"resourceVersion": str(revision)}})] if events else []

    async def close(self) -> None:
        """Nothing is held."""

    def cut(self) -> None:
        self.is_cut = True

    def heal(self) -> None:
        self.is_cut = False

    def expire(self, path: str) -> None:
        self._expired.add(path)

    def has_expired(self, path: str) -> bool:
        """Whether the next watch is to list anew; once it has been told, it is not."""
        has = path in self._expired
        self._expired.discard(path)
        return has

    def repeat(self, path: str) -> None:
        self._repeated.add(path)

    def disturbed(self, path: str) -> Iterator[Disturbance]:
        """Disturbances of watches that concern one."""
        return (found for found in self._concerned(path) if found.delay_seconds or found.stalls)

    def answers_to(self, pattern: str) -> bool:
        return self.who != ADMINISTRATOR and (fnmatchcase(self.who, pattern) or fnmatchcase(self.group, pattern))

    def _concerned(self, path: str) -> Iterator[Disturbance]:
        for found in list(self._network.disturbances):
            if self.answers_to(found.of) and (found.resource == "*" or fnmatchcase(plural_of(path), found.resource)):
                yield found

    def _server(self) -> Transport:
        if self.is_cut:
            raise CutOffError
        return self._network.server()


class Stream:
    """One watch on a line."""

    def __init__(self, line: Line, path: str) -> None:
        self._line = line
        self._path = path
        self._reader: asyncio.Task[Any] | None = None
        """The task that waits for an event."""
        self._broken = False
        self._released = -1.0
        """When a delayed event was let through: those that had come meanwhile come with it."""

    def concerns(self, of: str, resource: str) -> bool:
        return self._line.answers_to(of) and fnmatchcase(plural_of(self._path), resource)

    async def next(self, events: AsyncIterator[E]) -> E | None:
        """The next event, late where events are delayed; None at the end. Raises ConnectionResetError when it is broken off."""
        try:
            self._reader = asyncio.current_task()
            if not self._broken:
                event = await anext(events, None)
                if event is not None and self._line._network.disturbances:
                    await self._hold()
                return event
        except asyncio.CancelledError:
            # Ours, and nobody else's: the reader goes on.
            if not self._broken or self._reader is None or self._reader.uncancel() > 0:
                raise
        finally:
            self._reader = None
        raise ConnectionResetError("the connection was reset")

    async def _hold(self) -> None:
        if clock.monotonic() == self._released:
            return
        for disturbance in self._line.disturbed(self._path):
            if disturbance.stalls:
                await disturbance.ended.wait()
            else:
                await clock.sleep(disturbance.delay_seconds)
            self._released = clock.monotonic()

    def break_off(self, *, expired: bool = False, repeated: bool = False) -> None:
        """The connection is gone, with what was on its way."""
        if expired:
            self._line.expire(self._path)
        if repeated:
            self._line.repeat(self._path)
        if not self._broken:
            self._broken = True
            if self._reader is not None:
                self._reader.cancel()


def plural_of(path: str) -> str:
    """The resource in a path such as ``/api/v1/namespaces/a/pods/b``."""
    parts = path.split("/")
    # /api/v1/… and /apis/group/version/…
    rest = parts[3:] if len(parts) > 1 and parts[1] == "api" else parts[4:]
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
        rest = rest[2:]
    return rest[0] if rest else ""


def refusal(code: int, method: str, path: str) -> StatusError:
    """What a server that is not well answers."""
    plural = plural_of(path)
    if code == 409:
        name = path.rpartition("/")[2]
        detail = "the object has been modified; please apply your changes to the latest version and try again"
        return errors.conflict("", plural, name, detail)
    if code == 429:
        return errors.too_many_requests("the server has received too many requests and has asked us to try again later")
    if code == 503:
        return errors.service_unavailable("the server is currently unable to handle the request")
    if code == 504:
        return errors.server_timeout("", plural, method.lower())
    return errors.internal_error("an error on the server has prevented the request from succeeding")
