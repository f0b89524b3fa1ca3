"""What a schema does to a value before anybody looks whether it is right."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery.structural import fieldpath, listtypes, pruning

STRING = {"type": "string"}
INNER = {"type": "object", "properties": {"a": STRING}}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "known": STRING,
                "list": {"type": "array", "items": INNER},
                "map": {"type": "object", "additionalProperties": INNER},
                "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"in": INNER}},
                "template": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "properties": {"spec": INNER},
                },
            },
        }
    },
}


def pruned(value: Any, schema: Any = SCHEMA) -> tuple[Any, list[str]]:
    unknown: list[str] = []
    before = copy.deepcopy(value)
    result = pruning.pruned(value, schema, unknown, is_root=True)
    assert value == before, "what it is given stays as it is"
    return result, unknown


def test_what_the_schema_does_not_know_goes() -> None:
    value = {
        "kind": "A",
        "metadata": {"anything": 1},
        "strange": 1,
        "spec": {
            "known": "x",
            "z": {"deep": 1},
            "list": [{"a": "x", "b": 1}],
            "map": {"k": {"a": "x", "b": 1}},
            "any": {"other": [1], "in": {"a": "x", "b": 1}},
            "template": {"kind": "B", "metadata": {"name": "n"}, "spec": {"a": "x", "b": 1}, "status": {}},
        },
    }
    assert pruned(value) == (
        {
            "kind": "A",
            "metadata": {"anything": 1},
            "spec": {
                "known": "x",
                "list": [{"a": "x"}],
                "map": {"k": {"a": "x"}},
                "any": {"other": [1], "in": {"a": "x"}},
                "template": {"kind": "B", "metadata": {"name": "n"}, "spec": {"a": "x"}},
            },
        },
        [
            "spec.any.in.b",
            "spec.list[0].b",
            "spec.map.k.b",
            "spec.template.spec.b",
            "spec.template.status",
            "spec.z",
            "strange",
        ],
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["spec", "known", "list", "any", "a"]), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["spec", "kind", "other"]), JSON))
def test_what_is_pruned_is_pruned(value: Any) -> None:
    once, _ = pruned(value)
    assert pruned(once) == (once, [])


def defaulted(value: Any, schema: Any) -> Any:
    value = copy.deepcopy(value)
    pruning.drop_nulls(value, schema)
    pruning.set_defaults(value, schema)
    return value


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"properties": {"a": {"default": 1}}}, {}, {"a": 1}),
        ({"properties": {"a": {"default": 1}}}, {"a": 2}, {"a": 2}),
        ({"properties": {"a": {"default": 1}}}, {"a": None}, {"a": 1}),
        ({"properties": {"a": {"default": 1, "nullable": True}}}, {"a": None}, {"a": None}),
        ({"properties": {"a": {}}}, {"a": None}, {}),
        ({"properties": {"a": {"nullable": True}}}, {"a": None}, {"a": None}),
        ({"properties": {"a": {"properties": {"b": {"default": 1}}}}}, {}, {}),
        ({"properties": {"a": {"default": {}, "properties": {"b": {"default": 1}}}}}, {}, {"a": {"b": 1}}),
        ({"items": {"properties": {"b": {"default": 1}}}}, [{}], [{"b": 1}]),
        ({"additionalProperties": {"properties": {"b": {"default": 1}}}}, {"k": {}}, {"k": {"b": 1}}),
        ({"additionalProperties": {"type": "string"}}, {"k": None}, {}),
    ],
)
def test_defaults_stand_where_nothing_does(schema: Any, value: Any, expected: Any) -> None:
    assert defaulted(value, schema) == expected


def test_a_default_is_nobody_elses() -> None:
    schema = {"properties": {"a": {"default": {"list": []}}}}
    defaulted({}, schema)["a"]["list"].append(1)
    assert defaulted({}, schema) == {"a": {"list": []}}


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"x-kubernetes-list-type": "set"}, ["a", "b"], []),
        ({"x-kubernetes-list-type": "atomic"}, ["a", "a"], []),
        ({"x-kubernetes-list-type": "set"}, ["a", "b", "a", "a"], ['spec[2]: Duplicate value: "a"']),
        ({"x-kubernetes-list-type": "set"}, [{"a": 1, "b": 2}, {"b": 2, "a": 1}], ['spec[1]: Duplicate value: {"a":1,"b":2}']),
        (
            {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            [{"name": "x"}, {"name": "x", "v": 1}],
            ['spec[1]: Duplicate value: {"name":"x"}'],
        ),
        (
            {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            [{}, {"v": 1}],
            ["spec[1]: Duplicate value: {}"],
        ),
        (
            {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a", "b"]},
            [{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1, "b": 2}],
            ['spec[2]: Duplicate value: {"a":1,"b":2}'],
        ),
        (
            {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"]},
            ["x"],
            ['spec[0]: Invalid value: "x": must be an object for an array of list-type map'],
        ),
    ],
)
def test_sets_and_maps_hold_nothing_twice(schema: Any, value: Any, expected: list[str]) -> None:
    found = listtypes.repetitions({"spec": value}, {"properties": {"spec": schema}})
    assert [error.message for error in found] == expected


PATHS = {
    "properties": {
        "spec": {"properties": {"a.b": STRING, "map": {"additionalProperties": {"properties": {"x": STRING}}}}},
        "open": {"additionalProperties": True},
    }
}


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        (".spec", ("spec",)),
        (".spec['a.b']", ("spec", "a.b")),
        (".spec.map.key.x", ("spec", "map", "key", "x")),
        (".spec.map['it\\'s'].x", ("spec", "map", "it's", "x")),
        (".open.key", ("open", "key")),
    ],
)
def test_paths_lead_to_fields(path: str, steps: tuple[str, ...]) -> None:
    assert fieldpath.resolve(path, PATHS)[0] == steps


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("spec", "expected [ or . but got: spec"),
        (".", "unexpected end of JSON path"),
        (".other", "does not refer to a valid field"),
        (".spec.map.k.x.y", "does not refer to a valid field"),
        (".spec[0]", "expected single quoted string but got 0"),
        (".spec['a.b'", "unexpected end of JSON path"),
        (".spec['a.b'.", "expected ] but got ."),
        (".spec['\\q']", "invalid string literal: invalid escape char \\q"),
    ],
)
def test_paths_that_lead_nowhere(path: str, text: str) -> None:
    with pytest.raises(ValueError) as refused:
        fieldpath.resolve(path, PATHS)
    assert str(refused.value) == text


def test_paths_without_brackets() -> None:
    with pytest.raises(ValueError, match="array notation is not allowed"):
        fieldpath.resolve(".spec['a.b']", PATHS, may_quote=False)
