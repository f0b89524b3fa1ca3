"""Requests about objects that a webhook converts between their versions: it is called where an object is missing.

What such a request does is done until an object is needed that has not been converted; that is done, and it begins anew. Before
anything is written all that it needs has been asked for, so that nothing is written twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from navarch.api.apiextensions.conversion import ConversionNeeded
from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.request import Answer, APIRequest, ListAnswer, ObjectAnswer, WatchAnswer
from navarch.apiserver.resources import Resources
from navarch.apiserver.selection import Selection
from navarch.apiserver.watch import Event
from navarch.apiserver.webhookclient import CallError, WebhookClient
from navarch.component import clock
from navarch.storage.changes import Record

T = TypeVar("T")
TIMEOUT_SECONDS = 30
ATTEMPTS_LIMIT = 32
"""How often a request may find that something else is needed."""
BATCH_LIMIT = 500
"""How many objects one review has at most."""
_WHOLE = frozenset({"list", "watch", "deletecollection"})


async def execute(
    resources: Resources, request: APIRequest, kind: Kind, run: Callable[[APIRequest, Kind], Awaitable[Answer]]
) -> Answer:
    """What `run` answers, with every object converted."""
    converter = Converter(resources.webhooks)

    def beside() -> Iterable[Object]:
        """What else such a request will need."""
        if request.info.verb not in _WHOLE:
            return ()
        under = resources.reading.under(request, kind)
        return (record.object() for record in resources.store.collection(kind.key_prefix).range(under))

    answer = await converter.repeated(lambda: run(request, kind), beside)
    if isinstance(answer, ObjectAnswer):
        stored = answer.stored
        if stored is not None:
            answer.object, answer.stored = await converter.served(kind, stored), None
    elif isinstance(answer, ListAnswer):
        answer.converted = await converter.all_served(kind, answer.records)
    elif isinstance(answer, WatchAnswer):
        chosen = resources.reading.selection(request, kind)
        answer.watch.convert = lambda batch: converter.events(kind, chosen, batch)
    return answer


class Converter:
    """Does what needs conversions, and has webhooks make them."""

    def __init__(self, webhooks: WebhookClient) -> None:
        self._webhooks = webhooks

    async def repeated(self, run: Callable[[], Awaitable[T]], beside: Callable[[], Iterable[Object]] = tuple) -> T:
        """What `run` returns once it has all that it needs. Raises StatusError."""
        for attempt in range(ATTEMPTS_LIMIT + 1):
            try:
                return await run()
            except ConversionNeeded as needed:
                if attempt == ATTEMPTS_LIMIT:
                    raise needed.conversions.failure([needed.obj], "failed: its answers are never the same") from None
                await self._convert(needed, beside())
        raise AssertionError("unreachable")

    async def served(self, kind: Kind, obj: Object) -> Object:
        """A stored object as `kind` serves it."""

        async def run() -> Object:
            return kind.from_stored(obj)

        return await self.repeated(run)

    async def all_served(self, kind: Kind, records: list[Record]) -> list[Object]:
        objects = [record.object() for record in records]

        async def run() -> list[Object]:
            return [kind.from_stored(obj) for obj in objects]

        return await self.repeated(run, lambda: objects)

    async def events(self, kind: Kind, chosen: Selection, batch: list[Event]) -> list[Event]:
        """Those of a watch that are selected; an error is the last."""
        found: list[Event] = []
        try:
            for event in batch:
                shown = await self._event(kind, chosen, event, batch)
                if shown is not None:
                    found.append(shown)
        except StatusError as error:
            found.append(Event("ERROR", None, None, error.status))
        return found

    async def _event(self, kind: Kind, chosen: Selection, event: Event, batch: list[Event]) -> Event | None:
        """What is seen of one event of a batch, whose others will be asked for next."""
        change, record = event.change, event.record
        if record is None:
            return event

        async def run() -> Event | None:
            obj = change.object if change is not None else record.object()
            now, before = chosen.matches(obj), False
            if change is not None:
                before = change.previous is not None and chosen.matches(change.previous.object())
                now = now and not change.deleted
            if not now and not before:
                return None
            type_ = "DELETED" if not now else "MODIFIED" if before else "ADDED"
            return Event(type_, None, None, kind.from_stored(obj))

        return await self.repeated(run, lambda: [item.record.object() for item in batch if item.record is not None])

    async def _convert(self, needed: ConversionNeeded, beside: Iterable[Object]) -> None:
        conversions, target = needed.conversions, needed.target
        objects = conversions.needed([needed.obj, *beside], target)
        for begin in range(0, len(objects), BATCH_LIMIT):
            batch = objects[begin : begin + BATCH_LIMIT]
            uid = clock.uid()
            review = conversions.review(uid, batch, target)
            try:
                answer = await self._webhooks.call(conversions.config, review, TIMEOUT_SECONDS)
            except CallError as error:
                raise conversions.failure(batch, f"failed: {error}") from None
            conversions.keep(batch, target, conversions.converted(uid, batch, target, answer))
