"""The cluster's certificates: one authority, and a certificate for each component that speaks TLS.

- Keys are EC P-256: a certificate costs a quarter of a millisecond where an RSA key costs 76.
- What has been issued is noted in a ledger beside the files, with each file's hash. A start at which nothing is missing, near
  its end or in need of other names reads a few small files and never loads the cryptography library.
- An authority that was there before (a user's own `ca.crt` and `ca.key`) is used as it is; without its key nothing is issued.
- Every file is private to its owner and replaced in one step. A certificate is there only when its key is: a crash in between
  leaves a certificate missing, which the next start makes.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from navarch.component import clock

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

AUTHORITY_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
# Issue again when less than this is left; navarch looks whenever it starts.
RENEW_BEFORE = timedelta(days=60)
# Machines' clocks differ: a certificate is valid a little before it was made.
BACKDATE = timedelta(minutes=5)
FILE_MODE = 0o600
LEDGER = "issued.json"


class PKIError(Exception):
    """Certificates that cannot be used or made; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate wanted under the cluster's authority."""

    path: str
    """Under the directory, without suffix: ``nodes/node-1/client`` gives `nodes/node-1/client.crt` and `.key`."""
    common_name: str
    organizations: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """DNS names and IP addresses; the certificate also serves if there are any, and only then."""
    authority: str = "ca"

    @property
    def facts(self) -> dict[str, Any]:
        """What a certificate must say to be this one."""
        return {
            "common_name": self.common_name,
            "organizations": sorted(self.organizations),
            "names": sorted(_canonical(name) for name in self.names),
        }


def cluster_leaves(*, addresses: Iterable[str], host_names: Iterable[str], cluster_domain: str = "cluster.local") -> list[Leaf]:
    """The control plane's certificates. `addresses` are all at which the API server is reached, its Service's included."""
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{cluster_domain}")
    names = dict.fromkeys((*service, "localhost", *host_names, "127.0.0.1", "::1", *addresses))
    return [
        Leaf("apiserver", "kube-apiserver", names=tuple(names)),
        Leaf("admin", "kubernetes-admin", ("system:masters",)),
        Leaf("apiserver-kubelet-client", "kube-apiserver-kubelet-client", ("system:masters",)),
        Leaf("front-proxy-client", "front-proxy-client", authority="front-proxy-ca"),
    ]


def node_leaves(node: str, addresses: Iterable[str]) -> list[Leaf]:
    """A node's certificates: as a client of the API server, and as the kubelet's server."""
    user = f"system:node:{node}"
    return [
        Leaf(f"nodes/{node}/client", user, ("system:nodes",)),
        Leaf(f"nodes/{node}/kubelet", user, ("system:nodes",), names=(node, *dict.fromkeys(addresses))),
    ]


class PKI:
    """The certificates under one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def certificate(self, path: str) -> Path:
        return self.directory / f"{path}.crt"

    def key(self, path: str) -> Path:
        return self.directory / f"{path}.key"

    @property
    def service_account_key(self) -> Path:
        """The private key that signs service account tokens (PEM, EC P-256)."""
        return self.directory / "sa.key"

    @property
    def service_account_public_key(self) -> Path:
        return self.directory / "sa.pub"

    def ensure(self, leaves: Iterable[Leaf]) -> list[str]:
        """Make what is missing, near its end or different; returns the paths that were made. Raises PKIError."""
        now = clock.now()
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        ledger = _Ledger(self.directory / LEDGER)
        leaves = list(leaves)
        made: list[str] = []
        for authority in dict.fromkeys(("ca", "front-proxy-ca", *(leaf.authority for leaf in leaves))):
            if self._ensure_authority(authority, ledger, now):
                made.append(authority)
        if self._ensure_service_account_key():
            made.append("sa")
        for leaf in leaves:
            if self._ensure_leaf(leaf, ledger, now):
                made.append(leaf.path)
        ledger.save()
        return made

    def _ensure_authority(self, path: str, ledger: _Ledger, now: datetime) -> bool:
        facts = ledger.facts(path, self.certificate(path))
        if facts is None:
            common_name = "kubernetes" if path == "ca" else "kubernetes-front-proxy"
            # A key that is there keeps its worth: what was issued under it stays valid.
            existing = self.key(path).read_bytes() if self.key(path).exists() else None
            self._write(path, *_issue_authority(common_name, existing, now))
            ledger.note(path, self.certificate(path))
            return True
        if facts["not_after"] <= now.timestamp():
            raise PKIError(
                f"the authority {self.certificate(path)} has expired: remove {self.directory} to begin with a new one; "
                "every kubeconfig must then be written again (navarch kubeconfig)"
            )
        return False

    def _ensure_service_account_key(self) -> bool:
        if self.service_account_key.exists() and self.service_account_public_key.exists():
            return False
        private, public = _key_pair(self.service_account_key.read_bytes() if self.service_account_key.exists() else None)
        _replace(self.service_account_key, private)
        _replace(self.service_account_public_key, public)
        return True

    def _ensure_leaf(self, leaf: Leaf, ledger: _Ledger, now: datetime) -> bool:
        certificate = self.certificate(leaf.path)
        facts = ledger.facts(leaf.path, certificate)
        issuer = ledger.facts(leaf.authority, self.certificate(leaf.authority))
        assert issuer is not None
        if (
            facts is not None
            and self.key(leaf.path).exists()
            and facts["not_after"] - RENEW_BEFORE.total_seconds() > now.timestamp()
            and facts["issuer_key"] == issuer["subject_key"]
            and all(facts[name] == value for name, value in leaf.facts.items())
        ):
            return False
        try:
            authority = self.certificate(leaf.authority).read_bytes(), self.key(leaf.authority).read_bytes()
        except FileNotFoundError as error:
            raise PKIError(f"cannot issue {certificate}: {error.filename} is missing; put both files there by hand") from error
        self._write(leaf.path, *_issue_leaf(leaf, *authority, now))
        ledger.note(leaf.path, certificate)
        return True

    def _write(self, path: str, certificate: bytes, key: bytes) -> None:
        self.certificate(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.certificate(path).unlink(missing_ok=True)
        _replace(self.key(path), key)
        _replace(self.certificate(path), certificate)


class _Ledger:
    """What the issued certificates say, by path, good as long as the file's hash is the one noted."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._changed = False
        self._entries: dict[str, dict[str, Any]] = {}
        try:
            entries = json.loads(file.read_bytes())
            if isinstance(entries, dict):
                self._entries = entries
        except (OSError, ValueError):
            # It only saves work: without it the certificates themselves are read.
            pass

    def facts(self, path: str, certificate: Path) -> dict[str, Any] | None:
        """What `certificate` says; None if there is none. Raises PKIError if it is none."""
        try:
            content = certificate.read_bytes()
        except FileNotFoundError:
            return None
        digest = hashlib.sha256(content).hexdigest()
        entry = self._entries.get(path)
        if entry is None or entry.get("sha256") != digest:
            try:
                entry = {"sha256": digest, **_read_facts(content)}
            except ValueError as error:
                raise PKIError(f"{certificate} is not a certificate ({error}): remove it, a new one is made") from error
            self._entries[path] = entry
            self._changed = True
        return entry

    def note(self, path: str, certificate: Path) -> None:
        self.facts(path, certificate)

    def save(self) -> None:
        if self._changed:
            _replace(self._file, json.dumps(self._entries, indent=1, sort_keys=True).encode())


