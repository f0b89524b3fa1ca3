"""How much of a shared device may be asked for at once: which policies make sense."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api.resource import capacity
from navarch.apimachinery.errors import Object

AT = "capacity"


def told(**policy: Any) -> list[str]:
    """What is wrong with a policy for 10Gi."""
    return [error.message for error in capacity.validate_shared({"value": "10Gi", "requestPolicy": policy}, AT)]


def span(default: str | None = "1Gi", **fields: str) -> Object:
    return {"default": default, "validRange": fields}


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"default": "1Gi"},
        {"default": "1Gi", "validValues": ["1Gi", "2Gi", "10Gi"]},
        {"default": "1024Mi", "validValues": ["1Gi"]},
        span(min="1Gi"),
        span(min="1Gi", max="9Gi", step="2Gi"),
    ],
)
def test_policies_that_can_be_kept_to(policy: Object) -> None:
    assert told(**policy) == []


POLICY, VALUES, RANGE = f"{AT}.requestPolicy", f"{AT}.requestPolicy.validValues", f"{AT}.requestPolicy.validRange"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (
            {"validValues": ["1"], "validRange": {}},
            [f'{POLICY}: Forbidden: exactly one policy can be specified, cannot specify "validValues" and "validRange" '
             "at the same time"],
        ),
        ({"validValues": ["1"]}, [f"{POLICY}.default: Required value: required when validValues is defined"]),
        ({"validRange": {"min": "1"}}, [f"{POLICY}.default: Required value: required when validRange is defined"]),
        (
            {"default": "3Gi", "validValues": ["2Gi", "1Gi", "1024Mi", "11Gi"]},
            [
                f'{VALUES}[1]: Invalid value: "1Gi": values must be sorted in ascending order',
                f'{VALUES}[3]: Invalid value: "11Gi": option is larger than capacity value: 10Gi',
                f'{VALUES}[2]: Duplicate value: "1073741824"',
                f'{VALUES}: Invalid value: "3Gi": default value is not valid according to the requestPolicy',
            ],
        ),
        (
            {"default": "1", "validValues": [str(number) for number in range(1, 12)]},
            [
                f"{VALUES}: Too many: 11: must have at most 10 items",
                f'{VALUES}: Invalid value: "1": default value is not valid according to the requestPolicy',
            ],
        ),
        (span(), [f"{RANGE}.min: Required value: required when validRange is defined"]),
        (
            span(min="11Gi"),
            [
                f'{RANGE}.min: Invalid value: "11Gi": min is larger than capacity value: 10Gi',
                f'{RANGE}.min: Invalid value: "1Gi": default is less than min: 11Gi',
            ],
        ),
        (
            span("13Gi", min="12Gi", max="11Gi"),
            [
                f'{RANGE}.min: Invalid value: "12Gi": min is larger than capacity value: 10Gi',
                f'{RANGE}.max: Invalid value: "12Gi": min is larger than max: 11Gi',
                f'{RANGE}.max: Invalid value: "11Gi": max is larger than capacity value: 10Gi',
                f'{RANGE}.max: Invalid value: "13Gi": default is more than max: 11Gi',
            ],
        ),
        (span(min="1Gi", step="0"), [f'{RANGE}.step: Invalid value: "0": must be greater than zero']),
        (
            span("2Gi", min="1Gi", max="5Gi", step="3Gi"),
            [
                f'{RANGE}.step: Invalid value: "2Gi": value is not a multiple of a given step (3Gi) from (1Gi)',
                f'{RANGE}.step: Invalid value: "5Gi": value is not a multiple of a given step (3Gi) from (1Gi)',
            ],
        ),
        (
            span(min="1Gi", step="10Gi"),
            [f'{RANGE}.step: Invalid value: "10Gi": one step 11Gi is larger than capacity value: 10Gi'],
        ),
    ],
)  # fmt: skip
def test_policies_that_cannot_be_kept_to(policy: Object, expected: list[str]) -> None:
    assert told(**policy) == expected
