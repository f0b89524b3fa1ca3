"""Connections (exec, attach, portforward, proxy) as webhooks and policies hear of them: CONNECT with what is asked for."""

from __future__ import annotations

from collections.abc import Mapping

from navarch.api.kind import Kind
from navarch.apimachinery.errors import Object
from navarch.apiserver.admission.chain import Attributes
from navarch.apiserver.request import APIRequest
from navarch.apiserver.resources import Resources
from navarch.apiserver.spoken import speaks

_STREAMED = ("stdin", "stdout", "stderr", "tty")
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "exec": (*_STREAMED, "container", "command"),
    "attach": (*_STREAMED, "container"),
    "portforward": ("ports",),
    "proxy": (),
}
"""By subresource, what may be asked for."""
_LISTS = frozenset({"command"})


async def ask(resources: Resources, request: APIRequest, kind: Kind) -> None:
    """Whether there may be such a connection. Raises StatusError."""
    info = request.info
    attributes = Attributes(request, kind, "CONNECT", info.namespace, info.name, info.subresource)
    await resources.admission.ask(attributes, _options(request, kind))


def _options(request: APIRequest, kind: Kind) -> Object:
    subresource = request.info.subresource
    spoken = speaks(kind, subresource)
    found: Object = {"kind": spoken.kind, "apiVersion": spoken.version}
    for name in OPTIONS[subresource]:
        if name in _STREAMED:
            if request.flag(name):
                found[name] = True
        elif name in _LISTS:
            found[name] = list(request.query.get(name, ()))
        elif name == "ports":
            ports = [port for value in request.query.get(name, ()) for port in value.split(",") if port.isdecimal()]
            found |= {name: [int(port) for port in ports]} if ports else {}
        elif request.option(name):
            found[name] = request.option(name)
    if subresource == "proxy" and request.info.rest:
        found["path"] = request.info.rest
    return found
