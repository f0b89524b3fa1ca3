"""What becomes of CustomResourceDefinitions: they get their names with the write that asks for them, and when they are deleted
their objects go first (the naming, establishing and finalizing controllers of apiextensions-apiserver).

Every version in which there are custom resources has an APIService. A definition that did not get all of its names gets them
when they become free. With several servers over one store each does this work; who comes second finds it done.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from navarch.api.apiextensions import customresourcedefinition
from navarch.api.apiextensions.customresourcedefinition import ESTABLISHED, FINALIZER, TERMINATING, with_condition
from navarch.api.apiregistration import apiservice
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver import bootstrap, deletion, fieldmanagement
from navarch.apiserver.customresources import CustomResources
from navarch.apiserver.request import APIRequest, User
from navarch.apiserver.requestinfo import RequestInfo
from navarch.apiserver.resources import Resources
from navarch.client.workqueue import WorkQueue
from navarch.component import clock
from navarch.component.tasks import Tasks
from navarch.storage.backend import StorageError
from navarch.storage.changes import Change, Record, Write
from navarch.storage.mvcc import ConflictError
from navarch.storage.store import Store

logger = logging.getLogger(__name__)

DEFINITION = customresourcedefinition.KIND
_API_SERVICES = ""
"""In the queue: the APIServices of what is defined. No definition has this name."""
RECHECK_SECONDS = 1.0
"""How soon to look again at objects that finalizers hold."""
_UNSTORED = frozenset({("apiregistration.k8s.io", "apiservices"), ("apiextensions.k8s.io", "customresourcedefinitions")})
"""What is stored elsewhere, whatever a definition of that name says."""


class Names:
    """Gives a definition its names, in the write that asks for them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allocate(self, new: Object, old: Object | None) -> Object:
        return self.named(new)

    def beside(self, new: Object | None, old: Object | None) -> list[Write]:
        return []

    def named(self, definition: Object) -> Object:
        """The definition with the names that it gets now."""
        from navarch.api.apiextensions import names

        found = names.named(definition, self.others(definition), clock.timestamp())
        if found.get("status") == definition.get("status"):
            return definition
        return fieldmanagement.updated_by_server(DEFINITION, found, definition, "status")

    def others(self, definition: Object) -> Iterator[Object]:
        """The other definitions of its group, as they are in the newest versions."""
        prefix, group = DEFINITION.key_prefix, definition["spec"].get("group")
        for record in self._store.collection(prefix).range(prefix):
            newest = self._store.latest(prefix, record.key)
            other = newest.object() if newest is not None else None
            if other is not None and other["spec"].get("group") == group and meta.name(other) != meta.name(definition):
                yield other


