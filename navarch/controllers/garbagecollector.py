"""Delete what has lost all its owners, and carry out foreground and orphan deletion, for every kind.

A graph of owners is kept from the metadata of all objects. Nothing is deleted by the graph alone: an owner that it does not
know is asked for from the server, and every deletion names the uid it means.
"""

from __future__ import annotations

import logging
from asyncio import Task
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from navarch.api import registry
from navarch.api.kind import Kind
from navarch.apimachinery import meta
from navarch.apimachinery.errors import MODIFIED, Object, StatusError, conflict
from navarch.client.client import Client, Resource
from navarch.client.events import EventRecorder
from navarch.client.informer import Informer, Informers, only_metadata
from navarch.client.workqueue import WorkQueue
from navarch.component.tasks import Tasks
from navarch.controllers import customkinds

logger = logging.getLogger(__name__)

WORKERS = 5
ABSENT_OWNERS_LIMIT = 4096
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
IGNORED_KINDS = frozenset({"Event"})


class OwnerState(Enum):
    """What there is to say about one owner of an object."""

    SOLID = "there, and it stays"
    DANGLING = "gone"
    WAITING = "being deleted in the foreground: it waits for its dependants"


@dataclass(slots=True)
class Node:
    """An object in the graph."""

    resource: Resource
    metadata: Object

    @property
    def owners(self) -> list[Object]:
        return self.metadata.get("ownerReferences") or []

    @property
    def blocked_owners(self) -> set[str]:
        """Uids of the owners that may not go before it in a foreground deletion."""
        return {owner["uid"] for owner in self.owners if owner.get("blockOwnerDeletion")}

    @property
    def finalizers(self) -> list[str]:
        return self.metadata.get("finalizers") or []

    @property
    def is_deleting(self) -> bool:
        return "deletionTimestamp" in self.metadata

    @property
    def waits_for_dependants(self) -> bool:
        return self.is_deleting and FOREGROUND in self.finalizers


class Graph:
    """Who owns whom, by uid. Pure."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._dependants: dict[str, dict[str, None]] = {}

    def set(self, resource: Resource, metadata: Object) -> None:
        uid = metadata["uid"]
        old = self.nodes.get(uid)
        if old is not None:
            self._unlink(old)
        node = self.nodes[uid] = Node(resource, metadata)
        for owner in node.owners:
            self._dependants.setdefault(owner["uid"], {})[uid] = None

    def remove(self, uid: str) -> None:
        node = self.nodes.pop(uid, None)
        if node is not None:
            self._unlink(node)

    def knows(self, metadata: Object) -> bool:
        return metadata["uid"] in self.nodes

    def dependants(self, uid: str) -> list[Node]:
        return [self.nodes[item] for item in self._dependants.get(uid, ()) if item in self.nodes]

    def blocking(self, uid: str) -> list[Node]:
        """Dependants that must go before the object with that uid."""
        return [node for node in self.dependants(uid) if uid in node.blocked_owners]

    def _unlink(self, node: Node) -> None:
        for owner in node.owners:
            of_owner = self._dependants.get(owner["uid"])
            if of_owner is not None:
                of_owner.pop(node.metadata["uid"], None)
                if not of_owner:
                    del self._dependants[owner["uid"]]


@dataclass(slots=True)
class _Watched:
    """The informer of a definition's objects."""

    api_version: str
    """The version that it asks for."""
    task: Task[None]


def _is_of(node: Node, definition: Object) -> bool:
    return isinstance(node.resource, Kind) and node.resource.resource == meta.name(definition)


