"""Texts that are no expressions are told so in ANTLR's words; texts that are can be written again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery.cel.ast import Node, descend
from navarch.apimachinery.cel.errors import CompileError, EvaluationError
from navarch.apimachinery.cel.parser import parse
from navarch.apimachinery.cel.unparse import unparse

from . import expressions

STARTS = "'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
CLOSED = STARTS.replace("'.'", "')', '.'")


@pytest.mark.parametrize(
    ("text", "rendering"),
    [
        ("a | b", "1:3: Syntax error: token recognition error at: '| '\n | a | b\n | ..^\n"
         "ERROR: <input>:1:5: Syntax error: extraneous input 'b' expecting <EOF>\n | a | b\n | ....^"),
        ("1 +", f"1:4: Syntax error: mismatched input '<EOF>' expecting {{{STARTS}\n | 1 +\n | ...^"),
        ("1 + + 2", f"1:5: Syntax error: extraneous input '+' expecting {{{STARTS}\n | 1 + + 2\n | ....^"),
        ("1 + 2\n3 +", "2:1: Syntax error: mismatched input '3' expecting <EOF>\n | 3 +\n | ^"),
        ("(a", "1:3: Syntax error: missing ')' at '<EOF>'\n | (a\n | ..^"),
        ("[1 2]", "1:4: Syntax error: extraneous input '2' expecting {']', ','}\n | [1 2]\n | ...^"),
        ("a.", "1:3: Syntax error: no viable alternative at input '.'\n | a.\n | ..^"),
        ("f(", f"1:3: Syntax error: mismatched input '<EOF>' expecting {{{CLOSED}\n | f(\n | ..^"),
        ("{1 2}", "1:4: Syntax error: missing ':' at '2'\n | {1 2}\n | ...^"),
        (r'"a\qb"', "1:1: Syntax error: token recognition error at: '\"a\\q'\n | \"a\\qb\"\n | ^\n"
         "ERROR: <input>:1:6: Syntax error: token recognition error at: '\"'\n | \"a\\qb\"\n | .....^"),
        ("if", "1:1: reserved identifier: if\n | if\n | ^"),
        ("1.all(2, 3)", "1:7: argument must be a simple name\n | 1.all(2, 3)\n | ......^"),
        ("has(a)", "1:5: invalid argument to has() macro\n | has(a)\n | ....^"),
        ("9223372036854775808", "1:1: invalid int literal\n | 9223372036854775808\n | ^"),
        ("f(){a: 1}", "1:4: expected a qualified name\n | f(){a: 1}\n | ...^"),
        ("a ? b ? c : d : e", "1:7: Syntax error: mismatched input '?' expecting ':'\n | a ? b ? c : d : e\n | ......^"),
    ],
)  # fmt: skip
def test_a_syntax_error_is_rendered(text: str, rendering: str) -> None:
    with pytest.raises(CompileError) as raised:
        parse(text)
    assert str(raised.value) == f"ERROR: <input>:{rendering}"


@pytest.mark.parametrize(
    "text",
    [
        "a.b.c(1, -2)[3] + (x * 2)",
        "[1, ?a, 2u, 2.5, null, true]",
        '{"a": 1, ?b: 2}',
        "Type.Name{field: 1, `other-field`: 2}",
        "a.?b[?0]",
        "l.map(e, e > 1, e).exists_one(e, e == 2)",
        'has(a.b) ? a.`b-c` : b"\\377"',
        "m.transformMap(k, v, v > 1, k)",
        "o.optMap(v, v + 1)",
        "-(9)",
        "!(a)",
        "-9223372036854775808",
    ],
)
def test_text_is_written_again(text: str) -> None:
    assert unparse(parse(text)) == text


def form(node: Node) -> list[str]:
    """What a tree is, but for where it was in the text."""
    return [
        f"{type(each).__name__}:{[getattr(each, name, None) for name in ('value', 'name', 'function')]}"
        for each in descend(node)
    ]


@given(expressions.ANY)
def test_what_is_written_parses_to_the_same(text: str) -> None:
    tree = parse(text)
    assert form(parse(unparse(tree))) == form(tree)


@given(st.text(max_size=60) | st.text("()[]{}.,?:+-!&|<>=ab1\"'\\rx \n", max_size=60) | st.text("([-!", max_size=400))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        tree = parse(text)
    except CompileError as error:
        assert str(error).startswith("ERROR: <input>:")
    else:
        assert form(parse(unparse(tree))) == form(tree)


@pytest.mark.parametrize(
    "text", ["(" * 251 + "1" + ")" * 251, "1" + "+1" * 300, "a" + ".b" * 300, "[" * 2000, "l.map(a, " * 300]
)
def test_nesting_has_a_limit(text: str) -> None:
    with pytest.raises(CompileError, match="expression recursion limit exceeded: 250"):
        parse(text)


def test_a_long_chain_is_no_deep_nesting() -> None:
    tree = parse(" && ".join(f"a{index}" for index in range(5000)))
    assert tree.depth < 20
    assert unparse(parse("a && b && c")) == "(a && b) && c"


def test_text_has_a_limit() -> None:
    with pytest.raises(CompileError, match="expression code point size exceeds limit: size: 100001, limit 100000"):
        parse("a" * 100_001)


def test_columns_count_characters_and_show_wide_ones() -> None:
    with pytest.raises(CompileError) as raised:
        parse("'日本' + \t)")
    assert str(raised.value).splitlines()[1:] == [" | '日本' +  )", " | .．．.....^"]


@pytest.mark.parametrize("level", ["({})", "[{}]", "l.map(a, {})", "!(b && {})", "f(f({}))", "{{1: {}}}", "b ? ({}) : 1"])
def test_what_is_not_too_deep_is_compiled_and_evaluated(level: str) -> None:
    """A level may take several of the tree."""
    text = "d"
    for _ in range(40):
        text = level.format(text)
    if "f(" in level:
        text = text.replace("f(", "dyn(")
    program = expressions.ENVIRONMENT.compile(text)
    assert program.estimated_cost.max > 0
    for run in (program.evaluate, program.measure):
        try:
            run({**expressions.VALUES, "d": True, "l": []})
        except EvaluationError as error:
            assert "limit" in str(error)
