"""GET of one object as it is stored: the commonest request of all, answered at once where nothing has to be waited for.

What a request's headers and its collection say is worked out once and remembered as a plan. Who asks, whether they may, and
whether the object is there, is asked each time. Whatever is out of the ordinary takes the pipeline's straight line, and so
does everything that ends in an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from navarch.api.kind import Kind
from navarch.api.protobuf import encoder
from navarch.apimachinery.errors import StatusError
from navarch.apiserver import respond
from navarch.apiserver.authentication import Authenticator
from navarch.apiserver.authorization import AuthorizerChain, Decision
from navarch.apiserver.monitoring import RequestMetrics
from navarch.apiserver.negotiation import PLAIN, PROTOBUF, Representation, negotiate, wants_pretty
from navarch.apiserver.requestinfo import RequestInfo, parse
from navarch.component import clock
from navarch.component.httpserver import KEPT_APART, Request, http_date
from navarch.component.metrics import Labels
from navarch.storage.store import Store

PLANS_LIMIT = 4096
HEAD_LIMIT_BYTES = 2048
"""Plans are known by the headers of their requests: longer ones are not kept."""
_NO_QUERY: Mapping[str, list[str]] = {}
# With these, an answer or its way depends on more than path and user.
_PARTICULAR = frozenset({"audit-id", "upgrade", "sec-websocket-protocol"})


@dataclass(frozen=True, slots=True)
class _Plan:
    """How requests with the same headers for objects of the same kind are answered."""

    kind: Kind
    representation: Representation
    head: bytes
    """Up to the value of Audit-Id."""
    labels: Labels


class QuickReads:
    """Answers what can be answered at once."""

    def __init__(
        self, store: Store, authenticator: Authenticator, authorizer: AuthorizerChain, metrics: RequestMetrics
    ) -> None:
        self._store = store
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._in_flight = metrics.in_flight
        self._metrics = metrics
        self._kinds: Mapping[tuple[str, str, str], Kind] = {}
        self._plans: dict[tuple[bytes, str, str, str], _Plan | None] = {}

    def serve(self, kinds: Mapping[tuple[str, str, str], Kind]) -> None:
        """Answer for these kinds, by group, version and plural, from now on."""
        self._kinds = kinds
        self._plans.clear()

    def answer(self, request: Request, *, is_fresh: bool = False) -> bytes | None:
        """A whole response; None if this is not the place to answer, as the store may be behind, unless it `is_fresh`."""
        if request.query or (self._store.is_shared and not is_fresh) or self._in_flight.is_full:
            return None
        if len(request.head) > HEAD_LIMIT_BYTES:
            return None
        started = clock.monotonic()
        info = parse("GET", request.path, _NO_QUERY)
        plan = self._plan(request, info)
        if plan is None or info.subresource or not info.name:
            return None
        try:
            user = self._authenticator.authenticate(request)
        except StatusError:
            return None
        if user.warnings:
            return None
        if self._authorizer.authorize(user, info).decision is not Decision.ALLOW:
            return None
        kind = plan.kind
        if kind.namespaced is not bool(info.namespace) and info.resource != "namespaces":
            return None
        record = self._store.get(kind.key_prefix, kind.key(info.namespace, info.name))
        if record is None:
            return None
        if plan.representation is PLAIN:
            body, end = record.data, b"\n"
        else:
            body, end = respond.protobuf(kind, record), b""
        size = len(body) + len(end)
        self._metrics.observe_get(plan.labels, clock.monotonic() - started, size)
        head = b"%b%b\r\nDate: %b\r\nContent-Length: %d" % (plan.head, clock.uid().encode(), http_date(), size)
        return b"%b\r\n\r\n%b%b" % (head, body, end)

    def _plan(self, request: Request, info: RequestInfo) -> _Plan | None:
        key = (request.head, info.group, info.version, info.resource)
        try:
            return self._plans[key]
        except KeyError:
            pass
        if len(self._plans) >= PLANS_LIMIT:
            self._plans.clear()
        plan = self._plans[key] = self._make(request.headers, info)
        return plan

    def _make(self, headers: Mapping[str, str], info: RequestInfo) -> _Plan | None:
        kind = self._kinds.get((info.group, info.version, info.resource))
        if kind is None or kind.stored_as is not None or kind.deprecation or "get" not in kind.verbs:
            return None
        if not _PARTICULAR.isdisjoint(headers) or any(name.startswith(KEPT_APART) for name in headers):
            return None
        try:
            found = negotiate(headers.get("accept", ""), has_protobuf=encoder.is_encodable(kind))
        except StatusError:
            return None
        if (
            wants_pretty(_NO_QUERY, headers.get("user-agent", ""))
            or found.form
            or found.media_type not in (PLAIN.media_type, PROTOBUF)
        ):
            return None
        shown = f"Content-Type: {found.media_type}\r\nCache-Control: no-cache, private\r\nAudit-Id: "
        head = f"HTTP/1.1 200 OK\r\n{shown}".encode()
        return _Plan(kind, PLAIN if found == PLAIN else found, head, self._metrics.labels_of_get(info))
