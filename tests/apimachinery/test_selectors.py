"""Label and field selectors: the grammar round trips, and matching is what it says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from navarch.apimachinery import selectors
from navarch.apimachinery.selectors import EVERYTHING, NOTHING, Requirement, Selector

KEYS = st.sampled_from(["a", "b", "app", "example.com/x", "in", "notin", "A-b_c.d"])
VALUES = st.sampled_from(["", "1", "2", "10", "x", "x-y_z.0", "in"])
LABELS = st.dictionaries(KEYS, VALUES, max_size=4)


@st.composite
def requirements(draw: st.DrawFn) -> Requirement:
    operator = draw(st.sampled_from(["in", "notin", "exists", "!", "gt", "lt"]))
    key = draw(KEYS)
    sign = draw(st.sampled_from(["", "=", "==", "!="]))
    if sign:
        return Requirement(key, "notin" if sign == "!=" else "in", (draw(VALUES),), sign)
    if operator in ("in", "notin"):
        return Requirement(key, operator, tuple(sorted(set(draw(st.lists(VALUES, min_size=1, max_size=3))))))
    if operator in ("gt", "lt"):
        return Requirement(key, operator, (str(draw(st.integers(0, 20))),))
    return Requirement(key, operator)


def naive(requirement: Requirement, labels: dict[str, str]) -> bool:
    key, values = requirement.key, requirement.values
    number = labels.get(key, "x")
    is_number = number.lstrip("-").isdigit()
    return {
        "in": key in labels and labels[key] in values,
        "notin": key not in labels or labels[key] not in values,
        "exists": key in labels,
        "!": key not in labels,
        "gt": is_number and int(number) > int((values or ("0",))[0] if requirement.operator in ("gt", "lt") else 0),
        "lt": is_number and int(number) < int((values or ("0",))[0] if requirement.operator in ("gt", "lt") else 0),
    }[requirement.operator]


@given(st.lists(requirements(), max_size=4).map(tuple), LABELS)
def test_a_selector_matches_where_all_its_requirements_hold(parts: tuple[Requirement, ...], labels: dict[str, str]) -> None:
    assert Selector(parts).matches(labels) == all(naive(part, labels) for part in parts)


@given(st.lists(requirements(), max_size=4).map(tuple), LABELS)
def test_a_selector_written_down_is_read_back(parts: tuple[Requirement, ...], labels: dict[str, str]) -> None:
    selector = Selector(tuple(sorted(parts, key=lambda part: part.key)))
    again = selectors.parse(str(selector))
    assert again.matches(labels) == selector.matches(labels)
    assert str(again) == str(selector)


@given(st.text(max_size=20))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    for parse in (selectors.parse, selectors.parse_fields):
        try:
            parse(text)
        except ValueError as error:
            assert str(error)


@given(LABELS, LABELS)
def test_a_set_selects_its_supersets(wanted: dict[str, str], labels: dict[str, str]) -> None:
    assert selectors.from_set(wanted).matches({**labels, **wanted})
    assert selectors.from_set(wanted).matches(labels) == (wanted.items() <= labels.items())
    assert selectors.from_label_selector({"matchLabels": wanted}).matches(labels) == (wanted.items() <= labels.items())


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a!=b", {}, True),
        ("a=", {"a": ""}, True),
        ("a in (b,c)", {"a": "c"}, True),
        ("a notin (b)", {}, True),
        ("!a", {"a": ""}, False),
        (" a = b , c ", {"a": "b", "c": "x"}, True),
        ("a in (,b)", {"a": ""}, True),
        ("a>5", {"a": "6"}, True),
        ("a>5", {"a": "x"}, False),
        ("a<5", {}, False),
        ("a>5", {"a": "1_0"}, False),
        ("a>5", {"a": "9223372036854775808"}, False),
        ("a notin ()", {"a": ""}, False),
        ("a in (b,,)", {"a": ""}, True),
        ("in in (in, notin)", {"in": "notin"}, True),
        ("example.com/a", {"example.com/a": "1"}, True),
    ],
)
def test_the_grammar_of_query_strings(text: str, labels: dict[str, str], expected: bool) -> None:
    assert selectors.parse(text).matches(labels) is expected


QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    "an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
NO_INTEGER = "for 'Gt', 'Lt' operators, the value must be an integer"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("a,", "found '', expected: identifier after ','"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("!!a", "unable to parse requirement: found '!', expected: identifier"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=(b)", "unable to parse requirement: found '(', expected: identifier"),
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b,=)", "unable to parse requirement: found '=', expected: ',', or identifier"),
        ("_a", f'unable to parse requirement: <nil>: Invalid value: "_a": {QUALIFIED}'),
        ("a=_x", f'unable to parse requirement: values[0][a]: Invalid value: "_x": {VALUE}'),
        ("a in (x,_y)", f'unable to parse requirement: values[0][a]: Invalid value: "_y": {VALUE}'),
        ("a in (b,-)", f'unable to parse requirement: values[0][a]: Invalid value: "-": {VALUE}'),
        ("a>x", f'unable to parse requirement: values[0]: Invalid value: "x": {NO_INTEGER}'),
        ("a>-1", f'unable to parse requirement: values[0][a]: Invalid value: "-1": {VALUE}'),
        (
            "a<_",
            f'unable to parse requirement: [values[0]: Invalid value: "_": {NO_INTEGER}, '
            f'values[0][a]: Invalid value: "_": {VALUE}]',
        ),
    ],
)
def test_malformed_selectors_are_refused_in_kubernetes_words(text: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        selectors.parse(text)
    assert str(refused.value) == message


def test_a_label_selector_is_written_down_by_its_keys_and_as_it_was_given() -> None:
    expressions = [
        {"key": "z", "operator": "NotIn", "values": ["2", "1"]},
        {"key": "b", "operator": "In", "values": ["x"]},
        {"key": "c", "operator": "DoesNotExist"},
    ]
    found = selectors.from_label_selector({"matchLabels": {"m": "1", "a": "2"}, "matchExpressions": expressions})
    assert str(found) == "a=2,b in (x),!c,m=1,z notin (1,2)"
    assert str(selectors.parse("b!=1,a==2")) == "a==2,b!=1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("b,a", "invalid selector: 'b,a'; can't understand 'a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=b\\c", "invalid field selector: invalid escape sequence: \\c"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_malformed_field_selectors_are_refused_in_kubernetes_words(text: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        selectors.parse_fields(text)
    assert str(refused.value) == message


def test_a_missing_label_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert selectors.from_label_selector(None) is NOTHING and not NOTHING.matches({})
    assert selectors.from_label_selector({}).is_everything and EVERYTHING.matches({"a": "b"})


@pytest.mark.parametrize(
    "expression",
    [{"key": "a", "operator": "Sometimes"}, {"key": "a", "operator": ""}],
)
def test_expressions_with_unknown_operators_are_refused(expression: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not a valid label selector operator"):
        selectors.from_label_selector({"matchExpressions": [expression]})


FIELD_VALUES = st.text(alphabet="ab=,\\! .", max_size=6)


@given(st.lists(st.tuples(st.sampled_from(["metadata.name", "spec.nodeName"]), FIELD_VALUES, st.booleans()), max_size=3))
def test_field_selectors_with_escapes_are_read_back(parts: list[tuple[str, str, bool]]) -> None:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")

    text = ",".join(f"{field}{'=' if equal else '!='}{escaped(value)}" for field, value, equal in parts)
    found = [(part.field, part.value, part.equal) for part in selectors.parse_fields(text)]
    assert sorted(found) == sorted(parts)
