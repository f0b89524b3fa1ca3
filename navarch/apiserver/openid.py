"""What relying parties need to check service-account tokens by themselves: OpenID Connect discovery and the key set (RFC 7517).

Only who may read the API may read it: that these documents are public elsewhere is for an administrator to say.
"""

from __future__ import annotations

from collections.abc import Callable

import orjson

from navarch.apimachinery.errors import Object
from navarch.apiserver.negotiation import JSON
from navarch.apiserver.request import APIRequest
from navarch.apiserver.tokens import TokenAuthority
from navarch.component.httpserver import Response
from navarch.component.jwt import ALGORITHM

CONFIGURATION_PATH = "/.well-known/openid-configuration"
KEYS_PATH = "/openid/v1/jwks"
KEYS_MEDIA_TYPE = "application/jwk-set+json"
MAX_AGE_SECONDS = 3600


class OpenID:
    """Answers under these two paths."""

    paths = (CONFIGURATION_PATH, KEYS_PATH)

    def __init__(self, tokens: TokenAuthority, external_address: Callable[[], str]) -> None:
        """`external_address` is where clients reach this server, ``host:port``."""
        self._tokens = tokens
        self._external_address = external_address

    def answer(self, request: APIRequest) -> Response | None:
        """The response for one of these paths, None for any other."""
        path = request.info.path.rstrip("/")
        if path == CONFIGURATION_PATH:
            return _response(JSON, self._configuration())
        if path == KEYS_PATH:
            return _response(KEYS_MEDIA_TYPE, {"keys": [self._tokens.key.public()]})
        return None

    def _configuration(self) -> Object:
        return {
            "issuer": self._tokens.issuer,
            "jwks_uri": f"https://{self._external_address()}{KEYS_PATH}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }


def _response(media_type: str, document: Object) -> Response:
    headers = (("Content-Type", media_type), ("Cache-Control", f"public, max-age={MAX_AGE_SECONDS}"))
    return Response(200, headers, orjson.dumps(document))
