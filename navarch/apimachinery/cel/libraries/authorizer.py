"""Questions to the authorizer: ``authorizer.group('apps').resource('deployments').namespace('x').check('create').allowed()``.

What is asked goes to a callback, so that this knows nothing of users and policies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from navarch.apimachinery import names
from navarch.apimachinery.cel import types
from navarch.apimachinery.cel.declarations import Library, functions
from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.values import Opaque

_PREFIX = "kubernetes.authorization."


@dataclass(frozen=True, slots=True)
class Decision(Opaque):
    """What the authorizer says; `error` is "" unless it could not tell."""

    allowed: bool
    reason: str = ""
    error: str = ""
    cel_type = types.opaque(f"{_PREFIX}Decision")


@dataclass(frozen=True, slots=True)
class Question:
    """May somebody do this? `service_account` is (namespace, name), or None for who makes the request."""

    verb: str
    service_account: tuple[str, str] | None = None
    path: str | None = None
    """None of a resource."""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""


Ask = Callable[[Question], Decision]


@dataclass(frozen=True, slots=True)
class Authorizer(Opaque):
    """The value of the variable ``authorizer``."""

    ask: Ask
    service_account: tuple[str, str] | None = None
    cel_type = types.opaque(f"{_PREFIX}Authorizer")


@dataclass(frozen=True, slots=True)
class PathCheck(Opaque):
    ask: Ask
    question: Question
    cel_type = types.opaque(f"{_PREFIX}PathCheck")


@dataclass(frozen=True, slots=True)
class GroupCheck(Opaque):
    ask: Ask
    question: Question
    cel_type = types.opaque(f"{_PREFIX}GroupCheck")


@dataclass(frozen=True, slots=True)
class ResourceCheck(Opaque):
    """Also the value of ``authorizer.requestResource``."""

    ask: Ask
    question: Question
    cel_type = types.opaque(f"{_PREFIX}ResourceCheck")


def _path(authorizer: Authorizer, path: str) -> PathCheck:
    if not path.strip():
        raise EvaluationError("path must not be empty")
    return PathCheck(authorizer.ask, Question("", authorizer.service_account, path=path))


def _group(authorizer: Authorizer, group: str) -> GroupCheck:
    return GroupCheck(authorizer.ask, Question("", authorizer.service_account, group=group))


def _service_account(authorizer: Authorizer, namespace: str, name: str) -> Authorizer:
    if any(names.dns1123_subdomain(name)):
        raise EvaluationError("Invalid service account name")
    if any(names.dns1123_label(namespace)):
        raise EvaluationError("Invalid service account namespace")
    return Authorizer(authorizer.ask, (namespace, name))


def _resource(check: GroupCheck, resource: str) -> ResourceCheck:
    if not resource.strip():
        raise EvaluationError("resource must not be empty")
    return ResourceCheck(check.ask, replace(check.question, resource=resource))


def _with(field: str) -> Callable[[ResourceCheck, str], ResourceCheck]:
    return lambda check, value: ResourceCheck(check.ask, replace(check.question, **{field: value}))  # type: ignore[arg-type]


def _check(check: PathCheck | ResourceCheck, verb: str) -> Decision:
    return check.ask(replace(check.question, verb=verb))


_A, _P, _G, _R, _D = (f"{_PREFIX}{name}" for name in ("Authorizer", "PathCheck", "GroupCheck", "ResourceCheck", "Decision"))
LIBRARY = Library(
    "kubernetes.authz",
    functions(
        {
            "path": [("authorizer_path", f"{_A}.(string) -> {_P}", _path)],
            "group": [("authorizer_group", f"{_A}.(string) -> {_G}", _group)],
            "serviceAccount": [("authorizer_serviceaccount", f"{_A}.(string, string) -> {_A}", _service_account)],
            "resource": [("groupcheck_resource", f"{_G}.(string) -> {_R}", _resource)],
            "subresource": [("resourcecheck_subresource", f"{_R}.(string) -> {_R}", _with("subresource"))],
            "namespace": [("resourcecheck_namespace", f"{_R}.(string) -> {_R}", _with("namespace"))],
            "name": [("resourcecheck_name", f"{_R}.(string) -> {_R}", _with("name"))],
            "fieldSelector": [("authorizer_fieldselector", f"{_R}.(string) -> {_R}", _with("field_selector"))],
            "labelSelector": [("authorizer_labelselector", f"{_R}.(string) -> {_R}", _with("label_selector"))],
            "check": [
                ("pathcheck_check", f"{_P}.(string) -> {_D}", _check),
                ("resourcecheck_check", f"{_R}.(string) -> {_D}", _check),
            ],
            "errored": [("decision_errored", f"{_D}.() -> bool", lambda decision: bool(decision.error))],
            "error": [("decision_error", f"{_D}.() -> string", lambda decision: decision.error)],
            "allowed": [("decision_allowed", f"{_D}.() -> bool", lambda decision: decision.allowed)],
            "reason": [("decision_reason", f"{_D}.() -> string", lambda decision: decision.reason)],
        }
    ),
)
