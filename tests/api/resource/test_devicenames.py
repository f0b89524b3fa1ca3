"""Names of attributes and shares."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.api.resource import devicenames

NOT_NORMAL = (
    "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters"
)
PLAIN = "11111111-aaaa-3333-4444-555555555555"


@given(st.uuids())
def test_every_uuid_in_its_usual_form_is_one(found: uuid.UUID) -> None:
    assert list(devicenames.validate_uid(str(found), "uid")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PLAIN.upper(), NOT_NORMAL),
        (f"{{{PLAIN}}}", NOT_NORMAL),
        (f"URN:uuid:{PLAIN}", NOT_NORMAL),
        (PLAIN.replace("-", ""), NOT_NORMAL),
        ("", "error validating uid: invalid UUID length: 0"),
        (f"({PLAIN})", "error validating uid: invalid bracketed UUID format"),
        (f"urn:guid:{PLAIN}", 'error validating uid: invalid urn prefix: "urn:guid:"'),
        (PLAIN.replace("-", "_"), "error validating uid: invalid UUID format"),
        ("g" * 32, "error validating uid: invalid UUID format"),
    ],
)
def test_other_forms_are_told_apart_from_what_is_none(text: str, expected: str) -> None:
    assert [error.body for error in devicenames.validate_uid(text, "uid")] == [f'Invalid value: "{text}": {expected}']


@given(st.text(alphabet="aZ09_-./", max_size=40))
def test_qualified_names_are_identifiers_with_or_without_a_domain(text: str) -> None:
    def is_identifier(part: str) -> bool:
        return bool(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", part)) and len(part) <= 32

    domain, slash, name = text.rpartition("/")
    expected = "/" in domain or (is_identifier(name) and (not slash or not list(devicenames.validate_driver(domain, ""))))
    assert (not list(devicenames.validate_qualified(text, "name"))) == expected
