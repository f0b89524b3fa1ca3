"""Who asks? Client certificates (CN is the name, O are groups) and service-account tokens; everybody else is anonymous."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from navarch.apimachinery import errors
from navarch.apiserver.request import ANONYMOUS, AUTHENTICATED_GROUP, User
from navarch.apiserver.tokens import TokenAuthority
from navarch.component.httpserver import Request
from navarch.component.jwt import InvalidToken
from navarch.component.websocket import offered

UNAUTHENTICATED_GROUP = "system:unauthenticated"
CERTIFICATES_LIMIT = 1024
# What a browser's token follows among the subprotocols of a WebSocket.
TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io."
ANONYMOUS_USER = User(ANONYMOUS, (UNAUTHENTICATED_GROUP,))

Authenticate = Callable[[Request], User]


class Authenticator:
    """Tries what the request carries; credentials that are there but wrong are refused."""

    def __init__(self, tokens: TokenAuthority) -> None:
        self._tokens = tokens
        self._certificates: dict[int, tuple[Mapping[str, Any], User]] = {}
        """Users by the identity of a connection's certificate: all its requests carry the same one."""

    def authenticate(self, request: Request) -> User:
        """The user. Raises 401."""
        if request.peer_certificate:
            return self._certified(request.peer_certificate)
        header = request.headers.get("authorization", "")
        if header:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise errors.unauthorized()
            try:
                return self._tokens.authenticate(token.strip())
            except InvalidToken:
                raise errors.unauthorized() from None
        if TOKEN_PROTOCOL in request.headers.get("sec-websocket-protocol", ""):
            return self._websocket(offered(request.headers))
        return ANONYMOUS_USER

    def must_be_noted(self, request: Request) -> bool:
        """Whether it has to be written down that what the request carries was used today."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return bool(token) and scheme.lower() == "bearer" and self._tokens.must_be_noted(token.strip())

    def _certified(self, certificate: Mapping[str, Any]) -> User:
        known = self._certificates.get(id(certificate))
        if known is not None and known[0] is certificate:
            return known[1]
        user = certificate_user(certificate)
        if len(self._certificates) >= CERTIFICATES_LIMIT:
            self._certificates.clear()
        self._certificates[id(certificate)] = (certificate, user)
        return user

    def _websocket(self, protocols: list[str]) -> User:
        """Browsers can only send a token as a subprotocol, beside one that they want to speak."""
        import base64

        encoded = [protocol.removeprefix(TOKEN_PROTOCOL) for protocol in protocols if protocol.startswith(TOKEN_PROTOCOL)]
        if len(encoded) != 1 or len(protocols) == 1 or "=" in encoded[0]:
            raise errors.unauthorized()
        try:
            token = base64.b64decode(encoded[0] + "=" * (-len(encoded[0]) % 4), altchars=b"-_", validate=True).decode()
            return self._tokens.authenticate(token)
        except (ValueError, InvalidToken):
            raise errors.unauthorized() from None


def without_token(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers of a request as whoever it is handed on to may see them: without a token among the subprotocols."""
    if TOKEN_PROTOCOL not in headers.get("sec-websocket-protocol", ""):
        return headers
    kept = [protocol for protocol in offered(headers) if not protocol.startswith(TOKEN_PROTOCOL)]
    return {**headers, "sec-websocket-protocol": ", ".join(kept)}


def certificate_user(certificate: Mapping[str, Any]) -> User:
    """The user that a verified certificate names."""
    name, groups = "", []
    for relative in certificate.get("subject", ()):
        for field, value in relative:
            if field == "commonName":
                name = value
            elif field == "organizationName":
                groups.append(value)
    if not name:
        raise errors.unauthorized()
    return User(name, (*groups, AUTHENTICATED_GROUP))
