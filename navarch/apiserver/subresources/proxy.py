"""proxy of pods, services and nodes: HTTP to what runs there, through the API server.

The name may be ``name``, ``name:port`` or ``scheme:name:port``; a Service's port may be its number or its name. What a backend
links and redirects to is rewritten so that it stays below the proxied path.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from navarch.api import registry
from navarch.api.core.node import address
from navarch.api.kind import Kind
from navarch.apimachinery import errors, meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.request import APIRequest
from navarch.apiserver.resources import Resources
from navarch.apiserver.subresources.forwarding import whole_body
from navarch.apiserver.subresources.nodetunnel import KUBELET_PORT, NodeTunnel
from navarch.component import clock
from navarch.component.httpclient import HTTPClient
from navarch.component.httpserver import Response
from navarch.storage.store import Store

_PATH = re.compile(r"(/api/v1/(?:namespaces/[^/]+/)?[^/]+/[^/]+/proxy)(/.*)?\Z")
# Attributes of HTML elements that hold URLs.
_LINK = re.compile(
    rb"""(<[a-zA-Z][^>]*?\s(?:href|src|action|data|cite|longdesc|background|manifest|formaction|poster)=["'])(/[^"'>]*)"""
)
_PORT = re.compile(r"[0-9]{1,19}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """What a proxied name names."""

    scheme: str
    name: str
    port: str


def parse_reference(text: str) -> Reference | None:
    """``name``, ``name:port`` or ``scheme:name:port``; None for anything else."""
    match text.split(":"):
        case [name]:
            found = Reference("", name, "")
        case [name, port]:
            found = Reference("", name, port)
        case [("" | "http" | "https") as scheme, name, port]:
            found = Reference(scheme, name, port)
        case _:
            return None
    return found if found.name else None


class Proxy:
    """The way to pods, Services and nodes."""

    def __init__(self, resources: Resources, tunnel: NodeTunnel) -> None:
        self._resources = resources
        self._tunnel = tunnel
        self._locate: dict[str, Callable[[APIRequest, Reference], HTTPClient]] = {
            "pods": self._pod,
            "services": self._service,
            "nodes": self._node,
        }

    async def serve(self, request: APIRequest, kind: Kind) -> Response:
        """Carry a request there and its answer back. Raises 503 where nobody answers."""
        reference = parse_reference(request.info.name)
        if reference is None:
            raise errors.bad_request(f'invalid {kind.singular or kind.kind.lower()} request "{request.info.name}"')
        matched = _PATH.match(request.raw_path)
        if matched is None:
            raise errors.no_such_path()
        prefix, path = matched[1], matched[2] or ""
        query = f"?{request.raw_query}" if request.raw_query else ""
        client = self._locate[kind.plural](request, reference)
        upgrades = "upgrade" in request.headers.get("connection", "").lower()
        if not path and not upgrades and request.method in ("GET", "HEAD"):
            return Response(301, (("Location", f"{prefix}/{query}"),))
        forwarded = {
            "x-forwarded-uri": f"{prefix}{path}",
            "x-forwarded-host": request.headers.get("host", ""),
            "x-forwarded-for": ", ".join(filter(None, (request.headers.get("x-forwarded-for"), request.remote_address))),
        }
        try:
            told = {name: value for name, value in forwarded.items() if value}
            answer = await self._tunnel.carry(client, request, (path or "/") + query, told)
        except OSError as error:
            raise errors.service_unavailable(f"error trying to reach service: {reason(client, error)}") from None
        return await _rewritten(answer, prefix, client)

    def _pod(self, request: APIRequest, reference: Reference) -> HTTPClient:
        pod = self._existing("pods", request.info.namespace, reference.name)
        ports = (port for container in pod["spec"]["containers"] for port in container.get("ports") or ())
        port = reference.port or str(next((port["containerPort"] for port in ports), ""))
        status = pod.get("status") or {}
        ips = [item["ip"] for item in status.get("podIPs") or ()] or [status.get("podIP", "")]
        return _client(reference.scheme, ips[0], port)

    def _service(self, request: APIRequest, reference: Reference) -> HTTPClient:
        host, port = endpoint(self._resources.store, request.info.namespace, reference.name, reference.port)
        return _client(reference.scheme, host, str(port))

    def _node(self, request: APIRequest, reference: Reference) -> HTTPClient:
        node = self._existing("nodes", "", reference.name)
        kubelet = meta.get_path(node, "status", "daemonEndpoints", "kubeletEndpoint", "Port") or KUBELET_PORT
        if reference.port in ("", str(kubelet)):
            return self._tunnel.client(reference.name)
        return _client(reference.scheme, address(node, "InternalIP") or reference.name, reference.port)

    def _existing(self, resource: str, namespace: str, name: str) -> Object:
        return _existing(self._resources.store, resource, namespace, name)


def endpoint(store: Store, namespace: str, name: str, wanted: str) -> tuple[str, int]:
    """Somebody who answers for a port of a Service, named or numbered. Raises 404, 503."""
    service = _existing(store, "services", namespace, name)
    if _PORT.match(wanted):
        ports = [port for port in service["spec"].get("ports") or () if port["port"] == int(wanted)]
        if not ports:
            raise errors.service_unavailable(f'no service port {int(wanted)} found for service "{name}"')
        wanted = ports[0].get("name", "")
    found = [
        (ip["ip"], port["port"])
        for subset in _existing(store, "endpoints", namespace, name).get("subsets") or ()
        for port in subset.get("ports") or ()
        if port.get("name", "") == wanted
        for ip in subset.get("addresses") or ()
    ]
    if not found:
        raise errors.service_unavailable(f'no endpoints available for service "{name}"')
    return found[clock.random_below(len(found))]


def _existing(store: Store, resource: str, namespace: str, name: str) -> Object:
    kind = registry.resource(resource)
    record = store.get(kind.key_prefix, kind.key(namespace, name))
    if record is None:
        raise errors.not_found(kind.group, kind.plural, name)
    return record.object()


def _client(scheme: str, host: str, port: str) -> HTTPClient:
    """A way to a backend, whose certificate nobody vouches for. Raises 400 for an address that must not be reached so."""
    try:
        ip = ip_address(host)
        allowed = not (ip.is_loopback or ip.is_multicast or ip.is_unspecified or ip.is_link_local)
    except ValueError:
        allowed = False
    if not allowed:
        raise errors.bad_request("address not allowed")
    if port and not (_PORT.match(port) and 0 < int(port) < 65536):
        raise errors.service_unavailable(f"error trying to reach service: dial tcp: lookup {host} on port {port}: unknown port")
    shown = f"[{host}]" if ":" in host else host
    tls = None
    if scheme == "https":
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return HTTPClient(f"{scheme or 'http'}://{shown}" + (f":{port}" if port else ""), tls=tls)


def reason(client: HTTPClient, error: OSError) -> str:
    """As Go words it."""
    where = f"dial tcp {client.host}:{client.port}"
    if isinstance(error, TimeoutError):
        return f"{where}: i/o timeout"
    if isinstance(error, ConnectionRefusedError) or "refused" in str(error).lower():
        return f"{where}: connect: connection refused"
    if isinstance(error, ConnectionResetError):
        return "EOF"
    return f"{where}: {error.strerror or error}"


async def _rewritten(answer: Response, prefix: str, client: HTTPClient) -> Response:
    """The answer with its links kept below `prefix`."""
    headers, html, encoded = [], False, False
    for name, value in answer.headers:
        if name == "Location":
            value = _relocated(value, prefix, client)
        html |= name == "Content-Type" and value.lower().startswith("text/html")
        encoded |= name == "Content-Encoding"
        headers.append((name, value))
    if not html or encoded or answer.takeover is not None:
        return Response(answer.status, headers, answer.body, answer.takeover)
    body = _LINK.sub(lambda found: found[1] + prefix.encode() + found[2], await whole_body(answer))
    return Response(answer.status, headers, body)


def _relocated(location: str, prefix: str, client: HTTPClient) -> str:
    parts = urlsplit(location)
    own = not parts.netloc or parts.hostname == client.host
    if not own or not parts.path.startswith("/") or parts.path.startswith(f"{prefix}/"):
        return location
    return parts._replace(scheme="", netloc="", path=prefix + parts.path).geturl()
