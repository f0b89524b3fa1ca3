"""What a request asks for, read from its method, path and query alone (k8s.io/apiserver/pkg/endpoints/request)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

REMEMBERED = 1024
REMEMBERED_LIMIT_CHARACTERS = 256
# OPTIONS goes only to what is proxied; it has no verb of its own.
_VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
    "OPTIONS": "",
}


class RequestInfo(NamedTuple):
    """One request, taken apart."""

    path: str
    """Decoded."""
    verb: str
    """get, list, watch, create, update, patch, delete, deletecollection; of other paths the method in lower case."""
    is_resource: bool = False
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows the subresource, as of a proxied request."""


def parse_query(query: str) -> dict[str, list[str]]:
    """Values of each parameter, in order."""
    result: dict[str, list[str]] = {}
    if not query:
        return result
    for name, value in parse_qsl(query, keep_blank_values=True):
        result.setdefault(name, []).append(value)
    return result


def is_true(query: Mapping[str, list[str]], name: str) -> bool:
    """A boolean parameter, as Kubernetes reads them: false if it is missing, "0" or "false", else true."""
    values = query.get(name) or ("0",)
    return values[0] != "0" and values[0].lower() != "false"


def parse(method: str, path: str, query: Mapping[str, list[str]]) -> RequestInfo:
    """Take a request apart; `path` is still percent-encoded."""
    watches = "watch" in query and is_true(query, "watch")
    return _remembered(method, path, watches) if len(path) <= REMEMBERED_LIMIT_CHARACTERS else _parse(method, path, watches)


def _parse(method: str, path: str, watches: bool) -> RequestInfo:
    bare, decoded = path.strip("/"), path
    parts = bare.split("/") if bare else []
    if "%" in path:
        decoded, parts = unquote(path), [unquote(part) for part in parts]
    if len(parts) >= 3 and parts[0] == "api":
        group, version, parts = "", parts[1], parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(decoded, method.lower())
    verb = _VERBS.get(method)
    if verb is None:
        return RequestInfo(decoded, method.lower())
    watching = False
    if parts[0] == "watch" and len(parts) > 1:
        watching, parts = True, parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        # Everything below a namespace is in it, but the namespace's own subresources.
        if len(parts) > 2 and parts[2] not in ("status", "finalize"):
            parts = parts[2:]
    resource, name = parts[0], parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 else ""
    rest = "/" + "/".join(parts[3:]) if len(parts) > 3 else "/" if path.endswith("/") and subresource else ""
    if method == "GET" and (watching or (not name and watches)):
        verb = "watch"
    elif verb == "get" and not name:
        verb = "list"
    elif verb == "delete" and not name:
        verb = "deletecollection"
    return RequestInfo(decoded, verb, True, group, version, namespace, resource, name, subresource, rest)


# Clients ask the same again and again.
_remembered = lru_cache(REMEMBERED)(_parse)
