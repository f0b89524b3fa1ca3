"""JSON as Go writes it, and how two values of it differ."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apimachinery.gojson import difference, marshalled


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [True, None]}, '{"b":1,"a":[true,null]}'),
        ("<a href='x'>&\u2028\u2029", "\"\\u003ca href='x'\\u003e\\u0026\\u2028\\u2029\""),
        ('"\\\n\t\b\f\x01\x7fé', '"\\"\\\\\\n\\t\\b\\f\\u0001\x7fé"'),
    ],
)
def test_values_are_written_on_one_line(value: Any, expected: str) -> None:
    assert marshalled(value) == expected


def test_values_are_indented_but_for_empty_ones() -> None:
    shown = marshalled({"b": [], "a": ["x<y"], "c": {}, "d": None}, indent=1)
    assert shown == '{\n "b": [],\n "a": [\n  "x\\u003cy"\n ],\n "c": {},\n "d": null\n}'


def test_differences_have_three_lines_around_them_and_no_files() -> None:
    before = {f"f{number:02}": number for number in range(20)}
    now = {**before, "f01": "x", "f18": "y"}
    assert difference(before, now) == (
        '@@ -1,6 +1,6 @@\n {\n  "f00": 0,\n- "f01": 1,\n+ "f01": "x",\n  "f02": 2,\n  "f03": 3,\n  "f04": 4,\n'
        '@@ -17,6 +17,6 @@\n  "f15": 15,\n  "f16": 16,\n  "f17": 17,\n- "f18": 18,\n+ "f18": "y",\n  "f19": 19\n }\n'
    )


def test_single_lines_are_counted_shortly_and_equal_values_do_not_differ() -> None:
    assert difference("a", "b") == '@@ -1 +1 @@\n-"a"\n+"b"\n'
    assert difference([1], [1]) == ""
