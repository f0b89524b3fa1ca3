"""What is remembered is what would have been computed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery import remember

JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=3)),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(st.text(max_size=2), below, max_size=3)),
    max_leaves=8,
)


def _described(value: Any) -> list[str]:
    """Tells 1 from 1.0 and True, and one order of keys from another."""
    return [repr(value)]


_REMEMBERED = remember.by_value(_described)
_COPIES = remember.copies(lambda value: {"given": value})


@given(JSON)
def test_the_result_is_that_of_the_function(value: Any) -> None:
    assert _REMEMBERED(value) == _described(value) == _REMEMBERED(copy.deepcopy(value))


@given(st.dictionaries(st.text(max_size=2), st.integers(-(2**53), 2**53)))
def test_each_call_has_a_copy_of_its_own(value: dict[str, int]) -> None:
    first, second = _COPIES(value), _COPIES(value)
    assert first == second == {"given": value}
    first["given"]["changed"] = 1
    assert _COPIES(value) == second != first


def test_it_is_computed_once_and_errors_every_time() -> None:
    calls = []

    def compute(value: Any) -> int:
        calls.append(value)
        if value == "wrong":
            raise ValueError(value)
        return len(calls)

    remembered = remember.by_value(compute)
    assert [remembered({"a": 1}), remembered({"a": 1}), remembered({"a": 2})] == [1, 1, 2]
    for _ in range(2):
        with pytest.raises(ValueError, match="wrong"):
            remembered("wrong")
    assert len(calls) == 4


def test_what_is_large_is_not_kept() -> None:
    calls = []
    remembered = remember.by_value(lambda value: calls.append(len(value)))
    for _ in range(2):
        remembered("x" * remember.LIMIT_BYTES)
    assert len(calls) == 2
