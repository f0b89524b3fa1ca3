"""YAML as the API reads it, and what must not be read."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery import yamlcodec
from navarch.apimachinery.unmarshal import NESTING_LIMIT
from navarch.apimachinery.yamlcodec import YAMLError

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=10)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63), TEXT, st.sampled_from(["yes", "1e3", "0x1", "2026-01-01", "~"])
    ),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(TEXT, below, max_size=3)),
    max_leaves=10,
)


@given(JSON)
def test_what_is_dumped_is_loaded_again(value: Any) -> None:
    assert yamlcodec.load(yamlcodec.dump(value)) == (value, [])


@given(st.binary(max_size=60))
def test_any_bytes_are_yaml_or_refused(body: bytes) -> None:
    with contextlib.suppress(YAMLError):
        yamlcodec.load(body)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: yes", True),
        ("a: off", False),
        ("a: 2026-01-01", "2026-01-01"),
        ("a: 12:30:45", "12:30:45"),
        ("a: 0o17", 15),
        ("a: 0x1F", 31),
        ("a: 1_000", 1000),
        ("a: 1e3", 1000.0),
        ("a: '1'", "1"),
        ("a: ~", None),
        ("a: 1.5Gi", "1.5Gi"),
        ("a: 0644", 420),
        ("a: 08", 8.0),
        ("a: |\n  x\n  y\n", "x\ny\n"),
    ],
)
def test_scalars_are_what_go_yaml_makes_of_them(text: str, value: Any) -> None:
    assert yamlcodec.load(text) == ({"a": value}, [])


def test_keys_are_strings_and_duplicates_are_told() -> None:
    assert yamlcodec.load("1: a\ntrue: b\nnull: c\n") == ({"1": "a", "true": "b", "null": "c"}, [])
    assert yamlcodec.load("a: 1\na: 2\nb: {c: 1, c: 2}") == ({"a": 2, "b": {"c": 2}}, ["a", "c"])


@pytest.mark.parametrize(
    "text",
    [
        "a: b: c",
        "{",
        "a: [",
        "- a\nb: c",
        "\tx: y",
        "a: !!python/object/apply:os.system [x]",
        "a: 1\n---\nb: 2",
        "*unknown",
        "? [a, b]\n: c\n? {d: e}\n: f",
        "[" * 100_000,
        "- " * 100_000,
        "a: .nan",
        "a: [-.inf]",
        "a: &a [*a]",
        "a: &a {b: *a}",
        ("[" * 100_000).encode("utf-16"),
        ("- " * 100_000).encode("utf-16"),
    ],
    ids=lambda text: str(text[:12]),
)
def test_what_is_malformed_or_too_deep_is_refused(text: str | bytes) -> None:
    with pytest.raises(YAMLError):
        yamlcodec.load(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b: c", "yaml: mapping values are not allowed in this context"),
        ("x: 1\n y: 2", "yaml: line 2: mapping values are not allowed in this context"),
        ("metadata:\n\tname: a\n", "yaml: line 2: found character that cannot start any token"),
        ("a: [1\nb: 2\n", "yaml: line 1: did not find expected ',' or ']'"),
        ("a: 'x\n\nb", "yaml: line 3: found unexpected end of stream"),
        ("a: \x01", "yaml: control characters are not allowed"),
        ("a: .nan", "json: unsupported value: NaN"),
    ],
)
def test_what_is_wrong_is_told_on_one_line_as_go_tells_it(text: str, expected: str) -> None:
    with pytest.raises(YAMLError) as refused:
        yamlcodec.load(text)
    assert yamlcodec.told(refused.value) == expected


def test_aliases_may_repeat_but_not_explode() -> None:
    assert yamlcodec.load("a: &x {b: 1}\nc: *x\nd: *x")[0] == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1}}
    lines = ["a0: &a0 [" + ",".join("x" * 9) + "]"]
    lines += [f"a{i}: &a{i} [" + ",".join([f"*a{i - 1}"] * 9) + "]" for i in range(1, 10)]
    with pytest.raises(YAMLError, match="excessive aliasing"):
        yamlcodec.load("\n".join(lines))


def test_many_keys_are_no_aliases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamlcodec, "MERGED_LIMIT", 10)
    assert len(yamlcodec.load("".join(f"k{number}: v\n" for number in range(20)))[0]) == 20
    merged = "a: &a {" + ",".join(f"k{number}: v" for number in range(11)) + "}\nb: {<<: *a}"
    with pytest.raises(YAMLError, match="excessive aliasing"):
        yamlcodec.load(merged)


def test_nesting_is_allowed_up_to_the_limit() -> None:
    depth = NESTING_LIMIT - 1
    assert yamlcodec.load("[" * depth + "]" * depth)[0]
