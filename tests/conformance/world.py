"""A cluster in one process, asked synchronously, and short ways to ask it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

from navarch.api import registry
from navarch.apimachinery.errors import Object
from navarch.client.client import resource_path
from navarch.simulation.loop import SimulatedClock, SimulatedLoop
from tests.apiserver.bench import ADMIN, MERGE, Asking, Certificate, Watching
from tests.conformance.kubelets import Kubelets
from tests.controllers.cluster import cluster

T = TypeVar("T")
Change = Callable[[Object], Any]
NODES = {"node-1": "192.0.2.11", "node-2": "192.0.2.12"}
STEP_SECONDS, STEP_MAX_SECONDS = 0.001, 1.0


class World(Asking):
    """API server, controllers and scheduler, two nodes with pretended kubelets; on virtual time."""

    timeout_seconds = 600.0

    def __init__(self, directory: Path) -> None:
        self.loop = SimulatedLoop()
        self._clock = SimulatedClock(self.loop)
        self._context = cluster(directory, Kubelets)
        self.cluster = cast(Kubelets, self.run(self._context.__aenter__()))
        self.server = self.cluster.server
        self.run(self.server.listen())
        for name, address in NODES.items():
            self.run(self.cluster.add_node(name, address))
        self._namespaces = 0

    def close(self) -> None:
        self.run(self._context.__aexit__(None, None, None))
        self.run(self.loop.shutdown_asyncgens())
        self.loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        async def timed() -> T:
            self._clock.use()
            return await coroutine

        return super().run(timed())

    def until(self, condition: Callable[[], T]) -> T:
        deadline = self.loop.time() + self.timeout_seconds
        step = STEP_SECONDS
        while not (value := condition()):
            assert self.loop.time() < deadline, "it took too long"
            # Whatever is ready is done before any time passes.
            self.pass_time(step)
            step = min(step * 2, STEP_MAX_SECONDS)
        return value

    def pass_time(self, seconds: float) -> None:
        """Let everything happen that happens in that time."""
        self.run(asyncio.sleep(seconds))

    def space(self) -> Space:
        """A new namespace, with its service account."""
        self._namespaces += 1
        name = f"space-{self._namespaces}"
        everywhere = Space(self, "")
        everywhere.create("namespaces", {"metadata": {"name": name}})
        found = Space(self, name)
        self.until(lambda: found.find("serviceaccounts", "default"))
        return found

    @property
    def everywhere(self) -> Space:
        """All namespaces, and what is in none."""
        return Space(self, "")


class Space:
    """One namespace, or ("") what is in none and lists over all. Each verb expects success, or to be answered with `code`."""

    def __init__(self, world: World, name: str, user: Certificate = ADMIN) -> None:
        self.world = world
        self.name = name
        self.user = user

    def path(self, resource: str, name: str = "", subresource: str = "") -> str:
        namespace = self.name if registry.resource(resource).namespaced else ""
        return resource_path(resource, namespace, name, subresource)

    def ask(self, method: str, path: str, body: Any = None, *, code: int = 200, **options: Any) -> Any:
        """The decoded answer."""
        reply = self.world.call(method, path, body, user=self.user, **options)
        assert reply.status == code, (method, path, reply.status, reply.body)
        return reply.json

    def create(self, resource: str, obj: Object, *, code: int = 201, **options: Any) -> Object:
        kind = registry.resource(resource)
        return self._object(
            "POST", self.path(resource), {"apiVersion": kind.api_version, "kind": kind.kind, **obj}, code, options
        )

    def get(self, resource: str, name: str, subresource: str = "", *, code: int = 200, **options: Any) -> Object:
        return self._object("GET", self.path(resource, name, subresource), None, code, options)

    def find(self, resource: str, name: str) -> Object | None:
        """The object, if it is there."""
        reply = self.world.call("GET", self.path(resource, name), user=self.user)
        return cast(Object, reply.json) if reply.status == 200 else None

    def list(self, resource: str, labels: str = "", **options: Any) -> list[Object]:
        """The items of a list."""
        if labels:
            options["labelSelector"] = labels
        found = self._object("GET", self.path(resource), None, 200, options)
        return cast("list[Object]", found["items"])

    def update(self, resource: str, obj: Object, subresource: str = "", *, code: int = 200, **options: Any) -> Object:
        path = self.path(resource, obj["metadata"]["name"], subresource)
        return self._object("PUT", path, obj, code, options)

    def change(self, resource: str, name: str, change: Change, subresource: str = "", *, code: int = 200) -> Object:
        """Read, `change` (which alters what it is given), replace; again where somebody else was quicker."""
        while True:
            obj = copy.deepcopy(self.get(resource, name, subresource))
            change(obj)
            path = self.path(resource, name, subresource)
            reply = self.world.call("PUT", path, obj, user=self.user)
            if reply.status == 409 and code != 409:
                continue
            assert reply.status == code, (path, reply.status, reply.body)
            return cast(Object, reply.json)

    def patch(
        self,
        resource: str,
        name: str,
        patch: Any,
        subresource: str = "",
        *,
        content_type: str = MERGE,
        code: int = 200,
        **options: Any,
    ) -> Object:
        path = self.path(resource, name, subresource)
        return self._object("PATCH", path, patch, code, {"content_type": content_type, **options})

    def delete(self, resource: str, name: str, **options: Any) -> Object:
        """Delete at once or begin to; `options` are those of DeleteOptions."""
        reply = self.world.call("DELETE", self.path(resource, name), _delete_options(options), user=self.user)
        assert reply.status in (200, 202), reply.body
        return cast(Object, reply.json)

    def delete_all(self, resource: str, labels: str = "", **options: Any) -> None:
        """Delete the collection of what has these labels."""
        query = {"labelSelector": labels} if labels else {}
        self._object("DELETE", self.path(resource), _delete_options(options), 200, query)

    def _object(self, method: str, path: str, body: Any, code: int, options: dict[str, Any]) -> Object:
        return cast(Object, self.ask(method, path, body, code=code, **options))

    @contextlib.contextmanager
    def watching(self, resource: str, labels: str = "", since: str = "", **query: Any) -> Iterator[Watch]:
        """A watch of what happens from now on, or after the revision `since`."""
        if labels:
            query["labelSelector"] = labels
        query["resourceVersion"] = since or str(self.world.store.revision)
        watch = Watch(self.world.watch(self.path(resource), **query))
        try:
            yield watch
        finally:
            watch.close()

    def events(self, resource: str, labels: str = "", since: str = "") -> list[tuple[str, Object]]:
        """(type, object) of everything that happened after the revision `since`."""
        query = {"labelSelector": labels} if labels else {}
        watching = self.world.watch(self.path(resource), resourceVersion=since, timeoutSeconds="1", **query)
        return [(event["type"], event["object"]) for event in watching.rest()]

    def until_gone(self, resource: str, name: str) -> None:
        self.world.until(lambda: self.find(resource, name) is None)

    def until_count(self, resource: str, count: int, labels: str = "") -> list[Object]:
        """Once there are so many of them."""
        found: list[Object] = []

        def enough() -> bool:
            found[:] = self.list(resource, labels)
            return len(found) == count

        self.world.until(enough)
        return found

    def until_true(self, resource: str, name: str, condition: Callable[[Object], Any]) -> Object:
        """The object, once it is so."""

        def found() -> Object | None:
            obj = self.find(resource, name)
            return obj if obj is not None and condition(obj) else None

        return cast(Object, self.world.until(found))


class Watch:
    """What a watch tells."""

    def __init__(self, watching: Watching) -> None:
        self._watching = watching
        self.close = watching.close

    def next(self) -> tuple[str, Object]:
        """The next event's type and object."""
        event = self._watching.next()
        return event["type"], event["object"]

    def until(self, type_: str, name: str = "", condition: Change | None = None) -> Object:
        """The object of the first such event."""
        while True:
            seen, obj = self.next()
            if seen == type_ and name in ("", obj["metadata"]["name"]) and (condition is None or condition(obj)):
                return obj


def _delete_options(options: dict[str, Any]) -> Object | None:
    return {"kind": "DeleteOptions", "apiVersion": "v1", **options} if options else None
