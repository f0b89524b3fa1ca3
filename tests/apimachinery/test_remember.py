"""What is remembered is what would have been computed."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery import remember
from navarch.apimachinery.remember import Shared

JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=3)),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(st.text(max_size=2), below, max_size=3)),
    max_leaves=8,
)


def _described(value: Any) -> list[str]:
    """Tells 1 from 1.0 and True, and one order of keys from another."""
    return [repr(value)]


_REMEMBERED = remember.by_value(_described)


def _pair(value: Any) -> dict[str, Any]:
    return {"given": value}


_SHARED = remember.shared(_pair)


@given(JSON)
def test_the_result_is_that_of_the_function(value: Any) -> None:
    assert _REMEMBERED(value) == _described(value) == _REMEMBERED(copy.deepcopy(value))


@given(JSON)
def test_who_asks_with_equal_data_gets_the_same_object(value: Any) -> None:
    try:
        orjson.dumps(value)
    except TypeError:
        assert _SHARED(value) == {"given": value}, "there is no JSON for it"
        return
    first, second = _SHARED(value), _SHARED(copy.deepcopy(value))
    assert first == second == {"given": value}
    assert first is second and type(first) is Shared


def test_a_shared_object_cannot_be_changed() -> None:
    value = _SHARED(1)
    for change in (
        lambda: value.update(a=1),
        lambda: value.pop("given"),
        lambda: value.setdefault("a", 1),
        lambda: value.__setitem__("a", 1),
        lambda: value.__ior__({"a": 1}),
        value.clear,
        value.popitem,
    ):
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    mine = copy.deepcopy(value)
    mine["given"] = 2
    assert value == {"given": 1} and {**value, "a": 1} == {"given": 1, "a": 1}


def test_what_is_found_of_a_shared_object_is_kept_with_it() -> None:
    value, calls = Shared({"a": 1}), []
    for key in ("one", "one", "two"):
        assert remember.of(value, key, lambda key=key: calls.append(key) or len(value)) == 1
    assert calls == ["one", "two"]
    for _ in range(2):
        remember.of({"a": 1}, "one", lambda: calls.append("plain"))
    assert calls[2:] == ["plain", "plain"]


def test_no_more_is_kept_than_allowed() -> None:
    value = Shared({})
    for number in range(3 * remember.RESULTS_LIMIT):
        assert remember.of(value, number, lambda number=number: number) == number
        assert len(value.results) <= remember.RESULTS_LIMIT


def test_a_changed_copy_of_a_shared_object_is_shared() -> None:
    value = Shared({"a": 1})
    first, second = (remember.changed(value, "b", lambda: {**value, "b": 2}) for _ in range(2))
    assert first is second and type(first) is Shared and first == {"a": 1, "b": 2} and value == {"a": 1}
    assert type(remember.changed({}, "b", lambda: {"b": 2})) is dict


def test_a_copy_with_other_values_has_the_number_of_what_it_is_like() -> None:
    one = Shared({"a": 1})
    other, another = (remember.alike(one, value, lambda value=value: {"a": value}) for value in (2, 3))
    assert (other, another) == ({"a": 2}, {"a": 3})
    assert one.number == other.number == another.number != Shared({"a": 2}).number
    assert remember.alike(one, 2, lambda: pytest.fail("it is known")) is other
    assert type(remember.alike({"a": 1}, 2, lambda: {"a": 2})) is dict


def test_functions_of_a_shared_object_know_it_without_its_json() -> None:
    calls: list[Any] = []
    remembered = remember.by_value(lambda value: calls.append(value) or dict(value))
    value = Shared({"a": 1})
    assert remembered(value) is remembered(value) is remembered({"a": 1})
    assert len(calls) == 1


@given(JSON)
def test_json_of_shared_objects_is_json(value: Any) -> None:
    shared = Shared({"x": value})
    for _ in range(2):
        assert remember.encoded({"a": [shared, shared], "b": value}) == orjson.dumps({"a": [{"x": value}] * 2, "b": value})


def test_other_kinds_of_what_json_has_are_encoded_too() -> None:
    class Text(str):
        pass

    class Fields(dict[str, Any]):
        pass

    assert remember.encoded({"a": Text("b"), "c": Fields(d=[Text("e")])}) == b'{"a":"b","c":{"d":["e"]}}'
    with pytest.raises(TypeError, match="not JSON serializable: set"):
        remember.encoded({"a": {1}})


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
