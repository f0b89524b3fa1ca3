"""What evaluations cost, by cel-go's and Kubernetes' figures; an estimate is no less than that."""

from __future__ import annotations

import pytest
from hypothesis import given

from navarch.apimachinery.cel import cost, types
from navarch.apimachinery.cel.declarations import Library
from navarch.apimachinery.cel.environment import KUBERNETES, Environment
from navarch.apimachinery.cel.errors import EvaluationError
from navarch.apimachinery.cel.ranges import LARGEST, Range, fixed

from . import expressions
from .expressions import ENVIRONMENT, VALUES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 0),
        ("x", 1),
        ("d.k", 2),
        ("has(d.k)", 1),
        ("x + 1", 2),
        ("x == 1", 2),
        ("[1, 2]", 10),
        ("{'a': x}", 31),
        ("1 in l", 1 + 3),
        ("l[0]", 2),
        ("b && x == 3", 3),
        ("!b && x == 3", 2),
        ("b ? x : 1", 2),
        ("l.all(e, true)", 1 + 3 * 3 + 1),
        ("l.exists(e, false)", 1 + 3 * 4 + 1),
        ("l.map(e, e)", 1 + 10 + 3 * 13 + 1),
        ("l.filter(e, e > 1)", 1 + 10 + 3 * (1 + 2) + 2 * 12 + 1),
        ("'a'.startsWith('abcdefghijk')", 2),
        ("'abcdefghijk'.contains('abcdefghijk')", 4),
        ("'abcdefghijk'.matches('abcdef')", 2 * 2),
        ("'abcdefghijk' + 'a'", 2),
        ("'abcdefghijk' == 'abcdefghijkl'", 2),
        ("[1, 2, 3].sum()", 10 + 3),
        ("'abcdefghijk'.replace('a', 'b')", 3),
        ("quantity('1Gi').isGreaterThan(quantity('1M'))", 1 + 1 + 1),
        ("cidr('10.0.0.0/8').containsIP('10.0.0.1')", 2 + 1),
    ],
)
def test_an_expression_costs(text: str, expected: int) -> None:
    program = ENVIRONMENT.compile(text)
    assert program.measure(VALUES).cost == expected
    assert program.estimated_cost.min <= expected <= program.estimated_cost.max


@given(expressions.ANY)
def test_an_estimate_is_no_less_than_the_cost(text: str) -> None:
    sized = Environment(
        {
            "x": types.INT,
            "b": types.BOOL,
            "l": types.list_of(types.INT).sized(3),
        }
    ).compile(text)
    try:
        found = sized.measure(VALUES).cost
    except EvaluationError:
        return
    assert found <= sized.estimated_cost.max < LARGEST


def test_what_is_surely_cheap_is_not_counted() -> None:
    program = ENVIRONMENT.compile("x == 3")
    assert program.evaluate(VALUES) is True
    assert "_quick" in vars(program) and "_metered" not in vars(program)
    program = ENVIRONMENT.compile("l.all(e, e > 0)")
    assert program.evaluate(VALUES) is True
    assert "_metered" in vars(program) and "_quick" not in vars(program)


def test_ranges_stay_within_64_bits() -> None:
    largest = fixed(LARGEST)
    assert largest + fixed(1) == largest * fixed(2) == largest.scaled(2) == largest
    assert Range(1, 5).union(Range(3, 9)) == Range(1, 9)
    assert Range(1, 25).scaled(0.1) == Range(1, 3)


@pytest.mark.parametrize("library", KUBERNETES, ids=lambda library: library.name)
def test_what_is_said_to_cost_one_does(library: Library) -> None:
    large = ["x" * 100] * 3
    for name, overloads in library.functions.items():
        for overload in overloads:
            costs = {cost.call(name, overload.id, arguments, "x" * 100) for arguments in (large, [large, large, large])}
            if cost.is_nominal(name, overload.id):
                assert costs == {1}, overload.id
            else:
                assert costs != {1} or name == "validate" or overload.id == "add_list"
