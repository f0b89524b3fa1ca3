"""OpenID Connect discovery: a relying party can check a service account's token with nothing but these two documents."""

from __future__ import annotations

import base64
from urllib.parse import urlsplit

import orjson
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tests.apiserver.bench import ALICE, Bench

CONFIGURATION = "/.well-known/openid-configuration"


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(text: str) -> int:
    return int.from_bytes(decoded(text), "big")


def test_a_token_is_checked_with_what_is_published(api: Bench) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    token = api.call("POST", path, {"spec": {"audiences": ["vault"]}}).json["status"]["token"]
    head, claims, signature = token.split(".")
    reply = api.call("GET", CONFIGURATION)
    assert reply.headers["content-type"] == "application/json" and reply.headers["cache-control"] == "public, max-age=3600"
    configuration = reply.json
    assert configuration["issuer"] == orjson.loads(decoded(claims))["iss"]
    assert configuration["id_token_signing_alg_values_supported"] == [orjson.loads(decoded(head))["alg"]]
    assert (configuration["response_types_supported"], configuration["subject_types_supported"]) == (["id_token"], ["public"])
    keys_url = urlsplit(configuration["jwks_uri"])
    assert (keys_url.scheme, keys_url.netloc) == ("https", api.server.external_address)
    reply = api.call("GET", keys_url.path)
    assert reply.headers["content-type"] == "application/jwk-set+json"
    assert reply.headers["cache-control"] == "public, max-age=3600"
    (key,) = [key for key in reply.json["keys"] if key["kid"] == orjson.loads(decoded(head))["kid"]]
    assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("EC", "P-256", "sig", "ES256")
    assert key.keys() == {"kty", "crv", "use", "alg", "kid", "x", "y"}, "nothing of it is secret"
    public = EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), SECP256R1()).public_key()
    raw = decoded(signature)
    pair = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public.verify(pair, f"{head}.{claims}".encode(), ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        public.verify(pair, f"{head}.{claims}x".encode(), ECDSA(SHA256()))


def test_who_is_known_may_read_it_and_nobody_else(api: Bench) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    token = api.call("POST", path, {"spec": {}}).json["status"]["token"]
    for document in (CONFIGURATION, "/openid/v1/jwks"):
        account = api.call("GET", document, user=None, headers={"authorization": f"Bearer {token}"})
        assert (account.status, api.call("GET", document, user=ALICE).status) == (200, 200)
        assert api.call("GET", document, user=None).status == 403
        assert api.call("POST", document, {}).status == 405
