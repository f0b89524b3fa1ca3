"""May this user do that? The door through which RBAC and webhooks come: a chain of authorizers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from navarch.apimachinery import errors
from navarch.apimachinery.errors import Object, StatusError
from navarch.apiserver.request import MASTERS_GROUP, User
from navarch.apiserver.requestinfo import RequestInfo

PUBLIC_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})


class Decision(Enum):
    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision and why."""

    decision: Decision
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What somebody may do in a namespace, as far as rules can say it."""

    resources: tuple[Object, ...] = ()
    paths: tuple[Object, ...] = ()


_EVERYTHING = Rules(
    ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},),
    ({"verbs": ["*"], "nonResourceURLs": ["*"]},),
)
ALLOW = Verdict(Decision.ALLOW)
NO_OPINION = Verdict(Decision.NO_OPINION)


class Authorizer(Protocol):
    """Decides, or leaves it to the next one."""

    def authorize(self, user: User, info: RequestInfo) -> Verdict: ...

    def rules(self, user: User, namespace: str) -> Rules:
        """What it allows."""


class SystemMasters:
    """Members of system:masters may do everything."""

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        return ALLOW if MASTERS_GROUP in user.groups else NO_OPINION

    def rules(self, user: User, namespace: str) -> Rules:
        return _EVERYTHING if MASTERS_GROUP in user.groups else Rules()


class PublicPaths:
    """Health and version are for everybody."""

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        public = not info.is_resource and (info.path in PUBLIC_PATHS or info.path.startswith(("/livez/", "/readyz/")))
        return ALLOW if public else NO_OPINION

    def rules(self, user: User, namespace: str) -> Rules:
        return Rules(paths=({"verbs": ["*"], "nonResourceURLs": [*sorted(PUBLIC_PATHS), "/livez/*", "/readyz/*"]},))


class Authenticated:
    """Whoever has shown who they are may do everything (Kubernetes' AlwaysAllow, without anonymous users)."""

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        return NO_OPINION if user.is_anonymous else ALLOW

    def rules(self, user: User, namespace: str) -> Rules:
        return Rules() if user.is_anonymous else _EVERYTHING


class AuthorizerChain:
    """The first decision counts; no decision is a refusal."""

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = tuple(authorizers)

    def authorize(self, user: User, info: RequestInfo) -> Verdict:
        for authorizer in self._authorizers:
            verdict = authorizer.authorize(user, info)
            if verdict.decision is not Decision.NO_OPINION:
                return verdict
        return NO_OPINION

    def rules(self, user: User, namespace: str) -> Rules:
        """What any of them allows, each rule once."""
        resources: list[Object] = []
        paths: list[Object] = []
        for authorizer in self._authorizers:
            found = authorizer.rules(user, namespace)
            resources += [rule for rule in found.resources if rule not in resources]
            paths += [rule for rule in found.paths if rule not in paths]
        return Rules(tuple(resources), tuple(paths))

    def require(self, user: User, info: RequestInfo) -> None:
        """Raise 403 unless allowed."""
        verdict = self.authorize(user, info)
        if verdict.decision is not Decision.ALLOW:
            raise refusal(user, info, verdict.reason)


def refusal(user: User, info: RequestInfo, reason: str) -> StatusError:
    """403 in Kubernetes' words."""
    because = f": {reason}" if reason else ""
    if not info.is_resource:
        text = f'User "{user.name}" cannot {info.verb} path "{info.path}"{because}'
        return errors.forbidden("", "", "", text)
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    scope = f'in the namespace "{info.namespace}"' if info.namespace else "at the cluster scope"
    text = f'User "{user.name}" cannot {info.verb} resource "{resource}" in API group "{info.group}" {scope}{because}'
    return errors.forbidden(info.group, info.resource, info.name, text)
