"""A read replica's way through: what it can answer from its own index, and who else answers the rest.

get, list and watch of objects are its own, as long as its index goes back far enough. All else goes to the leader over a unix
socket that nobody but the server's own user can reach: writes, subresources, reviews, discovery, the past, and tokens whose use
is to be written down. Who asks was found out from the connection here, so that is told along; tokens and impersonation are
looked at there.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from navarch.apimachinery import errors
from navarch.apimachinery.errors import StatusError
from navarch.apiserver import respond
from navarch.apiserver.authentication import ANONYMOUS_USER
from navarch.apiserver.freshness import REVISION, storage_errors
from navarch.apiserver.pipeline import Pipeline
from navarch.apiserver.request import APIRequest
from navarch.apiserver.requestinfo import RequestInfo, parse, parse_query
from navarch.apiserver.subresources.forwarding import HOP_BY_HOP, end_to_end, forward
from navarch.component import httpserver
from navarch.component.httpclient import HTTPClient
from navarch.component.httpserver import KEPT_APART, Handler, Request, Response
from navarch.storage.mvcc import MVCC
from navarch.storage.replica.feed import Feed
from navarch.storage.store import Store

CARRIED = "x-navarch-carried"
"""Holds what the replica knows of the connection. Looked at on the leader's socket alone; a client's own is thrown away."""
CALLERS_LIMIT = 1024
_NOT_CARRIED = HOP_BY_HOP | {"host", "expect"}
# Their answers go on for as long as somebody reads them.
_STREAMS = frozenset({"attach", "exec", "log", "portforward", "proxy"})
_OWN_PATHS = ("healthz", "livez", "readyz", "version")
_OBJECTS = ("/api/", "/apis/")
_OWN_VERBS = frozenset({"get", "list", "watch"})
# Of the leader's own parts.
_LEADERS_RESOURCES = frozenset({"componentstatuses"})


FEED, API = "feed", "api"
"""Sockets of the leader, in a directory: what happens, and requests."""


class ReadReplica:
    """Answers requests, or has the leader answer them."""

    def __init__(self, pipeline: Pipeline, store: Store, leader: Path) -> None:
        """`leader` is the directory of the leader's sockets."""
        self._pipeline = pipeline
        self._store = store
        self._socket = str(leader / API)
        self._leader = self._client()

    def _client(self) -> HTTPClient:
        return HTTPClient("http://leader", unix_socket=self._socket)

    async def handle(self, request: Request) -> Response:
        """Answer an HTTP request."""
        is_only_read = not self._pipeline.must_be_noted(request)
        if is_only_read and request.head and not request.query and request.path.startswith(_OBJECTS):
            answer = await self._at_once(request)
            if answer is not None:
                return answer
        try:
            query = parse_query(request.query)
            info = parse(request.method, request.path, query)
        except StatusError:
            # What is wrong with it is said here.
            return await self._pipeline.handle(request)
        if request.body_too_large or (is_only_read and self._is_own(request, info, query)):
            return await self._pipeline.handle(request)
        try:
            return await self._carry(request, info, query)
        except OSError as error:
            return respond.failure(errors.service_unavailable(f"the server that writes cannot be reached: {error}"))

    async def _at_once(self, request: Request) -> Response | None:
        """The commonest request of all, a GET of one object, once the leader has said how far it is; None for any other."""
        try:
            with storage_errors:
                await self._store.fresh()
        except StatusError as error:
            return respond.failure(error)
        whole = self._pipeline.answer_at_once(request, is_fresh=True)
        return Response(whole=whole) if whole is not None else None

    def _is_own(self, request: Request, info: RequestInfo, query: Mapping[str, list[str]]) -> bool:
        if request.method not in ("GET", "HEAD") or request.wants_upgrade:
            return False
        if not info.is_resource:
            return info.path.split("/")[1] in _OWN_PATHS
        if info.verb not in _OWN_VERBS or info.subresource or info.resource in _LEADERS_RESOURCES:
            return False
        if "continue" in query or query.get("resourceVersionMatch") == ["Exact"]:
            return False
        (version, *_) = query.get("resourceVersion") or [""]
        is_old = bool(REVISION.match(version)) and 0 < int(version) < self._store.compacted
        return not (info.verb == "watch" and is_old)

    async def _carry(self, request: Request, info: RequestInfo, query: Mapping[str, list[str]]) -> Response:
        """Raises OSError."""
        headers = {name: value for name, value in request.headers.items() if not name.startswith(KEPT_APART)}
        headers.pop(CARRIED, None)
        headers[CARRIED] = _told(request)
        target = f"{request.path}?{request.query}" if request.query else request.path
        if request.wants_upgrade or info.subresource in _STREAMS or info.verb == "watch":
            authorization = {name: headers[name] for name in ("authorization", CARRIED) if name in headers}
            asked = APIRequest(info, request.method, query, ANONYMOUS_USER, headers, request.body)
            return await forward(self._client(), asked, target, authorization)
        sent = {name: value for name, value in headers.items() if name not in _NOT_CARRIED}
        answer = await self._leader.request(request.method, target, headers=sent, body=request.body, timeout_seconds=None)
        return Response(answer.status, end_to_end(answer.headers), answer.body)

    def close(self) -> None:
        self._leader.close()


def _told(request: Request) -> str:
    """What goes along with a carried request."""
    subject = request.peer_certificate.get("subject") if request.peer_certificate else None
    apart = {name: value for name, value in request.headers.items() if name.startswith(KEPT_APART)}
    return base64.b64encode(orjson.dumps([subject, request.remote_address, apart])).decode()


class Replicas:
    """The leader's side: what it does for those that follow it."""

    def __init__(self, index: MVCC, handler: Handler, directory: Path) -> None:
        self._feed = Feed(index)
        self._handler = handler
        self._directory = directory
        self._server: httpserver.Server | None = None

    async def listen(self) -> None:
        """In a directory that only the server's own user may enter. Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        for name in (FEED, API):
            (self._directory / name).unlink(missing_ok=True)
        await self._feed.listen(self._directory / FEED)
        self._server = await httpserver.serve(carried(self._handler), path=str(self._directory / API))

    @property
    def followers(self) -> int:
        """How many follow."""
        return self._feed.followers

    def silent(self) -> set[int]:
        """Process ids of those that hang."""
        return self._feed.silent()

    async def close(self) -> None:
        await self._feed.close()
        if self._server is not None:
            await self._server.close()
            self._server = None


def carried(handler: Handler) -> Handler:
    """The leader's side: requests as they came to the replica."""

    async def handle(request: Request) -> Response:
        headers = dict(request.headers)
        told = headers.pop(CARRIED, None)
        if told is None:
            return respond.failure(errors.unauthorized())
        certificate, remote_address, apart = _caller(told)
        request.headers = {**headers, **apart}
        request.peer_certificate, request.remote_address = certificate, remote_address
        return await handler(request)

    return handle


@lru_cache(CALLERS_LIMIT)
def _caller(told: str) -> tuple[Mapping[str, Any] | None, str, Mapping[str, str]]:
    """The same value for requests of the same connection, which is known by it then."""
    subject, remote_address, apart = orjson.loads(base64.b64decode(told))
    return {"subject": subject} if subject else None, remote_address, apart
