"""What is in a certificate signing request, and in certificates: PEM around PKCS #10 and X.509.

Errors are ValueErrors in the words of Go's libraries, as far as those have words of their own for them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

# The library costs too much to load to do it before the first request comes.

_BLOCK = re.compile(
    rb"-----BEGIN ([^\n]*?)-----[ \t]*\r?\n((?:[^\n:]+:[^\n]*\n)*)\s*([A-Za-z0-9+/=\s]*?)\s*-----END \1-----[ \t]*(?:\r?\n|\Z)"
)


@dataclass(frozen=True, slots=True)
class Block:
    """One PEM block."""

    type: str
    headers: bytes
    content: bytes


def blocks(data: bytes) -> Iterator[Block]:
    """The PEM blocks in `data`; whatever is around them is skipped."""
    for match in _BLOCK.finditer(data):
        try:
            content = base64.b64decode(b"".join(match.group(3).split()), validate=True)
        except ValueError:
            continue
        yield Block(match.group(1).decode("utf-8", "replace"), match.group(2), content)


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """What somebody wants to be certified."""

    common_name: str
    organizations: tuple[str, ...]
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    email_addresses: tuple[str, ...]
    uris: tuple[str, ...]
    x509: x509.CertificateSigningRequest


def parse(encoded: str) -> SigningRequest:
    """A request as `spec.request` has it: PEM in base64. Raises ValueError."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import NameOID

    block = next(blocks(base64.b64decode(encoded)), None)
    if block is None or block.type != "CERTIFICATE REQUEST":
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    try:
        request = x509.load_der_x509_csr(block.content)
        valid = request.is_signature_valid
        subject = request.subject
        names = _alternative_names(request)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension) as error:
        raise ValueError(f"x509: malformed certificate request: {error}") from None
    if not valid:
        key = request.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            raise ValueError("crypto/rsa: verification error")
        raise ValueError(f"x509: {'ECDSA' if isinstance(key, ec.EllipticCurvePublicKey) else 'Ed25519'} verification failure")
    common_names = [str(item.value) for item in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return SigningRequest(
        common_names[-1] if common_names else "",
        tuple(str(item.value) for item in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)),
        names[x509.DNSName],
        names[x509.IPAddress],
        names[x509.RFC822Name],
        names[x509.UniformResourceIdentifier],
        request,
    )


def _alternative_names(request: x509.CertificateSigningRequest) -> dict[type[x509.GeneralName], tuple[str, ...]]:
    from cryptography import x509

    kinds = (x509.DNSName, x509.IPAddress, x509.RFC822Name, x509.UniformResourceIdentifier)
    try:
        found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return dict.fromkeys(kinds, ())
    return {kind: tuple(str(name.value) for name in found if isinstance(name, kind)) for kind in kinds}


def check_certificates(encoded: str) -> None:
    """Whether `status.certificate` holds certificates and nothing else. Raises ValueError."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    found = list(blocks(base64.b64decode(encoded)))
    for block in found:
        if block.type != "CERTIFICATE":
            raise ValueError(f'only CERTIFICATE PEM blocks are allowed, found "{block.type}"')
        if block.headers:
            raise ValueError("no PEM block headers are permitted")
        try:
            x509.load_der_x509_certificate(block.content)
        except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
            raise ValueError(f"x509: malformed certificate: {error}") from None
    if not found:
        raise ValueError("must contain at least one CERTIFICATE PEM block")
