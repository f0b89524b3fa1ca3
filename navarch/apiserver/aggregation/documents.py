"""What other API servers say of what they serve: discovery and OpenAPI, fetched now and then and kept.

What cannot be fetched stays as it was, and is called stale; what could never be fetched is a version without resources
(kube-aggregator/pkg/apiserver/handler_discovery.go).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from navarch.apimachinery.errors import Object
from navarch.apiserver.aggregation.proxying import Aggregator
from navarch.apiserver.aggregation.services import APIServices, Place, Remote, UnresolvedError
from navarch.apiserver.discovery import AGGREGATED
from navarch.apiserver.openapi.documents import RemoteOpenAPI
from navarch.client.workqueue import WorkQueue
from navarch.component.httpclient import Answer
from navarch.component.tasks import Tasks

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 60.0
FETCH_TIMEOUT_SECONDS = 5.0
DISCOVERY_LIMIT_BYTES = 8 * 1024 * 1024
OPENAPI_LIMIT_BYTES = 16 * 1024 * 1024
WORKERS = 2
CURRENT, STALE = "Current", "Stale"
_ACCEPT = ";".join(["application/json", *(f"{name}={value}" for name, value in AGGREGATED.items())])
_ACCEPTED = f"{_ACCEPT},application/json"


class _FetchError(Exception):
    """An answer that cannot be used."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one group version."""

    discovery: Object
    """An APIVersionDiscovery."""
    openapi: RemoteOpenAPI = field(default_factory=RemoteOpenAPI)


