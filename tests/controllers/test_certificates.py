"""Certificate signing requests: which are approved, which are signed and how, and when they go."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from navarch.api.certificates import pkcs10
from navarch.apimachinery import meta
from navarch.apimachinery.errors import Object
from navarch.component.pki import PKI
from navarch.component.signing import Authority
from navarch.controllers import certificates
from navarch.controllers.certificates import API_CLIENT, KUBELET_CLIENT, KUBELET_SERVING, RESOURCE
from tests.apiserver.certificaterequests import key, signing_request
from tests.controllers.cluster import Cluster, cluster
from tests.controllers.world import on_bench
from tests.fakeapi import run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLIENT_USAGES = ["digital signature", "key encipherment", "client auth"]
SERVER_USAGES = ["digital signature", "key encipherment", "server auth"]
NODE = ("system:node:a", ("system:nodes",))
URI = x509.UniformResourceIdentifier("spiffe://a")
EMAIL = x509.RFC822Name("a@example.com")


@pytest.mark.parametrize(
    ("signer", "subject", "names", "usages", "expected"),
    [
        (API_CLIENT, ("alice", ("people",)), ["any.example.com"], CLIENT_USAGES, ""),
        (API_CLIENT, ("alice", ()), [], ["client auth"], ""),
        (API_CLIENT, ("alice", ()), [], SERVER_USAGES, "invalid usage for client certificate: server auth"),
        (API_CLIENT, ("alice", ()), [], ["digital signature"], "missing required usage for client certificate: client auth"),
        (KUBELET_CLIENT, NODE, [], CLIENT_USAGES, ""),
        (KUBELET_CLIENT, NODE, [], ["digital signature", "client auth"], ""),
        (KUBELET_CLIENT, ("system:node:a", ()), [], CLIENT_USAGES, "subject organization is not system:nodes"),
        (KUBELET_CLIENT, NODE, ["a"], CLIENT_USAGES, "DNS subjectAltNames are not allowed"),
        (KUBELET_CLIENT, NODE, [EMAIL], CLIENT_USAGES, "Email subjectAltNames are not allowed"),
        (KUBELET_CLIENT, NODE, ["192.0.2.1"], CLIENT_USAGES, "IP subjectAltNames are not allowed"),
        (KUBELET_CLIENT, NODE, [URI], CLIENT_USAGES, "URI subjectAltNames are not allowed"),
        (
            KUBELET_CLIENT,
            ("alice", ("system:nodes",)),
            [],
            CLIENT_USAGES,
            "subject common name does not begin with system:node:",
        ),
        (
            KUBELET_CLIENT,
            NODE,
            [],
            SERVER_USAGES,
            "usages did not match [client auth digital signature key encipherment]",
        ),
        (KUBELET_SERVING, NODE, ["a", "192.0.2.1"], SERVER_USAGES, ""),
        (KUBELET_SERVING, NODE, ["192.0.2.1"], ["digital signature", "server auth"], ""),
        (KUBELET_SERVING, NODE, [], SERVER_USAGES, "DNS or IP subjectAltName is required"),
        (KUBELET_SERVING, NODE, ["a", EMAIL], SERVER_USAGES, "Email subjectAltNames are not allowed"),
        (KUBELET_SERVING, NODE, ["a", URI], SERVER_USAGES, "URI subjectAltNames are not allowed"),
        (
            KUBELET_SERVING,
            NODE,
            ["a"],
            CLIENT_USAGES,
            "usages did not match [digital signature key encipherment server auth]",
        ),
        (
            KUBELET_SERVING,
            ("alice", ("system:nodes",)),
            ["a"],
            SERVER_USAGES,
            "subject common name does not begin with system:node:",
        ),
    ],
)
def test_each_signer_has_its_rules(
    signer: str, subject: tuple[str, tuple[str, ...]], names: list[Any], usages: list[str], expected: str
) -> None:
    assert certificates.problem(signer, pkcs10.parse(signing_request(*subject, names)), usages) == expected


def request(name: str, signer: str = API_CLIENT, encoded: str = "", usages: list[str] | None = None, **spec: Any) -> Object:
    spec = {"signerName": signer, "request": encoded or signing_request(), "usages": usages or CLIENT_USAGES, **spec}
    api_version, metadata = "certificates.k8s.io/v1", {"name": name}
    return {"apiVersion": api_version, "kind": "CertificateSigningRequest", "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    found = PKI(tmp_path_factory.mktemp("pki"))
    found.ensure(())
    return found


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, timedelta(days=365)), (60, timedelta(minutes=10)), (7200, timedelta(hours=2)), (2**31 - 1, timedelta(days=365))],
)
def test_a_lifetime_is_what_was_asked_for_within_bounds(seconds: int | None, expected: timedelta) -> None:
    asked = {} if seconds is None else {"expirationSeconds": seconds}
    assert certificates.lifetime(request("a", **asked)) == expected


@pytest.mark.parametrize(
    ("lifetime", "end"),
    [
        (timedelta(hours=1), timedelta(hours=1)),
        (timedelta(days=1), timedelta(days=1) - timedelta(minutes=5)),
        (timedelta(days=36500), None),
    ],
)
def test_a_certificate_says_what_was_asked_and_no_more(pki: PKI, lifetime: timedelta, end: timedelta | None) -> None:
    other = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x05admin")
    wanted = pkcs10.parse(signing_request("system:node:a", ["system:nodes"], ["node-a", "192.0.2.1", other]))
    authority = Authority(pki.certificate("ca"), pki.key("ca"))
    issuer = x509.load_pem_x509_certificate(pki.certificate("ca").read_bytes())
    issued = x509.load_pem_x509_certificate(authority.sign(wanted.x509, SERVER_USAGES, lifetime, NOW))
    issued.verify_directly_issued_by(issuer)
    assert issued.subject == wanted.x509.subject and issued.public_key() == key().public_key()
    assert issued.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert issued.not_valid_after_utc == (NOW + end if end is not None else issuer.not_valid_after_utc)
    extensions = {type(extension.value): extension.value for extension in issued.extensions}
    assert extensions[x509.BasicConstraints] == x509.BasicConstraints(ca=False, path_length=None)
    names = extensions[x509.SubjectAlternativeName]
    assert [str(name.value) for name in names] == ["node-a", "192.0.2.1"], "a name that nobody checked is left out"
    usage = extensions[x509.KeyUsage]
    assert usage.digital_signature and usage.key_encipherment and not usage.key_cert_sign
    assert [oid.dotted_string for oid in extensions[x509.ExtendedKeyUsage]] == ["1.3.6.1.5.5.7.3.1"]


def test_a_certificate_without_a_use_of_its_key_says_nothing_of_it(pki: PKI) -> None:
    authority = Authority(pki.certificate("ca"), pki.key("ca"))
    wanted = pkcs10.parse(signing_request("alice", []))
    issued = x509.load_pem_x509_certificate(authority.sign(wanted.x509, ["client auth"], timedelta(hours=1), NOW))
    assert x509.KeyUsage not in {type(extension.value) for extension in issued.extensions}, (
        "OpenSSL takes an empty one for wrong"
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, timedelta(hours=24)),
        ({"conditions": [{"type": "Approved"}]}, timedelta(hours=25)),
        ({"conditions": [{"type": "Approved"}], "certificate": "eA=="}, timedelta(hours=2)),
        ({"conditions": [{"type": "Denied"}]}, timedelta(hours=2)),
        ({"conditions": [{"type": "Approved"}, {"type": "Failed"}]}, timedelta(hours=2)),
        ({"conditions": [{"type": "Other"}]}, None),
    ],
)
def test_requests_are_kept_for_a_while(status: Object, expected: timedelta | None) -> None:
    later = meta.format_time(NOW + timedelta(hours=1))
    conditions = [{**item, "status": "True", "lastUpdateTime": later} for item in status.get("conditions") or ()]
    kept = {**request("a"), "status": {**status, "conditions": conditions}}
    kept["metadata"]["creationTimestamp"] = meta.format_time(NOW)
    assert certificates.expiry(kept) == (NOW + expected if expected is not None else None)


def test_a_request_goes_with_its_certificate_if_that_ends_sooner(pki: PKI) -> None:
    authority = Authority(pki.certificate("ca"), pki.key("ca"))
    wanted = pkcs10.parse(signing_request("alice"))
    issued = authority.sign(wanted.x509, ["client auth"], timedelta(minutes=10), NOW)
    approved = {"type": "Approved", "status": "True", "lastUpdateTime": meta.format_time(NOW)}
    status: Object = {"conditions": [approved], "certificate": base64.b64encode(issued).decode()}
    assert certificates.expiry({**request("a"), "status": status}) == NOW + timedelta(minutes=10)
    del approved["lastUpdateTime"]
    assert certificates.expiry({**request("a"), "status": status}) == NOW + timedelta(minutes=10)
    denied = {**status, "conditions": [{**approved, "type": "Denied"}]}
    assert certificates.expiry({**request("a"), "status": denied}) is None


def test_old_requests_go() -> None:
    async def test() -> None:
        _, cleaner = certificates.controllers(certificates.ControllerConfig())
        async with on_bench(cleaner) as found:
            old = request("old")
            old["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
            found.api.put(request("new"))
            found.api.put(old)
            await found.until(lambda: [meta.name(item) for item in found.api.all(RESOURCE)] == ["new"])

    run(test)


async def _approve(found: Cluster, name: str) -> None:
    condition = {"type": "Approved", "status": "True", "reason": "Tested", "message": ""}

    def approved(current: Object) -> Object:
        return {**current, "status": {**(current.get("status") or {}), "conditions": [condition]}}

    await found.client.modify(RESOURCE, name, "", approved, subresource="approval")


def test_what_is_approved_is_signed_and_nodes_clients_are_approved(tmp_path: Path, pki: PKI) -> None:
    files = {"signing_certificate_file": pki.certificate("ca"), "signing_key_file": pki.key("ca")}

    async def test() -> None:
        async with cluster(tmp_path, **files) as found:

            def now(name: str) -> Object:
                return (found.one(RESOURCE, name) or {}).get("status") or {}

            node = signing_request("system:node:a", ["system:nodes"])
            for item in (
                request("person"),
                request("node", KUBELET_CLIENT, node),
                request("mistaken", usages=["server auth"]),
                request("elsewhere", "example.com/signer"),
            ):
                await found.client.create(RESOURCE, item)
            issued = await found.until(lambda: now("node").get("certificate"))
            (approval,) = now("node")["conditions"]
            assert (approval["type"], approval["reason"]) == ("Approved", "AutoApproved")
            assert approval["message"] == "Auto approving kubelet client certificate after SubjectAccessReview."
            certificate = x509.load_pem_x509_certificate(base64.b64decode(issued))
            certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(pki.certificate("ca").read_bytes()))
            assert certificate.subject.rfc4514_string() == "CN=system:node:a,O=system:nodes"
            assert not now("person").get("conditions")
            for name in ("person", "mistaken", "elsewhere"):
                await _approve(found, name)
            await found.until(lambda: now("person").get("certificate"))
            await found.until(lambda: len(now("mistaken").get("conditions") or ()) == 2)
            failed = now("mistaken")["conditions"][1]
            assert (failed["type"], failed["reason"]) == ("Failed", "SignerValidationFailure")
            assert failed["message"] == "invalid usage for client certificate: server auth"
            assert failed["lastUpdateTime"] and not now("mistaken").get("certificate")
            assert not now("elsewhere").get("certificate"), "it is somebody else's to sign"

    asyncio.run(test())
