"""Certificate signing requests."""

from __future__ import annotations

from base64 import b64encode

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from navarch.apimachinery.errors import Object
from tests.conformance import behaviour
from tests.conformance.lifecycles import supports_api_operations
from tests.conformance.world import Space


def request() -> str:
    """A PEM-encoded request of a new key."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "e2e.example.com")])
    signed = (
        x509.CertificateSigningRequestBuilder().subject_name(subject).sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
    )
    return b64encode(signed.public_bytes(Encoding.PEM)).decode()


def conditions(type_: str, status: str) -> Object:
    return {"status": {"conditions": [{"type": type_, "status": status, "reason": "E2E", "message": "Set from an e2e test"}]}}


@behaviour("CertificateSigningRequest API")
def test_a_signing_request_does_every_verb(space: Space) -> None:
    spec = {"request": request(), "signerName": "example.com/e2e-signer", "expirationSeconds": 3600, "usages": ["server auth"]}
    names = [f"e2e-csr-{space.name}-{number}" for number in range(3)]
    statuses = {
        "status": [conditions("StatusPatched", "True"), conditions("StatusUpdated", "True")],
        "approval": [conditions("Approved", "True"), conditions("Approved", "True")],
    }
    supports_api_operations(
        space, "certificatesigningrequests.certificates.k8s.io", names, {"spec": spec}, statuses=statuses, annotates=False
    )
