"""Acting as somebody else, by the Impersonate- headers (k8s.io/apiserver/pkg/endpoints/filters/impersonation).

Who asks needs leave for each thing they want to be. The constrained modes come first, which give it for one kind of user and
for what is to be done as that user; then the verb ``impersonate`` by itself. Where no mode allows it, the first refusal is
told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import unquote

from navarch.apimachinery import errors, names
from navarch.apimachinery.errors import StatusError
from navarch.apiserver.authentication import UNAUTHENTICATED_GROUP
from navarch.apiserver.authorization import AuthorizerChain, refusal
from navarch.apiserver.request import ANONYMOUS, AUTHENTICATED_GROUP, MASTERS_GROUP, User
from navarch.apiserver.requestinfo import RequestInfo
from navarch.apiserver.tokens import NODE_NAME
from navarch.component.httpserver import KEPT_APART

USER, UID, GROUP, EXTRA = f"{KEPT_APART}user", f"{KEPT_APART}uid", f"{KEPT_APART}group", f"{KEPT_APART}extra-"
NODES_GROUP = "system:nodes"
ASSOCIATED_KEYS = "authentication.kubernetes.io/associated-node-keys"
_GROUP = "authentication.k8s.io"
_NODE, _ACCOUNT = "system:node:", "system:serviceaccount:"
# So many groups or extra values are first asked for all at once.
_MANY = 4

_MALFORMED_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")

Allowed = Callable[[RequestInfo], None]
"""Raises 403 unless who asks may do this."""


def wanted(headers: Mapping[str, str]) -> User | None:
    """Whom a request wants to be, as its headers say it. Raises 400 where they name no user but something else of one."""
    if KEPT_APART not in "\n".join(headers):
        return None
    extra: dict[str, list[str]] = {}
    for header in headers:
        if header.startswith(EXTRA):
            key = header[len(EXTRA) :]
            extra[key if _MALFORMED_ESCAPE.search(key) else unquote(key)] = _values(headers, header)
    name, uid = (_values(headers, header)[0] if header in headers else "" for header in (USER, UID))
    user = User(name, tuple(_values(headers, GROUP)) if GROUP in headers else (), uid, extra)
    if name:
        return user
    if user != User(""):
        raise errors.bad_request(f"requested {_shown(user)} without impersonating a user name")
    return None


def without(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers without those that were used up here."""
    return {name: value for name, value in headers.items() if name not in (USER, UID, GROUP) and not name.startswith(EXTRA)}


def impersonate(authorizer: AuthorizerChain, requestor: User, user: User, info: RequestInfo) -> User:
    """The user that `requestor` becomes for a request (`info`) that wants to be made as `user`. Raises 403."""
    refused: StatusError | None = None
    for mode, asking in _modes(requestor, user):
        try:
            return _as(authorizer, asking, user, mode, info)
        except StatusError as error:
            refused = refused or error
    assert refused is not None, "the last mode is for everybody"
    raise refused


def _modes(requestor: User, user: User) -> Iterator[tuple[str, User]]:
    """The modes that are for such a user, and as whom `requestor` asks in each; "" is the one without constraints."""
    node, account = _node_name(user.name), split_account(user.name)
    name_only = user == User(user.name)
    if node and name_only:
        if split_account(requestor.name) and tuple(requestor.extra.get(NODE_NAME) or ()) == (node,):
            yield "associated-node", replace(requestor, extra={ASSOCIATED_KEYS: sorted(requestor.extra)})
        yield "arbitrary-node", requestor
    elif account and name_only:
        yield "serviceaccount", requestor
    elif not node and not account:
        yield "user-info", requestor
    yield "", requestor


