"""Do a certificate and a private key belong together? Told in the words of Go's crypto/tls."""

from __future__ import annotations

import base64
import binascii
import re

_BLOCK = re.compile(rb"-----BEGIN ([^\n-]*)-----\s*\n(.*?)-----END \1-----", re.DOTALL)


def problem(certificates: bytes, key: bytes) -> str:
    """Why this PEM is no pair, or ""."""
    blocks = _blocks(certificates)
    if "CERTIFICATE" not in (kind for kind, _ in blocks):
        skipped = [kind for kind, _ in blocks]
        if not skipped:
            return "tls: failed to find any PEM data in certificate input"
        if len(skipped) == 1 and skipped[0].endswith("PRIVATE KEY"):
            return (
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
                "PEM inputs may have been switched"
            )
        return (
            'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the following '
            f"types: [{' '.join(skipped)}]"
        )
    skipped = []
    for kind, content in _blocks(key):
        if kind == "PRIVATE KEY" or kind.endswith(" PRIVATE KEY"):
            return _mismatch(next(der for kind, der in blocks if kind == "CERTIFICATE"), content)
        skipped.append(kind)
    if not skipped:
        return "tls: failed to find any PEM data in key input"
    if skipped == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    return (
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the '
        f"following types: [{' '.join(skipped)}]"
    )


def _blocks(pem: bytes) -> list[tuple[str, bytes]]:
    """(type, content) of what is well-formed."""
    found = []
    for kind, body in _BLOCK.findall(pem):
        # Headers, if there are any, end with an empty line.
        encoded = body.rpartition(b"\n\n")[2] if b":" in body else body
        try:
            found.append((kind.decode("latin-1"), base64.b64decode(b"".join(encoded.split()), validate=True)))
        except binascii.Error:
            continue
    return found


def _mismatch(certificate: bytes, key: bytes) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_der_private_key
    from cryptography.x509 import load_der_x509_certificate

    try:
        public = load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "x509: malformed certificate"
    try:
        private = load_der_private_key(key, None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    for kind in (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey):
        if isinstance(public, kind):
            if not isinstance(private, kind):
                return "tls: private key type does not match public key type"
            return "" if private == public else "tls: private key does not match public key"
    return "tls: unknown public key algorithm"
