"""Types from the schemas of custom resources: names, conversions, sets and maps, and sizes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery.cel import structural
from navarch.apimachinery.cel.environment import Environment
from navarch.apimachinery.cel.errors import CompileError, EvaluationError
from navarch.apimachinery.cel.escaping import escape, unescape
from navarch.apimachinery.cel.estimation import RULE_LIMIT, excess

TEXT = {"type": "string"}
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["replicas"],
            "properties": {
                "replicas": {"type": "integer"},
                "ratio": {"type": "number"},
                "when": {"type": "string", "format": "date-time"},
                "day": {"type": "string", "format": "date"},
                "every": {"type": "string", "format": "duration"},
                "key": {"type": "string", "format": "byte", "nullable": True},
                "port": {"x-kubernetes-int-or-string": True},
                "a-b": TEXT,
                "in": TEXT,
                "namespace": TEXT,
                "x__y.z/q": TEXT,
                "0day": TEXT,
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT},
                "ports": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "properties": {"name": TEXT, "times": {"type": "array", "items": {"type": "number"}}},
                    },
                },
                "limits": {"type": "object", "additionalProperties": {"type": "number"}},
                "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "unknown": {"x-kubernetes-preserve-unknown-fields": True},
                "embedded": {"type": "object", "x-kubernetes-embedded-resource": True},
            },
        }
    },
}
SELF = structural.object_type(SCHEMA, root=True)
assert SELF is not None
ENVIRONMENT = Environment({"self": SELF, "oldSelf": SELF})
OBJECT: dict[str, Any] = {
    "metadata": {"name": "x"},
    "spec": {
        "replicas": 2,
        "ratio": 1,
        "when": "2020-01-01T00:00:00Z",
        "day": "2020-01-01",
        "every": "1h30m",
        "key": None,
        "port": "http",
        "a-b": "c",
        "in": "d",
        "namespace": "e",
        "x__y.z/q": "f",
        "tags": ["a", "b"],
        "ports": [{"name": "a", "times": [1]}, {"name": "b", "times": [2]}],
        "limits": {"cpu": 1},
        "anything": {"a": 1},
        "embedded": {"kind": "Pod", "metadata": {"name": "y"}},
    },
}
OTHER = {
    **OBJECT,
    "spec": {**OBJECT["spec"], "tags": ["b", "a"], "ports": [{"name": "b", "times": [2.0]}, {"name": "a", "times": [1]}]},
}


def evaluate(text: str) -> Any:
    activation = {"self": OBJECT, "oldSelf": OTHER}
    program = ENVIRONMENT.compile(text)
    value = program.evaluate(activation)
    assert program.measure(activation).value == value
    return value


@pytest.mark.parametrize(
    "text",
    [
        "self.spec.ratio == 1.0 && self.spec.limits.cpu < 1.5 && self.spec.limits['cpu'] == 1.0",
        "self.spec.when == timestamp('2020-01-01T00:00:00Z') && self.spec.day == self.spec.when",
        "self.spec.every == duration('90m') && self.spec.every.getMinutes() == 90",
        "type(self.spec.port) == string && self.spec.port != 80",
        "self.spec.a__dash__b == 'c' && self.spec.__in__ == 'd' && self.spec.`a-b` == 'c' || true",
        "self.spec.__namespace__ == 'e' && self.spec.namespace == 'e' && self.spec.x__underscores__y__dot__z__slash__q == 'f'",
        "self.metadata.name == 'x' && self.spec.embedded.kind == 'Pod' && self.spec.embedded.metadata.name == 'y'",
        # Sets and maps are compared and joined by what is in them.
        "self.spec.tags == oldSelf.spec.tags && self.spec.tags + ['c', 'a'] == ['c', 'b', 'a']",
        "self.spec.ports == oldSelf.spec.ports && self.spec == oldSelf.spec && self == oldSelf",
        "(self.spec.ports + oldSelf.spec.ports).size() == 2 && self.spec.ports.map(p, p.name) == ['a', 'b']",
        "self.spec.ports.all(p, p.times.all(t, t > 0.5))",
        "!has(self.spec.unset) || true",
        "has(self.spec.anything) && self.spec.?key.hasValue()",
        "self.?spec.?ratio.orValue(0.0) == 1.0",
    ],
)
def test_a_rule_holds(text: str) -> None:
    if "`" in text or "unset" in text:
        with pytest.raises(CompileError, match="undefined field"):
            evaluate(text)
    else:
        assert evaluate(text) is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("self.spec.nope", "undefined field 'nope'"),
        ("self.spec.`0day`", "undefined field '0day'"),
        ("self.spec.unknown", "undefined field 'unknown'"),
        ("self.spec.anything.a", "undefined field 'a'"),
        ("self.metadata.labels", "undefined field 'labels'"),
        ("self.spec.replicas == '1'", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.spec == self", "found no matching overload for '_==_' applied to '(self.spec, self)'"),
    ],
)
def test_what_the_schema_does_not_have_is_refused(text: str, message: str) -> None:
    with pytest.raises(CompileError) as raised:
        ENVIRONMENT.compile(text)
    assert raised.value.issues[0].message == message


def test_what_a_schema_does_not_describe_has_no_type() -> None:
    assert structural.object_type({"x-kubernetes-preserve-unknown-fields": True}) is None
    assert structural.object_type({"type": "array"}) is None
    found = structural.object_type({"type": "array", "items": {"type": "integer"}})
    assert str(found) == "list(int)"


def test_a_value_of_another_format_is_an_error() -> None:
    program = ENVIRONMENT.compile("self.spec.when < timestamp('2020-01-01T00:00:00Z')")
    with pytest.raises(EvaluationError, match="Invalid date-time formatted string soon"):
        program.evaluate({"self": {"spec": {"when": "soon"}}})


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("a", "a"),
        ("a-b", "a__dash__b"),
        ("a.b/c", "a__dot__b__slash__c"),
        ("a__b", "a__underscores__b"),
        ("true", "__true__"),
        ("namespace", "__namespace__"),
        ("$a", None),
        ("1a", None),
        ("", None),
    ],
)
def test_names_are_escaped(name: str, identifier: str | None) -> None:
    assert escape(name) == identifier


@given(st.text("ab_.-/in", min_size=1))
def test_what_is_escaped_comes_back(name: str) -> None:
    identifier = escape(name)
    assert identifier is not None and identifier.replace("_", "a").isalnum()
    if "___" not in name:
        assert unescape(identifier) == name


def limited(items: dict[str, Any], limit: int | None = None) -> Environment:
    schema = {"type": "array", "items": items, **({} if limit is None else {"maxItems": limit})}
    found = structural.object_type(schema)
    assert found is not None
    return Environment({"self": found})


def test_estimates_go_by_the_limits_of_the_schema() -> None:
    rule = "self.all(a, self.all(b, a == b))"
    bounded = limited({"type": "string", "maxLength": 10}, 10).compile(rule).estimated_cost
    # ten times ten times: condition, accumulator, two variables, four characters of ten read by a unit each
    assert bounded.max == 1 + 1 + 10 * (3 + 1 + 1 + 10 * (3 + 2 + 4))
    unbounded = limited(TEXT).compile(rule).estimated_cost.max
    assert unbounded > RULE_LIMIT
    assert excess("estimated rule cost", bounded.max, RULE_LIMIT) is None
    assert excess("estimated rule cost", unbounded, RULE_LIMIT) == (
        "estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, "
        "maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
    assert "factor of 2.5x" in str(excess("cost", 25_000_000, RULE_LIMIT))
    assert "factor of 1.010000x" in str(excess("cost", 10_100_000, RULE_LIMIT))


@pytest.mark.parametrize(
    ("items", "largest"),
    [
        (TEXT, (3 * 1024 * 1024 - 2) // 3),
        ({"type": "integer"}, (3 * 1024 * 1024 - 2) // 2),
        ({"type": "boolean"}, (3 * 1024 * 1024 - 2) // 5),
        ({"type": "object", "properties": {"a": TEXT}, "required": ["a"]}, (3 * 1024 * 1024 - 2) // (2 + 1 + 2 + 4 + 1)),
        ({"type": "object", "properties": {"a": {**TEXT, "default": "x"}}, "required": ["a"]}, (3 * 1024 * 1024 - 2) // 3),
        ({"type": "string", "format": "date-time"}, (3 * 1024 * 1024 - 2) // 22),
    ],
)
def test_without_a_limit_there_are_as_many_as_fit_into_a_request(items: dict[str, Any], largest: int) -> None:
    found = structural.object_type({"type": "array", "items": items})
    assert found is not None and found.size_limit == largest


DOCUMENTED = {
    "minReplicas": ({"type": "integer"}, 1),
    "replicas": ({"type": "integer"}, 2),
    "maxReplicas": ({"type": "integer"}, 3),
    "stateCounts": ({"type": "object", "additionalProperties": {"type": "integer"}}, {"Available": 1}),
    "list1": ({"type": "array", "items": TEXT}, []),
    "list2": ({"type": "array", "items": TEXT}, ["a"]),
    "envars": (
        {"type": "array", "items": {"type": "object", "properties": {"name": TEXT, "value": TEXT}}},
        [{"name": "MY_ENV", "value": "abc"}, {"name": "OTHER", "value": "1"}],
    ),
    "created": ({"type": "string", "format": "date-time"}, "2020-01-01T00:00:00Z"),
    "expired": ({"type": "string", "format": "date-time"}, "2020-01-02T00:00:00Z"),
    "ttl": ({"type": "string", "format": "duration"}, "1h"),
    "health": (TEXT, "ok, all fine"),
    "widgets": (
        {"type": "array", "items": {"type": "object", "properties": {"key": TEXT, "foo": {"type": "integer"}}}},
        [{"key": "x", "foo": 9}],
    ),
    "percent": ({"x-kubernetes-int-or-string": True}, "99%"),
    "set1": ({"type": "array", "x-kubernetes-list-type": "set", "items": TEXT}, ["a"]),
    "set2": ({"type": "array", "x-kubernetes-list-type": "set", "items": TEXT}, ["b"]),
    "names": ({"type": "array", "items": TEXT}, ["a", "b"]),
    "details": ({"type": "object", "additionalProperties": TEXT}, {"a": "x", "b": "y"}),
}


@pytest.mark.parametrize(
    "rule",
    [
        "self.minReplicas <= self.replicas && self.replicas <= self.maxReplicas",
        "'Available' in self.stateCounts",
        "(self.list1.size() == 0) != (self.list2.size() == 0)",
        "self.envars.filter(e, e.name == 'MY_ENV').all(e, e.value.matches('^[a-zA-Z]*$'))",
        "has(self.expired) && self.created + self.ttl < self.expired",
        "self.health.startsWith('ok')",
        "self.widgets.exists(w, w.key == 'x' && w.foo < 10)",
        "type(self.percent) == string ? self.percent == '99%' : self.percent == 42",
        "self.metadata.name == 'singleton'",
        "self.set1.all(e, !(e in self.set2))",
        "self.names.size() == self.details.size() && self.names.all(n, n in self.details)",
        "self.details.all(key, key.matches('^[a-zA-Z]*$'))",
        "self.details.all(key, self.details[key].matches('^[a-zA-Z]*$'))",
    ],
)
def test_what_kubernetes_documents_as_rules(rule: str) -> None:
    schema = {"type": "object", "properties": {name: field for name, (field, _) in DOCUMENTED.items()}}
    found = structural.object_type(schema, root=True)
    assert found is not None
    program = Environment({"self": found}).compile(rule)
    self = {"metadata": {"name": "singleton"}, **{name: value for name, (_, value) in DOCUMENTED.items()}}
    assert program.evaluate({"self": self}) is True
    assert program.measure({"self": self}).value is True