class RemoteDocuments:
    """The documents of all group versions that are served elsewhere."""

    def __init__(self, found: APIServices, aggregator: Aggregator) -> None:
        self._services = found
        self._aggregator = aggregator
        self._queue = WorkQueue("discovery-manager")
        self._tasks = Tasks("remote-documents")
        self._listeners: list[Callable[[], None]] = []
        self._known: dict[Place, Known] = {}
        self._remotes: dict[Place, Remote] = {}
        found.on_change(self._changed)

    def start(self) -> None:
        self._changed()
        for number in range(WORKERS):
            self._tasks.run_forever(self._work, name=f"remote-documents-{number}")

    async def stop(self) -> None:
        self._queue.close()
        await self._tasks.stop()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever something else is known than before."""
        self._listeners.append(listener)

    def versions(self) -> list[tuple[Remote, Object]]:
        """Each group version that is served elsewhere, with its APIVersionDiscovery."""
        return [(remote, self._of(place).discovery) for place, remote in self._services.remote.items()]

    def openapi(self) -> dict[str, RemoteOpenAPI]:
        """By the root of each group version: ``apis/group/version``."""
        return {
            remote.path.lstrip("/"): known.openapi
            for place, remote in self._services.remote.items()
            if (known := self._known.get(place)) is not None and known.openapi.v3
        }

    def _of(self, place: Place) -> Known:
        return self._known.get(place) or Known({"version": place[1], "freshness": STALE})

    def _changed(self) -> None:
        """Something else is served elsewhere than before."""
        for place, remote in self._services.remote.items():
            if self._remotes.get(place) != remote:
                self._queue.add(remote.name)
        for place in self._known.keys() - self._services.remote.keys():
            del self._known[place]
        self._remotes = dict(self._services.remote)
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    async def _work(self) -> None:
        while True:
            name = await self._queue.get()
            try:
                await self._refresh(name)
            except Exception:
                logger.exception("%s: what it serves could not be found out", name)
                self._queue.add_rate_limited(name)
            finally:
                self._queue.done(name)

    async def _refresh(self, name: str) -> None:
        remote = next((each for each in self._services.remote.values() if each.name == name), None)
        if remote is None:
            self._queue.forget(name)
            return
        place = remote.group, remote.version
        before = self._of(place)
        try:
            if not remote.is_available:
                raise _FetchError("it is not available")
            after = Known(await self._discovery(remote), await self._openapi(remote, before.openapi))
        except (OSError, ValueError, UnresolvedError, _FetchError) as error:
            logger.info("%s: what it serves could not be found out: %s", name, error)
            after = replace(before, discovery={**before.discovery, "freshness": STALE})
            if remote.is_available:
                self._queue.add_rate_limited(name)
        else:
            self._queue.forget(name)
            self._queue.add_after(name, REFRESH_SECONDS)
        if self._services.remote.get(place) != remote:
            # It is served in another way by now, which is in the queue.
            return
        if after != self._known.get(place):
            self._known[place] = after
            self._tell()

    async def _get(self, remote: Remote, target: str, limit_bytes: int, **headers: str) -> Answer:
        return await self._aggregator.fetch(
            remote,
            target,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            timeout_seconds=FETCH_TIMEOUT_SECONDS,
            limit_bytes=limit_bytes,
        )

    async def _discovery(self, remote: Remote) -> Object:
        answer = await self._get(remote, "/apis" if remote.group else "/api", DISCOVERY_LIMIT_BYTES, Accept=_ACCEPTED)
        if answer.status == 200 and AGGREGATED["as"] in answer.headers.get("content-type", ""):
            return _from_aggregated(remote, _object(answer))
        answer = await self._get(remote, remote.path, DISCOVERY_LIMIT_BYTES, Accept="application/json")
        if answer.status != 200:
            raise _FetchError(f"failed to download discovery for {remote.path}: {answer.status}")
        return _from_resources(remote, _object(answer))

    async def _openapi(self, remote: Remote, before: RemoteOpenAPI) -> RemoteOpenAPI:
        """What there is: servers need not have any."""
        index = await self._get(remote, "/openapi/v3", OPENAPI_LIMIT_BYTES, Accept="application/json")
        root = remote.path.lstrip("/")
        place = (_object(index).get("paths") or {}).get(root) if index.status == 200 else None
        url = place.get("serverRelativeURL") if isinstance(place, dict) else None
        if not isinstance(url, str) or not url.startswith("/"):
            return RemoteOpenAPI()
        if url == before.url and "hash=" in url:
            return before
        found = await self._get(remote, url, OPENAPI_LIMIT_BYTES, Accept="application/json")
        if found.status != 200:
            return RemoteOpenAPI()
        _object(found)
        older = await self._get(remote, "/openapi/v2", OPENAPI_LIMIT_BYTES, Accept="application/json")
        return RemoteOpenAPI(found.body, older.body if older.status == 200 and _is_object(older) else b"", url)


def _object(answer: Answer) -> Object:
    found = orjson.loads(answer.body)
    if not isinstance(found, dict):
        raise _FetchError("an answer is no object")
    return found


def _is_object(answer: Answer) -> bool:
    try:
        return isinstance(orjson.loads(answer.body), dict)
    except ValueError:
        return False


def _from_aggregated(remote: Remote, document: Object) -> Object:
    for group in document.get("items") or ():
        if ((group.get("metadata") or {}).get("name") or "") == remote.group:
            for version in group.get("versions") or ():
                if version.get("version") == remote.version:
                    return {**version, "freshness": CURRENT}
    return {"version": remote.version, "freshness": CURRENT}


def _from_resources(remote: Remote, document: Object) -> Object:
    """An APIResourceList as an APIVersionDiscovery."""
    resources: dict[str, Object] = {}
    for entry in document.get("resources") or ():
        name, _, below = str(entry.get("name", "")).partition("/")
        kind = {"group": entry.get("group") or "", "version": entry.get("version") or "", "kind": entry.get("kind") or ""}
        if not below:
            resources[name] = _resource(name, entry, kind)
        elif name in resources:
            shown: Object = {"subresource": below, "responseKind": kind, "verbs": entry.get("verbs") or []}
            resources[name].setdefault("subresources", []).append(shown)
    return {"version": remote.version, "resources": list(resources.values()), "freshness": CURRENT}


def _resource(name: str, entry: Object, kind: Object) -> Object:
    found: Object = {
        "resource": name,
        "responseKind": kind,
        "scope": "Namespaced" if entry.get("namespaced") else "Cluster",
        "singularResource": entry.get("singularName") or "",
        "verbs": entry.get("verbs") or [],
    }
    named: dict[str, Any] = {field: entry[field] for field in ("shortNames", "categories") if entry.get(field)}
    return {**found, **named}
