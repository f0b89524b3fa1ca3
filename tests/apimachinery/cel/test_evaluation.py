"""Expressions and their values: from the language's public conformance suite, and what Kubernetes documents."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from navarch.apimachinery.cel import types
from navarch.apimachinery.cel.environment import Environment
from navarch.apimachinery.cel.errors import CostLimitError, EvaluationError
from navarch.apimachinery.cel.parser import parse
from navarch.apimachinery.cel.values import Duration, Timestamp, UInt

from . import expressions, reference
from .expressions import ENVIRONMENT, VALUES, evaluate

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # integer_math, fp_math
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("7 % -2", 1),
        ("0x1F + 1", 32),
        ("-(-9223372036854775807)", 9223372036854775807),
        ("3u - 2u", UInt(1)),
        ("1.0 / 0.0", float("inf")),
        ("-1.0 / 0.0", float("-inf")),
        ("0.0 / 0.0 == 0.0 / 0.0", False),
        # comparisons
        ("dyn(1) == 1.0", True),
        ("dyn(1) == dyn('1')", False),
        ("dyn(1u) < dyn(1.5)", True),
        ("dyn(9007199254740993) == 9007199254740992.0", False),
        ("'a' < 'b' && b'a' < b'b' && false < true", True),
        ("dyn([[1], [2]]) == dyn([[1.0], [2.0]])", True),
        ("{'a': 1, 'b': 2} == {'b': 2, 'a': 1}", True),
        ("dyn({true: 1}) == dyn({1: 1})", False),
        ("dyn(true) == dyn(1)", False),
        ("1 in [1, 2]", True),
        ("true in [false]", False),
        ("dyn(1) in dyn([true])", False),
        ("'k' in m && !('q' in m)", True),
        ("d.n == null", True),
        # logic
        ("false && 1 / 0 == 1", False),
        ("1 / 0 == 1 && false", False),
        ("1 / 0 == 1 || true", True),
        ("true ? 1 : 1 / 0", 1),
        # strings, bytes
        ("'\\u00e9\\x41\\101'", "éAA"),
        ("size('ab\\U0001F431')", 3),
        ("b'é'.size()", 2),
        ("b'\\xff'", b"\xff"),
        ("r'\\n'.size()", 2),
        ("'''a\nb'''", "a\nb"),
        ("'abc'.contains('b') && 'abc'.endsWith('c') && matches('abc', '^a.c$')", True),
        # macros
        ("[].all(e, e)", True),
        ("[1, 2, 3].all(e, e / (e - 1) < 0 || e > 0)", True),
        ("l.exists(e, e / 0 == 1 || e == 2)", True),
        ("l.exists_one(e, e > 2)", True),
        ("l.map(e, e > 1, e * 2)", [4, 6]),
        ("l.filter(e, e > 1).map(e, l.map(l, l).size() + e)", [5, 6]),
        ("{'a': 1}.map(k, k)", ["a"]),
        ("{true: 1}.map(k, k)", [True]),
        ("l.exists(i, v, i == 1 && v == 2)", True),
        ("{'a': 1}.all(k, v, k == 'a' && v == 1)", True),
        ("l.existsOne(i, v, v > 2)", True),
        ("l.transformList(i, v, i % 2 == 0, v * 10)", [10, 30]),
        ("l.transformMap(i, v, v > 1, string(v))", {1: "2", 2: "3"}),
        ("{'a': 'b'}.transformMapEntry(k, v, {v: k})", {"b": "a"}),
        ("has(d.k) && !has(d.q) && has(m.k)", True),
        # conversions
        ("int('-5') + int(3.9) + int(7u)", 5),
        ("uint('5')", UInt(5)),
        ("double('1e5')", 1e5),
        ("bool('T')", True),
        ("string(1.5) + string(1u) + string(true) + string(b'q')", "1.51trueq"),
        ("string(1000000.0) + ' ' + string(123456.0) + ' ' + string(0.00001)", "1e+06 123456 1e-05"),
        ("type(1) == int && type(type(1)) == type && type(null) == null_type", True),
        ("type(timestamp(0)) == google.protobuf.Timestamp", True),
        ("type(d.k[1]) == double", True),
        # timestamps
        ("timestamp('2009-02-13T23:31:30Z').getMonth()", 1),
        ("timestamp('2009-02-13T23:31:30Z').getDate()", 13),
        ("timestamp('2009-02-13T23:31:30Z').getDayOfMonth()", 12),
        ("timestamp('2009-02-13T23:31:30Z').getDayOfWeek()", 5),
        ("timestamp('2009-02-13T23:31:30Z').getDayOfYear()", 43),
        ("timestamp('2009-02-13T23:31:30Z').getHours('+02:30')", 2),
        ("timestamp('2009-02-13T23:31:30.25Z').getMilliseconds()", 250),
        ("string(timestamp('2009-02-13T23:31:30.5+01:00'))", "2009-02-13T23:31:30.5+01:00"),
        ("timestamp('2009-02-13T23:31:30+01:00') == timestamp('2009-02-13T22:31:30Z')", True),
        ("timestamp('1970-01-01T00:01:00Z') - duration('1m')", Timestamp(0)),
        ("timestamp('1970-01-01T00:01:00Z') - timestamp(0)", Duration(60 * SECOND)),
        ("int(timestamp('2009-02-13T23:31:30Z'))", 1234567890),
        ("string(duration('1h0.5s'))", "3600.5s"),
        ("duration('-90s').getMinutes()", -1),
        ("duration('1s500ms').getMilliseconds()", 500),
        # optionals
        ("optional.of(1).or(optional.of(1 / 0)).value()", 1),
        ("optional.none().orValue(5)", 5),
        ("{?'a': optional.none(), 'b': 1}", {"b": 1}),
        ("[?optional.of(1), ?optional.none(), 2]", [1, 2]),
        ("d.?k[?0].orValue(7)", 1),
        ("d.?q.?r.hasValue()", False),
        ("[1][?3].hasValue()", False),
        ("optional.of(3).optMap(v, v * 2) == optional.of(6)", True),
        ("optional.of(3).optFlatMap(v, optional.none()).hasValue()", False),
        ("optional.ofNonZeroValue('').hasValue()", False),
    ],
)  # fmt: skip
def test_an_expression_has_a_value(text: str, value: Any) -> None:
    found = evaluate(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9223372036854775807 + 1", "integer overflow"),
        ("-9223372036854775808 - 1", "integer overflow"),
        ("-(-9223372036854775808)", "integer overflow"),
        ("1u - 2u", "unsigned integer overflow"),
        ("1 / 0", "division by zero"),
        ("1 % 0", "modulus by zero"),
        ("d.q", "no such key: q"),
        ("m['q']", "no such key: q"),
        ("d.n.z", "no such overload"),
        ("l[5]", "index out of bounds: 5"),
        ("l[-1]", "index out of bounds: -1"),
        ("dyn(1) + 'a'", "no such overload"),
        ("d.k.startsWith('a')", "no such overload: startsWith(list, string)"),
        ("d.k[0] && true", "no such overload"),
        ("d.k[0] ? 1 : 2", "no such overload"),
        ("1 / 0 == 1 && 1 % 0 == 1", "division by zero"),
        ("l.all(e, e / 0 == 1)", "division by zero"),
        ("l.exists_one(e, e / (e - 3) == 0)", "division by zero"),
        ("int('a')", "type conversion error from 'string' to 'int'"),
        ("duration(s)", "type conversion error from 'string' to 'google.protobuf.Duration'"),
        ("uint(-1)", "unsigned integer overflow"),
        ("int(1e99)", "integer overflow"),
        ("string(b'\\xff')", "invalid UTF-8 in bytes, cannot convert to string"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "timestamp overflow"),
        ("timestamp(0).getHours('Nowhere/Here')", "unknown time zone Nowhere/Here"),
        ("optional.none().value()", "optional.none() dereference"),
        ("{'a': 1, s.substring(0, 1): 2}", "Failed with repeated key: a"),
        ("s.matches(s + '(')", "error parsing regexp: missing closing ): `aé-z(`"),
        ("now", "no such attribute(s): now"),
    ],
)
def test_an_expression_has_no_value(text: str, message: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        evaluate(text)
    assert str(raised.value) == message


@settings(max_examples=200)
@given(expressions.ANY)
def test_the_value_is_that_of_the_reference(text: str) -> None:
    expected = reference.walk(parse(text), VALUES)
    try:
        found = evaluate(text)
    except EvaluationError:
        found = reference.FAILED
    assert found == expected and type(found) is type(expected)


def test_data_is_not_changed_and_not_copied() -> None:
    assert evaluate("d.k") is VALUES["d"]["k"]
    before = repr(VALUES)
    evaluate("l + l.map(x, x) + [1]")
    assert repr(VALUES) == before


def test_costs_have_a_limit() -> None:
    program = ENVIRONMENT.compile("l.all(e, l.all(f, l.all(g, g > 0)))")
    numbers = {**VALUES, "l": list(range(1, 200))}
    with pytest.raises(CostLimitError, match="operation cancelled: actual cost limit exceeded"):
        program.evaluate(numbers)
    assert program.evaluate(VALUES) is True
    # No operator absorbs it.
    for text in ("l.all(e, l.all(f, f > 0)) || true", "l.exists(g, l.all(e, l.all(f, f > 0)) || g == 199)"):
        with pytest.raises(CostLimitError):
            ENVIRONMENT.compile(text).evaluate(numbers, cost_limit=10_000)


@pytest.mark.parametrize(
    "text",
    [
        # Lists double, and texts are squared, for next to nothing.
        "[l]" + ".map(a, a + a)" * 40 + " == []",
        "[s + s]" + ".map(a, a.replace('', a))" * 6 + " == []",
        "[[s, s]].map(a, a + a + a + a)" + ".map(a, a + a)" * 12 + ".map(a, a.join(a.join()))" + " == []",
    ],
)
def test_what_grows_beyond_all_limits_ends(text: str) -> None:
    with pytest.raises(CostLimitError):
        ENVIRONMENT.compile(text).evaluate(VALUES)


def test_a_shadowed_variable_comes_back() -> None:
    assert evaluate("l.map(x, l.filter(x, x > 2).size() + x) == [2, 3, 4] && x == 3") is True


def test_a_variable_can_be_any_mapping() -> None:
    class Lazily(dict[str, int]):
        def __missing__(self, key: str) -> int:
            if key == "answer":
                return 42
            raise KeyError(key)

    environment = Environment({"variables": types.object_of("variables", {"answer": types.Field(types.INT, "answer")})})
    assert environment.compile("variables.answer").evaluate({"variables": Lazily()}) == 42


def test_what_a_program_uses_is_known() -> None:
    assert ENVIRONMENT.compile("l.all(e, e > x) && type(d.k) == list").uses == {"l", "x", "d", "list"}
