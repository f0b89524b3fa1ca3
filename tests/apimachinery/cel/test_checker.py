"""Types that are inferred, and errors in cel-go's words and places."""

from __future__ import annotations

import pytest

from navarch.apimachinery.cel import types
from navarch.apimachinery.cel.environment import Environment, ResultTypeError
from navarch.apimachinery.cel.errors import CompileError

from .expressions import ENVIRONMENT


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("1 + x", "int"),
        ("[]", "list(dyn)"),
        ("[1, 2].map(e, string(e))", "list(string)"),
        ("{'a': [1.5]}", "map(string, list(double))"),
        ("l + []", "list(int)"),
        ("b ? d : 1", "dyn"),
        ("d.k[0].z", "dyn"),
        ("m.k", "int"),
        ("m.?k", "optional_type(int)"),
        ("m.?k.orValue(2)", "int"),
        ("optional.of(3).optMap(v, v * 2).value()", "int"),
        ("[optional.none(), optional.of(1)]", "list(optional_type(int))"),
        ("l.transformMap(i, v, string(v))", "map(int, string)"),
        ("timestamp('2020-01-01T00:00:00Z') - duration('1h')", "timestamp"),
        ("now - now", "duration"),
        ("type(1)", "type(int)"),
        ("quantity('1').add(2)", "kubernetes.Quantity"),
        ("format.named('uri')", "optional_type(kubernetes.NamedFormat)"),
        ("'%s %s'.format([1, 'a'])", "string"),
        ("null", "null"),
        ("l.all(x, l.exists(x, x > 1))", "bool"),
        ("dyn(1) < 2.5", "bool"),
    ],
)
def test_a_type_is_inferred(text: str, type_: str) -> None:
    assert str(ENVIRONMENT.compile(text).type) == type_


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("y", 1, "undeclared reference to 'y' (in container '')"),
        ("x + 'a'", 3, "found no matching overload for '_+_' applied to '(int, string)'"),
        ("s.startsWith(1)", 13, "found no matching overload for 'startsWith' applied to 'string.(int)'"),
        ("x ? 1 : 2", 3, "found no matching overload for '_?_:_' applied to '(int, int, int)'"),
        ("!x", 1, "found no matching overload for '!_' applied to '(int)'"),
        ("!-1", 1, "found no matching overload for '!_' applied to '(int)'"),
        ("x == null", 3, "found no matching overload for '_==_' applied to '(int, null)'"),
        ("l['a']", 2, "found no matching overload for '_[_]' applied to '(list(int), string)'"),
        ("b && x", 6, "expected type 'bool' but found 'int'"),
        ("l.all(e, e)", 10, "expected type 'bool' but found 'int'"),
        ("x.a", 2, "type 'int' does not support field selection"),
        ("s.map(e, e)", 1, "expression of type 'string' cannot be range of a comprehension (must be list, map, or dynamic)"),
        ("s.foo()", 6, "undeclared reference to 'foo' (in container '')"),
        ("foo(1)", 4, "undeclared reference to 'foo' (in container '')"),
        ("[1, 'a']", 5, "expected type 'int' but found 'string'"),
        ("{'a': 1, 2: 3}", 10, "expected type 'string' but found 'int'"),
        ("[?x]", 3, "expected type 'optional_type(int)' but found 'int'"),
        ("duration('1q')", 10, "invalid duration argument"),
        ("timestamp('2020')", 11, "invalid timestamp argument"),
        ("s.matches('(')", 11, "invalid matches argument"),
        ("'%d'.format(['a'])", 14, "error during formatting: decimal clause can only be used on integers, was given string"),
        ("'%s %s'.format([1])", 15, "index 1 out of range"),
        ("'%q'.format([1])", 12, 'could not parse formatting clause: unrecognized formatting clause "q"'),
        ("'%s'.format([1, 2])", 12, "too many arguments supplied to string.format (expected 1, got 2)"),
        ("Foo{a: 1}", 4, "undeclared reference to 'Foo' (in container '')"),
        ("x{a: 1}", 2, "'int' is not a type"),
        ("int{a: 1}", 4, "'int' is not a message type"),
    ],
)
def test_an_error_has_its_place(text: str, column: int, message: str) -> None:
    with pytest.raises(CompileError) as raised:
        ENVIRONMENT.compile(text)
    assert str(raised.value) == f"ERROR: <input>:1:{column}: {message}\n | {text}\n | {'.' * (column - 1)}^"


def test_all_errors_are_told_by_their_place() -> None:
    with pytest.raises(CompileError) as raised:
        ENVIRONMENT.compile("y.z(1) ||\n w")
    assert [(issue.line, issue.column, issue.message) for issue in raised.value.issues] == [
        (1, 0, "undeclared reference to 'y' (in container '')"),
        (1, 3, "undeclared reference to 'z' (in container '')"),
        (2, 1, "undeclared reference to 'w' (in container '')"),
    ]


def test_the_type_of_the_result_can_be_asked_for() -> None:
    assert ENVIRONMENT.compile("b", result=(types.BOOL,)).type == types.BOOL
    for text, wanted, message in (
        ("x", (types.BOOL,), "must evaluate to bool but got int"),
        ("d", (types.BOOL,), "must evaluate to bool but got dyn"),
        ("now", (types.STRING, types.NULL), "must evaluate to one of [string null_type] but got google.protobuf.Timestamp"),
    ):
        with pytest.raises(ResultTypeError) as raised:
            ENVIRONMENT.compile(text, result=wanted)
        assert str(raised.value) == message


def test_an_environment_extends_another() -> None:
    point = types.object_of("Point", {"x": types.Field(types.INT, "x")})
    extended = ENVIRONMENT.extend(variables={"p": point}, types={"Point": point})
    assert extended.compile("Point{x: p.x + x}").evaluate({"p": {"x": 1}, "x": 2}) == {"x": 3}
    with pytest.raises(CompileError, match="undefined field 'y'"):
        extended.compile("p.y")
    with pytest.raises(CompileError, match="expected type of field 'x' is 'int' but provided type is 'string'"):
        extended.compile("Point{x: ''}")
    with pytest.raises(CompileError, match="undeclared reference to 'p'"):
        ENVIRONMENT.compile("p")


def test_an_environment_may_have_no_libraries() -> None:
    with pytest.raises(CompileError, match="undeclared reference to '_"):
        Environment(libraries=()).compile("1 + 2")
