"""Values against schemas: the words, the fields and the order of errors are Kubernetes' own."""

from __future__ import annotations

from typing import Any

import pytest

from navarch.apimachinery.structural import values

INT_OR_STRING = {"x-kubernetes-int-or-string": True}


def spec(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": schema}, **more}


def told(value: Any, schema: dict[str, Any]) -> list[str]:
    return [error.message for error in values.validate({"spec": value}, spec(schema))]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, ""),
        ({"type": "integer"}, 1.0),
        ({"type": "number"}, 1),
        ({"type": "string", "nullable": True}, None),
        ({"type": "string", "enum": ["a", "b"]}, "b"),
        ({"type": "integer", "enum": [1, 2]}, 2),
        ({"type": "number", "enum": [1]}, 1.0),
        (INT_OR_STRING, 5),
        (INT_OR_STRING, "50%"),
        ({"type": "string", "maxLength": 2}, "éé"),
        ({"type": "string", "pattern": "b+"}, "abba"),
        ({"type": "string", "format": "nobody knows"}, "anything"),
        ({"type": "string", "format": "date-time"}, "2026-01-01T00:00:00Z"),
        ({"type": "string", "format": "int32"}, "not checked"),
        ({"type": "integer", "minimum": 1, "maximum": 1}, 1),
        ({"type": "integer", "multipleOf": 3}, 9),
        ({"type": "number", "multipleOf": 0.5}, 2.5),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 1}, ["a"]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}),
        ({"type": "object", "additionalProperties": True}, {"a": 1}),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "a"),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"b": 1}),
        ({"not": {"required": ["a"]}}, {"b": 1}),
    ],
)
def test_what_fits_is_let_be(schema: dict[str, Any], value: Any) -> None:
    assert told(value, schema) == []


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "string"}, 1, ['Invalid value: "integer": spec in body must be of type string: "integer"']),
        ({"type": "string"}, None, ['Invalid value: "null": spec in body must be of type string: "null"']),
        ({"type": "integer"}, "1", ['Invalid value: "string": spec in body must be of type integer: "string"']),
        ({"type": "integer"}, 1.5, ['Invalid value: "number": spec in body must be of type integer: "number"']),
        ({"type": "integer"}, True, ['Invalid value: "boolean": spec in body must be of type integer: "boolean"']),
        ({"type": "object"}, [], ['Invalid value: "array": spec in body must be of type object: "array"']),
        (INT_OR_STRING, [], ['Invalid value: "array": spec in body must be of type integer,string: "array"']),
        (
            {"type": "string", "format": "uri"},
            "no uri",
            ['Invalid value: "no uri": spec in body must be of type uri: "no uri"'],
        ),
        ({"type": "string", "format": "uri"}, 1, ['Invalid value: "int64": spec in body must be of type uri: "int64"']),
        ({"enum": ["a", 1]}, "c", ['Unsupported value: "c": supported values: "a", "1"']),
        ({"type": "string", "maxLength": 2}, "abc", ["Too long: may not be more than 2 bytes"]),
        ({"type": "string", "minLength": 2}, "a", ['Invalid value: "a": spec in body should be at least 2 chars long']),
        ({"type": "string", "pattern": "^b$"}, "a", ["Invalid value: \"a\": spec in body should match '^b$'"]),
        ({"type": "string", "pattern": "^b$"}, "b\n", ["Invalid value: \"b\\n\": spec in body should match '^b$'"]),
        ({"minimum": 1}, 0, ["Invalid value: 0: spec in body should be greater than or equal to 1"]),
        ({"minimum": 0.5}, 0.25, ["Invalid value: 0.25: spec in body should be greater than or equal to 0.5"]),
        ({"minimum": 1, "exclusiveMinimum": True}, 1, ["Invalid value: 1: spec in body should be greater than 1"]),
        ({"maximum": 1}, 2, ["Invalid value: 2: spec in body should be less than or equal to 1"]),
        ({"maximum": 1, "exclusiveMaximum": True}, 1, ["Invalid value: 1: spec in body should be less than 1"]),
        ({"multipleOf": 3}, 4, ["Invalid value: 4: spec in body should be a multiple of 3"]),
        ({"minItems": 1}, [], ["Invalid value: 0: spec in body should have at least 1 items"]),
        ({"maxItems": 1}, [1, 2], ["Too many: 2: must have at most 1 item"]),
        ({"minProperties": 1}, {}, ["Invalid value: 0: spec in body should have at least 1 properties"]),
        ({"maxProperties": 1}, {"a": 1, "b": 2}, ["Too many: 2: must have at most 1 item"]),
    ],
)
def test_each_rule(schema: dict[str, Any], value: Any, expected: list[str]) -> None:
    assert told(value, schema) == [f"spec: {text}" for text in expected]


def test_paths_name_the_field() -> None:
    schema = {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]}}
    assert told([{"a": 1}], schema) == [
        'spec[0].a: Invalid value: "integer": spec[0].a in body must be of type string: "integer"',
        "spec[0].b: Required value",
    ]
    values_ = {"type": "object", "additionalProperties": {"type": "integer"}}
    assert told({"x.y": "z"}, values_)[0].startswith("spec.x.y: Invalid value")
    assert [error.field for error in values.validate({}, spec({}, required=["spec"]))] == ["spec"]


@pytest.mark.parametrize(
    ("schema", "value", "text"),
    [
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {}, '"spec" must validate at least one schema (anyOf)'),
        (
            {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"a": 1, "b": 1},
            '"spec" must validate one and only one schema (oneOf). Found 2 valid alternatives',
        ),
        (
            {"oneOf": [{"required": ["a"]}]},
            {},
            '"spec" must validate one and only one schema (oneOf). Found none valid',
        ),
        ({"allOf": [{"required": ["a"]}]}, {}, '"spec" must validate all the schemas (allOf). None validated'),
        ({"allOf": [{"required": ["a"]}, {}]}, {}, '"spec" must validate all the schemas (allOf)'),
        ({"not": {}}, {}, '"spec" must not validate the schema (not)'),
    ],
)
def test_combinations_are_told_of_as_a_whole(schema: dict[str, Any], value: Any, text: str) -> None:
    assert f'<nil>: Invalid value: "": {text}' in told(value, schema)


def test_of_alternatives_the_one_that_got_furthest_is_told_of() -> None:
    near = {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a", "b", "c"]}
    found = told({"a": "x", "b": "y"}, {"anyOf": [{"required": ["z"]}, near]})
    assert found == ['<nil>: Invalid value: "": "spec" must validate at least one schema (anyOf)', "spec.c: Required value"]


def test_true_is_no_one() -> None:
    assert told(True, {"enum": [1]}) and told(1, {"enum": [True]})
    assert told({"a": [1]}, {"enum": [{"a": [1.0]}]}) == []
