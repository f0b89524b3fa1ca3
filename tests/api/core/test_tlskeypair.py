"""Certificates and keys that belong together, and what is said of others."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from navarch.api.core.tlskeypair import problem
from navarch.api.registry import resource
from navarch.component.pki import PKI, Leaf

GARBAGE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
OTHER = b"-----BEGIN THING-----\nAAAA\n-----END THING-----\n"
BROKEN_KEY = b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    pki = PKI(tmp_path_factory.mktemp("pki"))
    pki.ensure([Leaf("one", "one", ()), Leaf("two", "two", ())])
    read = {"one": pki.certificate("one"), "one-key": pki.key("one"), "two-key": pki.key("two")}
    return {
        **{name: Path(path).read_bytes() for name, path in read.items()},
        "rsa-key": rsa_key(),
        "garbage": GARBAGE,
        "other": OTHER,
        "broken-key": BROKEN_KEY,
        "": b"",
    }


def rsa_key() -> bytes:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


@pytest.mark.parametrize(
    ("certificate", "key", "expected"),
    [
        ("one", "one-key", ""),
        ("one", "two-key", "tls: private key does not match public key"),
        ("one", "rsa-key", "tls: private key type does not match public key type"),
        ("one", "broken-key", "tls: failed to parse private key"),
        ("one", "", "tls: failed to find any PEM data in key input"),
        ("one", "one", "tls: found a certificate rather than a key in the PEM for the private key"),
        (
            "one",
            "other",
            'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the '
            "following types: [THING]",
        ),
        ("", "one-key", "tls: failed to find any PEM data in certificate input"),
        (
            "one-key",
            "one",
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM "
            "inputs may have been "
            "switched",
        ),
        (
            "other",
            "one-key",
            'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the '
            "following types: "
            "[THING]",
        ),
        ("garbage", "one-key", "x509: malformed certificate"),
    ],
)
def test_pairs(pems: dict[str, bytes], certificate: str, key: str, expected: str) -> None:
    assert problem(pems[certificate], pems[key]) == expected


def test_secrets_of_that_type_are_looked_at(pems: dict[str, bytes]) -> None:
    data = {"tls.crt": base64.b64encode(pems["one"]).decode(), "tls.key": base64.b64encode(pems["two-key"]).decode()}
    warnings = resource("secrets").warnings
    assert list(warnings({"metadata": {}, "type": "kubernetes.io/tls", "data": data}, None)) == [
        "tls: private key does not match public key"
    ]
    assert list(warnings({"metadata": {}, "type": "Opaque", "data": data}, None)) == []
