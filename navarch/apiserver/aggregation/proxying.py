"""Requests handed on to the API servers that answer for them, with who asks in headers that a client certificate vouches for.

The other server trusts ``X-Remote-User`` and the like only from whoever shows a certificate of the front proxy's authority
(kube-aggregator/pkg/apiserver/handler_proxy.go). What a client has sent of such headers goes no further.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from navarch.apiserver.aggregation import services
from navarch.apiserver.aggregation.services import APIServices, Remote, UnresolvedError
from navarch.apiserver.request import APIRequest, User
from navarch.apiserver.subresources import proxy
from navarch.apiserver.subresources.forwarding import Forward
from navarch.component.httpclient import Answer, HTTPClient
from navarch.component.httpserver import Response
from navarch.storage.store import Store

AGGREGATOR = User("system:kube-aggregator", ("system:masters",))
CONTEXTS_LIMIT = 64
_PREFIX = "x-remote-"
_TEXT = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
# What may stand in the name of a header as it is (RFC 7230).
_NAME_CHARACTERS = "!#$&'*+-.^_`|~"


def identity(user: User) -> dict[str, str]:
    """Headers that say who asks; several values of one are parted by newlines."""
    found = {"X-Remote-User": _encoded(user.name)}
    if user.uid:
        found["X-Remote-Uid"] = _encoded(user.uid)
    if user.groups:
        found["X-Remote-Group"] = "\n".join(map(_encoded, user.groups))
    for key, values in user.extra.items():
        found[f"X-Remote-Extra-{quote(key, safe=_NAME_CHARACTERS)}"] = "\n".join(map(_encoded, values))
    return found


def _encoded(text: str) -> str:
    """UTF-8, for what is sent as Latin-1; no value may become several."""
    return text.replace("\n", " ").replace("\r", " ").encode().decode("latin-1")


class Contexts:
    """How other servers are spoken to with TLS."""

    def __init__(self, certificate: Path | None, key: Path | None) -> None:
        """Of the front proxy's client."""
        self._files = certificate, key
        self._found: dict[tuple[str | None, bool], ssl.SSLContext] = {}

    def of(self, ca_bundle: str | None, *, is_insecure: bool) -> ssl.SSLContext:
        """Raises ValueError for a bundle that is none."""
        place = ca_bundle, is_insecure
        if place not in self._found:
            if len(self._found) >= CONTEXTS_LIMIT:
                self._found.clear()
            self._found[place] = self._made(ca_bundle, is_insecure)
        return self._found[place]

    def _made(self, ca_bundle: str | None, is_insecure: bool) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cadata=base64.b64decode(ca_bundle).decode() if ca_bundle else None)
        except (ssl.SSLError, ValueError, binascii.Error):
            raise ValueError("unable to load root certificates: unable to parse bytes as PEM block") from None
        if is_insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        certificate, key = self._files
        if certificate is not None and key is not None:
            context.load_cert_chain(certificate, key)
        return context


class Aggregator:
    """The way to other API servers."""

    def __init__(self, store: Store, found: APIServices, contexts: Contexts, carry: Forward) -> None:
        self._store = store
        self._services = found
        self._contexts = contexts
        self._carry = carry

    @property
    def remotes(self) -> Iterable[Remote]:
        """All that is served elsewhere."""
        return self._services.remote.values()

    def find(self, path: str) -> Remote | None:
        """Who answers for a path; None: this server."""
        return self._services.find(path) if self._services.remote else None

    async def serve(self, request: APIRequest, remote: Remote) -> Response:
        """Hand a request on, and its answer back."""
        if not remote.is_available:
            return _text(503, "service unavailable")
        try:
            client = self.client(remote)
        except ValueError as error:
            return _text(500, str(error))
        except UnresolvedError:
            return _text(503, "service unavailable")
        kept = {name: value for name, value in request.headers.items() if not name.startswith(_PREFIX)}
        told = identity(request.user)
        came = ", ".join(filter(None, (request.headers.get("x-forwarded-for"), request.remote_address)))
        told |= {"X-Forwarded-For": came} if came else {}
        target = request.raw_path + (f"?{request.raw_query}" if request.raw_query else "")
        try:
            return await self._carry(client, replace(request, headers=kept), target, told)
        except OSError as error:
            return _text(503, f"error trying to reach service: {reason(client, error)}")

    def client(self, remote: Remote, *, is_insecure: bool = False) -> HTTPClient:
        """One way to one endpoint. Raises ValueError, UnresolvedError."""
        tls = self._contexts.of(remote.ca_bundle, is_insecure=remote.is_insecure or is_insecure)
        host, port = services.resolve(self._store, remote)
        shown = f"[{host}]" if ":" in host else host
        return HTTPClient(f"https://{shown}:{port}", tls=tls, server_name=remote.server_name)

    async def fetch(
        self,
        remote: Remote,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float,
        limit_bytes: int,
        is_insecure: bool = False,
    ) -> Answer:
        """What the other server says to the aggregator itself. Raises OSError, ValueError, UnresolvedError."""
        client = self.client(remote, is_insecure=is_insecure)
        try:
            sent = {**identity(AGGREGATOR), **(headers or {})}
            return await client.request("GET", target, headers=sent, timeout_seconds=timeout_seconds, limit_bytes=limit_bytes)
        finally:
            client.close()


def reason(client: HTTPClient, error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {error.verify_message}"
    return proxy.reason(client, error)


def _text(status: int, text: str) -> Response:
    """As Go's http.Error."""
    return Response(status, _TEXT, f"{text}\n".encode())
