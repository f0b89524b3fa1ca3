"""Service-account tokens: JSON Web Tokens (RFC 7519, ES256) bound to accounts, pods and secrets that must still exist."""

from __future__ import annotations

import base64
import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from navarch.api import registry
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.apiserver.request import AUTHENTICATED_GROUP, User
from navarch.component import clock
from navarch.storage.store import Store

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

ISSUER = "https://kubernetes.default.svc.cluster.local"
EXPIRATION_MIN_SECONDS = 600
EXPIRATION_MAX_SECONDS = 1 << 32
CLOCK_SKEW_SECONDS = 10
VERIFIED_LIMIT = 4096
ALGORITHM = "ES256"
NODE_NAME, NODE_UID = "authentication.kubernetes.io/node-name", "authentication.kubernetes.io/node-uid"
_COORDINATE_BYTES = 32


class TokenAuthority:
    """Makes and checks tokens with the cluster's service-account key (PEM, EC P-256)."""

    def __init__(self, store: Store, key_file: Path, issuer: str = ISSUER, audiences: tuple[str, ...] = ()) -> None:
        self._store = store
        self._key_file = key_file
        self.issuer = issuer
        self.audiences = audiences or (issuer,)
        self._verified: dict[str, Object] = {}

    @cached_property
    def _key(self) -> EllipticCurvePrivateKey:
        # Loaded with the first token: the first answers of a starting server need none.
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        key = load_pem_private_key(self._key_file.read_bytes(), None)
        if not isinstance(key, EllipticCurvePrivateKey):
            raise ValueError(f"{self._key_file} does not hold an elliptic-curve key")
        return key

    @cached_property
    def key_id(self) -> str:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        der = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return _encode(hashlib.sha256(der).digest())

    def public_key(self) -> Object:
        """The key that checks signatures, as a JSON Web Key (RFC 7517, RFC 7518)."""
        numbers = self._key.public_key().public_numbers()
        x, y = (_encode(number.to_bytes(_COORDINATE_BYTES, "big")) for number in (numbers.x, numbers.y))
        return {"use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": ALGORITHM, "x": x, "y": y}

    def issue(self, account: Object, bound: Object | None, audiences: list[str], expiration_seconds: int) -> tuple[str, int]:
        """A token for a ServiceAccount, bound to a Pod or Secret if given. Returns it and when it expires (epoch)."""
        now = int(clock.time_seconds())
        private: Object = {
            "namespace": meta.namespace(account),
            "serviceaccount": {"name": meta.name(account), "uid": meta.uid(account)},
        }
        if bound is not None:
            private[bound["kind"].lower()] = {"name": meta.name(bound), "uid": meta.uid(bound)}
            node = (bound.get("spec") or {}).get("nodeName")
            if node:
                private["node"] = self._node(node)
        claims = {
            "aud": audiences or list(self.audiences),
            "exp": now + expiration_seconds,
            "iat": now,
            "nbf": now,
            "iss": self.issuer,
            "jti": clock.uid(),
            "kubernetes.io": private,
            "sub": f"system:serviceaccount:{meta.namespace(account)}:{meta.name(account)}",
        }
        return self._sign(claims), now + expiration_seconds

    def _node(self, name: str) -> Object:
        kind = registry.resource("nodes")
        record = self._store.get(kind.key_prefix, kind.key("", name))
        return {"name": name, "uid": meta.uid(record.object())} if record is not None else {"name": name}

    def authenticate(self, token: str) -> User | None:
        """The account a token stands for, or None if it is not good (any more)."""
        claims = self.verify(token, self.audiences)
        if claims is None:
            return None
        return self.user(claims)

    def user(self, claims: Object) -> User:
        private = claims["kubernetes.io"]
        namespace, account = private["namespace"], private["serviceaccount"]
        extra = {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
        if "pod" in private:
            extra["authentication.kubernetes.io/pod-name"] = [private["pod"]["name"]]
            extra["authentication.kubernetes.io/pod-uid"] = [private["pod"]["uid"]]
        if "node" in private:
            extra[NODE_NAME] = [private["node"]["name"]]
            if "uid" in private["node"]:
                extra[NODE_UID] = [private["node"]["uid"]]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED_GROUP)
        return User(claims["sub"], groups, account["uid"], extra)

    def verify(self, token: str, audiences: tuple[str, ...]) -> Object | None:
        """The claims of a token that is genuine, timely, meant for one of `audiences`, and whose objects exist."""
        claims = self._verified.get(token)
        if claims is None:
            claims = self._check_signature(token)
            if claims is None:
                return None
            if len(self._verified) >= VERIFIED_LIMIT:
                self._verified.clear()
            self._verified[token] = claims
        now = clock.time_seconds()
        timely = claims["nbf"] - CLOCK_SKEW_SECONDS <= now < claims["exp"] + CLOCK_SKEW_SECONDS
        if not timely or not set(audiences) & set(claims["aud"]) or not self._is_bound(claims["kubernetes.io"]):
            return None
        return claims

    def _is_bound(self, private: Object) -> bool:
        namespace = private["namespace"]
        bound = [("serviceaccounts", private["serviceaccount"])]
        bound += [(f"{kind}s", private[kind]) for kind in ("pod", "secret") if kind in private]
        for resource, reference in bound:
            kind = registry.resource(resource)
            record = self._store.get(kind.key_prefix, kind.key(namespace, reference["name"]))
            if record is None or f'"uid":"{reference["uid"]}"'.encode() not in record.data:
                return False
        return True

    def _sign(self, claims: Object) -> str:
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        header = {"alg": ALGORITHM, "kid": self.key_id}
        signed = f"{_encode(orjson.dumps(header))}.{_encode(orjson.dumps(claims))}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ECDSA(SHA256())))
        return f"{signed}.{_encode(r.to_bytes(_COORDINATE_BYTES, 'big') + s.to_bytes(_COORDINATE_BYTES, 'big'))}"

    def _check_signature(self, token: str) -> Object | None:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            head, payload, signature = token.split(".")
            raw = _decode(signature)
            header, claims = orjson.loads(_decode(head)), orjson.loads(_decode(payload))
            if header["alg"] != ALGORITHM or len(raw) != 2 * _COORDINATE_BYTES or claims["iss"] != self.issuer:
                return None
            numbers = (int.from_bytes(part, "big") for part in (raw[:_COORDINATE_BYTES], raw[_COORDINATE_BYTES:]))
            signed = f"{head}.{payload}".encode()
            self._key.public_key().verify(encode_dss_signature(*numbers), signed, ECDSA(SHA256()))
        except (ValueError, KeyError, TypeError, InvalidSignature):
            return None
        verified: dict[str, Any] = claims
        return verified


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