class Definitions:
    """Follows all definitions."""

    def __init__(self, resources: Resources, names: Names, custom: CustomResources, user: User) -> None:
        """`user`: as whom objects are deleted."""
        self._resources, self._names, self._custom, self._user = resources, names, custom, user
        self._store = resources.store
        self._queue = WorkQueue("definitions")
        self._tasks = Tasks("definitions")

    def begin(self) -> None:
        """Take up what was left undone, and whatever comes."""
        prefix = DEFINITION.key_prefix
        for record in self._store.collection(prefix).range(prefix):
            self._look_at(record.object())
        self._store.watch(prefix, prefix, self._store.revision, self._changed)
        self._custom.on_change(lambda: self._queue.add(_API_SERVICES))
        services = apiservice.KIND.key_prefix
        self._store.watch(services, services, self._store.revision, self._services_changed)
        self._queue.add(_API_SERVICES)

    def start(self) -> None:
        self._tasks.run_forever(self._work, name="definitions")

    async def stop(self) -> None:
        self._queue.close()
        await self._tasks.stop()

    def _changed(self, changes: list[Change]) -> None:
        for change in changes:
            if not change.deleted:
                self._look_at(change.object)
            if change.deleted or (change.previous is not None and _accepted(change.previous) != _accepted(change.record)):
                # It may have given up names that others wait for.
                for other in self._names.others(change.object):
                    self._look_at(other)

    def _services_changed(self, changes: list[Change]) -> None:
        """What the server keeps does not stay as somebody else has made it."""
        labels = (meta.labels(change.object).get(apiservice.MANAGED_LABEL) for change in changes)
        if apiservice.MANAGED in labels:
            self._queue.add(_API_SERVICES)

    def _look_at(self, definition: Object) -> None:
        if meta.being_deleted(definition):
            if FINALIZER in (definition["metadata"].get("finalizers") or ()):
                self._queue.add(meta.name(definition))
        elif definition["spec"].get("names") != (definition.get("status") or {}).get("acceptedNames"):
            self._queue.add(meta.name(definition))

    async def _work(self) -> None:
        while True:
            name = await self._queue.get()
            try:
                after_seconds = await self._work_on(name)
            except (StatusError, StorageError, ConflictError) as error:
                logger.info("%s: %s", name, error)
                self._queue.add_rate_limited(name)
            except Exception:
                logger.exception("%s: what has to be done about it failed", name)
                self._queue.add_rate_limited(name)
            else:
                self._queue.forget(name)
                if after_seconds is not None:
                    self._queue.add_after(name, after_seconds)
            finally:
                self._queue.done(name)

    async def _work_on(self, name: str) -> float | None:
        if name == _API_SERVICES:
            if writes := bootstrap.custom_services(self._store, self._custom.kinds):
                await self._store.write(writes)
            return None
        key = DEFINITION.key("", name)
        base = self._store.latest(DEFINITION.key_prefix, key)
        if base is None:
            return None
        definition = base.object()
        if meta.being_deleted(definition):
            if FINALIZER in (definition["metadata"].get("finalizers") or ()):
                return await self._finalize(definition, base)
            return None
        named = self._names.named(definition)
        if named is not definition:
            await self._put(named, base)
        return None

    async def _put(self, definition: Object, base: Record) -> Record:
        return await self._resources.put(DEFINITION, base.key, {**definition, "metadata": dict(definition["metadata"])}, base)

    # Deletion

    async def _finalize(self, definition: Object, base: Record) -> float | None:
        """Have the objects deleted, then let the definition go; after how many seconds to look again, if it cannot go yet."""
        from navarch.api.apiextensions import customresource

        spec = definition["spec"]
        if (spec["group"], spec["names"]["plural"]) in _UNSTORED:
            condition = _terminating(
                False, "OverlappingBuiltInResource", "instances overlap with built-in resources in storage"
            )
        elif not meta.is_condition_true(definition, ESTABLISHED):
            condition = _terminating(False, "NeverEstablished", "resource was never established")
        else:
            kind = customresource.stored_kind(definition)
            collection = self._store.collection(kind.key_prefix)
            if collection.records:
                begun = _terminating(True, "InstanceDeletionInProgress", "CustomResource deletion is in progress")
                if (meta.condition(definition, TERMINATING) or {}).get("reason") != begun["reason"]:
                    base = await self._put(with_condition(definition, begun), base)
                    definition = base.object()
                info = RequestInfo(kind.api_path, "deletecollection", True, kind.group, kind.version, "", kind.plural)
                await deletion.delete_collection(self._resources, APIRequest(info, "DELETE", {}, self._user), kind)
            if collection.records:
                return RECHECK_SECONDS
            condition = _terminating(False, "InstanceDeletionCompleted", "removed all instances")
        left = [item for item in definition["metadata"]["finalizers"] if item != FINALIZER]
        metadata = {**definition["metadata"], "finalizers": left}
        if not left:
            del metadata["finalizers"]
        last = with_condition({**definition, "metadata": metadata}, condition)
        if left:
            await self._put(last, base)
        else:
            await self._resources.remove(DEFINITION, base, last)
        return None


def _accepted(record: Record) -> object:
    return (record.object().get("status") or {}).get("acceptedNames")


def _terminating(status: bool, reason: str, message: str) -> Object:
    return {
        "type": TERMINATING,
        "status": "True" if status else "False",
        "lastTransitionTime": clock.timestamp(),
        "reason": reason,
        "message": message,
    }
