"""Conditions of a status keep to Kubernetes' rules for them."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api import conditions
from navarch.apimachinery.errors import Object

GOOD: Object = {
    "type": "example.com/Ready",
    "status": "True",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
    "reason": "Because:It_is,So",
    "message": "",
}
REASON = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or "
    "'_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or "
    "'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"
)


def test_good_ones_are_taken() -> None:
    assert list(conditions.validate([GOOD, {**GOOD, "type": "Other", "status": "Unknown", "observedGeneration": 3}], "c")) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"type": ""}, 'c[0].type: Invalid value: "": name part must be non-empty'),
        ({"status": "true"}, 'c[0].status: Unsupported value: "true": supported values: "False", "True", "Unknown"'),
        ({"observedGeneration": -1}, "c[0].observedGeneration: Invalid value: -1: must be greater than or equal to zero"),
        ({"lastTransitionTime": None}, "c[0].lastTransitionTime: Required value: must be set"),
        ({"reason": ""}, "c[0].reason: Required value: must be set"),
        ({"reason": "not so"}, f'c[0].reason: Invalid value: "not so": {REASON}'),
        ({"reason": "a" * 1025}, "c[0].reason: Too long: may not be more than 1024 bytes"),
        ({"message": "ä" * 16385}, "c[0].message: Too long: may not be more than 32768 bytes"),
    ],
)
def test_each_rule(change: dict[str, Any], expected: str) -> None:
    assert [error.message for error in conditions.validate([{**GOOD, **change}], "c")][:1] == [expected]


def test_a_type_occurs_once() -> None:
    assert [error.message for error in conditions.validate([GOOD, GOOD], "c")] == [
        'c[1].type: Duplicate value: "example.com/Ready"'
    ]
