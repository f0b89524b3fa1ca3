"""Long keys in the paths of errors."""

from __future__ import annotations

import pytest

from navarch.api.resource.fieldlists import each_entry, shortened
from navarch.apimachinery.errors import FieldError, required


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("0123456789", 3, "0123456789"),
        ("0123456789abcdefg", 16, "0123456...bcdefg"),
        ("0123456789abcdefgh", 17, "0123456...bcdefgh"),
    ],
)
def test_the_middle_of_a_long_key_is_left_out(text: str, limit: int, expected: str) -> None:
    assert shortened(text, limit) == expected


def test_keys_are_told_at_the_map_and_values_at_the_key() -> None:
    def nothing_is_right(value: str, path: str) -> list[FieldError]:
        return [required(path, value)]

    found = each_entry({"b": "2", "a" * 20: "1"}, 2, 16, nothing_is_right, nothing_is_right, "map")
    key = "a" * 20
    assert [error.message for error in found] == [
        f"map: Required value: {key}",
        "map[aaaaaaa...aaaaaa]: Required value: 1",
        "map: Required value: b",
        "map[b]: Required value: 2",
    ]
