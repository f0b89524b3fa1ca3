"""Helpers on objects: paths, conditions, owners, times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery import meta


def test_paths_are_read_and_replaced_without_touching_the_original() -> None:
    obj = {"a": {"b": {"c": 1}}, "x": {"y": 2}}
    changed = meta.set_path(obj, 5, "a", "b", "d")
    assert changed == {"a": {"b": {"c": 1, "d": 5}}, "x": {"y": 2}}
    assert obj == {"a": {"b": {"c": 1}}, "x": {"y": 2}} and changed["x"] is obj["x"]
    assert meta.without_path(changed, "a", "b", "d") == obj
    assert meta.without_path(obj, "no", "where") is obj
    assert meta.get_path(obj, "a", "b", "c") == 1
    assert meta.get_path(obj, "a", "none", "c") is None and meta.get_path(obj, "a", "b", "c", "d") is None


@given(st.dictionaries(st.sampled_from("ab"), st.integers()), st.lists(st.sampled_from("abc"), min_size=1, max_size=4))
def test_what_is_set_is_read_back(obj: dict[str, Any], path: list[str]) -> None:
    if not isinstance(obj.get(path[0]), int) or len(path) == 1:
        assert meta.get_path(meta.set_path(obj, "x", *path), *path) == "x"


def test_a_condition_keeps_its_transition_time_while_its_status_stays() -> None:
    old = [{"type": "A", "status": "True", "lastTransitionTime": "then"}, {"type": "B", "status": "False"}]
    same = meta.with_condition(old, {"type": "A", "status": "True", "reason": "R", "lastTransitionTime": "now"})
    assert same[0] == {"type": "A", "status": "True", "reason": "R", "lastTransitionTime": "then"}
    turned = meta.with_condition(old, {"type": "A", "status": "False", "lastTransitionTime": "now"})
    assert turned[0]["lastTransitionTime"] == "now" and turned[1] is old[1]
    added = meta.with_condition(old, {"type": "C", "status": "True"})
    assert [condition["type"] for condition in added] == ["A", "B", "C"] and len(old) == 2


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)), st.integers(-12, 14))
def test_times_are_written_in_utc_with_seconds(moment: datetime, hours: int) -> None:
    local = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    text = meta.format_time(local)
    assert len(text) == 20 and text.endswith("Z")
    assert meta.parse_time(text) == local.astimezone(UTC).replace(microsecond=0)


def test_a_time_without_a_zone_is_none() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        meta.parse_time("2026-01-01T00:00:00")


def test_keys_split_into_what_they_were_made_of() -> None:
    for namespace, name in (("a", "b"), ("", "b")):
        obj = {"metadata": {"name": name, **({"namespace": namespace} if namespace else {})}}
        assert meta.split_key(meta.key(obj)) == (namespace, name)


def test_the_controller_is_the_owner_that_says_so() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r", "uid": "u"}}
    reference = meta.owner_reference(owner)
    obj = {"metadata": {"ownerReferences": [{"kind": "X", "uid": "x"}, reference]}}
    assert meta.controller_of(obj) == reference and meta.is_controlled_by(obj, owner)
    assert meta.controller_of({"metadata": {}}) is None
