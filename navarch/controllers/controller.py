"""What every controller shares: queues and workers, retries, conflicts, ownership, and seeing one's own writes.

A controller is a value (`Controller`): whose objects it looks after, what else wakes it, and one function `reconcile`.
The rules, kept here once for all:

- A key is worked on by one worker at a time. A failure brings it back after a back-off that doubles; a conflict or an
  unreachable server is an ordinary failure, an unexpected exception is logged with its traceback.
- `reconcile` is never called on a cache that has not seen the writes of that key's earlier calls: after each write through
  `Cluster` the next call waits until the informer has delivered it. So no pod is ever created twice by counting an old cache.
- Nothing is polled. A controller that must look again later returns after how many seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.apimachinery.selectors import Selector
from navarch.client.client import Client
from navarch.client.events import EventRecorder
from navarch.client.informer import Informer, Informers
from navarch.client.tally import Fact
from navarch.client.workqueue import WorkQueue
from navarch.component import clock
from navarch.component.tasks import Tasks

logger = logging.getLogger(__name__)

WORKERS = 5
# As long as Kubernetes waits for its expectations (controller_utils.go): whoever goes on earlier counts what he cannot see.
OWN_WRITES_TIMEOUT_SECONDS = 300.0
RETRY_INITIAL_SECONDS = 0.005
RETRY_MAX_SECONDS = 300.0

BY_CONTROLLER = "controller"
ORPHANS = "orphans"
BY_NODE = "node"


def controller_uid(obj: Object) -> Iterable[str]:
    """Index of dependants by the uid of their controller."""
    reference = meta.controller_of(obj)
    return (reference["uid"],) if reference is not None else ()


def _orphan_namespace(obj: Object) -> Iterable[str]:
    return (meta.namespace(obj),) if meta.controller_of(obj) is None else ()


def node_name(pod: Object) -> Iterable[str]:
    """Index of pods by the node they are bound to; "" holds those that are not."""
    return (pod["spec"].get("nodeName") or "",)


@dataclass(frozen=True, slots=True)
class Watch:
    """Another resource whose changes wake a controller."""

    resource: str
    keys: Callable[[Object | None, Object | None, Informers], Iterable[str]]
    """(old, new, informers) -> keys of the controller's own objects to look at."""
    indexers: Mapping[str, Callable[[Object], Iterable[str]]] = field(default_factory=dict)
    metadata_only: bool = False
    """The controller needs no more of them than their metadata, without labels and annotations."""


@dataclass(frozen=True, slots=True)
class Controller:
    """One controller."""

    name: str
    """As it signs events, e.g. ``replicaset-controller``."""
    resource: str
    """Whose objects it looks after."""
    reconcile: Callable[[Object, Cluster], Awaitable[float | None]]
    """Bring one object nearer to what it asks for. Returns after how many seconds to look again, or None."""
    gone: Callable[[str, Cluster], Awaitable[None]] | None = None
    """Called with the key of an object that is no longer there."""
    owns: tuple[str, ...] = ()
    """Resources of its dependants: a change of one wakes its controller, one of an orphan those that select it."""
    selector: Callable[[Object], Selector] | None = None
    """Which dependants an object of `resource` would adopt."""
    watches: tuple[Watch, ...] = ()
    relevant: Callable[[Object | None, Object | None], bool] | None = None
    """Whether a change (old, new) of one of its own objects matters; None means always."""
    indexers: Mapping[str, Callable[[Object], Iterable[str]]] = field(default_factory=dict)
    """More indices over its own objects."""
    seeds: tuple[str, ...] = ()
    """Keys to look at when it starts, whether there is such an object or not."""
    field_selector: str = ""
    """It looks after those of its resource only that this matches, and has no others in its cache."""
    retries_limit: int | None = None
    """After so many failures in a row a key waits until something changes; None: it is tried for ever."""
    workers: int = WORKERS


@dataclass(slots=True)
class _OwnWrites:
    """Writes that the caches may not have seen yet."""

    versions: dict[str, int] = field(default_factory=dict)
    """Resource -> the newest revision written."""
    deleted: list[tuple[str, str, str]] = field(default_factory=list)
    """(resource, key, uid)"""


