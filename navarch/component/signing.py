"""Issue the certificates that signing requests ask for, under the cluster's authority.

What a request says about its subject and its names is carried over; everything else is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from navarch.component import clock

if TYPE_CHECKING:
    from cryptography import x509

# Machines' clocks differ: a certificate is valid a little before it was made.
BACKDATE = timedelta(minutes=5)
# A life shorter than this is not cut by what it was dated back.
SHORT_LIFETIME = timedelta(hours=8)
_KEY_USAGES = {"digital signature": "digital_signature", "key encipherment": "key_encipherment"}


class Authority:
    """The authority whose certificate and key are in two files; read anew whenever something is signed."""

    def __init__(self, certificate_file: Path, key_file: Path) -> None:
        self._certificate_file = certificate_file
        self._key_file = key_file

    def sign(self, request: x509.CertificateSigningRequest, usages: Iterable[str], lifetime: timedelta, now: datetime) -> bytes:
        """The certificate, PEM. Raises OSError or ValueError if the authority cannot be read.

        `usages` are among: digital signature, key encipherment, client auth, server auth.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.x509.oid import ExtendedKeyUsageOID

        issuer = x509.load_pem_x509_certificate(self._certificate_file.read_bytes())
        key: Any = serialization.load_pem_private_key(self._key_file.read_bytes(), password=None)
        extended = {"client auth": ExtendedKeyUsageOID.CLIENT_AUTH, "server auth": ExtendedKeyUsageOID.SERVER_AUTH}
        wanted = frozenset(usages)
        assert wanted <= _KEY_USAGES.keys() | extended.keys(), "the caller has checked them"
        end = now + lifetime - (BACKDATE if lifetime >= SHORT_LIFETIME else timedelta())
        builder = (
            x509.CertificateBuilder(subject_name=request.subject, issuer_name=issuer.subject)
            .public_key(request.public_key())
            # RFC 5280, section 4.1.2.2: a serial number is positive and has at most 20 octets.
            .serial_number(clock.random().getrandbits(158) + 1)
            .not_valid_before(now - BACKDATE)
            # A certificate never outlives its authority.
            .not_valid_after(min(end, issuer.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_issuer_key(key), critical=False)
        )
        # RFC 5280, section 4.2.1.3: where there is a key usage, there is one at least.
        if wanted & _KEY_USAGES.keys():
            builder = builder.add_extension(_key_usage(wanted), critical=True)
        if used := [oid for usage, oid in extended.items() if usage in wanted]:
            builder = builder.add_extension(x509.ExtendedKeyUsage(used), critical=False)
        if names := _names(request):
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def end_of(certificate_pem: bytes) -> datetime | None:
    """Until when a certificate is good, the first if there are several; None if it cannot be read."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(certificate_pem).not_valid_after_utc
    except ValueError:
        return None


def _names(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    """The alternative names of those sorts that the signers know and check."""
    from cryptography import x509

    try:
        found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    known = (x509.DNSName, x509.IPAddress, x509.RFC822Name, x509.UniformResourceIdentifier)
    return [name for name in found if isinstance(name, known)]


def _key_usage(usages: frozenset[str]) -> x509.KeyUsage:
    from cryptography import x509

    flags = {field: usage in usages for usage, field in _KEY_USAGES.items()}
    others = ("content_commitment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign")
    return x509.KeyUsage(**flags, **dict.fromkeys(others, False), encipher_only=False, decipher_only=False)


def _issuer_key(key: Any) -> x509.AuthorityKeyIdentifier:
    from cryptography import x509

    return x509.AuthorityKeyIdentifier(x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest, None, None)
