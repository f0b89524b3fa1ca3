"""How many requests are under way, and what those are answered that are too many (k8s.io/apiserver/pkg/server/filters)."""

from __future__ import annotations

from navarch.apiserver.request import MASTERS_GROUP, User
from navarch.apiserver.requestinfo import RequestInfo
from navarch.component.httpserver import Response

READ_ONLY, MUTATING = "readOnly", "mutating"
READ_ONLY_LIMIT, MUTATING_LIMIT = 400, 200
READ_ONLY_VERBS = frozenset({"get", "list", "watch"})
_LONG_RUNNING = frozenset({"attach", "exec", "proxy", "log", "portforward"})


def is_long_running(info: RequestInfo) -> bool:
    """Whether a request may take as long as it likes."""
    return info.verb == "watch" or info.subresource in _LONG_RUNNING


class TooManyRequests(Exception):
    """Requests of this kind are at their limit."""


class InFlight:
    """Counts requests, but those that may take as long as they like; the two kinds have limits of their own."""

    def __init__(self, read_only_limit: int = READ_ONLY_LIMIT, mutating_limit: int = MUTATING_LIMIT) -> None:
        self.counts = {MUTATING: 0, READ_ONLY: 0}
        self._limits = {MUTATING: mutating_limit, READ_ONLY: read_only_limit}

    @property
    def is_full(self) -> bool:
        """Whether one more that only reads would be too many."""
        return self.counts[READ_ONLY] >= self._limits[READ_ONLY]

    def enter(self, info: RequestInfo, user: User) -> str:
        """Count a request until `leave` is told what this returns. Raises TooManyRequests; members of system:masters pass."""
        if is_long_running(info):
            return ""
        kind = READ_ONLY if info.verb in READ_ONLY_VERBS else MUTATING
        if self.counts[kind] >= self._limits[kind]:
            if MASTERS_GROUP in user.groups:
                return ""
            raise TooManyRequests
        self.counts[kind] += 1
        return kind

    def leave(self, kind: str) -> None:
        if kind:
            self.counts[kind] -= 1


def refusal() -> Response:
    """429, in plain text."""
    headers = (
        ("Retry-After", "1"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-Content-Type-Options", "nosniff"),
    )
    return Response(429, headers, b"Too many requests, please try again later.\n")
