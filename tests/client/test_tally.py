"""Counts that are kept up: they are always those that counting anew would give."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery.errors import Object
from navarch.client.tally import Tally

OWNERS = st.lists(st.sampled_from("xyz"), max_size=2, unique=True)
OBJECTS = st.fixed_dictionaries({"owners": OWNERS, "fact": st.integers(0, 2)})


@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | OBJECTS)))
def test_it_is_what_counting_says_after_any_changes(changes: list[tuple[str, Object | None]]) -> None:
    tally: Tally[int] = Tally(lambda obj: obj["owners"], lambda obj: obj["fact"])
    objects: dict[str, Object] = {}
    for key, new in changes:
        old = objects.pop(key, None)
        if new is not None:
            objects[key] = new
        if old is not None or new is not None:
            tally.changed(old, new)
        for owner in "xyz":
            assert tally.of(owner) == Counter(obj["fact"] for obj in objects.values() if owner in obj["owners"])
    assert set(tally._counts) == {owner for obj in objects.values() for owner in obj["owners"]}