class Cluster:
    """What a controller sees of the cluster while it works on one key, and its hands."""

    def __init__(self, runner: Runner, writes: _OwnWrites) -> None:
        self._runner = runner
        self._writes = writes
        self.client = runner.client
        self.informers = runner.informers
        self.memory = runner.memory

    @staticmethod
    def now() -> datetime:
        return clock.now()

    # Eyes.

    def informer(self, resource: str) -> Informer:
        """One of the caches that the controller named."""
        return self._runner.caches[resource]

    @property
    def resources(self) -> Collection[str]:
        """What the controller has caches of."""
        return self._runner.caches.keys()

    def cached(self, resource: str, name: str, namespace: str = "") -> Object | None:
        return self.informer(resource).get(f"{namespace}/{name}" if namespace else name)

    def owned(self, owner: Object, resource: str) -> list[Object]:
        """Those whose controller is `owner`."""
        return self.informer(resource).by_index(BY_CONTROLLER, meta.uid(owner))

    def tally(self, owner: Object, resource: str, fact: Callable[[Object], Fact]) -> Mapping[Fact, int] | None:
        """How many of `owner`'s dependants are alike in a fact; None where there are orphans that it might `claim`."""
        informer = self.informer(resource)
        if informer.by_index(ORPHANS, meta.namespace(owner)):
            return None
        return informer.tally(controller_uid, fact).of(meta.uid(owner))

    async def claim(self, owner: Object, resource: str, selector: Selector, finalizer: str = "") -> list[Object]:
        """`owner`'s dependants: adopts orphans that `selector` matches, lets go of its own that it no longer matches.

        What is adopted gets `finalizer`, if any.
        """
        mine = []
        for obj in self.owned(owner, resource):
            if selector.matches(meta.labels(obj)):
                mine.append(obj)
            elif not meta.being_deleted(owner):
                await self._release(owner, resource, obj)
        if meta.being_deleted(owner):
            return mine
        orphans = [
            obj
            for obj in self.informer(resource).by_index(ORPHANS, meta.namespace(owner))
            if not meta.being_deleted(obj) and selector.matches(meta.labels(obj))
        ]
        if orphans and await self._may_adopt(owner):
            for obj in orphans:
                adopted = await self._adopt(owner, resource, obj, finalizer)
                if adopted is not None:
                    mine.append(adopted)
        return mine

    async def _may_adopt(self, owner: Object) -> bool:
        """Whether the live object is still the one in the cache and stays."""
        live = await self.client.get(self._runner.controller.resource, meta.name(owner), meta.namespace(owner))
        return meta.uid(live) == meta.uid(owner) and not meta.being_deleted(live)

    async def _adopt(self, owner: Object, resource: str, obj: Object, finalizer: str) -> Object | None:
        owners = [*(obj["metadata"].get("ownerReferences") or ()), meta.owner_reference(owner)]
        finalizers = list(obj["metadata"].get("finalizers") or ())
        more: Object = {"finalizers": [*finalizers, finalizer]} if finalizer and finalizer not in finalizers else {}
        try:
            return await self._patch_owners(resource, obj, owners, more)
        except StatusError as error:
            if error.is_not_found or error.reason in ("Invalid", "Conflict"):
                return None  # It has gone, or somebody else was quicker.
            raise

    async def _release(self, owner: Object, resource: str, obj: Object) -> None:
        owners = [item for item in obj["metadata"].get("ownerReferences") or () if item["uid"] != meta.uid(owner)]
        try:
            await self._patch_owners(resource, obj, owners)
        except StatusError as error:
            if not error.is_not_found and error.reason not in ("Invalid", "Conflict"):
                raise

    async def _patch_owners(self, resource: str, obj: Object, owners: list[Object], more: Object | None = None) -> Object:
        # The revision makes sure that these are all the owners there are.
        metadata = obj["metadata"]
        patch = {"ownerReferences": owners or None, "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        return await self.patch(resource, obj, {"metadata": patch | (more or {})})

    # Hands.

    async def create(self, resource: str, obj: Object, namespace: str = "") -> Object:
        return self._wrote(resource, await self.client.create(resource, obj, namespace))

    async def update(self, resource: str, obj: Object) -> Object:
        return self._wrote(resource, await self.client.update(resource, obj))

    async def update_status(self, resource: str, obj: Object) -> Object:
        return await self.update_subresource(resource, obj, "status")

    async def update_subresource(self, resource: str, obj: Object, subresource: str) -> Object:
        return self._wrote(resource, await self.client.update(resource, obj, subresource=subresource))

    async def patch(
        self, resource: str, obj: Object, patch: Any, *, patch_type: str = "merge", subresource: str = ""
    ) -> Object:
        metadata = obj["metadata"]
        answer = await self.client.patch(
            resource, metadata["name"], patch, metadata.get("namespace", ""), patch_type=patch_type, subresource=subresource
        )
        return self._wrote(resource, answer)

    async def delete(self, resource: str, obj: Object, **options: Any) -> None:
        """Delete that very object; one that has gone already is fine."""
        metadata = obj["metadata"]
        namespace = metadata.get("namespace", "")
        try:
            await self.client.delete(resource, metadata["name"], namespace, uid=metadata["uid"], **options)
        except StatusError as error:
            # A conflict is about the uid: another object has the name now.
            if not error.is_not_found and not error.is_conflict:
                raise
        if resource in self._runner.caches:
            self._writes.deleted.append((resource, meta.key(obj), metadata["uid"]))

    def event(self, obj: Object, type_: str, reason: str, message: str) -> None:
        self._runner.recorder.event(obj, type_, reason, message)

    def _wrote(self, resource: str, answer: Object) -> Object:
        version = meta.resource_version(answer)
        if resource in self._runner.caches and version > self._writes.versions.get(resource, 0):
            self._writes.versions[resource] = version
        return answer


class Runner:
    """Runs one controller."""

    def __init__(self, controller: Controller, client: Client, informers: Informers) -> None:
        self.controller = controller
        self.name = controller.name
        self.client = client
        self.informers = informers
        self.recorder = EventRecorder(client, controller.name)
        self.queue = WorkQueue(
            controller.name, backoff_initial_seconds=RETRY_INITIAL_SECONDS, backoff_max_seconds=RETRY_MAX_SECONDS
        )
        self._writes: dict[str, _OwnWrites] = {}
        self._tasks = Tasks(controller.name)
        self._kind = ""
        self._primary = (
            informers.selected(controller.resource, controller.field_selector, **controller.indexers)
            if controller.field_selector
            else informers.get(controller.resource, **controller.indexers)
        )
        self.caches: dict[str, Informer] = {controller.resource: self._primary}
        """The informers it acts on, and so must see its own writes in."""
        self.memory: dict[str, Any] = {}
        """What the controller remembers of keys, besides what is stored; gone with the process."""

    async def start(self) -> None:
        """Listen, wait for the caches, and set the workers to work."""
        from navarch.api import registry

        controller = self.controller
        self._kind = registry.resource(controller.resource).kind
        owned = [self.informers.get(name, controller=controller_uid, orphans=_orphan_namespace) for name in controller.owns]
        # A kind that this cluster does not serve has no objects to be woken by.
        served = {kind.resource for kind in registry.kinds()}
        watches = [watch for watch in controller.watches if watch.resource in served]
        others = [
            self.informers.metadata(watch.resource)
            if watch.metadata_only
            else self.informers.get(watch.resource, **watch.indexers)
            for watch in watches
        ]
        for informer in (*owned, *others):
            self.caches[informer.resource] = informer
        # All caches first: a mapping from one resource to another's keys would find nothing in an empty one.
        for informer in self.caches.values():
            await informer.wait_synced()
        self._primary.add_handler(self._changed)
        for informer in owned:
            informer.add_handler(self._owned_changed)
        for watch, informer in zip(watches, others, strict=True):
            informer.add_handler(self._watch_handler(watch))
        for key in controller.seeds:
            self.queue.add(key)
        for number in range(controller.workers):
            self._tasks.run_forever(self._work, name=f"worker-{number}")

    async def stop(self) -> None:
        self.queue.close()
        await self._tasks.stop()
        await self.recorder.stop()

    # What wakes it.

    def _changed(self, old: Object | None, new: Object | None) -> None:
        relevant = self.controller.relevant
        if relevant is None or relevant(old, new):
            obj = new if new is not None else old
            assert obj is not None
            self.queue.add(meta.key(obj))

    def _owned_changed(self, old: Object | None, new: Object | None) -> None:
        owners: dict[tuple[str, str], None] = {}
        for obj in (old, new):
            reference = meta.controller_of(obj) if obj is not None else None
            if reference is not None:
                owners[reference["kind"], reference["name"]] = None
        obj = new if new is not None else old
        assert obj is not None
        namespace = meta.namespace(obj)
        for kind, name in owners:
            if kind == self._kind:
                self.queue.add(f"{namespace}/{name}" if namespace else name)
        if new is None or self.controller.selector is None or meta.controller_of(new) is not None:
            return
        if old is not None and meta.controller_of(old) is None and meta.labels(old) == meta.labels(new):
            return
        for primary in self._primary.list(namespace):
            if self.controller.selector(primary).matches(meta.labels(new)):
                self.queue.add(meta.key(primary))

    def _watch_handler(self, watch: Watch) -> Callable[[Object | None, Object | None], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            for key in watch.keys(old, new, self.informers):
                self.queue.add(key)

        return changed

    # How it works.

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._work_on(key)
            finally:
                self.queue.done(key)

    async def _work_on(self, key: str) -> None:
        writes = self._writes.setdefault(key, _OwnWrites())
        await self._see_own_writes(key, writes)
        cluster = Cluster(self, writes)
        obj = self._primary.get(key)
        try:
            if obj is not None:
                after_seconds = await self.controller.reconcile(obj, cluster)
            else:
                after_seconds = None
                if self.controller.gone is not None:
                    await self.controller.gone(key, cluster)
        except StatusError as error:
            level = logging.DEBUG if error.is_conflict or error.is_not_found or error.code in (429, 503) else logging.INFO
            logger.log(level, "%s: %s: %s", self.controller.name, key, error.message)
            self._retry(key)
        except OSError as error:
            logger.debug("%s: %s: %s", self.controller.name, key, error)
            self._retry(key)
        except Exception:
            logger.exception("%s failed on %s", self.controller.name, key)
            self._retry(key)
        else:
            self.queue.forget(key)
            if after_seconds is not None:
                self.queue.add_after(key, after_seconds)
        if not writes.versions and not writes.deleted:
            del self._writes[key]

    def _retry(self, key: str) -> None:
        limit = self.controller.retries_limit
        if limit is None or self.queue.retries(key) < limit:
            self.queue.add_rate_limited(key)
        else:
            self.queue.forget(key)

    async def _see_own_writes(self, key: str, writes: _OwnWrites) -> None:
        """Wait until the caches hold what earlier work on this key wrote."""
        seen = True
        for resource, version in writes.versions.items():
            informer = self.caches[resource]
            seen &= await informer.wait_until(lambda i=informer, v=version: i.has_seen(v), OWN_WRITES_TIMEOUT_SECONDS)  # type: ignore[misc]
        for resource, other, uid in writes.deleted:
            informer = self.caches[resource]
            seen &= await informer.wait_until(
                lambda i=informer, k=other, u=uid: _is_going(i.get(k), u),  # type: ignore[misc]
                OWN_WRITES_TIMEOUT_SECONDS,
            )
        if not seen:
            logger.warning("%s: the cache has not caught up with own writes for %s, going on", self.controller.name, key)
        writes.versions.clear()
        writes.deleted.clear()


def _is_going(obj: Object | None, uid: str) -> bool:
    return obj is None or meta.uid(obj) != uid or meta.being_deleted(obj)


def is_namespace_terminating(error: Exception | None) -> bool:
    """Whether a creation was refused because the namespace is going away: no reason to try again."""
    return isinstance(error, StatusError) and any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes)
