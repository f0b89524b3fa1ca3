"""Base64 as Go reads it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery import gobase64


@given(st.binary(max_size=40), st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["\n", "\r", "\r\n"])), max_size=5))
def test_lines_may_be_broken_anywhere(data: bytes, breaks: list[tuple[int, str]]) -> None:
    text = base64.b64encode(data).decode()
    for place, ending in breaks:
        text = text[:place] + ending + text[place:]
    assert gobase64.decode(text) == data


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("Z", 0),
        ("Zm", 0),
        ("Zm9", 0),
        ("Zm9vZm9", 4),
        ("Zm9v\nZm9", 5),
        ("Zm9v\nZ", 5),
        ("Zm9-", 3),
        ("Zm9v Zm9v", 4),
        ("é", 0),
        ("Zm9vé", 4),
        ("=", 0),
        ("Zm9v=", 4),
        ("Z===", 1),
        ("Zm=", 3),
        ("Zm=\n", 4),
        ("Zm=x", 2),
        ("Zm8=Zm9v", 4),
        ("Zm8==", 4),
        ("Zg===", 4),
        ("Zg==\nx", 5),
    ],
)
def test_the_byte_is_told_at_which_go_gives_up(text: str, position: int) -> None:
    with pytest.raises(ValueError) as refused:
        gobase64.decode(text)
    assert str(refused.value) == f"illegal base64 data at input byte {position}"


@given(st.text(alphabet="Zm9=+/-\n\r é", max_size=12))
def test_whatever_it_is_something_comes_of_it(text: str) -> None:
    try:
        gobase64.decode(text)
    except ValueError as refused:
        assert 0 <= int(str(refused).rpartition(" ")[2]) <= len(text.encode())
