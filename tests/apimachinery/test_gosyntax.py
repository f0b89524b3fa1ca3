"""What is said of malformed JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery.gosyntax import NESTING_LIMIT, complaint

END = "unexpected end of JSON input"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", END),
        (b" {", END),
        (b'{"a"', END),
        (b'"\\', END),
        (b'"\\u12', END),
        (b"-", END),
        (b"1.", END),
        (b"1e", END),
        (b"tru", END),
        (b"apiVersion: v1", "invalid character 'a' looking for beginning of value"),
        (b"\xef\xbb\xbf{}", "invalid character 'ï' looking for beginning of value"),
        (b"\x00", "invalid character '\\x00' looking for beginning of value"),
        (b"\x85", "invalid character '\\u0085' looking for beginning of value"),
        (b'{"a":}', "invalid character '}' looking for beginning of value"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b"[}", "invalid character '}' looking for beginning of value"),
        (b"{]", "invalid character ']' looking for beginning of object key string"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"{} x", "invalid character 'x' after top-level value"),
        (b"01", "invalid character '1' after top-level value"),
        (b"trux", "invalid character 'x' in literal true (expecting 'e')"),
        (b'"a\nb"', "invalid character '\\n' in string literal"),
        (b'"\\x"', "invalid character 'x' in string escape code"),
        (b'"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"),
        (b"-a", "invalid character 'a' in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"1e+x", "invalid character 'x' in exponent of numeric literal"),
        (b"[" * (NESTING_LIMIT + 1), "exceeded max depth"),
    ],
)
def test_what_is_wrong_is_said_in_gos_words(body: bytes, text: str) -> None:
    assert complaint(body) == text


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=10,
)


def is_json(body: bytes) -> bool:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(body.decode("latin-1"), parse_constant=refuse)
    except ValueError:
        return False
    return True


@given(JSON, st.booleans(), st.data())
def test_only_what_is_no_json_is_complained_of(value: Any, is_plain: bool, data: st.DataObject) -> None:
    body = json.dumps(value, ensure_ascii=is_plain, indent=data.draw(st.sampled_from([None, 1]))).encode()
    assert complaint(body) == ""
    place = data.draw(st.integers(0, len(body)))
    other = body[:place] + data.draw(st.binary(max_size=2)) + body[place + data.draw(st.integers(0, 2)) :]
    assert (complaint(other) == "") is is_json(other)
