"""Certificate signing requests as people make them."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Sequence
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@cache
def key() -> ec.EllipticCurvePrivateKey:
    """The key of all these requests."""
    return ec.generate_private_key(ec.SECP256R1())


def signing_request(common_name: str = "alice", organizations: Sequence[str] = ("people",), names: Sequence[Any] = ()) -> str:
    """`spec.request`: PEM in base64. `names` are DNS names, addresses or GeneralNames."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    if common_name:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    builder = x509.CertificateSigningRequestBuilder(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    pem = builder.sign(key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return base64.b64encode(pem).decode()


def _general(name: Any) -> x509.GeneralName:
    if isinstance(name, x509.GeneralName):
        return name
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