def _canonical(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _replace(file: Path, content: bytes) -> None:
    temporary = file.with_name(f".{file.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


# What needs the cryptography library, which costs 90 ms to load


def _read_facts(content: bytes) -> dict[str, Any]:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    certificate = x509.load_pem_x509_certificate(content)
    names: list[str] = []
    issuer_key = ""
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names = [str(name.value) for name in extension.value]
        elif isinstance(extension.value, x509.AuthorityKeyIdentifier) and extension.value.key_identifier:
            issuer_key = extension.value.key_identifier.hex()
    subject = certificate.subject
    return {
        "common_name": "".join(str(a.value) for a in subject.get_attributes_for_oid(NameOID.COMMON_NAME)),
        "organizations": sorted(str(a.value) for a in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)),
        "names": sorted(names),
        "not_after": certificate.not_valid_after_utc.timestamp(),
        "subject_key": x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest.hex(),
        "issuer_key": issuer_key,
    }


def _issue_authority(common_name: str, existing_key: bytes | None, now: datetime) -> tuple[bytes, bytes]:
    from cryptography import x509

    key = _load_or_generate(existing_key)
    name = _subject(common_name, ())
    builder = (
        _builder(name, name, key.public_key(), now, now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, key_encipherment=True, key_cert_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
    )
    return _sign(builder, key), _private_pem(key)


def _issue_leaf(leaf: Leaf, authority: bytes, authority_key: bytes, now: datetime) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509.oid import ExtendedKeyUsageOID

    issuer = x509.load_pem_x509_certificate(authority)
    signer: Any = load_pem_private_key(authority_key, password=None)
    if signer.public_key() != issuer.public_key():
        raise PKIError(f"the key of the authority {leaf.authority} does not belong to its certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    usages = [ExtendedKeyUsageOID.SERVER_AUTH] if leaf.names else [ExtendedKeyUsageOID.CLIENT_AUTH]
    # A certificate never outlives its authority.
    end = min(now + LEAF_LIFETIME, issuer.not_valid_after_utc)
    subject = _subject(leaf.common_name, leaf.organizations)
    issuer_key = x509.AuthorityKeyIdentifier(x509.SubjectKeyIdentifier.from_public_key(signer.public_key()).digest, None, None)
    builder = (
        _builder(subject, issuer.subject, key.public_key(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, key_encipherment=True, key_cert_sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(issuer_key, critical=False)
    )
    if leaf.names:
        names: list[x509.GeneralName] = []
        for name in leaf.names:
            try:
                names.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                names.append(x509.DNSName(name))
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _sign(builder, signer), _private_pem(key)


def _subject(common_name: str, organizations: tuple[str, ...]) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    from cryptography import x509

    # RFC 5280, section 4.1.2.2: a serial number is positive and has at most 20 octets.
    serial = clock.random().getrandbits(158) + 1
    begin = (now - BACKDATE).astimezone(UTC)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _key_usage(*, digital_signature: bool, key_encipherment: bool, key_cert_sign: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_encipherment=key_encipherment,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load_or_generate(existing: bytes | None) -> ec.EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if existing is None:
        return ec.generate_private_key(ec.SECP256R1())
    # A user's own authority may have another kind of key; it signs as well.
    key: Any = load_pem_private_key(existing, password=None)
    return key  # type: ignore[no-any-return]


def _key_pair(existing: bytes | None) -> tuple[bytes, bytes]:
    """Private and public PEM of a new key, or of the existing one."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = _load_or_generate(existing)
    return _private_pem(key), key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
