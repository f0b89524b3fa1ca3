"""Devices are counted by class, at the most that may be given."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.api.resource import deviceusage
from navarch.apimachinery.errors import Object


def asked(of: str, count: int | None = 1, **more: Any) -> Object:
    amount = {"allocationMode": "All"} if count is None else {"allocationMode": "ExactCount", "count": count}
    return {"deviceClassName": of, **amount, **more}


def exactly(of: str, count: int | None = 1, **more: Any) -> Object:
    return {"name": "a", "exactly": asked(of, count, **more)}


def first(*alternatives: Object) -> Object:
    return {"name": "b", "firstAvailable": list(alternatives)}


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([], {}),
        ([exactly("gpu", 2)], {"gpu": 2}),
        ([exactly("gpu", 2), exactly("gpu", 3), exactly("nic")], {"gpu": 5, "nic": 1}),
        ([exactly("gpu", None), exactly("gpu")], {"gpu": 33}),
        # Whoever sees more than is his alone asks no less.
        ([exactly("gpu", 2, adminAccess=True)], {"gpu": 2}),
        ([first(asked("gpu", 2), asked("gpu", 4), asked("nic", 1))], {"gpu": 4, "nic": 1}),
        ([first(asked("gpu", 2), asked("nic", None)), exactly("gpu", 3)], {"gpu": 5, "nic": 32}),
        # Another way to count, of a version to come.
        ([exactly("gpu", 2, allocationMode="Half")], {}),
    ],
)
def test_devices_by_class(requests: list[Object], expected: dict[str, int]) -> None:
    assert deviceusage.by_class({"devices": {"requests": requests}}) == expected


def test_a_claim_need_not_ask_for_devices() -> None:
    assert not deviceusage.by_class({})
