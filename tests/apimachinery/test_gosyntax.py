"""What is said of text that is no JSON, in the words of Go's encoding/json."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery import gosyntax

END = "unexpected end of JSON input"
WORDS = {
    "": END,
    " \n": END,
    "[": END,
    "{": END,
    '{"a"': END,
    '{"a":': END,
    '{"a":1': END,
    '{"a":1,': END,
    '{"a":"b': END,
    '{"a":"\\': END,
    '{"a":"\\u1': END,
    '{"a":tr': END,
    "-": END,
    "1.": END,
    "1e": END,
    "1e+": END,
    "a": "invalid character 'a' looking for beginning of value",
    "[1,]": "invalid character ']' looking for beginning of value",
    "[,]": "invalid character ',' looking for beginning of value",
    "{,}": "invalid character ',' looking for beginning of object key string",
    "{a:1}": "invalid character 'a' looking for beginning of object key string",
    '{"a":1,}': "invalid character '}' looking for beginning of object key string",
    "{'a':1}": "invalid character '\\'' looking for beginning of object key string",
    '{"a" 1}': "invalid character '1' after object key",
    '{"a":1 "b":2}': "invalid character '\"' after object key:value pair",
    '{"a":[1 2]}': "invalid character '2' after array element",
    '[{"a":[1]]': "invalid character ']' after object key:value pair",
    "[[1}": "invalid character '}' after array element",
    "{} x": "invalid character 'x' after top-level value",
    "1 2": "invalid character '2' after top-level value",
    "01": "invalid character '1' after top-level value",
    '{"a":01}': "invalid character '1' after object key:value pair",
    '{"a":tru}': "invalid character '}' in literal true (expecting 'e')",
    '{"a":fAlse}': "invalid character 'A' in literal false (expecting 'a')",
    "nil": "invalid character 'i' in literal null (expecting 'u')",
    "truex": "invalid character 'x' after top-level value",
    '{"a":-}': "invalid character '}' in numeric literal",
    "[1.]": "invalid character ']' after decimal point in numeric literal",
    "[1.x]": "invalid character 'x' after decimal point in numeric literal",
    "[1.5.2]": "invalid character '.' after array element",
    "[1e]": "invalid character ']' in exponent of numeric literal",
    "[1.5E+-]": "invalid character '-' in exponent of numeric literal",
    "[1e5e]": "invalid character 'e' after array element",
    "[.5]": "invalid character '.' looking for beginning of value",
    "[+1]": "invalid character '+' looking for beginning of value",
    "[NaN]": "invalid character 'N' looking for beginning of value",
    "[-Infinity]": "invalid character 'I' in numeric literal",
    '"a\tb"': "invalid character '\\t' in string literal",
    '"a\x01b"': "invalid character '\\x01' in string literal",
    '"\\x"': "invalid character 'x' in string escape code",
    '"\\u12x4"': "invalid character 'x' in \\u hexadecimal character escape",
    "[é]": "invalid character 'Ã' looking for beginning of value",
    "\ufeff{}": "invalid character 'ï' looking for beginning of value",
    "{\\}": "invalid character '\\\\' looking for beginning of object key string",
}


@pytest.mark.parametrize("text", WORDS)
def test_the_first_thing_that_is_wrong_is_told(text: str) -> None:
    assert gosyntax.error(text) == WORDS[text]


@pytest.mark.parametrize("text", ["{}", " [1, 2.5e-3, -0, true, null] ", '{"a":"\\ud83d"}', '"\\u00e9"', "12"])
def test_nothing_is_wrong_with_json(text: str) -> None:
    assert gosyntax.error(text) == ""


def test_what_is_too_deep_is_told() -> None:
    assert gosyntax.error("[" * 100_000) == "exceeded max depth"


@given(st.text(alphabet='{}[]":,\\u0123eE.+-truefalsn \t\ud83dé', max_size=30))
def test_something_is_said_of_whatever_there_is(text: str) -> None:
    said = gosyntax.error(text)
    assert said == "" or said == END or said.startswith("invalid character '")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'"\ud83d\ude00"', r'"\ud83d\ude00"'),
        (r'"\ud83d"', r'"\ufffd"'),
        (r'"\ude00\ud83d"', r'"\ufffd\ufffd"'),
        (r'"\\ud83d"', r'"\\ud83d"'),
        (r'"\\\uD83Dx"', r'"\\\ufffdx"'),
        (r'"\u00e9"', r'"\u00e9"'),
    ],
)
def test_halves_of_pairs_are_marked(text: str, expected: str) -> None:
    assert gosyntax.without_halves(text) == expected
