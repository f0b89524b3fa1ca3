"""Values in etcd: an object's JSON, and its revision put into it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.storage.etcd.values import with_revision

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12) | st.sampled_from(
    ['"metadata":{', '"resourceVersion":"1"', '": ', "\n", "\\", '{"metadata":{"name":"x"}}']
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.builds(
    lambda fields, order: {name: fields[name] for name in order},
    st.fixed_dictionaries(
        {
            "apiVersion": TEXT,
            "kind": TEXT,
            "metadata": st.dictionaries(TEXT | st.just("resourceVersion"), VALUES, max_size=3),
            "spec": VALUES,
        }
    ),
    st.permutations(["apiVersion", "kind", "metadata", "spec"]),
)


@given(OBJECTS, st.integers(1, 2**62), st.booleans())
def test_the_revision_is_in_the_metadata_and_the_rest_is_as_it_was(obj: Any, revision: int, by_hand: bool) -> None:
    value = json.dumps(obj, indent=1).encode() if by_hand else orjson.dumps(obj)
    found = with_revision(value, revision)
    wanted = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}
    assert orjson.loads(found) == wanted
    assert len(found) == len(orjson.dumps(wanted)), "what is served is compact"


@pytest.mark.parametrize("value", [b"", b"{", b"null", b"[1]", b"{}", b'{"metadata":1}', b"k8s\x00", b"\xff"])
def test_what_is_no_object_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError):
        with_revision(value, 1)
