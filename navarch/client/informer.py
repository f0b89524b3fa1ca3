"""Informers: a local, indexed, current copy of one resource, with handlers that are told of every change.

An informer lists, then watches from the list's revision, and does so again whenever the watch breaks; handlers see a
difference only once, also over a relist. Objects are shared and must not be mutated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.client.client import Client, Resource
from navarch.client.tally import Fact, Tally
from navarch.component import clock
from navarch.component.tasks import Tasks

logger = logging.getLogger(__name__)

Handler = Callable[[Object | None, Object | None], None]
"""Called with (old, new): old is None for an added object, new is None for a deleted one."""
Indexer = Callable[[Object], Iterable[str]]
Objects = list[Object]

RELIST_BACKOFF_INITIAL_SECONDS = 0.2
RELIST_BACKOFF_MAX_SECONDS = 10.0
# A watch that ends so soon without a word would do so again.
VERY_SHORT_WATCH_SECONDS = 1.0

NAMESPACE_INDEX = "namespace"
_BULKY_METADATA = frozenset({"managedFields", "annotations", "labels"})


class Informer:
    """A current copy of the objects of one resource that match the selectors."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexers: Mapping[str, Indexer] | None = None,
        transform: Callable[[Object], Object] | None = None,
    ) -> None:
        """`transform` makes of each object what is kept of it, e.g. its metadata only."""
        self.resource = resource if isinstance(resource, str) else resource.resource
        self._asked = resource
        self._client = client
        self._transform = transform
        self._namespace = namespace
        self._selectors: dict[str, Any] = {"label_selector": label_selector, "field_selector": field_selector}
        self._objects: dict[str, Object] = {}
        self._indexers: dict[str, Indexer] = {NAMESPACE_INDEX: _namespaces, **(indexers or {})}
        # Keys in the order in which they came: whoever goes through them does so the same way every time.
        self._indices: dict[str, dict[str, dict[str, None]]] = {name: {} for name in self._indexers}
        self._tallies: dict[tuple[Indexer, Callable[[Object], Hashable]], Tally[Any]] = {}
        self._handlers: list[Handler] = []
        self._waiters: dict[asyncio.Future[None], Callable[[], bool]] = {}
        self._synced = asyncio.Event()
        self.resource_version = "0"
        """The newest revision this copy has seen."""

    # What it knows.

    @property
    def is_selective(self) -> bool:
        """Whether there may be objects of the resource that it does not want to know of."""
        return bool(self._namespace or any(self._selectors.values()))

    @property
    def has_synced(self) -> bool:
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Until the first list has been taken in."""
        await self._synced.wait()

    async def wait_until(self, condition: Callable[[], bool], timeout_seconds: float) -> bool:
        """Until `condition`, looked at whenever this copy changes, is true; False if it took too long."""
        if condition():
            return True
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = condition
        try:
            async with asyncio.timeout(timeout_seconds):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiters.pop(waiter, None)
        return True

    def has_seen(self, resource_version: int) -> bool:
        """Whether a write of this resource that was answered with that revision is in this copy."""
        return int(self.resource_version) >= resource_version

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: str) -> Object | None:
        """The object with that ``namespace/name`` (or ``name``)."""
        return self._objects.get(key)

    def list(self, namespace: str = "") -> Objects:
        """All objects, or those of one namespace."""
        return self.by_index(NAMESPACE_INDEX, namespace) if namespace else list(self._objects.values())

    def by_index(self, index: str, value: str) -> Objects:
        """The objects for which the indexer named `index` yields `value`."""
        return [self._objects[key] for key in self._indices[index].get(value, ())]

    def versions(self) -> dict[str, int]:
        """The revision of each object it has, by key."""
        return {key: meta.resource_version(obj) for key, obj in self._objects.items()}

    # Whom it tells.

    def add_handler(self, handler: Handler) -> None:
        """Call `handler` for every change from now on, first for the objects already known."""
        self._handlers.append(handler)
        for obj in list(self._objects.values()):
            handler(None, obj)

    def add_indexer(self, name: str, indexer: Indexer) -> None:
        """Keep one more index, also over the objects already known."""
        self._indexers[name] = indexer
        index = self._indices[name] = {}
        for key, obj in self._objects.items():
            for value in indexer(obj):
                index.setdefault(value, {})[key] = None

    def tally(self, values: Indexer, fact: Callable[[Object], Fact]) -> Tally[Fact]:
        """Counts of the objects: who asks with the same functions shares them."""
        found = self._tallies.get((values, fact))
        if found is None:
            found = self._tallies[values, fact] = Tally(values, fact)
            self.add_handler(found.changed)
        return found

    # How it keeps up.

    async def run(self) -> None:
        """List and watch until cancelled."""
        backoff = RELIST_BACKOFF_INITIAL_SECONDS
        fresh = False
        while True:
            try:
                if not fresh:
                    await self._list()
                    fresh = True
                if await self._watch():
                    backoff = RELIST_BACKOFF_INITIAL_SECONDS
                    continue
                fresh = False
                logger.info("a watch of %s ended at once and told nothing: listing it again", self.resource)
            except StatusError as error:
                # Watched too far in the past, or whatever else the server won't go on with: start from a list.
                fresh = False
                if error.code != 410:
                    # A kind whose definition has just gone is no news to anybody.
                    level = logging.DEBUG if error.is_not_found else logging.WARNING
                    logger.log(level, "cannot list or watch %s: %s", self.resource, error.message)
            except (ConnectionError, TimeoutError, OSError) as error:
                logger.debug("connection lost while watching %s: %s", self.resource, error)
            await clock.sleep(clock.jitter(backoff, 0.5))
            backoff = min(backoff * 2, RELIST_BACKOFF_MAX_SECONDS)

    async def _list(self) -> None:
        answer = await self._client.list(self._asked, self._namespace, **self._selectors)
        kind, version = answer["kind"].removesuffix("List"), answer["apiVersion"]
        present = set()
        for item in answer.get("items") or ():
            obj = item if "kind" in item else {"apiVersion": version, "kind": kind, **item}
            key = meta.key(obj)
            present.add(key)
            known = self._objects.get(key)
            if known is None or known["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                self._store(key, obj if self._transform is None else self._transform(obj))
        for key in [key for key in self._objects if key not in present]:
            self._remove(key)
        self.resource_version = answer["metadata"]["resourceVersion"]
        self._synced.set()
        self._wake()

    async def _watch(self) -> bool:
        """Until the watch ends; whether another one can be expected to go on where it did."""
        began, told = clock.monotonic(), False
        events = self._client.watch(
            self._asked, self._namespace, resourceVersion=self.resource_version, allowWatchBookmarks="true", **self._selectors
        )
        async for event in events:
            obj, told = event.object, True
            if event.type == "BOOKMARK":
                pass
            elif event.type == "DELETED":
                self._remove(meta.key(obj))
            else:
                self._store(meta.key(obj), obj if self._transform is None else self._transform(obj))
            self.resource_version = obj["metadata"]["resourceVersion"]
            if self._waiters:
                self._wake()
        return told or clock.monotonic() - began >= VERY_SHORT_WATCH_SECONDS

    def _store(self, key: str, obj: Object) -> None:
        old = self._objects.get(key)
        if old is not None and meta.uid(old) != meta.uid(obj):
            # Deleted and made anew while this copy did not look: two different objects.
            self._remove(key)
            old = None
        self._objects[key] = obj
        for name, indexer in self._indexers.items():
            values, before = tuple(indexer(obj)), tuple(indexer(old)) if old is not None else ()
            # What an object is found by seldom changes.
            if values != before:
                index = self._indices[name]
                _take_out(index, key, before)
                for value in values:
                    index.setdefault(value, {})[key] = None
        self._tell(old, obj)

    def _remove(self, key: str) -> None:
        old = self._objects.pop(key, None)
        if old is None:
            return
        for name, indexer in self._indexers.items():
            _take_out(self._indices[name], key, indexer(old))
        self._tell(old, None)

    def _wake(self) -> None:
        for waiter, condition in self._waiters.items():
            if not waiter.done() and condition():
                waiter.set_result(None)

    def _tell(self, old: Object | None, new: Object | None) -> None:
        for handler in self._handlers:
            try:
                handler(old, new)
            except Exception:
                # One handler's defect must not keep the others from hearing of the change.
                logger.exception("a handler of %s failed", self.resource)


def _take_out(index: dict[str, dict[str, None]], key: str, values: Iterable[str]) -> None:
    for value in values:
        keys = index.get(value)
        if keys is not None:
            keys.pop(key, None)
            if not keys:
                del index[value]


def _namespaces(obj: Object) -> Iterable[str]:
    namespace = obj["metadata"].get("namespace")
    return (namespace,) if namespace else ()


def without_managers(obj: Object) -> Object:
    """What informers keep of an object: who manages its fields is of no use to components, and two fifths of a pod."""
    metadata = obj["metadata"]
    if "managedFields" not in metadata:
        return obj
    kept = {**metadata}
    del kept["managedFields"]
    return {**obj, "metadata": kept}


def only_metadata(obj: Object) -> Object:
    """What an informer of metadata keeps of an object."""
    metadata = {field: value for field, value in obj["metadata"].items() if field not in _BULKY_METADATA}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}


def _with(informer: Informer, indexers: Mapping[str, Indexer]) -> Informer:
    """An informer with these indices among its own."""
    for name, indexer in indexers.items():
        if name not in informer._indexers:
            informer.add_indexer(name, indexer)
    return informer


class Informers:
    """The informers a process shares: one for each resource, started when first asked for."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[str, Informer] = {}
        self._light: dict[str, Informer] = {}
        self._selected: dict[tuple[str, str], Informer] = {}
        self._tasks = Tasks("informers")

    def get(self, resource: str, **indexers: Indexer) -> Informer:
        """The informer of all objects of `resource`, with these indices among its own."""
        informer = self._informers.get(resource)
        if informer is None:
            informer = self._informers[resource] = Informer(self.client, resource, transform=without_managers)
            self._tasks.run_forever(informer.run, name=resource)
        return _with(informer, indexers)

    def selected(self, resource: str, field_selector: str, **indexers: Indexer) -> Informer:
        """The informer of those objects only that the selector matches: for whom few of many are enough."""
        informer = self._selected.get((resource, field_selector))
        if informer is None:
            informer = Informer(self.client, resource, field_selector=field_selector, transform=without_managers)
            self._selected[resource, field_selector] = informer
            self._tasks.run_forever(informer.run, name=f"{resource} with {field_selector}")
        return _with(informer, indexers)

    def metadata(self, resource: str) -> Informer:
        """An informer of which only `metadata` may be used: the one of whole objects if there is one, else a lighter one."""
        informer = self._informers.get(resource)
        if informer is None:
            informer = self._light.get(resource)
        if informer is None:
            informer = self._light[resource] = Informer(self.client, resource, transform=only_metadata)
            self._tasks.run_forever(informer.run, name=f"metadata of {resource}")
        return informer

    def all(self) -> list[Informer]:
        """Those asked for so far."""
        return [*self._informers.values(), *self._light.values(), *self._selected.values()]

    async def wait_synced(self) -> None:
        """Until every informer asked for so far has its first list."""
        for informer in self.all():
            await informer.wait_synced()

    async def stop(self) -> None:
        await self._tasks.stop()
