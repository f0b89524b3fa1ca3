"""A small API server in memory, for tests of components: no admission, no validation, but true revisions, watches, deletion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from navarch.api import registry, schemas
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta, patch, selectors
from navarch.apimachinery.errors import Object
from navarch.client.client import Client
from navarch.client.informer import Informers
from navarch.client.transport import JSON, MERGE_PATCH, STRATEGIC_MERGE_PATCH, WatchEvent
from navarch.component import clock
from navarch.simulation.loop import SimulatedClock, SimulatedLoop


class FakeAPI:
    """Implements `Transport`."""

    def __init__(self) -> None:
        self.revision = 1
        self.objects: dict[str, dict[str, Object]] = {}
        """Resource -> key -> object."""
        self.log: list[tuple[str, WatchEvent]] = []
        self._watchers: set[asyncio.Event] = set()
        self.requests: list[tuple[str, str]] = []
        self.refuse: Callable[[str, str, Any], Exception | None] = lambda method, path, body: None
        """(method, path, body) -> an error to answer with."""
        self.instant_pods = False
        """Whether pods go at once when they are deleted, instead of gracefully."""

    # For tests.

    def put(self, obj: Object) -> Object:
        """Store an object as it is."""
        kind = _kind_of(obj)
        metadata = {"uid": clock.uid(), "creationTimestamp": clock.timestamp(), **obj["metadata"]}
        if kind.namespaced:
            metadata.setdefault("namespace", "default")
        if kind.has_generation:
            metadata.setdefault("generation", 1)
        return self._store(kind, {**obj, "metadata": metadata})

    def all(self, resource: str) -> list[Object]:
        return list(self.objects.get(resource, {}).values())

    def one(self, resource: str, key: str) -> Object | None:
        return self.objects.get(resource, {}).get(key)

    def change(self, resource: str, key: str, **fields: Any) -> Object:
        """Replace top-level fields."""
        kind, present = registry.resource(resource), self.objects[resource][key]
        new = {**present, **fields}
        if kind.has_generation and new.get("spec") != present.get("spec"):
            new = meta.set_path(new, present["metadata"].get("generation", 0) + 1, "metadata", "generation")
        return self._store(kind, new)

    def remove(self, resource: str, key: str) -> None:
        self._drop(registry.resource(resource), self.objects[resource][key])

    # Transport.

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = JSON
    ) -> Object:
        await asyncio.sleep(0)
        self.requests.append((method, path))
        refusal = self.refuse(method, path, body)
        if refusal is not None:
            raise refusal
        kind, namespace, name, subresource = _parse(path)
        if method == "GET" and not name:
            return self._list(kind, namespace, query or {})
        if method == "POST":
            return self._create(kind, namespace, name, subresource, body)
        present = self.objects.get(kind.resource, {}).get(f"{namespace}/{name}" if namespace else name)
        if present is None:
            raise errors.not_found(kind.group, kind.plural, name)
        if method == "GET":
            return present
        if method == "DELETE":
            return self._delete(kind, present, body or {})
        if method == "PATCH":
            if content_type == STRATEGIC_MERGE_PATCH:
                body = patch.strategic_merge_patch(present, body, schemas.of(kind))
            elif content_type == MERGE_PATCH:
                body = patch.merge_patch(present, body)
            else:
                body = patch.json_patch(present, body)
            if meta.uid(body) != meta.uid(present):
                problem = errors.invalid_value("metadata.uid", meta.uid(body), "field is immutable")
                raise errors.invalid(kind.group, kind.kind, name, [problem])
        return self._update(kind, present, body, subresource)

    def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[WatchEvent]:
        return self._watch(path, query)

    async def _watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[WatchEvent]:
        kind, _, _, _ = _parse(path)
        seen = int(query["resourceVersion"])
        position = 0
        wakeup = asyncio.Event()
        self._watchers.add(wakeup)
        try:
            while True:
                while position < len(self.log):
                    resource, event = self.log[position]
                    position += 1
                    if resource != kind.resource or meta.resource_version(event.object) <= seen:
                        continue
                    if _has_fields(kind, event.object, query):
                        yield event
                wakeup.clear()
                await wakeup.wait()
        finally:
            self._watchers.discard(wakeup)

    async def close(self) -> None:
        pass

    # Inside.

    def _list(self, kind: Kind, namespace: str, query: Mapping[str, str]) -> Object:
        selector = selectors.parse(query.get("labelSelector", ""))
        items = [
            obj
            for obj in self.objects.get(kind.resource, {}).values()
            if (not namespace or meta.namespace(obj) == namespace)
            and selector.matches(meta.labels(obj))
            and _has_fields(kind, obj, query)
        ]
        version = {"resourceVersion": str(self.revision)}
        return {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": version, "items": items}

    def _create(self, kind: Kind, namespace: str, name: str, subresource: str, body: Object) -> Object:
        if subresource == "binding":
            pod = self.objects[kind.resource][f"{namespace}/{name}"]
            if pod["spec"].get("nodeName"):
                raise errors.conflict("", "pods", name, f"pod {name} is already assigned to node")
            condition = {"type": "PodScheduled", "status": "True", "lastTransitionTime": clock.timestamp()}
            pod = meta.set_path(pod, body["target"]["name"], "spec", "nodeName")
            conditions = meta.with_condition((pod.get("status") or {}).get("conditions") or (), condition)
            self._store(kind, meta.set_path(pod, conditions, "status", "conditions"))
            return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        metadata = {**body["metadata"]}
        if not metadata.get("name"):
            metadata["name"] = metadata["generateName"] + clock.name_suffix()
        if kind.namespaced:
            metadata["namespace"] = namespace
        metadata |= {"uid": clock.uid(), "creationTimestamp": clock.timestamp()}
        if kind.has_generation:
            metadata["generation"] = 1
        obj = {"apiVersion": kind.api_version, "kind": kind.kind, **body, "metadata": metadata}
        if meta.key(obj) in self.objects.get(kind.resource, {}):
            raise errors.already_exists(kind.group, kind.plural, metadata["name"])
        if kind.resource == "pods":
            obj = {**obj, "status": {"phase": "Pending"}}
        return self._store(kind, obj)

    def _update(self, kind: Kind, present: Object, body: Object, subresource: str) -> Object:
        metadata = body["metadata"]
        version = metadata.get("resourceVersion")
        name = meta.name(present)
        if version and version != present["metadata"]["resourceVersion"]:
            raise errors.conflict(kind.group, kind.plural, name, errors.MODIFIED)
        if metadata.get("uid", meta.uid(present)) != meta.uid(present):
            raise errors.conflict(kind.group, kind.plural, name, "Precondition failed: UID in precondition")
        kept = {key: present["metadata"][key] for key in ("resourceVersion", "uid", "creationTimestamp")}
        if subresource == "status":
            new = {**present, "status": body.get("status") or {}}
            if "annotations" not in kind.status_keeps_metadata and "annotations" in metadata:
                new = meta.set_path(new, metadata["annotations"], "metadata", "annotations")
        elif subresource == "finalize":
            new = {**present, "spec": body["spec"]}
            if not body["spec"].get("finalizers") and meta.being_deleted(present):
                self._drop(kind, new)
                return new
        else:
            new = {**body, "metadata": {**metadata, **kept}}
            if "status" in kind.subresources and "status" in present:
                new["status"] = present["status"]
            if kind.has_generation and new.get("spec") != present.get("spec"):
                new["metadata"]["generation"] = present["metadata"]["generation"] + 1
            if meta.being_deleted(present):
                new["metadata"]["deletionTimestamp"] = present["metadata"]["deletionTimestamp"]
                if not new["metadata"].get("finalizers") and (kind.resource != "pods" or self.instant_pods):
                    self._drop(kind, new)
                    return new
        if new == present:
            return present
        return self._store(kind, new)

    def _delete(self, kind: Kind, present: Object, options: Object) -> Object:
        wanted = options.get("preconditions") or {}
        if wanted.get("uid", meta.uid(present)) != meta.uid(present):
            raise errors.conflict(kind.group, kind.plural, meta.name(present), "Precondition failed: UID in precondition")
        version = present["metadata"]["resourceVersion"]
        if wanted.get("resourceVersion", version) != version:
            text = "Precondition failed: ResourceVersion in precondition"
            raise errors.conflict(kind.group, kind.plural, meta.name(present), text)
        finalizers = list(present["metadata"].get("finalizers") or ())
        policy = options.get("propagationPolicy")
        for wanted_policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
            if policy == wanted_policy and finalizer not in finalizers:
                finalizers.append(finalizer)
        is_graceful = kind.resource == "pods" and options.get("gracePeriodSeconds") != 0 and not self.instant_pods
        if finalizers or is_graceful or (kind.resource == "namespaces" and present["spec"].get("finalizers")):
            if not meta.being_deleted(present):
                metadata = {**present["metadata"], "deletionTimestamp": clock.timestamp()}
                if finalizers:
                    metadata["finalizers"] = finalizers
                present = self._store(kind, {**present, "metadata": metadata})
            return present
        self._drop(kind, present)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}

    def _store(self, kind: Kind, obj: Object) -> Object:
        self.revision += 1
        obj = meta.set_path(obj, str(self.revision), "metadata", "resourceVersion")
        objects = self.objects.setdefault(kind.resource, {})
        type_ = "MODIFIED" if meta.key(obj) in objects else "ADDED"
        objects[meta.key(obj)] = obj
        self._tell(kind, type_, obj)
        return obj

    def _drop(self, kind: Kind, obj: Object) -> None:
        self.revision += 1
        del self.objects[kind.resource][meta.key(obj)]
        self._tell(kind, "DELETED", meta.set_path(obj, str(self.revision), "metadata", "resourceVersion"))

    def _tell(self, kind: Kind, type_: Any, obj: Object) -> None:
        self.log.append((kind.resource, WatchEvent(type_, obj)))
        for watcher in self._watchers:
            watcher.set()


def _has_fields(kind: Kind, obj: Object, query: Mapping[str, str]) -> bool:
    """Whether a field selector matches, of fields that never change."""
    wanted = dict(item.split("=") for item in query.get("fieldSelector", "").split(",") if item)
    return all(kind.selectable_fields[field](obj) == value for field, value in wanted.items())


def _kind_of(obj: Object) -> Kind:
    return next(kind for kind in registry.kinds() if (kind.api_version, kind.kind) == (obj["apiVersion"], obj["kind"]))


def _parse(path: str) -> tuple[Kind, str, str, str]:
    parts = path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    kind = registry.resource(f"{rest[0]}.{group}" if group else rest[0])
    name = rest[1] if len(rest) > 1 else ""
    return kind, namespace, name, rest[2] if len(rest) > 2 else ""


class Bench:
    """A fake API with a client and informers, for one test."""

    def __init__(self) -> None:
        self.api = FakeAPI()
        self.client = Client(self.api)
        self.informers = Informers(self.client)

    async def until(self, condition: Callable[[], Any], *, what: str = "", timeout_seconds: float = 5.0) -> Any:
        """Until `condition` is true (looked at after every turn of the loop); its value."""
        async with asyncio.timeout(timeout_seconds):
            while not (value := condition()):
                await asyncio.sleep(0.001)
        return value


@asynccontextmanager
async def bench(*starts: Callable[[Bench], Any]) -> AsyncIterator[Bench]:
    """A bench on which the components that `starts` make run (objects with run/stop or start/stop)."""
    found = Bench()
    made = [start(found) for start in starts]
    tasks = []
    for item in made:
        if hasattr(item, "run"):
            tasks.append(asyncio.create_task(item.run()))
        else:
            await item.start()
    try:
        yield found
    finally:
        for item in made:
            await item.stop()
        await found.informers.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run_in_virtual_time(test: Callable[[], Awaitable[None]]) -> None:
    """Whatever waits for nothing but time waits no longer than a moment."""

    async def timed() -> None:
        SimulatedClock(loop).use()
        await test()

    loop = SimulatedLoop()
    try:
        loop.run_until_complete(timed())
    finally:
        loop.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]