class GarbageCollector:
    """Watches every kind that can be deleted."""

    name = "garbage-collector"

    def __init__(self, client: Client, informers: Informers) -> None:
        self._client = client
        self._informers = informers
        self._queue = WorkQueue("garbage-collector", backoff_max_seconds=300)
        self._tasks = Tasks(self.name)
        self._recorder = EventRecorder(client, "garbage-collector-controller")
        self._absent: OrderedDict[tuple[str, str], None] = OrderedDict()
        """(uid, namespace) of owners that the server said are not there."""
        self._builtin: dict[tuple[str, str], Kind] = {}
        self._custom: dict[str, dict[tuple[str, str], Kind]] = {}
        """By the name of their definition."""
        self._kinds: Mapping[tuple[str, str], Kind] = {}
        self._watched: dict[str, _Watched] = {}
        self.graph = Graph()

    async def start(self) -> None:
        """Take in everything, then begin."""
        watched: dict[str, Kind] = {}
        for kind in registry.kinds():
            self._builtin[kind.api_version, kind.kind] = kind
            if kind.kind not in IGNORED_KINDS and {"list", "watch", "delete"} <= set(kind.verbs):
                watched.setdefault(kind.key_prefix, kind)
        self._kinds = self._builtin
        informers = [self._informers.metadata(kind.resource) for kind in watched.values()]
        for informer in informers:
            await informer.wait_synced()
            informer.add_handler(self._handler(informer.resource))
        definitions = self._informers.get(customkinds.DEFINITIONS)
        await definitions.wait_synced()
        definitions.add_handler(self._defined)
        for number in range(WORKERS):
            self._tasks.run_forever(self._work, name=f"worker-{number}")

    async def stop(self) -> None:
        self._queue.close()
        await self._tasks.stop()
        await self._recorder.stop()

    def _defined(self, old: Object | None, new: Object | None) -> None:
        """Look after the objects of what is defined now."""
        definition = new if new is not None else old
        assert definition is not None
        name, kinds = meta.name(definition), customkinds.served(definition) if new is not None else ()
        self._custom[name] = {(kind.api_version, kind.kind): kind for kind in kinds}
        custom = {place: kind for found in self._custom.values() for place, kind in found.items()}
        self._kinds = {**custom, **self._builtin}
        asked = kinds[0].api_version if kinds else ""
        watched = self._watched.get(name)
        if watched is not None and watched.api_version == asked:
            return
        if watched is not None:
            watched.task.cancel()
            del self._watched[name]
        if kinds:
            informer = Informer(self._client, kinds[0], transform=only_metadata)
            informer.add_handler(self._handler(kinds[0]))
            task = self._tasks.run_forever(informer.run, name=kinds[0].resource)
            self._watched[name] = _Watched(asked, task)
        elif new is None:
            # Nobody tells any more that its objects are gone.
            for node in [node for node in self.graph.nodes.values() if _is_of(node, definition)]:
                self._removed(node.metadata)

    def _handler(self, resource: Resource) -> Callable[[Object | None, Object | None], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            if new is None:
                assert old is not None
                self._removed(old["metadata"])
            elif old is None or _facts(old["metadata"]) != _facts(new["metadata"]) or not self.graph.knows(new["metadata"]):
                self._changed(resource, new["metadata"])
            else:
                self.graph.nodes[new["metadata"]["uid"]].metadata = new["metadata"]

        return changed

    def _changed(self, resource: Resource, metadata: Object) -> None:
        old = self.graph.nodes.get(metadata["uid"])
        blocked = old.blocked_owners if old is not None else set()
        self.graph.set(resource, metadata)
        self._unblocked(blocked - self.graph.nodes[metadata["uid"]].blocked_owners)
        if metadata.get("ownerReferences") or "deletionTimestamp" in metadata:
            self._queue.add(metadata["uid"])

    def _removed(self, metadata: Object) -> None:
        uid = metadata["uid"]
        self.graph.remove(uid)
        for node in self.graph.dependants(uid):
            self._queue.add(node.metadata["uid"])
        self._unblocked(owner["uid"] for owner in metadata.get("ownerReferences") or ())

    def _unblocked(self, uids: Iterable[str]) -> None:
        """Owners that may have one dependant less to wait for."""
        for uid in uids:
            owner = self.graph.nodes.get(uid)
            if owner is not None and owner.waits_for_dependants:
                self._queue.add(uid)

    # Work.

    async def _work(self) -> None:
        while True:
            uid = await self._queue.get()
            try:
                await self._process(uid)
            except StatusError as error:
                if not error.is_not_found and not error.is_conflict:
                    logger.info("%s: %s", self.name, error.message)
                self._queue.add_rate_limited(uid)
            except OSError as error:
                logger.debug("%s: %s", self.name, error)
                self._queue.add_rate_limited(uid)
            except Exception:
                logger.exception("%s failed", self.name)
                self._queue.add_rate_limited(uid)
            else:
                self._queue.forget(uid)
            finally:
                self._queue.done(uid)

    async def _process(self, uid: str) -> None:
        node = self.graph.nodes.get(uid)
        if node is None:
            return
        if node.is_deleting:
            if ORPHAN in node.finalizers:
                await self._orphan_dependants(node)
            elif FOREGROUND in node.finalizers:
                await self._wait_for_dependants(node)
        elif node.owners:
            await self._attempt(node)

    async def _attempt(self, node: Node) -> None:
        """Delete the object if no owner keeps it; forget owners that are gone if another does."""
        for owner in node.owners:
            self._tell_if_elsewhere(node, owner)
        states = {owner["uid"]: await self._state(node, owner) for owner in node.owners}
        lost = {uid for uid, state in states.items() if state is not OwnerState.SOLID}
        if OwnerState.SOLID in states.values():
            if lost:
                await self._drop_owners(node, lost)
            return
        uid = node.metadata["uid"]
        policy = "Background"
        if ORPHAN in node.finalizers:
            policy = "Orphan"
        elif OwnerState.WAITING in states.values() and (dependants := self.graph.dependants(uid)):
            if any(dependant.waits_for_dependants for dependant in dependants):
                # A circle of owners may have closed, in which each would wait for the next one for ever.
                await self._unblock_owners(node)
            policy = "Foreground"
        elif FOREGROUND in node.finalizers:
            policy = "Foreground"
        name, namespace = node.metadata["name"], node.metadata.get("namespace", "")
        logger.debug("deleting %s/%s: no owner is left", namespace, name)
        version = node.metadata["resourceVersion"]
        options = {"uid": uid, "propagation_policy": policy}
        try:
            await self._client.delete_if_exists(node.resource, name, namespace, resource_version=version, **options)
        except StatusError as error:
            if not error.is_conflict:
                raise
            # It is another by now, or only changed: then it goes if its owners are still those that were judged.
            if await self._has_owners(node):
                await self._client.delete_if_exists(node.resource, name, namespace, **options)

    async def _has_owners(self, node: Node) -> bool:
        """Whether the live object is that very one, with the owners that are known; raises Conflict if it has others."""
        name, namespace = node.metadata["name"], node.metadata.get("namespace", "")
        try:
            live = await self._client.get(node.resource, name, namespace)
        except StatusError as error:
            if error.is_not_found:
                return False
            raise
        if meta.uid(live) != node.metadata["uid"]:
            return False
        if (live["metadata"].get("ownerReferences") or []) != node.owners:
            raise conflict("", "", name, MODIFIED)
        return True

    def _tell_if_elsewhere(self, node: Node, owner: Object) -> None:
        """An owner is in the same namespace or in none."""
        known, own = self.graph.nodes.get(owner["uid"]), node.metadata.get("namespace", "")
        if known is None or known.metadata.get("namespace", own) == own:
            return
        kind = node.resource if isinstance(node.resource, Kind) else registry.resource(node.resource)
        about = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": node.metadata}
        place = f"{owner['apiVersion']}/{owner['kind']}, namespace: {own}, name: {owner['name']}, uid: {owner['uid']}"
        text = f'ownerRef [{place}] does not exist in namespace "{own}"'
        self._recorder.event(about, "Warning", "OwnerRefInvalidNamespace", text)

    async def _state(self, node: Node, owner: Object) -> OwnerState:
        known, own = self.graph.nodes.get(owner["uid"]), node.metadata.get("namespace", "")
        # An owner in another namespace is none; of what belongs to no namespace nobody can say where it should be.
        if known is not None and (not own or known.metadata.get("namespace", own) == own):
            return OwnerState.WAITING if known.waits_for_dependants else OwnerState.SOLID
        if (owner["uid"], own) in self._absent:
            return OwnerState.DANGLING
        kind = self._kinds.get((owner["apiVersion"], owner["kind"]))
        if kind is None:
            return OwnerState.SOLID  # Of a kind that is not served: nobody can say that it is gone.
        namespace = own if kind.namespaced else ""
        if kind.namespaced and not namespace:
            return OwnerState.SOLID  # A cluster-wide object cannot be owned by one in a namespace; leave it alone.
        try:
            live = await self._client.get(kind if kind.is_custom else kind.resource, owner["name"], namespace)
        except StatusError as error:
            if not error.is_not_found:
                raise
        else:
            if meta.uid(live) == owner["uid"]:
                waits = meta.being_deleted(live) and FOREGROUND in (live["metadata"].get("finalizers") or ())
                return OwnerState.WAITING if waits else OwnerState.SOLID
        self._absent[owner["uid"], own] = None
        if len(self._absent) > ABSENT_OWNERS_LIMIT:
            self._absent.popitem(last=False)
        return OwnerState.DANGLING

    async def _wait_for_dependants(self, node: Node) -> None:
        uid = node.metadata["uid"]
        blocking = self.graph.blocking(uid)
        if not blocking:
            await self._drop_finalizer(node, FOREGROUND)
        for dependant in blocking:
            # Those that wait themselves are looked at when what they wait for has gone.
            if not dependant.waits_for_dependants:
                self._queue.add(dependant.metadata["uid"])

    async def _orphan_dependants(self, node: Node) -> None:
        uid = node.metadata["uid"]
        for dependant in self.graph.dependants(uid):
            try:
                await self._drop_owners(dependant, {uid})
            except StatusError as error:
                if not error.is_not_found:
                    raise
        await self._drop_finalizer(node, ORPHAN)

    async def _drop_owners(self, node: Node, uids: Iterable[str]) -> None:
        gone = set(uids)
        left = [owner for owner in node.owners if owner["uid"] not in gone]
        await self._patch(node, {"ownerReferences": left or None})

    async def _unblock_owners(self, node: Node) -> None:
        if any(owner.get("blockOwnerDeletion") for owner in node.owners):
            await self._patch(node, {"ownerReferences": [{**owner, "blockOwnerDeletion": False} for owner in node.owners]})

    async def _drop_finalizer(self, node: Node, finalizer: str) -> None:
        left = [item for item in node.finalizers if item != finalizer]
        try:
            await self._patch(node, {"finalizers": left or None})
        except StatusError as error:
            if not error.is_not_found:
                raise

    async def _patch(self, node: Node, changes: dict[str, Any]) -> None:
        metadata = node.metadata
        # The revision makes sure that nothing that others wrote meanwhile is lost.
        patch = {"metadata": {**changes, "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}}
        await self._client.patch(node.resource, metadata["name"], patch, metadata.get("namespace", ""))


def _facts(metadata: Object) -> tuple[object, ...]:
    return (
        metadata["uid"],
        metadata.get("ownerReferences"),
        metadata.get("finalizers"),
        "deletionTimestamp" in metadata,
    )
