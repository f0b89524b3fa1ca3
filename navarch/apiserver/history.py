"""``/navarch/v1/history``: the versions of an object, or what a user agent has changed; with who wrote them, and when.

    ?group=G&resource=R&namespace=N&name=X        every version known, oldest first
    ?userAgent=A&since=MILLISECONDS               changes by user agents that begin so, oldest first

DELETE with the first query removes for good what was in earlier versions, as far as the store can; it needs the right to
delete the object.

Whoever asks must be allowed to read the path and, as the objects say it all, also each object that is shown.
"""

from __future__ import annotations

import orjson

from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.authorization import AuthorizerChain
from navarch.apiserver.freshness import storage_errors
from navarch.apiserver.negotiation import JSON
from navarch.apiserver.request import APIRequest
from navarch.apiserver.requestinfo import RequestInfo
from navarch.component.httpserver import Response
from navarch.storage.backend import Version
from navarch.storage.collection import collection_prefix
from navarch.storage.store import Store

PATH = "/navarch/v1/history"
# More than somebody would want to look at, or put back in one go.
CHANGES_LIMIT = 5000


class HistoryPath:
    """Answers what is asked of the past."""

    def __init__(self, kinds: tuple[Kind, ...], store: Store, authorizer: AuthorizerChain) -> None:
        self._store = store
        self._authorizer = authorizer
        stored = [kind for kind in kinds if kind.stored_as is None]
        self._by_resource = {(kind.group, kind.plural): kind for kind in stored}
        self._by_prefix = {kind.key_prefix: kind for kind in stored}

    async def serve(self, request: APIRequest) -> Response:
        """Raises 400 for a question that makes no sense, 403."""
        if request.method == "DELETE":
            return await self._purge(request)
        if request.method != "GET":
            raise errors.method_not_allowed()
        agent = request.option("userAgent")
        if agent:
            found = await self._written_by(request, agent)
        else:
            found = await self._versions(request)
        content = {"knowsAuthors": self._store.knows_authors, **found}
        return Response(200, (("Content-Type", JSON),), orjson.dumps(content))

    async def _versions(self, request: APIRequest) -> Object:
        kind, namespace, name = self._named(request, "get")
        with storage_errors:
            await self._store.fresh()
            versions = await self._store.versions(kind.key_prefix, kind.key(namespace, name))
        return {"versions": [_shown(kind, version) for version in versions]}

    async def _purge(self, request: APIRequest) -> Response:
        kind, namespace, name = self._named(request, "delete")
        with storage_errors:
            count = await self._store.purge(kind.key_prefix, kind.key(namespace, name))
        return Response(200, (("Content-Type", JSON),), orjson.dumps({"purged": count}))

    def _named(self, request: APIRequest, verb: str) -> tuple[Kind, str, str]:
        """The object that is meant, by its kind, namespace and name, which may be asked so."""
        group, plural = request.option("group"), request.option("resource")
        kind = self._by_resource.get((group, plural))
        if kind is None:
            raise errors.bad_request(f"there is no resource {errors.qualified(group, plural)!r} whose history is kept")
        namespace, name = request.option("namespace"), request.option("name")
        if not name or bool(namespace) != kind.namespaced:
            raise errors.bad_request("an object is named by its name and, if its kind has them, its namespace")
        self._require(request, kind, namespace, name, verb)
        return kind, namespace, name

    async def _written_by(self, request: APIRequest, agent: str) -> Object:
        since_ms = request.integer("since")
        if since_ms is None or since_ms < 0:
            raise errors.bad_request("since is a number of milliseconds since 1970")
        with storage_errors:
            versions = await self._store.written_by(agent, since_ms, CHANGES_LIMIT + 1)
        shown = []
        for version in versions[:CHANGES_LIMIT]:
            kind = self._by_prefix.get(collection_prefix(version.record.key))
            # What the server keeps for itself beside an object comes and goes with it.
            if kind is not None:
                change = _shown(kind, version)
                metadata = change["object"]["metadata"]
                self._require(request, kind, metadata.get("namespace", ""), metadata["name"])
                shown.append(change)
        return {"versions": shown, "isComplete": len(versions) <= CHANGES_LIMIT}

    def _require(self, request: APIRequest, kind: Kind, namespace: str, name: str, verb: str = "get") -> None:
        info = RequestInfo(request.info.path, verb, True, kind.group, kind.version, namespace, kind.plural, name)
        self._authorizer.require(request.user, info)


def _shown(kind: Kind, version: Version) -> Object:
    record, author = version.record, version.author
    obj = record.object()
    how = "DELETED" if version.deleted else "ADDED" if record.created == record.revision else "MODIFIED"
    return {
        "revision": record.revision,
        "type": how,
        "timeMilliseconds": version.written_ms,
        "user": author.user,
        "fieldManager": author.manager,
        "userAgent": author.agent,
        "group": kind.group,
        "version": kind.version,
        "resource": kind.plural,
        "namespace": meta.namespace(obj) if kind.namespaced else "",
        "name": meta.name(obj),
        "object": obj,
    }
