"""What certificates.k8s.io takes and refuses, in Kubernetes' words, and how requests are printed."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from navarch.api.certificates import pkcs10
from navarch.api.registry import resource
from navarch.apimachinery.errors import Object
from tests.api.rules import made, merged, on_create, on_update
from tests.apiserver.certificaterequests import signing_request

REQUESTS = "certificatesigningrequests.certificates.k8s.io"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
APPROVED = {"type": "Approved", "status": "True", "reason": "r", "message": "m"}
DENIED = {"type": "Denied", "status": "True", "reason": "r", "message": "m"}
FAILED = {"type": "Failed", "status": "True", "reason": "r", "message": "m"}


def with_conditions(*conditions: Object, certificate: str = "") -> Object:
    status: Object = {"conditions": list(conditions)}
    return {"status": status | ({"certificate": certificate} if certificate else {})}


@pytest.mark.parametrize(
    "spec",
    [
        {"signerName": "kubernetes.io/kube-apiserver-client", "expirationSeconds": 600},
        {"signerName": "a.example.com/x.y.z", "usages": ["any", "server auth", "digital signature"]},
        {"request": signing_request("system:node:a", ["system:nodes"], ["node-a", "192.0.2.1"])},
    ],
)
def test_what_makes_sense_is_taken(spec: Object) -> None:
    assert on_create(REQUESTS, {"spec": spec}) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"usages": None}, "spec.usages: Required value"),
        ({"usages": ["client auth", "client auth"]}, 'spec.usages[1]: Duplicate value: "client auth"'),
        ({"signerName": None}, "spec.signerName: Required value"),
        (
            {"signerName": "kubernetes.io/legacy-unknown"},
            'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API '
            "version",
        ),
        (
            {"signerName": "a"},
            'spec.signerName: Invalid value: "a": must be a fully qualified domain and path of the form '
            "'example.com/signer-name'",
        ),
        (
            {"signerName": "a/b"},
            'spec.signerName: Invalid value: "a": should be a domain with at least two segments separated by dots',
        ),
        ({"signerName": "A.b/c"}, f'spec.signerName: Invalid value: "A.b": validating label "A": {LABEL}'),
        ({"signerName": "a.b/c.D"}, f'spec.signerName: Invalid value: "c.D": validating label "D": {SUBDOMAIN}'),
        (
            {"expirationSeconds": 599},
            "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
        ),
    ],
)
def test_requests_that_make_no_sense_are_refused(spec: Object, expected: str) -> None:
    assert on_create(REQUESTS, {"spec": spec}) == [expected]


def test_only_known_usages_are_taken() -> None:
    (problem,) = on_create(REQUESTS, {"spec": {"usages": ["client auth", "mischief"]}})
    assert problem.startswith(
        'spec.usages[1]: Unsupported value: "mischief": supported values: "any", "cert sign", "client auth"'
    )


def _forged() -> str:
    der = bytearray(next(pkcs10.blocks(base64.b64decode(signing_request()))).content)
    der[-1] ^= 1
    body = base64.encodebytes(bytes(der))
    return base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n").decode()


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("", "PEM block type must be CERTIFICATE REQUEST"),
        (base64.b64encode(b"nonsense").decode(), "PEM block type must be CERTIFICATE REQUEST"),
        (
            base64.b64encode(b"-----BEGIN CERTIFICATE-----\neA==\n-----END CERTIFICATE-----\n").decode(),
            "PEM block type must be CERTIFICATE REQUEST",
        ),
        (_forged(), "x509: ECDSA verification failure"),
    ],
)
def test_what_is_no_signed_request_is_refused(request_: str, expected: str) -> None:
    assert on_create(REQUESTS, {"spec": {"request": request_}}) == [
        f'spec.request: Invalid value: "{request_}": {expected}',
    ]


def test_a_request_that_is_none_inside_is_refused() -> None:
    broken = base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----\neA==\n-----END CERTIFICATE REQUEST-----\n").decode()
    (problem,) = on_create(REQUESTS, {"spec": {"request": broken}})
    assert "x509: malformed certificate request" in problem


def test_the_subject_and_names_are_read() -> None:
    wanted = pkcs10.parse(
        signing_request(
            "system:node:a",
            ["system:nodes", "others"],
            ["node-a", "192.0.2.1", "fd00::1", x509.RFC822Name("a@example.com"), x509.UniformResourceIdentifier("spiffe://a")],
        )
    )
    assert (wanted.common_name, wanted.organizations) == ("system:node:a", ("system:nodes", "others"))
    assert (wanted.dns_names, wanted.ip_addresses) == (("node-a",), ("192.0.2.1", "fd00::1"))
    assert (wanted.email_addresses, wanted.uris) == (("a@example.com",), ("spiffe://a",))


def test_pem_is_read_as_go_reads_it() -> None:
    first = b"-----BEGIN A-----\r\nName: value\r\n\r\neA==\r\n-----END A-----\r\n"
    text = b"before\n" + first + b"between\n-----BEGIN B-----\neQ==\n-----END B-----"
    assert [(block.type, block.headers, block.content) for block in pkcs10.blocks(text)] == [
        ("A", b"Name: value\r\n", b"x"),
        ("B", b"", b"y"),
    ]


# Updates


def test_the_spec_stays_whatever_is_sent() -> None:
    kind = resource(REQUESTS)
    assert kind.prepare_update is not None
    old = made(REQUESTS)
    assert kind.prepare_update(merged(old, {"spec": {"signerName": "b.c/d"}}), old)["spec"] == old["spec"]


@pytest.mark.parametrize(
    ("subresource", "change", "before", "expected"),
    [
        ("approval", with_conditions(APPROVED), None, []),
        ("approval", with_conditions(DENIED), None, []),
        ("approval", with_conditions({"type": "Progressing", "status": "Unknown"}), None, []),
        (
            "approval",
            with_conditions(APPROVED, DENIED),
            None,
            ['status.conditions[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive'],
        ),
        (
            "approval",
            with_conditions(APPROVED, APPROVED),
            None,
            ['status.conditions[1].type: Duplicate value: "Approved"'],
        ),
        (
            "approval",
            with_conditions({"type": "Approved", "status": "False"}),
            None,
            ['status.conditions[0].status: Unsupported value: "False": supported values: "True"'],
        ),
        (
            "approval",
            with_conditions({"type": "", "status": ""}),
            None,
            ["status.conditions[0].type: Required value", "status.conditions[0].status: Required value"],
        ),
        (
            "approval",
            with_conditions({"type": "Progressing", "status": "Maybe"}),
            None,
            ['status.conditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"'],
        ),
        (
            "approval",
            {"status": {"conditions": None}},
            with_conditions(APPROVED, FAILED),
            [
                'status.conditions: Forbidden: updates may not remove a condition of type "Approved"',
                'status.conditions: Forbidden: updates may not remove a condition of type "Failed"',
            ],
        ),
        ("status", with_conditions(FAILED), None, []),
        (
            "status",
            with_conditions(APPROVED),
            None,
            ['status.conditions: Forbidden: updates may not add a condition of type "Approved"'],
        ),
        ("status", with_conditions({**APPROVED, "message": "other"}), with_conditions(APPROVED), []),
        (
            "status",
            {"status": {"certificate": base64.b64encode(b"nonsense").decode()}},
            None,
            [
                'status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block',
            ],
        ),
        (
            "status",
            {"status": {"certificate": signing_request()}},
            None,
            [
                'status.certificate: Invalid value: "<certificate data>": only CERTIFICATE PEM blocks are allowed, found '
                '"CERTIFICATE REQUEST"',
            ],
        ),
    ],
)
def test_conditions_and_certificates_follow_their_rules(
    subresource: str, change: Object, before: Object | None, expected: list[str]
) -> None:
    kind = resource(REQUESTS)
    old = merged(made(REQUESTS), before or {})
    new = merged(old, change)
    if subresource == "status":
        assert kind.prepare_status_update is not None
        problems = list(kind.validate_status_update(kind.prepare_status_update(new, old), old))
    else:
        update = kind.subresource_updates["approval"]
        problems = list(update.validate(update.prepare(new, old), old))
    assert [problem.message for problem in problems] == expected


def test_a_signer_cannot_change_the_approval_and_an_approver_not_the_certificate() -> None:
    kind = resource(REQUESTS)
    old = merged(made(REQUESTS), with_conditions(APPROVED, certificate="eA=="))
    assert kind.prepare_status_update is not None
    signed = kind.prepare_status_update(merged(old, with_conditions({**APPROVED, "message": "other"}, FAILED)), old)
    assert signed["status"]["conditions"] == [APPROVED, FAILED]
    approved = kind.subresource_updates["approval"].prepare(
        merged(old, with_conditions(APPROVED, FAILED, certificate="eQ==")), old
    )
    assert approved["status"] == {"certificate": "eA==", "conditions": [APPROVED, FAILED]}


def test_what_was_issued_stays() -> None:
    def pem(mutate: Callable[[bytes], bytes]) -> str:
        return base64.b64encode(mutate(certificate)).decode()

    certificate = _certificate()
    old = merged(made(REQUESTS), {"status": {"certificate": pem(lambda text: text)}})
    kind = resource(REQUESTS)
    again = merged(old, {"status": {"certificate": pem(lambda text: text * 2)}})
    assert [problem.message for problem in kind.validate_status_update(again, old)] == [
        "status.certificate: Forbidden: updates may not modify existing certificate content"
    ]
    fresh = made(REQUESTS)
    for mutate, expected in (
        (lambda text: text, []),
        (lambda text: text * 3, []),
        (
            lambda text: text.replace(b"CERTIFICATE-----\n", b"CERTIFICATE-----\nA: b\n\n", 1),
            ['status.certificate: Invalid value: "<certificate data>": no PEM block headers are permitted'],
        ),
    ):
        new = merged(fresh, {"status": {"certificate": pem(mutate)}})
        assert [problem.message for problem in kind.validate_status_update(new, fresh)] == expected


def _certificate() -> bytes:
    from datetime import timedelta

    from cryptography.hazmat.primitives import hashes

    from tests.apiserver.certificaterequests import key

    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key().public_key(), 1, NOW, NOW + timedelta(days=1))
    return builder.sign(key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"SignerName": "example.com/signer", "Requestor": "", "RequestedDuration": "<none>", "Condition": "Pending"}),
        ({"spec": {"username": "alice", "expirationSeconds": 3600}}, {"Requestor": "alice", "RequestedDuration": "60m"}),
        (with_conditions(APPROVED), {"Condition": "Approved"}),
        (with_conditions(APPROVED, certificate="eA=="), {"Condition": "Approved,Issued"}),
        (with_conditions(DENIED), {"Condition": "Denied"}),
        (with_conditions(APPROVED, FAILED), {"Condition": "Approved,Failed"}),
        (with_conditions(FAILED), {"Condition": "Pending,Failed"}),
    ],
)
def test_rows(change: Object, expected: Object) -> None:
    kind = resource(REQUESTS)
    assert kind.row is not None
    cells = kind.row(merged(made(REQUESTS), change), NOW)
    shown = {column.name: cell for column, cell in zip(kind.columns, cells, strict=True)}
    assert shown == {**shown, **expected}


def test_requests_are_selected_by_signer() -> None:
    assert resource(REQUESTS).selectable_fields["spec.signerName"](made(REQUESTS)) == "example.com/signer"
    assert on_update(REQUESTS, {"metadata": {"labels": {"a": "b"}}}) == []
