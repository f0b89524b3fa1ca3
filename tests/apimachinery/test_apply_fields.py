"""Sets of fields against plain sets of paths, and in the words that Kubernetes writes them in."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery.apply import fields
from navarch.apimachinery.apply.fields import Fields, FieldsError
from tests.apimachinery.applying import Path, paths_of, set_of

_NAMES = ["f:a", "f:b", "f:.", "f:é"]
_ITEMS = ['k:{"name":"a"}', 'k:{"port":9,"protocol":"TCP"}', 'k:{"port":10,"protocol":"TCP"}', 'v:"x"', 'v:"y"', "v:2", "v:10"]
STEPS = st.sampled_from([*_NAMES, *_ITEMS, "v:true", "i:2", "i:10"])
PATHS = st.sets(st.lists(STEPS, min_size=1, max_size=3).map(tuple), max_size=6)


def canonical(paths: set[Path]) -> Fields:
    return fields.decode(set_of(paths))


def shuffled(node: Fields, chance: random.Random) -> Fields:
    steps = list(node)
    chance.shuffle(steps)
    return {step: shuffled(node[step], chance) for step in steps}


def assert_well_formed(node: Fields) -> None:
    """In order, "." first and never alone."""
    for below in node.values():
        assert list(below) != ["."]
        assert_well_formed(below)
    assert list(fields.ordered(node)) == list(node)
    assert "." not in list(node)[1:]


@given(PATHS, PATHS)
def test_the_algebra_is_that_of_sets_of_paths(one: set[Path], other: set[Path]) -> None:
    a, b = canonical(one), canonical(other)
    results: list[tuple[Fields, set[Path]]] = [
        (fields.union(a, b), one | other),
        (fields.intersection(a, b), one & other),
        (fields.difference(a, b), one - other),
        (fields.without(a, b), {path for path in one if not any(path[:length] in other for length in range(1, len(path) + 1))}),
    ]
    for found, expected in results:
        assert paths_of(found) == expected
        assert_well_formed(found)
    assert a == canonical(one) and b == canonical(other), "what is given is not changed"


@given(PATHS, PATHS)
def test_what_changes_nothing_gives_the_same_set_back(one: set[Path], other: set[Path]) -> None:
    a = canonical(one)
    assert fields.union(a, canonical(one & other)) is a
    assert fields.difference(a, canonical(other - one)) == a


@given(PATHS, st.randoms(use_true_random=False))
def test_what_is_written_is_read_back(paths: set[Path], chance: random.Random) -> None:
    found = canonical(paths)
    assert_well_formed(found)
    assert paths_of(found) == paths == set(fields.paths(found))
    assert json.dumps(fields.decode(shuffled(found, chance))) == json.dumps(found)
    assert fields.of(*paths) == found
    assert all(fields.contains(found, path) for path in paths)
    assert not any(fields.contains(found, (*path, "f:none")) for path in [*paths, ()])


def test_paths_that_end_come_before_those_that_go_on() -> None:
    found = fields.of(("f:a", "f:b"), ("f:c",), ("f:a",), ("f:a", "f:b", "f:c"))
    assert list(fields.paths(found)) == [("f:a",), ("f:c",), ("f:a", "f:b"), ("f:a", "f:b", "f:c")]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (None, {}),
        ({}, {}),
        ({".": {}}, {}),
        ({"f:a": None}, {"f:a": {}}),
        ({"f:a": {".": {}}}, {"f:a": {}}),
        ({"f:a": {"f:b": {}, ".": {}}}, {"f:a": {".": {}, "f:b": {}}}),
        ({'k:{"b":1,"a":"x"}': {}}, {'k:{"a":"x","b":1}': {}}),
        ({'k: {"a": 1.0}': {}}, {'k:{"a":1}': {}}),
        ({"v:1.0": {}, "v:1": {"f:a": {}}}, {"v:1": {".": {}, "f:a": {}}}),
        ({'v:"a&b"': {}}, {'v:"a\\u0026b"': {}}),
        ({"i:02": {}}, {"i:2": {}}),
        ({"x:from the future": {"f:a": {}}, "f:a": {}}, {"f:a": {}}),
        ({"f:": {}}, {"f:": {}}),
    ],
)
def test_what_others_write_is_read_as_what_it_means(written: Any, read: Fields) -> None:
    assert json.dumps(fields.decode(written)) == json.dumps(read)


@pytest.mark.parametrize(
    "written",
    [[], "x", 1, {"f:a": 1}, {"f:a": []}, {"": {}}, {"f": {}}, {"fa": {}}, {"k:[]": {}}, {"k:{": {}}, {"v:": {}}, {"i:x": {}}],
)
def test_what_is_no_set_of_fields_is_refused(written: Any) -> None:
    with pytest.raises(FieldsError):
        fields.decode(written)


def test_paths_are_shown_as_people_read_them() -> None:
    path = ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:a.b")
    assert fields.path_text(path) == '.spec.ports[port=80,protocol="TCP"].a.b'
    assert fields.path_text(("f:metadata", "f:finalizers", 'v:"x/y"')) == '.metadata.finalizers[="x/y"]'
    assert fields.path_text(("i:3",)) == "[3]"
