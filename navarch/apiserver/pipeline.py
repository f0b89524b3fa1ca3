"""The straight line every request takes: parse, authenticate, authorize, find the kind, do the verb, answer.

HTTP and the in-process transport enter at different ends of the same line: both come through `execute`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import orjson

from navarch.api.core import binding as bindings
from navarch.api.core import componentstatus
from navarch.api.kind import Kind
from navarch.api.protobuf import encoder
from navarch.apimachinery import errors
from navarch.apimachinery.errors import StatusError
from navarch.apiserver import (
    body,
    connecting,
    deletion,
    impersonation,
    inflight,
    options,
    patching,
    respond,
    reviews,
    websockets,
)
from navarch.apiserver.aggregation.aggregation import Aggregation
from navarch.apiserver.authentication import Authenticator, without_token
from navarch.apiserver.authorization import AuthorizerChain
from navarch.apiserver.componentstatuses import ComponentStatuses
from navarch.apiserver.customresources import CustomResources, all_kinds
from navarch.apiserver.discovery import Discovery
from navarch.apiserver.explain import PATH as EXPLAIN_PATH
from navarch.apiserver.explain import ExplainPath
from navarch.apiserver.freshness import catch_up, storage_errors
from navarch.apiserver.health import Health
from navarch.apiserver.history import PATH as HISTORY_PATH
from navarch.apiserver.history import HistoryPath
from navarch.apiserver.inflight import READ_ONLY_VERBS
from navarch.apiserver.monitoring import RequestMetrics
from navarch.apiserver.negotiation import JSON, PLAIN, PRETTY, Representation, negotiate, wants_pretty
from navarch.apiserver.openapi.documents import OpenAPI
from navarch.apiserver.openid import OpenID
from navarch.apiserver.quickreads import QuickReads
from navarch.apiserver.request import Answer, APIRequest, ObjectAnswer, User, Waits, WatchAnswer
from navarch.apiserver.requestinfo import RequestInfo, parse, parse_query
from navarch.apiserver.resources import Resources
from navarch.apiserver.subresources import binding, eviction, finalize, scale, token
from navarch.apiserver.subresources.nodetunnel import NodeTunnel
from navarch.apiserver.subresources.proxy import Proxy
from navarch.apiserver.tokens import TokenAuthority
from navarch.component import clock, websocket
from navarch.component.httpserver import BODY_LIMIT_BYTES, Parts, Request, Response
from navarch.storage.author import author, writing

logger = logging.getLogger(__name__)

_UNREADABLE = RequestInfo("", "")
_UNCACHED = ("Cache-Control", "no-cache, private")
_PLAIN_TEXT = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
# What is only ever posted is not shown in rows.
_WITHOUT_TABLE = reviews.KINDS | {bindings.KIND}
_SUBRESOURCES_WITHOUT_TABLE = frozenset({"binding", "eviction", "token"})
_STREAMS = frozenset({"log", "exec", "attach", "portforward"})
_UPGRADED = ("GET", "POST")
_METHODS = {"log": ("GET", "HEAD"), "exec": _UPGRADED, "attach": _UPGRADED, "portforward": _UPGRADED}
"""Of subresources that do the same whatever they are asked by."""

Subresource = Callable[[APIRequest, Kind], Awaitable[ObjectAnswer]]


class Pipeline:
    """Everything between a request and its answer."""

    def __init__(
        self,
        kinds: tuple[Kind, ...],
        resources: Resources,
        custom: CustomResources,
        aggregation: Aggregation,
        tokens: TokenAuthority,
        authorizer: AuthorizerChain,
        tunnel: NodeTunnel,
        health: Health,
        components: ComponentStatuses,
        metrics: RequestMetrics,
        external_address: Callable[[], str],
    ) -> None:
        """`external_address` is where clients reach this server, ``host:port``."""
        self._builtin = kinds
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in kinds}
        self.resources = resources
        self._custom = custom
        custom.on_change(self._serve_custom)
        self._aggregation = aggregation
        aggregation.on_change(self._describe)
        self._authenticator = Authenticator(tokens)
        self._authorizer = authorizer
        self._external_address = external_address
        self._discovery = Discovery(kinds, external_address)
        self._openapi = OpenAPI(kinds)
        self._openid = OpenID(tokens, external_address)
        self._history = HistoryPath(kinds, resources.store, authorizer)
        self.explain = ExplainPath(authorizer)
        self._reviews = reviews.Reviews(tokens, authorizer)
        self._tunnel = tunnel
        self._proxy = Proxy(resources, tunnel)
        self._health = health
        self._components = components
        self._metrics = metrics
        self._in_flight = metrics.in_flight
        self._long_bodies = asyncio.Lock()
        self._quick = QuickReads(resources.store, self._authenticator, authorizer, metrics)
        self._quick.serve(self._kinds)
        self._subresources: dict[str, Subresource] = {
            "scale": lambda request, kind: scale.serve(resources, request, kind),
            "binding": lambda request, kind: binding.serve(resources, request, kind),
            "eviction": lambda request, kind: eviction.serve(resources, request, kind),
            "token": lambda request, kind: token.serve(resources, tokens, request, kind),
            "finalize": lambda request, kind: finalize.serve(resources, request, kind),
        }

    def _serve_custom(self) -> None:
        """Serve what users define now beside what is built in."""
        kinds = all_kinds(self._builtin, self._custom.kinds)
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in kinds}
        self._describe()
        self._metrics.serve(kinds)

    def answer_at_once(self, request: Request, *, is_fresh: bool = False) -> bytes | None:
        """The whole response to a GET whose headers are known, if it needs no waiting; else `handle` has to answer it."""
        try:
            return self._quick.answer(request, is_fresh=is_fresh)
        except Exception:
            # The straight line has its own defence.
            logger.exception("GET %s could not be answered at once", request.path)
            return None

    def _describe(self) -> None:
        """Say of what is served, here and elsewhere, what it is."""
        kinds = tuple(self._kinds.values())
        here = {place: kind for place, kind in self._kinds.items() if self._aggregation.find(kind.api_path) is None}
        self._quick.serve(here)
        self._discovery = Discovery(kinds, self._external_address, self._aggregation.versions())
        self._openapi = OpenAPI(kinds, self._openapi, self._aggregation.openapi())

    async def handle(self, request: Request) -> Response:
        """Answer an HTTP request."""
        started = clock.monotonic()
        counted = ""
        query: dict[str, list[str]] = {}
        info, representation, waits = _UNREADABLE, PLAIN, Waits()
        try:
            query = parse_query(request.query)
            info = parse(request.method, request.path, query)
            representation, unacceptable = self._representation(request, info, query)
            if "timeout" in query and not inflight.is_long_running(info):
                options.check_timeout(query)
            user = await self._authenticate(request)
            request.headers = without_token(request.headers)
            wanted = impersonation.wanted(request.headers)
            if wanted is not None:
                user = replace(impersonation.impersonate(self._authorizer, user, wanted, info), warnings=user.warnings)
                request.headers = impersonation.without(request.headers)
            counted = self._in_flight.enter(info, user)
            response = await self._answer(request, info, query, user, representation, unacceptable, waits)
        except errors.PageNotFound:
            response = Response(404, _PLAIN_TEXT, b"404 page not found\n")
        except inflight.TooManyRequests:
            response = inflight.refusal()
        except StatusError as error:
            response = respond.failure(error, representation)
        except Exception as error:
            # The last line of defence: one broken request must not look like a broken connection.
            logger.exception("%s %s failed", request.method, request.path)
            response = respond.failure(errors.internal_error(f"{type(error).__name__}: {error}"), representation)
        finally:
            self._in_flight.leave(counted)
        own = [("Audit-Id", request.headers.get("audit-id") or clock.uid())]
        if not response.has("cache-control"):
            own.append(_UNCACHED)
        response.headers = (*response.headers, *own)
        self._metrics.observe(
            request.method,
            info,
            response.status,
            clock.monotonic() - started,
            len(response.body) if isinstance(response.body, bytes | Parts) else None,
            dry_run="dryRun" in query,
            apply=request.headers.get("content-type", "").startswith("application/apply-patch"),
            waited_seconds=waits.in_turn + waits.at_once,
        )
        return response

    def _representation(
        self, request: Request, info: RequestInfo, query: Mapping[str, list[str]]
    ) -> tuple[Representation, StatusError | None]:
        """The form that the client wants its answer in; where it accepts none that there is, that of errors, and the 406.

        What is no object has a form of its own, and only its errors are negotiated.
        """
        headers = request.headers
        is_object = info.is_resource and info.subresource not in _STREAMS and info.subresource != "proxy"
        kind = self._kinds.get((info.group, info.version, info.resource)) if is_object else None
        has_protobuf = kind is None or encoder.is_encodable(kind)
        has_table = kind not in _WITHOUT_TABLE and info.subresource not in _SUBRESOURCES_WITHOUT_TABLE
        streamed = info.verb == "watch"
        try:
            found = negotiate(headers.get("accept", ""), has_protobuf=has_protobuf, has_table=has_table, streamed=streamed)
        except StatusError as unacceptable:
            return PRETTY, unacceptable if is_object else None
        return (replace(found, pretty=True) if wants_pretty(query, headers.get("user-agent", "")) else found), None

    async def _answer(
        self,
        request: Request,
        info: RequestInfo,
        query: dict[str, list[str]],
        user: User,
        representation: Representation,
        unacceptable: StatusError | None,
        waits: Waits,
    ) -> Response:
        if request.body_too_large:
            raise errors.request_entity_too_large(BODY_LIMIT_BYTES)
        asked = APIRequest(
            info,
            request.method,
            query,
            user,
            request.headers,
            request.body,
            content_type=request.headers.get("content-type", ""),
            raw_path=request.path,
            raw_query=request.query,
            remote_address=request.remote_address,
            unacceptable=unacceptable,
            waits=waits,
        )
        asked.warn(user.warnings)
        try:
            answer = await self.execute(asked)
        except StatusError as error:
            error.headers |= respond.warning_headers(asked)
            raise
        response = await respond.respond(asked, answer, representation)
        if isinstance(answer, WatchAnswer) and websocket.is_websocket(request.headers):
            return websockets.serve_watch(asked, response)
        return response

    def must_be_noted(self, request: Request) -> bool:
        """Whether it has to be written down that the request's credentials were used."""
        return self._authenticator.must_be_noted(request)

    async def _authenticate(self, request: Request) -> User:
        """Raises 401."""
        try:
            return self._authenticator.authenticate(request)
        except StatusError:
            # Another server may just have made the account of a token.
            with storage_errors:
                if not await self.resources.store.fresh():
                    raise
        return self._authenticator.authenticate(request)

    async def execute(self, request: APIRequest) -> Answer:
        """Authorize and do what the request asks. Raises StatusError."""
        info = request.info
        request.require = self._authorizer.require
        request.require(request.user, info)
        remote = self._aggregation.find(info.path)
        if remote is not None:
            return await self._aggregation.serve(request, remote)
        if not info.is_resource:
            if info.path == EXPLAIN_PATH:
                return self.explain.serve(request)
            return await self._history.serve(request) if info.path == HISTORY_PATH else self._other(request)
        if info.verb not in READ_ONLY_VERBS:
            # Of all that is written from here on, until the next request of the same task.
            writing.set(author(request.user.name, request.option("fieldManager"), request.headers.get("user-agent", "")))
        kind = self._kinds.get((info.group, info.version, info.resource))
        if kind is None and self.resources.store.is_shared:
            # It may just have been defined at another server.
            with storage_errors:
                await self.resources.store.fresh()
            kind = self._kinds.get((info.group, info.version, info.resource))
        if kind is None:
            raise errors.no_such_path() if self._discovery.knows(info.group) else errors.page_not_found()
        if request.unacceptable is not None:
            raise request.unacceptable
        if len(request.body) > body.AT_ONCE_LIMIT_BYTES:
            await body.read_ahead(request, self._long_bodies)
        if kind in reviews.KINDS:
            if kind.namespaced != bool(info.namespace):
                raise errors.no_such_path()
            if info.verb != "create":
                raise errors.method_not_allowed()
            options.check_writing(request)
            await catch_up(self.resources.store, request)
            return self._reviews.create(request, kind)
        if info.namespace and not kind.namespaced and not (info.resource == "namespaces"):
            raise errors.no_such_path()
        if kind.deprecation:
            request.warn([kind.deprecation])
        if info.subresource:
            await catch_up(self.resources.store, request)
            run = self._subresource
        else:
            if info.verb not in kind.verbs and not kind.is_custom:
                raise errors.method_not_allowed()
            if kind is componentstatus.KIND:
                return self._components.serve(request)
            await catch_up(self.resources.store, request)
            run = self._verb
        if not kind.by_webhook:
            return await run(request, kind)
        from navarch.apiserver import conversion

        return await conversion.execute(self.resources, request, kind, run)

    async def _verb(self, request: APIRequest, kind: Kind) -> Answer:
        resources, info = self.resources, request.info
        if kind.namespaced and not info.namespace and info.verb not in ("list", "watch"):
            raise errors.no_such_path() if kind.is_custom else errors.method_not_allowed()
        match info.verb:
            case "get":
                if request.option("resourceVersionMatch") == "Exact":
                    return await resources.reading.get_past(request, kind)
                return resources.reading.get(request, kind)
            case "list":
                return await resources.reading.list_collection(request, kind)
            case "watch":
                answer = resources.reading.watch(request, kind)
                if kind.is_custom:
                    self._custom.follow(kind, answer.watch)
                return answer
            case "create":
                if info.name:
                    raise errors.method_not_allowed()
                if kind is bindings.KIND:
                    options.check_writing(request)
                    return await binding.serve_collection(resources, request)
                return await resources.create(request, kind)
            case "update" | "patch" if not info.name:
                raise errors.method_not_allowed()
            case "update":
                return await resources.update(request, kind)
            case "patch":
                return await patching.serve(resources, request, kind)
            case "delete":
                return await deletion.delete(resources, request, kind)
            case "deletecollection":
                return await deletion.delete_collection(resources, request, kind)
        raise errors.method_not_allowed()

    async def _subresource(self, request: APIRequest, kind: Kind) -> Answer:
        info = request.info
        if kind.is_custom and info.subresource not in kind.subresources:
            raise errors.not_found(kind.group, kind.plural, info.name)
        if info.subresource not in kind.subresources or not info.name:
            raise errors.no_such_path()
        if request.method not in _METHODS.get(info.subresource, (request.method,)):
            raise errors.method_not_allowed()
        if info.subresource in connecting.OPTIONS:
            await connecting.ask(self.resources, request, kind)
        if info.subresource in _STREAMS:
            return await self._tunnel.serve(request)
        if info.subresource == "proxy":
            return await self._proxy.serve(request, kind)
        serve = self._subresources.get(info.subresource)
        if serve is not None:
            if request.method in ("POST", "PUT"):
                options.check_writing(request)
            return await serve(request, kind)
        match info.verb:
            case "get":
                return self.resources.reading.get(request, kind)
            case "update":
                return await self.resources.update(request, kind, info.subresource)
            case "patch":
                return await patching.serve(self.resources, request, kind, info.subresource)
        raise errors.method_not_allowed()

    def _other(self, request: APIRequest) -> Response:
        sources = (self._health, self._discovery, self._openapi, self._openid)
        if request.info.path in ("", "/"):
            paths = sorted(path for source in sources for path in source.paths)
            return Response(200, (("Content-Type", JSON),), orjson.dumps({"paths": paths}, option=orjson.OPT_INDENT_2))
        for source in sources:
            answer = source.answer(request)
            if answer is not None:
                if request.method not in ("GET", "HEAD"):
                    raise errors.method_not_allowed()
                return answer
        raise errors.page_not_found()
