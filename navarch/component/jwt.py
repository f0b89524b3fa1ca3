"""JSON Web Tokens signed with an elliptic-curve key (RFC 7519, RFC 7515; ES256): made and checked, whatever they claim."""

from __future__ import annotations

import base64
import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from navarch.apimachinery.errors import Object

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

ALGORITHM = "ES256"
_COORDINATE_BYTES = 32


class InvalidToken(Exception):
    """A token that stands for nobody; the text says why."""


class SigningKey:
    """A key (EC P-256) in a PEM file, read when it is first needed."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

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
    def id(self) -> str:
        """What tokens call the key: a hash of its public half."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        der = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return _encode(hashlib.sha256(der).digest())

    def public(self) -> Object:
        """The key that checks signatures, as a JSON Web Key (RFC 7517, RFC 7518)."""
        numbers = self._key.public_key().public_numbers()
        x, y = (_encode(number.to_bytes(_COORDINATE_BYTES, "big")) for number in (numbers.x, numbers.y))
        return {"use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": ALGORITHM, "x": x, "y": y}

    def sign(self, claims: Object) -> str:
        """A token that claims this. Raises OSError or ValueError if the key cannot be read."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        header = {"alg": ALGORITHM, "kid": self.id}
        signed = f"{_encode(orjson.dumps(header))}.{_encode(orjson.dumps(claims))}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ECDSA(SHA256())))
        return f"{signed}.{_encode(r.to_bytes(_COORDINATE_BYTES, 'big') + s.to_bytes(_COORDINATE_BYTES, 'big'))}"

    def claims(self, token: str) -> Object | None:
        """What a token claims; None if it is none, or was not signed with this key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            head, payload, signature = token.split(".")
            raw = _decode(signature)
            header, claims = orjson.loads(_decode(head)), orjson.loads(_decode(payload))
            if header["alg"] != ALGORITHM or len(raw) != 2 * _COORDINATE_BYTES or not isinstance(claims, dict):
                return None
            numbers = (int.from_bytes(part, "big") for part in (raw[:_COORDINATE_BYTES], raw[_COORDINATE_BYTES:]))
            signed = f"{head}.{payload}".encode()
            self._key.public_key().verify(encode_dss_signature(*numbers), signed, ECDSA(SHA256()))
        except (ValueError, KeyError, TypeError, InvalidSignature):
            return None
        return claims


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
