"""Tokens are good only as they were signed, with the key that signed them."""

from __future__ import annotations

import base64
from pathlib import Path

import orjson
import pytest

from navarch.component.jwt import SigningKey
from navarch.component.pki import PKI

CLAIMS = {"iss": "me", "sub": "you", "aud": ["all"]}


def key(directory: Path) -> SigningKey:
    found = PKI(directory)
    found.ensure(())
    return SigningKey(found.service_account_key)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return key(tmp_path_factory.mktemp("mine"))


def test_a_token_says_what_was_signed_and_by_which_key(mine: SigningKey) -> None:
    token = mine.sign(CLAIMS)
    assert mine.claims(token) == CLAIMS
    header = orjson.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header == {"alg": "ES256", "kid": mine.public()["kid"]}


def test_another_key_or_another_content_is_no_signature(mine: SigningKey, tmp_path: Path) -> None:
    head, payload, signature = mine.sign(CLAIMS).split(".")
    assert key(tmp_path).claims(f"{head}.{payload}.{signature}") is None
    other = base64.urlsafe_b64encode(orjson.dumps({**CLAIMS, "sub": "me"})).rstrip(b"=").decode()
    assert mine.claims(f"{head}.{other}.{signature}") is None
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    assert mine.claims(f"{unsigned}.{payload}.") is None


@pytest.mark.parametrize("claims", [[], "x", 1])
def test_what_claims_nothing_by_name_is_no_token(mine: SigningKey, claims: object) -> None:
    assert mine.claims(mine.sign(claims)) is None  # type: ignore[arg-type]
