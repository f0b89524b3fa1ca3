"""What is spoken on a subresource: a kind of its own, or its parent's. Discovery and OpenAPI both say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from navarch.api.kind import Kind

PROXY = "proxy"
_CHANGED = ("get", "patch", "update")
_TUNNELLED = ("GET", "POST")
_PROXIED = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


@dataclass(frozen=True, slots=True)
class Spoken:
    """One subresource."""

    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]
    """As discovery lists them."""
    methods: tuple[str, ...] = ()
    """Of a connection that is handed on rather than an object: the HTTP methods."""


_FOREIGN: Mapping[str, Spoken] = {
    "scale": Spoken("autoscaling", "v1", "Scale", _CHANGED),
    "binding": Spoken("", "v1", "Binding", ("create",)),
    "eviction": Spoken("policy", "v1", "Eviction", ("create",)),
    "exec": Spoken("", "v1", "PodExecOptions", ("create", "get"), _TUNNELLED),
    "attach": Spoken("", "v1", "PodAttachOptions", ("create", "get"), _TUNNELLED),
    "portforward": Spoken("", "v1", "PodPortForwardOptions", ("create", "get"), _TUNNELLED),
    "token": Spoken("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
}
# Those that speak their parent, but not with the verbs of a part of it.
_VERBS: Mapping[str, tuple[str, ...]] = {"finalize": ("update",), "log": ("get",)}


def speaks(kind: Kind, subresource: str) -> Spoken:
    """What `subresource` of `kind` speaks."""
    if subresource == PROXY:
        return Spoken("", "v1", f"{kind.kind}ProxyOptions", ("create", "delete", "get", "patch", "update"), _PROXIED)
    foreign = _FOREIGN.get(subresource)
    if foreign is not None:
        return foreign
    return Spoken(kind.group, kind.version, kind.kind, _VERBS.get(subresource, _CHANGED))