def _as(authorizer: AuthorizerChain, requestor: User, user: User, mode: str, info: RequestInfo) -> User:
    """`user` as it is in this mode. Raises 403."""

    def require(info: RequestInfo) -> None:
        authorizer.require(requestor, info)

    if mode:
        require(info._replace(verb=f"impersonate-on:{mode}:{info.verb}"))
    verb, group = (f"impersonate:{mode}", _GROUP) if mode else ("impersonate", "")
    asked = RequestInfo("", verb, True, group, "v1")
    groups = user.groups
    account, node = split_account(user.name), _node_name(user.name) if mode else ""
    if account:
        namespace, name = account
        require(asked._replace(resource="serviceaccounts", namespace=namespace, name=name))
        groups = groups or ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    elif node:
        # Leave for one associated node is leave for each of them.
        require(asked._replace(resource="nodes", name="*" if mode == "associated-node" else node))
        groups = (NODES_GROUP,)
    else:
        require(asked._replace(resource="users", name=user.name))
    if user.uid:
        require(asked._replace(group=_GROUP, resource="uids", name=user.uid))
    _check_groups(require, requestor, user.groups, asked._replace(resource="groups"), constrained=bool(mode))
    _check_extra(require, requestor, user.extra, asked._replace(group=_GROUP, resource="userextras"), constrained=bool(mode))
    added = UNAUTHENTICATED_GROUP if user.name == ANONYMOUS else AUTHENTICATED_GROUP
    if added not in groups and UNAUTHENTICATED_GROUP not in groups:
        groups = (*groups, added)
    return replace(user, groups=groups)


def _check_groups(require: Allowed, requestor: User, groups: Sequence[str], asked: RequestInfo, *, constrained: bool) -> None:
    if constrained:
        if "" in groups:
            raise refusal(requestor, asked, "impersonating the empty string group is not allowed")
        if MASTERS_GROUP in groups:
            asked = asked._replace(name=MASTERS_GROUP)
            raise refusal(requestor, asked, "impersonating the system:masters group is not allowed")
        if len(groups) >= _MANY and _may(require, asked._replace(name="*")):
            return
    for group in groups:
        require(asked._replace(name=group))


def _check_extra(
    require: Allowed, requestor: User, extra: Mapping[str, Sequence[str]], asked: RequestInfo, *, constrained: bool
) -> None:
    if constrained:
        problem = _extra_problem(extra)
        if problem:
            raise refusal(requestor, asked, problem)
        many = len(extra) >= _MANY or sum(map(len, extra.values())) >= _MANY
        if many and _may(require, asked._replace(subresource="*", name="*")):
            return
    for key, values in extra.items():
        for value in values:
            require(asked._replace(subresource=key, name=value))


def _extra_problem(extra: Mapping[str, Sequence[str]]) -> str:
    """Why nobody may be given these extra values in a constrained mode, or ""."""
    for key, values in extra.items():
        if not key:
            return "impersonating the empty string key in extra is not allowed"
        problems = list(names.domain_prefixed_path(key))
        if problems:
            told = ", ".join(errors.invalid_value("extra.key", value, detail).message for value, detail in problems)
            return f"impersonating an invalid key in extra is not allowed: {f'[{told}]' if len(problems) > 1 else told}"
        if key != key.lower():
            return f"impersonating a non-lowercase key in extra is not allowed: {_quoted(key)}"
        if "" in values:
            return "impersonating the empty string value in extra is not allowed"
    return ""


def _may(require: Allowed, info: RequestInfo) -> bool:
    try:
        require(info)
    except StatusError:
        return False
    return True


def split_account(name: str) -> tuple[str, str] | None:
    """Namespace and name of the service account with this user name, if it is one's."""
    namespace, separator, account = name.removeprefix(_ACCOUNT).partition(":")
    if not name.startswith(_ACCOUNT) or not separator:
        return None
    if next(iter(names.dns1123_label(namespace)), "") or next(iter(names.dns1123_subdomain(account)), ""):
        return None
    return namespace, account


def _node_name(name: str) -> str:
    """The node with this user name, or ""."""
    node = name.removeprefix(_NODE)
    return node if name.startswith(_NODE) and not next(iter(names.dns1123_subdomain(node)), "") else ""


def _values(headers: Mapping[str, str], name: str) -> list[str]:
    return [_text(value) for value in headers[name].split("\n")]


def _text(sent: str) -> str:
    return sent.encode("latin-1").decode("utf-8", "replace")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _shown(user: User) -> str:
    """As Go's %#v."""
    extra = "map[string][]string(nil)"
    if user.extra:
        extra = f"map[string][]string{{{', '.join(f'{_quoted(k)}:{_list(v)}' for k, v in sorted(user.extra.items()))}}}"
    name, uid = _quoted(user.name), _quoted(user.uid)
    return f"&user.DefaultInfo{{Name:{name}, UID:{uid}, Groups:{_list(user.groups)}, Extra:{extra}}}"


def _list(values: Sequence[str]) -> str:
    return f"[]string{{{', '.join(map(_quoted, values))}}}" if values else "[]string(nil)"
